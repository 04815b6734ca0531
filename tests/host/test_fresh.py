# SPDX-License-Identifier: GPL-3.0-or-later
"""The first minutes on a new host: quiet, healthy, and what to do next."""

import pytest

from tests.end_to_end.serving import MAC1
from tests.host.boothost import CLUSTER, TOOLS, BootHost, soon

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs(*TOOLS)]


def test_without_cluster_conf_it_is_quiet_healthy_and_says_what_to_do(fresh_host: BootHost) -> None:
    fresh_host.run("systemctl", "enable", "--now", "osrd")
    assert fresh_host.running()
    assert fresh_host.show("NRestarts") == "0"
    said = [entry["MESSAGE"] for entry in fresh_host.journal(SYSLOG_IDENTIFIER="osrd")]
    assert len(said) == 2, said
    assert CLUSTER in fresh_host.show("StatusText")
    status = fresh_host.says("osrctl", "status", user="nobody")
    assert CLUSTER in status
    assert "create it" in status
    assert not list(fresh_host.path("/srv/tftp/osr").iterdir()), "nothing is published for nobody"


def test_the_first_cluster_conf_is_taken_at_once(fresh_host: BootHost) -> None:
    fresh_host.run("systemctl", "start", "osrd")
    fresh_host.nodes()
    soon(lambda: fresh_host.get("NodeCount") == 2, "osrd has seen it")
    soon(fresh_host.path("/srv/tftp/osr/pxelinux.cfg/default").exists, "something is published")
    assert not fresh_host.entry(MAC1).exists(), "there is no kernel for it"
