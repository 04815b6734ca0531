# SPDX-License-Identifier: GPL-3.0-or-later
"""One run after another on real files: what is served, what is said, what is kept."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from osrd.engine.api import AddNode, RemoveNode, SetNode
from osrd.engine.pipeline import Scope
from osrd.model.errors import ConflictError, FailedError, InvalidConfigError, NotFoundError, UnsupportedError
from osrd.model.finding import Severity
from osrd.model.view import State
from tests.unit.boothost import QUICK, BootHost, codes, node_text


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootHost]:
    with BootHost(tmp_path) as made:
        yield made


def test_a_good_host_is_ready_and_a_second_run_has_nothing_to_do(host: BootHost) -> None:
    run = host.run()
    assert (run.snapshot.state, run.snapshot.in_sync, run.snapshot.generation) == (State.READY, True, 1)
    assert list(run.snapshot.nodes) == ["1", "2"]
    served = host.published()
    for scope in (Scope(), QUICK, Scope(full=False, hints=frozenset({"/etc/passwd"}))):
        again = host.run(scope)
        assert (again.result, again.plan.actions, again.outstanding) == (None, (), frozenset())
    assert host.published() == served


# cluster.conf that is not there, not readable, not usable


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


# quarantine


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


# osrd.conf


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


# rollback


def _two_generations(host: BootHost) -> dict[str, bytes]:
    host.run()
    served = host.published()
    host.write(1, 2, 3, version=2)
    host.run(QUICK)
    assert host.entry(3).exists()
    return served


def test_a_rollback_holds_across_runs_drift_and_restarts(host: BootHost) -> None:
    first = _two_generations(host)
    run = host.pipeline.pin(1)
    assert (run.snapshot.state, run.snapshot.in_sync) == (State.PINNED, True)
    assert host.published() == first
    host.restart()
    assert host.run().snapshot.state is State.PINNED
    host.entry(1).write_bytes(b"vandalised")
    host.entry(2).unlink()
    assert host.run().snapshot.state is State.PINNED
    assert host.published() == first
    assert [generation.number for generation in host.pipeline.generations() if generation.pinned] == [1]


def test_a_held_kernel_that_was_deleted_is_copied_again(host: BootHost) -> None:
    first = _two_generations(host)
    host.pipeline.pin(1)
    for file in (*host.tftp.glob("kernels/*"), host.tftp / "pxelinux.0"):
        file.unlink()
    run = host.run()
    assert run.snapshot.in_sync, run.snapshot.findings
    assert host.published() == first


@pytest.mark.parametrize("restarted", [False, True])
def test_an_unusable_edit_does_not_end_a_hold_but_a_usable_one_does(host: BootHost, restarted: bool) -> None:
    first = _two_generations(host)
    good = host.cluster_conf.read_bytes()
    host.pipeline.pin(1)
    host.cluster_conf.write_bytes(good[:-10])
    if restarted:
        host.restart()
    host.entry(1).unlink()
    assert host.run().snapshot.state is State.INVALID
    assert host.published() == first
    host.cluster_conf.write_bytes(good)
    assert host.run().snapshot.state is State.PINNED
    assert host.published() == first
    host.write(1, 2, 3, 4, version=3)
    assert host.run(QUICK).snapshot.state is State.READY
    assert host.entry(4).exists()
    host.restart()
    assert host.run().snapshot.state is State.READY


def test_an_edit_that_no_output_depends_on_ends_a_hold_too(host: BootHost) -> None:
    _two_generations(host)
    host.pipeline.pin(1)
    host.write(1, 2, 3, version=9)
    assert host.run(QUICK).snapshot.state is State.READY
    assert host.entry(3).exists()


def test_rolling_back_to_what_is_current_holds_it(host: BootHost) -> None:
    host.run()
    served = host.published()
    run = host.pipeline.pin(1)
    assert run.snapshot.state is State.PINNED
    assert run.result is not None
    assert (run.result.written, run.result.removed, host.published()) == (0, 0, served)
    assert host.run().snapshot.state is State.PINNED


def test_a_rollback_to_a_generation_that_is_not_kept_changes_nothing(host: BootHost) -> None:
    host.configure("[boot]", "[boot]\nkeep-generations = 2")
    for version in range(1, 6):
        host.write(*range(1, version + 2), version=version)
        host.run(QUICK)
    served = host.published()
    for number in (1, 99, 0):
        with pytest.raises(NotFoundError, match=str(number)):
            host.pipeline.pin(number)
    assert host.published() == served
    assert host.run().snapshot.state is State.READY


def test_a_rollback_whose_kernel_is_gone_for_good_is_refused_before_anything_changes(host: BootHost) -> None:
    host.run()
    (kernel,) = host.tftp.glob("kernels/vmlinuz*")
    (host.directory / "boot/vmlinuz").write_bytes(b"kernel two")
    host.write(1, 2, 3, version=2)
    host.run()
    (host.directory / "boot/vmlinuz").write_bytes(b"kernel three")
    host.run()
    kernel.unlink()
    served = host.published()
    with pytest.raises(ConflictError, match=kernel.name):
        host.pipeline.pin(1)
    assert host.published() == served
    assert host.run().snapshot.state is not State.PINNED
    kernel.write_bytes(b"kernel one")
    assert host.pipeline.pin(1).snapshot.in_sync
    assert not host.entry(3).exists()


def test_a_pin_is_not_forgotten_by_pruning(host: BootHost) -> None:
    host.configure("[boot]", "[boot]\nkeep-generations = 2")
    first = _two_generations(host)
    host.pipeline.pin(1)
    for content in (b"a", b"b", b"c", b"d"):
        host.entry(1).write_bytes(content)
        host.run()
    host.restart()
    assert host.run().snapshot.state is State.PINNED
    assert host.published() == first


# plan and apply


def test_apply_is_compare_and_swap(host: BootHost) -> None:
    host.run()
    host.write(1, 2, 3, version=2)
    shown = host.pipeline.plan_view(diff=True)
    assert any(host.entry(3).name in action.target for action in shown.actions)
    host.write(1, 2, 4, version=3)
    with pytest.raises(ConflictError, match=shown.digest):
        host.pipeline.apply(shown.digest)
    assert not host.entry(3).exists()
    assert not host.entry(4).exists()
    run = host.pipeline.apply(host.pipeline.plan_view(diff=False).digest)
    assert run.snapshot.in_sync
    assert host.entry(4).exists()


def test_apply_ends_a_hold(host: BootHost) -> None:
    _two_generations(host)
    host.pipeline.pin(1)
    assert host.pipeline.apply("").snapshot.state is State.READY
    assert host.entry(3).exists()


# edits


def test_edits_change_the_file_and_the_next_run_publishes_them(host: BootHost) -> None:
    host.run()
    before, after = host.pipeline.edit(
        AddNode("node3", {"ip": "10.0.0.3", "mac": "02:00:00:00:00:03"}, expected_version=1)
    )
    assert before != after
    assert host.run(QUICK).snapshot.config_version == 2
    assert host.entry(3).exists()
    host.pipeline.edit(SetNode("3", {"mac": "02:00:00:00:00:04"}))
    host.pipeline.edit(RemoveNode("node1"))
    run = host.run(QUICK)
    assert run.snapshot.config_version == 4
    assert [host.entry(number).exists() for number in (1, 2, 3, 4)] == [False, True, False, True]


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (AddNode("node3", {"ip": "10.0.0.3", "mac": "02:00:00:00:00:03"}, expected_version=7), ConflictError),
        (AddNode("node1", {"ip": "10.0.0.3", "mac": "02:00:00:00:00:03"}), ConflictError),
        (SetNode("node9", {"votes": "2"}), NotFoundError),
        (RemoveNode("node9"), NotFoundError),
    ],
)
def test_a_refused_edit_changes_nothing(host: BootHost, edit: AddNode, error: type[Exception]) -> None:
    host.run()
    before = host.cluster_conf.read_bytes()
    with pytest.raises(error):
        host.pipeline.edit(edit)
    assert host.cluster_conf.read_bytes() == before
    assert host.run().plan.actions == ()


def test_an_edit_without_a_file_or_of_a_broken_one_is_refused(host: BootHost) -> None:
    host.run()
    host.cluster_conf.write_bytes(b"<cluster")
    with pytest.raises(InvalidConfigError):
        host.pipeline.edit(RemoveNode("node1"))
    host.cluster_conf.unlink()
    with pytest.raises(NotFoundError):
        host.pipeline.edit(RemoveNode("node1"))
    assert not host.cluster_conf.exists()


# what is wrong with outputs, and for how long it is said


def test_a_foreign_file_in_the_way_is_not_in_sync_until_it_is_gone(host: BootHost) -> None:
    host.entry(1).parent.mkdir(parents=True)
    host.entry(1).write_bytes(b"somebody else's")
    run = host.run()
    assert "occupied" in codes(run)
    assert (run.snapshot.state, run.snapshot.in_sync) == (State.DEGRADED, False)
    assert [finding.code for finding in run.snapshot.nodes["1"].findings] == ["occupied"]
    assert run.snapshot.nodes["2"].findings == ()
    assert str(host.entry(1)) in host.pipeline.verify()
    assert "occupied" in codes(host.run(QUICK))
    host.entry(1).unlink()
    run = host.run(QUICK)
    assert (run.snapshot.state, run.snapshot.in_sync) == (State.READY, True)
    assert host.entry(1).exists()


def test_one_trouble_solved_does_not_hide_the_other(host: BootHost) -> None:
    """Quick runs look at a part; what they do not look at keeps its finding, what they see solved loses it."""
    host.run()
    for number in (1, 2):
        host.entry(number).unlink()
        host.entry(number).symlink_to("/dev/null")
    run = host.run()
    assert run.outstanding == {str(host.entry(1)), str(host.entry(2))}
    assert set(host.pipeline.verify()) == run.outstanding
    host.entry(1).unlink()
    run = host.run(QUICK)
    assert host.entry(1).is_file()
    assert run.outstanding == {str(host.entry(2))}
    assert [finding.value for finding in run.snapshot.findings if finding.code == "not-a-file"] == [str(host.entry(2))]
    host.entry(2).unlink()
    run = host.run(QUICK)
    assert (run.snapshot.state, run.outstanding) == (State.READY, frozenset())


def test_a_directory_that_cannot_be_used_is_reported_and_mended_by_the_next_run(host: BootHost) -> None:
    (host.tftp).mkdir()
    (host.tftp / "pxelinux.cfg").write_bytes(b"a file")
    run = host.run()
    assert not run.snapshot.in_sync
    assert not run.failed
    assert (host.directory / "hosts").exists(), "the others go on"
    (host.tftp / "pxelinux.cfg").unlink()
    run = host.run(QUICK)
    assert run.snapshot.in_sync, run.snapshot.findings
    assert host.entry(1).exists()


def test_a_publication_that_fails_is_reported_and_complete_once_the_host_is_well(
    host: BootHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.run()
    served = host.published()
    host.write(1, 2, 3, version=2)

    def full(*_: object, **__: object) -> object:
        raise FailedError("publishing stopped: No space left on device", "free some space")

    with monkeypatch.context() as patched:
        patched.setattr("osrd.apply.publish.Publisher.publish", full)
        run = host.run(QUICK)
    assert run.failed
    assert (run.snapshot.state, run.snapshot.in_sync) == (State.DEGRADED, False)
    assert "publish-failed" in codes(run)
    assert str(host.entry(3)) in run.outstanding
    assert host.published() == served
    run = host.run(QUICK)
    assert (run.snapshot.state, run.failed) == (State.READY, False)
    assert host.entry(3).exists()


def test_a_database_that_cannot_be_settled_at_the_start_is_no_reason_not_to_start(
    host: BootHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.run()

    def full(*_: object) -> object:
        raise FailedError("cannot write the state database: disk full")

    host.close()
    with monkeypatch.context() as patched:
        patched.setattr("osrd.apply.publish.Publisher.recover", full)
        run = host.run()
        assert run.failed
        assert not run.snapshot.in_sync
        assert list(run.snapshot.nodes) == ["1", "2"]
    assert host.run().snapshot.state is State.READY


# what wakes the next run


def test_new_directories_and_both_ends_of_a_link_are_watched(host: BootHost) -> None:
    real = host.directory / "git/cluster.conf"
    real.parent.mkdir()
    host.cluster_conf.rename(real)
    host.cluster_conf.symlink_to(real)
    run = host.run()
    assert run.watched[str(real.parent)] == {"cluster.conf"}
    assert run.watched[str(host.cluster_conf.parent)] == {"cluster.conf"}
    assert run.watched[str(host.directory / "exports.d")] == {"osrd.exports"}
    for name in ("pxelinux.cfg", "grub", "ipxe", "kernels"):
        assert run.watched[str(host.tftp / name)] is None
    assert run.watched[str(host.directory / "boot")] == {"vmlinuz", "initrd"}
    assert host.restart().run(Scope(), "test").watched == run.watched


def test_adopted_files_are_watched_too(host: BootHost) -> None:
    """The state database was lost; what is on the disk is right and becomes osrd's without being written."""
    watched = host.run().watched
    host.close()
    (host.directory / "state/state.db").unlink()
    run = host.run()
    assert run.result is not None
    assert run.result.written == 0
    assert dict(run.watched) == dict(watched)


# the state database


def test_a_newer_state_database_is_not_touched(host: BootHost) -> None:
    import sqlite3

    host.run()
    host.close()
    file = host.directory / "state/state.db"
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(UnsupportedError, match="99"):
        host.run()
    assert file.read_bytes() == before


def test_a_damaged_state_database_says_the_way_out(host: BootHost) -> None:
    host.run()
    host.close()
    (host.directory / "state/state.db").write_bytes(b"no database" * 1000)
    with pytest.raises(FailedError, match="move it away"):
        host.run()
    (host.directory / "state/state.db").unlink()
    assert host.run().snapshot.state is State.READY
