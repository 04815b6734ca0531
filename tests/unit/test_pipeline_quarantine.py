# SPDX-License-Identifier: GPL-3.0-or-later
"""cluster.conf that cannot be used, as a whole or in a node: what is served stays."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from osrd.model.finding import Severity
from osrd.model.view import State
from tests.unit.boothost import QUICK, BootHost, codes, node_text


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootHost]:
    with BootHost(tmp_path) as made:
        yield made


def test_a_new_installation_without_cluster_conf_is_healthy_and_says_what_to_do(host: BootHost) -> None:
    host.cluster_conf.unlink()
    run = host.run()
    assert (run.snapshot.state, run.snapshot.in_sync, run.rejected) == (State.READY, True, ())
    (finding,) = run.snapshot.findings
    assert (finding.code, finding.severity) == ("no-cluster-conf", Severity.WARNING)
    assert str(host.cluster_conf) in str(finding)
    assert "create it" in finding.fix
    assert str(host.cluster_conf.parent) in run.watched
    assert host.published() == {}
    host.write(1)
    assert host.run(QUICK).snapshot.state is State.READY
    assert host.entry(1).exists()


def _vanish(host: BootHost) -> None:
    host.cluster_conf.unlink()


def _fifo(host: BootHost) -> None:
    host.cluster_conf.unlink()
    os.mkfifo(host.cluster_conf)


def _directory(host: BootHost) -> None:
    host.cluster_conf.unlink()
    host.cluster_conf.mkdir()


def _loop(host: BootHost) -> None:
    host.cluster_conf.unlink()
    host.cluster_conf.symlink_to(host.cluster_conf)


def _half(host: BootHost) -> None:
    text = host.cluster_conf.read_bytes()
    host.cluster_conf.write_bytes(text[: len(text) // 2])


def _empty(host: BootHost) -> None:
    host.cluster_conf.write_bytes(b"")


def _endless(host: BootHost) -> None:
    with host.cluster_conf.open("r+b") as file:
        file.truncate(1 << 34)


@pytest.mark.parametrize("break_it", [_vanish, _fifo, _directory, _loop, _half, _empty, _endless])
@pytest.mark.parametrize("restarted", [False, True])
def test_an_unusable_cluster_conf_changes_nothing_and_drift_is_still_repaired(
    host: BootHost, break_it: object, restarted: bool
) -> None:
    host.run()
    good = host.cluster_conf.read_bytes()
    served = host.published()
    assert callable(break_it)
    break_it(host)
    if restarted:
        host.restart()
    run = host.run()
    assert run.snapshot.state is State.INVALID
    assert len(run.rejected) == 1
    assert run.rejected[0].severity is Severity.ERROR
    assert run.rejected[0].place is not None
    assert run.rejected[0].place.file == str(host.cluster_conf)
    assert not run.rejected[0].message.startswith("/")
    host.entry(1).write_bytes(b"vandalised")
    host.entry(2).unlink()
    assert len(host.run().plan.drift) == 2
    assert host.published() == served
    if host.cluster_conf.is_dir():
        host.cluster_conf.rmdir()
    elif not host.cluster_conf.is_file():
        host.cluster_conf.unlink(missing_ok=True)
    host.cluster_conf.write_bytes(good)
    assert host.run(QUICK).snapshot.state is State.READY
    assert host.published() == served


def test_drift_repaired_without_cluster_conf_does_not_forget_what_was_good(host: BootHost) -> None:
    """Restarted without cluster.conf, a repair; then the file comes back with a mistake in node 1."""
    host.run()
    entry = host.entry(1).read_bytes()
    host.cluster_conf.unlink()
    host.restart()
    host.entry(2).unlink()
    host.run()
    host.write(node_text(1, mac="nonsense"), 2)
    run = host.run()
    assert run.snapshot.nodes["1"].quarantined
    assert host.entry(1).read_bytes() == entry


def test_files_kept_for_a_rollback_are_no_part_of_the_last_good_state(host: BootHost) -> None:
    host.run()
    (old,) = (host.tftp / "kernels").glob("vmlinuz*")
    host.configure(f"kernel = {host.directory}/boot/vmlinuz", f"kernel = {host.directory}/boot/initrd")
    for version in range(3):
        (host.directory / "boot/initrd").write_bytes(b"kernel number %d" % version)
        host.restart()
        host.run()
    host.cluster_conf.unlink()
    host.restart()
    old.unlink(missing_ok=True)
    assert not host.run().outstanding
    assert not old.exists()


def test_a_cluster_without_nodes_is_what_the_administrator_wrote(host: BootHost) -> None:
    host.run()
    host.write(version=2)
    run = host.run(QUICK)
    assert "no-nodes" in codes(run)
    assert run.rejected == ()
    assert not host.entry(1).exists()
    assert b"02:00:00:00:00:01" not in b"".join(host.published().values())


def test_quarantine_writes_nothing_at_all(host: BootHost) -> None:
    host.write(1, 2, 3)
    host.run()
    served = host.published()
    host.write(node_text(1, mac="nonsense"), 2, 3, version=2)
    run = host.run()
    assert run.snapshot.state is State.DEGRADED
    assert host.published() == served


def test_a_quarantined_node_is_frozen_across_edits_and_restarts(host: BootHost) -> None:
    host.run()
    entry = host.entry(1).read_bytes()
    bad = node_text(1, mac="nonsense")
    for version in range(2, 6):
        host.write(bad, *range(2, version + 2), version=version)
        if version % 2:
            host.restart()
        run = host.run(QUICK)
        assert run.snapshot.nodes["1"].quarantined
        assert not run.snapshot.nodes["2"].quarantined
        assert host.entry(version + 1).exists()
        assert host.entry(1).read_bytes() == entry
    host.write(1, 2)
    assert host.run(QUICK).snapshot.state is State.READY
    assert host.entry(1).read_bytes() == entry


def test_a_quarantined_node_that_changed_its_address_keeps_the_old_one(host: BootHost) -> None:
    host.run()
    host.write(node_text(1, mac="02:00:00:00:00:02"), 2)
    host.run(QUICK)
    assert host.entry(1).exists()
    assert host.entry(2).exists()
    assert host.pipeline.snapshot.nodes["1"].quarantined
    assert host.pipeline.snapshot.nodes["2"].quarantined


@pytest.mark.parametrize("restarted", [False, True])
def test_a_node_renamed_in_the_edit_that_broke_it_is_quarantined_not_removed(host: BootHost, restarted: bool) -> None:
    host.run()
    served = host.published()
    host.write(node_text(1, name="renamed", mac="nonsense"), 2)
    if restarted:
        host.restart()
    host.run(QUICK)
    assert host.published() == served
    host.write(node_text(1, name="", mac="nonsense").replace('name="node1"', 'name=""'), 2)
    host.run(QUICK)
    assert host.published() == served
    host.write(node_text(1, name="renamed"), 2)
    host.run(QUICK)
    assert b"renamed" in host.entry(1).read_bytes() + (host.directory / "hosts").read_bytes()
    assert host.pipeline.snapshot.state is State.READY


def test_a_node_bad_from_its_first_appearance_has_nothing_published(host: BootHost) -> None:
    host.write(1, node_text(2, mac="02:00:00:00:00:03", ip="nonsense"))
    run = host.run()
    assert run.snapshot.nodes["2"].quarantined
    assert host.entry(1).exists()
    assert not host.entry(3).exists()


def test_a_frozen_value_loses_against_a_valid_node(host: BootHost) -> None:
    """Node 1 breaks, and its hardware is given to the new node 3."""
    host.run()
    host.write(node_text(1, mac="nonsense"), 2, node_text(3, mac="02:00:00:00:00:01"), version=2)
    host.run(QUICK)
    assert b"node3" in (host.directory / "hosts").read_bytes()
    assert b"node1" not in (host.directory / "hosts").read_bytes()
    assert host.entry(1).exists()
    assert host.run().plan.actions == ()


def test_a_removed_node_is_forgotten(host: BootHost) -> None:
    host.run()
    host.write(2, version=2)
    host.run(QUICK)
    assert not host.entry(1).exists()
    host.write(node_text(1, mac="nonsense"), 2, version=3)
    host.run(QUICK)
    assert not host.entry(1).exists()
    assert b"node1" not in (host.directory / "hosts").read_bytes()
