# SPDX-License-Identifier: GPL-3.0-or-later
"""One run after another on real files: what is served, what is said, what is kept."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from osrd.engine.api import AddNode, RemoveNode, SetNode
from osrd.engine.pipeline import Scope
from osrd.model.errors import ConflictError, FailedError, InvalidConfigError, NotFoundError, UnsupportedError
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
    host.write(1)
    before, served = file.read_bytes(), host.published()
    run = host.run()
    assert (run.snapshot.state, run.idle, run.failed, list(run.snapshot.nodes)) == (State.DEGRADED, True, True, ["1"])
    (finding,) = (finding for finding in run.snapshot.findings if finding.code == "state-unusable")
    assert "schema version 99" in finding.message
    assert "newer one" in finding.fix
    edit = AddNode("node3", {"ip": "10.0.0.3", "mac": "02:00:00:00:00:03"})
    pipeline = host.pipeline
    for call in (
        lambda: pipeline.plan_view(diff=False),
        pipeline.verify,
        lambda: pipeline.apply(""),
        lambda: pipeline.pin(1),
        lambda: pipeline.edit(edit),
        pipeline.generations,
        pipeline.check_state,
    ):
        with pytest.raises(UnsupportedError, match="99"):
            call()
    host.run(QUICK)
    assert (file.read_bytes(), host.published()) == (before, served)
    assert sorted(path.name for path in file.parent.iterdir()) == ["state.db"]


def test_a_damaged_state_database_says_the_way_out_which_needs_no_restart(host: BootHost) -> None:
    host.run()
    host.close()
    file = host.directory / "state/state.db"
    good = file.read_bytes()
    file.write_bytes(b"no database" * 1000)
    run = host.run()
    (finding,) = (finding for finding in run.snapshot.findings if finding.code == "state-unusable")
    assert "move it away" in finding.fix
    host.write(1)
    assert host.run(QUICK).idle
    assert host.entry(2).exists()
    file.write_bytes(good)
    run = host.run(QUICK)
    assert (run.snapshot.state, run.snapshot.generation, run.idle) == (State.READY, 2, False)
    assert not host.entry(2).exists()


def test_a_run_leaves_nothing_to_the_garbage_collector(host: BootHost) -> None:
    # With 10,000 nodes one circle around the parsed file would keep 6 MiB, and collecting it would hold up the loop.
    host.run()
    host.write(1, node_text(2, mac="02:00:00:00:00:99"))
    gc.collect()
    gc.disable()
    try:
        assert host.run(QUICK).result is not None
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_after_a_restart_nothing_is_in_memory_twice(host: BootHost) -> None:
    host.run()
    pipeline = host.restart()
    before = dict(pipeline._store.manifest)
    run = host.run()
    assert run.result is None
    wanted, manifest = pipeline._desirer._last.desired.outputs, pipeline._store.manifest
    assert manifest == before
    assert wanted.keys() == manifest.keys()
    for path, row in manifest.items():
        assert path is row.path is wanted[path].path
        assert row.recipe is wanted[path].recipe
    assert all(state.digest is manifest[path].digest for path, (_, state) in pipeline._cache.remembered.items())
    nodes = run.snapshot.nodes.values()
    assert all(pipeline._store.good_nodes()[view.node.name] is view.node.source for view in nodes)
