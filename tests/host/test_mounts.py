# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts that the service makes are the host's own, and outlive it."""

import pytest

from tests.host.boothost import LINK, SHARED, TOOLS, BootHost, soon

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs(*TOOLS)]


def test_the_hosts_other_programs_see_the_mount(shared: BootHost) -> None:
    own, tree = f"{SHARED}/cdsl.local/etc/motd", shared.path(f"{SHARED}/cluster/cdsl/1/etc/motd")
    tree.write_text("I am node 1\n")
    assert shared.says("cat", own) == "I am node 1"
    assert shared.says("systemd-run", "--quiet", "--wait", "--pipe", "cat", own) == "I am node 1"


def test_it_stays_when_osrd_is_restarted_or_killed(shared: BootHost) -> None:
    (before,) = shared.mounted()
    shared.restart()
    assert shared.mounted() == [before]
    pid = shared.main_pid()
    shared.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "osrd")
    soon(lambda: shared.main_pid() not in (0, pid), "systemd starts it again")
    shared.wait_true("everything is true again")
    assert shared.mounted() == [before]


def test_it_comes_back_when_somebody_unmounts_it(shared: BootHost) -> None:
    shared.run("umount", LINK)
    soon(shared.mounted, "it is mounted again")
    assert shared.says("cat", f"{SHARED}/cdsl.local/etc/motd")
