# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd.conf that is wrong, gone, or another one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from osrd.engine.api import RemoveNode
from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Severity
from osrd.model.view import State
from tests.unit.boothost import QUICK, BootHost, codes


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootHost]:
    with BootHost(tmp_path) as made:
        yield made


def test_with_settings_wrong_from_the_start_nothing_is_published_until_they_are_corrected(host: BootHost) -> None:
    host.configure("server = 10.0.0.254", "server = nonsense")
    run = host.run()
    assert (run.snapshot.state, run.snapshot.in_sync) == (State.INVALID, False)
    assert host.published() == {}
    assert run.rejected
    assert {finding.code for finding in run.snapshot.findings if finding.severity is Severity.ERROR} == {
        finding.code for finding in run.rejected if finding.severity is Severity.ERROR
    }, "what the defaults would lead to is no finding"
    before = host.cluster_conf.read_bytes()
    for refused in (
        lambda: host.pipeline.edit(RemoveNode("node1")),
        lambda: host.pipeline.apply(""),
        lambda: host.pipeline.pin(1),
    ):
        with pytest.raises(InvalidConfigError, match=r"osrd\.conf:"):
            refused()
    assert host.cluster_conf.read_bytes() == before
    assert host.pipeline.plan_view(diff=False).actions == ()
    host.configure("server = nonsense", "server = 10.0.0.254")
    assert host.pipeline.reload() == ()
    assert host.run().snapshot.state is State.READY
    assert host.entry(1).exists()


def test_settings_wrong_at_the_start_of_a_host_that_served_already_change_nothing(host: BootHost) -> None:
    host.run()
    served = host.published()
    host.configure("[boot]\n", "[boot]\ntimeout = soon\n")
    host.restart()
    host.entry(1).unlink()
    assert host.run().snapshot.state is State.INVALID
    assert not host.entry(1).exists(), "nothing is written with settings that nobody meant"
    host.configure("timeout = soon\n", "")
    host.pipeline.reload()
    host.run()
    assert host.published() == served


def test_reloading_wrong_settings_keeps_the_former_ones_and_says_so(host: BootHost) -> None:
    host.run()
    served = host.published()
    host.configure("server = 10.0.0.254", "server = nonsense")
    assert [finding.severity for finding in host.pipeline.reload()][:1] == [Severity.ERROR]
    run = host.run()
    assert (run.snapshot.state, run.snapshot.in_sync) == (State.INVALID, True)
    assert [finding for finding in run.rejected if finding.place and finding.place.line]
    assert host.published() == served
    host.write(1, 2, 3, version=2)
    host.run(QUICK)
    assert host.entry(3).exists(), "the former settings go on working"
    host.configure("server = nonsense", "server = 10.0.0.254")
    assert host.pipeline.reload() == ()
    assert host.run().snapshot.state is State.READY


def test_an_osrd_conf_that_was_named_and_is_gone_is_not_replaced_by_defaults(host: BootHost) -> None:
    host.run()
    served = host.published()
    host.osrd_conf.unlink()
    (finding,) = host.pipeline.reload()
    assert (finding.code, finding.severity) == ("no-osrd-conf", Severity.ERROR)
    run = host.run()
    assert run.snapshot.state is State.INVALID
    assert host.published() == served


def test_moved_state_needs_a_restart_and_is_not_followed(host: BootHost) -> None:
    host.run()
    host.configure(f"state = {host.directory}/state", f"state = {host.directory}/elsewhere")
    assert host.pipeline.reload() == ()
    run = host.run()
    assert "paths-need-restart" in codes(run)
    assert run.snapshot.state is State.READY
    assert run.plan.actions == ()
    assert not (host.directory / "elsewhere").exists()


def test_a_state_directory_that_was_wrong_from_the_start_needs_a_restart(host: BootHost, tmp_path: Path) -> None:
    other = tmp_path / "other"
    text = host.osrd_conf.read_text()
    host.configure(f"state = {host.directory}/state", f"state = {other}")
    host.configure("server = 10.0.0.254", "server = nonsense")
    host.run()
    host.osrd_conf.write_text(text)
    assert [finding.code for finding in host.pipeline.reload()] == ["paths-need-restart"]
    assert host.run().snapshot.state is State.INVALID
    assert host.published() == {}


def test_another_prefix_moves_everything_that_no_rollback_needs(host: BootHost) -> None:
    host.run()
    host.configure(f"root = {host.directory}/tftp\n", f"root = {host.directory}/tftp\nprefix = other\n")
    host.pipeline.reload()
    run = host.run()
    assert run.snapshot.state is State.READY
    assert not host.entry(1).exists()
    names = {name.split("/")[1] for name in host.published() if name.startswith("tftp/")}
    assert names == {"osr", "other"}
    assert {name.split("/")[2] for name in host.published() if name.startswith("tftp/osr/")} <= {
        "kernels",
        "pxelinux.0",
        "ldlinux.c32",
    }, "what a rollback needs stays"
    new = str(host.directory / "tftp/other/pxelinux.cfg")
    assert new in run.watched
    assert host.run().plan.actions == ()


def test_another_tftp_root_and_no_dhcp_server_any_more(host: BootHost) -> None:
    host.run()
    (host.directory / "tftp2").mkdir()
    host.configure(f"root = {host.directory}/tftp\n", f"root = {host.directory}/tftp2\n")
    host.configure("[dhcp]", "[dhcp]\nbackend = none")
    host.pipeline.reload()
    run = host.run()
    assert run.snapshot.state is State.READY
    assert not host.entry(1).exists()
    assert not list((host.directory / "dhcp").iterdir())
    assert (host.directory / "tftp2/osr/pxelinux.cfg/01-02-00-00-00-00-01").exists()


def test_another_dhcp_back_end_takes_the_files_of_the_former_away(host: BootHost) -> None:
    host.run()
    assert (host.directory / "dhcp/hosts").exists()
    host.configure("[dhcp]", "[dhcp]\nbackend = kea")
    host.configure(f"hosts = {host.directory}/dhcp/hosts\n", "")
    host.pipeline.reload()
    run = host.run()
    assert run.snapshot.in_sync, run.snapshot.findings
    assert not (host.directory / "dhcp/hosts").exists()
    assert b'"Dhcp4"' in (host.directory / "dhcp/osrd.conf").read_bytes()
