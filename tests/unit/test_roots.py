# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared roots beside the runs: each goes its own way, on a real loop and real threads, over roots in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from osrd.engine import api, lane
from osrd.engine.jobs import JobBook
from osrd.engine.roots import Roots, orders_of
from osrd.model.cdsl import Layout, Removal
from osrd.model.cluster import Cluster
from osrd.model.errors import BusyError, FailedError, InvalidArgsError, NotFoundError, OsrdError, UnsupportedError
from osrd.model.finding import Finding, Severity
from osrd.model.job import Job, JobKind, JobState
from osrd.model.settings import NO_LINK, RootSettings, Settings
from osrd.model.view import Event, JobAdded, JobChanged, RootState, SharedRootView
from osrd.parse.clusterconf import parse_cluster
from tests.eventually import eventually_async
from tests.unit.boothost import node_text
from tests.unit.fake_roots import Disk, Disks, FakeMounter

PATIENCE = 0.3
BAD = Finding("cdsl-missing", Severity.WARNING, "the link of /var is missing", "repair it", node="2", value="var")


def cluster(*nodes: int) -> Cluster:
    body = "".join(node_text(node) for node in nodes)
    text = f'<cluster config_version="1" name="t"><clusternodes>{body}</clusternodes></cluster>'
    return parse_cluster(text.encode(), "cluster.conf")


def settings(*names: str, **links: str) -> Settings:
    roots = tuple(
        RootSettings(name, "10.0.0.254:/srv/web" if name == "web" else f"other:/{name}", f"/srv/{name}")
        for name in names
    )
    return Settings(roots=tuple(replace(root, link=links.get(root.name, "")) for root in roots))


class World:
    """Roots on a loop; ``views`` is what was shown last, ``shown`` how often, ``told`` every job event."""

    def __init__(self, **disks: Disk) -> None:
        self.disks = Disks(**disks)
        self.mounter = FakeMounter()
        self.views: Mapping[str, SharedRootView] = {}
        self.shown = 0
        self.told: list[Event] = []
        loop = asyncio.get_running_loop()
        self.book = JobBook(loop, self.told.append)
        self.roots = Roots(self.disks, self.mounter, self.book, self._show, loop, patience=PATIENCE)

    def follow(self, nodes: Cluster | None, conf: Settings) -> None:
        self.roots.follow(orders_of(nodes, conf))

    def _show(self, views: Mapping[str, SharedRootView]) -> None:
        self.views = views
        self.shown += 1

    async def state(self, name: str, state: RootState) -> SharedRootView:
        await eventually_async(lambda: self.views[name].state is state, f"{name} is {state}")
        return self.views[name]

    async def end(self, job: Job) -> Job:
        return await eventually_async(
            lambda: next((now for now in self.book.jobs if now.number == job.number and now.state.ended), None),
            f"the end of job {job.number}",
        )

    async def called(self, name: str, call: str) -> None:
        await eventually_async(lambda: call in self.disks.at[f"/srv/{name}"].calls, call)

    async def idle(self) -> None:
        """Every lane has done what it knew of."""
        await eventually_async(
            lambda: all(
                not each._depth and not each._waiting and not each._pulse.waiting
                for each in self.roots._lanes.values()
            ),
            "all lanes are idle",
        )


def played(story: Callable[[World], Awaitable[None]], **disks: Disk) -> None:
    async def play() -> None:
        world = World(**disks)
        try:
            await story(world)
        finally:
            for disk in world.disks.at.values():
                disk.gate.set()
                disk.steps.set()
            await world.roots.stop()
            world.book.close()

    asyncio.run(play())


def test_new_nodes_get_their_trees_and_removed_ones_keep_them() -> None:
    disk = Disk(trees={"1"})

    async def story(world: World) -> None:
        world.follow(cluster(1, 2), settings("web"))
        view = await world.state("web", RootState.READY)
        assert disk.trees == {"1", "2"}
        assert (view.nodes, view.source, view.fstype) == (2, "10.0.0.254:/srv/web", "nfs")
        assert (view.link, view.link_node, view.link_mounted) == ("cdsl.local", "1", True)
        world.follow(cluster(1, 2, 3), settings("web"))
        await eventually_async(lambda: "3" in disk.trees, "the third tree")
        world.follow(cluster(2), settings("web"))
        await eventually_async(lambda: world.views["web"].nodes == 1, "the new count")
        assert disk.trees == {"1", "2", "3"}

    played(story, web=disk)


def test_an_edit_that_is_no_roots_business_wakes_none() -> None:
    disk = Disk()

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        await world.state("web", RootState.READY)
        await world.idle()
        before = len(disk.calls)
        world.follow(cluster(1), settings("web"))
        await world.idle()
        assert len(disk.calls) == before

    played(story, web=disk)


def test_a_root_without_inventory_is_left_alone() -> None:
    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web", "gone"))
        view = await world.state("web", RootState.PLAIN)
        assert view.findings == ()
        assert world.mounter.bound == {}
        assert (await world.state("gone", RootState.ABSENT)).findings == ()

    played(story, web=Disk(inventory=None))


def test_without_a_usable_cluster_conf_nobody_is_orphaned() -> None:
    orphan = Finding("cdsl-orphaned-tree", Severity.WARNING, "no node has the tree 1", "adopt it", node="1")
    disk = Disk(trees={"1"}, findings=(BAD, orphan))

    async def story(world: World) -> None:
        world.follow(None, settings("web"))
        view = await world.state("web", RootState.READY)
        assert "follow" not in disk.calls
        assert [finding.code for finding in view.findings] == [BAD.code]
        assert [finding.code for finding in await world.roots.check("web")] == [BAD.code]
        assert not view.link_mounted

    played(story, web=disk)


def test_where_nothing_is_to_be_mounted_nothing_is_missing() -> None:
    missing = Finding("cdsl-not-mounted", Severity.WARNING, "no tree is mounted", "bind it")

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web", web=NO_LINK))
        assert (await world.state("web", RootState.READY)).findings == ()
        world.follow(cluster(1), settings("web", web="1"))
        await eventually_async(lambda: world.views["web"].findings, "the finding of a host that should have it")

    played(story, web=Disk(findings=(missing,)))


def test_what_another_host_left_is_settled_by_the_next_look() -> None:
    left = Finding("cdsl-leftover", Severity.WARNING, ".osrd/tx/1/new was left", "recover")
    disk = Disk(findings=(left,))

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        await world.state("web", RootState.READY)
        await world.idle()
        before = disk.calls.count("recover")
        disk.findings = ()
        for _ in range(3):
            world.roots.look()
            await world.idle()
        assert disk.calls.count("recover") == before + 1

    played(story, web=disk)


def test_one_hangs_the_other_goes_on() -> None:
    hung, good = Disk(), Disk()
    hung.gate.clear()

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("nfs", "web"))
        view = await world.state("nfs", RootState.STUCK)
        assert [finding.code for finding in view.findings] == ["root-stuck"]
        await world.state("web", RootState.READY)
        job = world.roots.submit(api.MakeHostDependent("web", "/var"), 0)
        assert (await world.end(job)).state is JobState.DONE
        with pytest.raises(BusyError, match="does not answer"):
            await world.roots.backups("nfs")
        hung.gate.set()
        assert (await world.state("nfs", RootState.READY)).findings == ()

    played(story, nfs=hung, web=good)


def test_a_hung_root_does_not_hold_up_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osrd.engine.roots._STOPPING", 0.2)
    hung = Disk()
    hung.gate.clear()

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        await eventually_async(hung.entered.is_set, "the hang")
        await world.roots.stop()
        hung.gate.set()

    played(story, web=hung)


def test_trouble_is_a_finding_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "_RETRY", 0.01)
    disk = Disk(failure=FailedError("Input/output error"))

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        view = await world.state("web", RootState.FAILED)
        assert [finding.code for finding in view.findings] == ["root-failed"]
        assert "[root web] Input/output error" in view.findings[0].message
        disk.failure = None
        assert (await world.state("web", RootState.READY)).findings == ()

    played(story, web=disk)


def test_another_hosts_work_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "_RETRY", 0.01)
    disk = Disk(failure=BusyError("host2 makes /var host-dependent"))

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        await eventually_async(lambda: world.views["web"].findings, "the finding")
        assert world.views["web"].state is RootState.UNKNOWN
        assert [(finding.code, finding.severity) for finding in world.views["web"].findings] == [
            ("root-busy", Severity.INFO)
        ]
        disk.failure = None
        assert (await world.state("web", RootState.READY)).findings == ()
        assert disk.calls.count("recover") > 1, "until it could be looked"

    played(story, web=disk)


def test_a_bug_in_one_look_is_told_and_not_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "_RETRY", 0.01)
    disk = Disk()

    async def story(world: World) -> None:
        def explode() -> None:
            world.mounter.on_keep = lambda: None
            raise ZeroDivisionError

        world.mounter.on_keep = explode
        world.follow(cluster(1), settings("web"))
        view = await world.state("web", RootState.FAILED)
        assert "internal error: ZeroDivisionError" in view.findings[0].message
        await world.state("web", RootState.READY)

    played(story, web=disk)


def test_findings_say_in_which_root() -> None:
    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        (found,) = (await world.state("web", RootState.READY)).findings
        assert found.place is not None
        assert found.place.file == "/srv/web/.cdsl_inventory.xml"
        assert await world.roots.check("web") == (found,)

    played(story, web=Disk(findings=(BAD,)))


@pytest.mark.parametrize(
    ("request_", "kind", "call", "target"),
    [
        (api.MakeHostDependent("web", "/var", ("1",)), JobKind.CDSL_MAKE, "make /var 1", "web:/var"),
        (api.MakeShared("web", "var/lib", "2"), JobKind.CDSL_SHARE, "share var/lib 2", "web:/var/lib"),
        (api.RemoveCdsl("web", "/var", Removal("1")), JobKind.CDSL_REMOVE, "remove /var 1", "web:/var"),
        (api.RepairCdsls("web"), JobKind.CDSL_REPAIR, "repair", "web"),
        (api.RepairCdsls("web", rebuild=True), JobKind.CDSL_REPAIR, "rebuild", "web"),
        (api.ConvertLayout("web"), JobKind.CDSL_CONVERT, "convert", "web"),
        (api.UndoCdsl("web"), JobKind.CDSL_UNDO, "undo", "web"),
        (api.AdoptTree("web", "7", "1"), JobKind.CDSL_ADOPT, "adopt 7 1", "web:7"),
        (api.ArchiveTree("web", "7"), JobKind.CDSL_ARCHIVE, "archive 7", "web:7"),
        (api.DropBackup("web", "b"), JobKind.CDSL_DROP, "drop b", "web:b"),
        (api.CreateInfrastructure("web"), JobKind.CDSL_INIT, "init", "web"),
    ],
)
def test_requests_are_jobs(request_: api.RootRequest, kind: JobKind, call: str, target: str) -> None:
    disk = Disk()

    async def story(world: World) -> None:
        world.follow(cluster(1, 2), settings("web"))
        await world.state("web", RootState.READY)
        job = world.roots.submit(request_, 1000)
        assert (job.kind, job.target, job.owner, job.state) == (kind, target, 1000, JobState.QUEUED)
        ended = await world.end(job)
        assert ended.state is JobState.DONE, ended
        assert call in disk.calls
        assert ended.result["changed"] is (call != "init")

    played(story, web=disk)


def test_progress_is_told_at_most_four_times_a_second() -> None:
    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        job = world.roots.submit(api.MakeHostDependent("web", "/var"), 0)
        ended = await world.end(job)
        assert ended.result["lines"] == ("/var is host-dependent",)
        reports = [event for event in world.told if isinstance(event, JobChanged) and "copying" in event.job.message]
        assert len(reports) == 1, "a hundred reports in no time are one"
        await eventually_async(lambda: world.views["web"].cdsls == 1, "the view follows the job")

    played(story, web=Disk())


def test_a_running_job_is_cancelled_and_rolls_back() -> None:
    disk = Disk()
    disk.steps.clear()

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        running = world.roots.submit(api.MakeHostDependent("web", "/var"), 0)
        waiting = world.roots.submit(api.MakeHostDependent("web", "/opt"), 0)
        await world.called("web", "make /var")
        assert world.roots.cancel(waiting.number)
        assert world.book.get(waiting.number).state is JobState.CANCELLED
        assert world.roots.cancel(running.number)
        assert not world.book.get(running.number).state.ended, "it is cancelled when it is rolled back"
        disk.steps.set()
        assert (await world.end(running)).state is JobState.CANCELLED
        assert disk.calls.index("rolled back") > 0
        assert "make /opt" not in disk.calls
        again = world.roots.submit(api.MakeHostDependent("web", "/var"), 0)
        assert (await world.end(again)).state is JobState.DONE, "a cancellation ends with its job"
        assert not world.roots.cancel(99)

    played(story, web=disk)


def test_stop_cancels_what_runs_and_what_waits() -> None:
    disk = Disk()
    disk.steps.clear()

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        running = world.roots.submit(api.MakeHostDependent("web", "/var"), 0)
        waiting = world.roots.submit(api.MakeHostDependent("web", "/opt"), 0)
        await world.called("web", "make /var")
        stopping = asyncio.create_task(world.roots.stop())
        await eventually_async(lambda: world.book.get(waiting.number).state.ended, "the cancelled one")
        assert not stopping.done()
        disk.steps.set()
        await stopping
        assert world.book.get(running.number).state is JobState.CANCELLED
        assert world.mounter.bound == {"/srv/web": "1"}, "mounts stay"
        with pytest.raises(BusyError, match="stopping"):
            world.roots.submit(api.UndoCdsl("web"), 0)

    played(story, web=disk)


def test_failures_have_their_names() -> None:
    disk = Disk()

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        await world.state("web", RootState.READY)
        disk.failure = BusyError("another host changes it")
        ended = await world.end(world.roots.submit(api.UndoCdsl("web"), 0))
        assert (ended.state, ended.error) == (JobState.FAILED, "Busy")
        disk.failure = None

    played(story, web=disk)


def test_what_is_refused_at_once() -> None:
    async def story(world: World) -> None:
        conf = settings("web")
        world.follow(cluster(1), replace(conf, roots=(*conf.roots, RootSettings("far", "x:/y"))))
        for request, kind in (
            (api.UndoCdsl("none"), NotFoundError),
            (api.UndoCdsl("far"), UnsupportedError),
            (api.MakeHostDependent("web", "/var", ("../1",)), InvalidArgsError),
            (api.MakeHostDependent("web", "/var", ("",)), InvalidArgsError),
            (api.AdoptTree("web", "local", "1"), InvalidArgsError),
            (api.ArchiveTree("web", ".."), InvalidArgsError),
            (api.DropBackup("web", "a/../../b"), InvalidArgsError),
            (api.BindLink("web", "/"), InvalidArgsError),
            (api.CreateInfrastructure("web", Layout(tree="../tree")), InvalidArgsError),
            (api.CreateInfrastructure("web", Layout(tree="/tree")), InvalidArgsError),
            (api.CreateInfrastructure("web", Layout(prefix="a/")), InvalidArgsError),
        ):
            with pytest.raises(kind):
                world.roots.submit(request, 0)
        assert world.book.jobs == ()

    played(story, web=Disk())


def test_the_mount_is_made_again_when_it_vanishes() -> None:
    disk = Disk()

    async def story(world: World) -> None:
        world.follow(cluster(2, 10), settings("web"))
        await world.state("web", RootState.READY)
        assert world.mounter.bound["/srv/web"] == "2", "the lowest, not the first as text"
        await world.idle()
        calls = len(disk.calls)
        world.mounter.bound.clear()
        for _ in range(5):
            world.roots.mounts_changed()
        await eventually_async(lambda: world.mounter.bound.get("/srv/web") == "2", "the mount")
        await world.idle()
        assert len(disk.calls) == calls, "a mount is no reason to check a hundred CDSLs"

    played(story, web=disk)


def test_which_tree_is_mounted() -> None:
    async def story(world: World) -> None:
        nodes = cluster(1, 2, 3)
        world.follow(nodes, settings("web", web="node2"))
        await eventually_async(lambda: world.mounter.bound.get("/srv/web") == "2", "that of the configuration")
        ended = await world.end(world.roots.submit(api.BindLink("web", "3"), 0))
        assert ended.state is JobState.DONE
        await world.idle()
        assert world.mounter.bound["/srv/web"] == "3", "until osrd.conf is read again"
        world.roots.forget_overrides()
        await eventually_async(lambda: world.mounter.bound["/srv/web"] == "2", "the configuration again")
        world.follow(nodes, settings("web", web=NO_LINK))
        await eventually_async(lambda: not world.mounter.bound["/srv/web"], "none")
        await eventually_async(lambda: world.views["web"].link_node == "", "is shown")
        assert not world.views["web"].link_mounted

    played(story, web=Disk())


def test_a_mount_that_cannot_be_made_is_a_finding_and_an_answer() -> None:
    async def story(world: World) -> None:
        world.mounter.failure = FailedError("this process may not mount", "run osrd as root")
        world.follow(cluster(1), settings("web"))
        view = await world.state("web", RootState.READY)
        assert (view.link_node, view.link_mounted) == ("1", False)
        assert [(finding.code, finding.severity) for finding in view.findings] == [("root-link", Severity.WARNING)]
        ended = await world.end(world.roots.submit(api.BindLink("web", "1"), 0))
        assert (ended.state, ended.error) == (JobState.FAILED, "Failed")

    played(story, web=Disk())


def test_a_root_that_leaves_the_configuration_leaves_no_mount() -> None:
    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web", "other", other="1"))
        await world.state("web", RootState.READY)
        await world.state("other", RootState.READY)
        world.follow(cluster(1), settings("other", other="1"))
        assert set(world.views) == {"other"}
        await eventually_async(lambda: "/srv/web" not in world.mounter.bound, "the mount is gone")
        assert world.mounter.bound == {"/srv/other": "1"}

    played(story, web=Disk(), other=Disk())


def test_two_sections_about_one_directory_have_one_mount() -> None:
    async def story(world: World) -> None:
        first, second = settings("web", "other", web="2", other="1").roots
        both = Settings(roots=(first, replace(second, path="/srv/web")))
        world.follow(cluster(1, 2), both)
        await world.state("web", RootState.READY)
        await world.state("other", RootState.READY)
        assert world.mounter.bound == {"/srv/web": "2"}
        world.follow(cluster(1, 2), Settings(roots=(first,)))
        await eventually_async(lambda: not world.roots._leaving, "the other section has left")
        assert world.mounter.bound == {"/srv/web": "2"}

    played(story, web=Disk())


def test_somebody_elses_change_of_the_inventory_wakes_its_root_alone() -> None:
    one, two = Disk(), Disk()

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web", "other"))
        await world.state("web", RootState.READY)
        await world.state("other", RootState.READY)
        await world.idle()
        assert world.roots.watched == {
            "/srv/web": frozenset({".cdsl_inventory.xml"}),
            "/srv/other": frozenset({".cdsl_inventory.xml"}),
        }
        counts = len(one.calls), len(two.calls)
        hints = frozenset({"/srv/web/.cdsl_inventory.xml", "/etc/cluster/cluster.conf"})
        own = world.roots.claimed(hints)
        assert own == {"/srv/web/.cdsl_inventory.xml"}
        assert world.roots.look(own)
        await world.idle()
        assert len(one.calls) > counts[0]
        assert len(two.calls) == counts[1]

    played(story, web=one, other=two)


def test_nothing_new_shows_nothing() -> None:
    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        await world.state("web", RootState.READY)
        await world.idle()
        before = world.shown
        world.roots.look()
        await world.idle()
        assert world.shown == before

    played(story, web=Disk())


def test_questions_share_the_answer_that_has_not_begun() -> None:
    disk = Disk()

    async def story(world: World) -> None:
        world.follow(cluster(1), settings("web"))
        await world.state("web", RootState.READY)
        await world.idle()
        disk.gate.clear()
        disk.entered.clear()
        before = disk.calls.count("backups")
        asking: list[asyncio.Task[Any]] = [asyncio.create_task(world.roots.backups("web"))]
        await eventually_async(disk.entered.is_set, "the first has begun")
        asking += [asyncio.create_task(world.roots.backups("web")) for _ in range(10)]
        await asyncio.sleep(0)
        disk.gate.set()
        assert await asyncio.gather(*asking) == [("backup-1",)] * 11
        assert disk.calls.count("backups") - before == 2

    played(story, web=disk)


def test_a_long_follow_can_be_seen_and_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "_VISIBLE", -1.0)
    disk = Disk()
    held: list[Callable[[], bool]] = []

    async def story(world: World) -> None:
        def copy() -> None:
            root = world.disks.opened[-1]
            root._progress(0.5, "copying the tree of node 1")
            assert disk.steps.wait(30)
            held.append(root._cancelled)
            if root._cancelled():
                raise_cancelled()

        def raise_cancelled() -> None:
            raise OsrdError("cancelled")

        disk.steps.clear()
        disk.trees = _Copying(copy)
        world.follow(cluster(1), settings("web"))
        added = await eventually_async(
            lambda: next((event.job for event in world.told if isinstance(event, JobAdded)), None), "the job"
        )
        assert (added.kind, added.target, added.owner) == (JobKind.CDSL_FOLLOW, "web", 0)
        assert world.roots.cancel(added.number)
        disk.steps.set()
        assert (await world.end(added)).state is JobState.CANCELLED
        assert held[0]()

    played(story, web=disk)


class _Copying(set[str]):
    """Trees whose making takes long."""

    def __init__(self, copy: Callable[[], None]) -> None:
        super().__init__()
        self._copy = copy

    def update(self, *others: Any) -> None:
        self._copy()
        super().update(*others)
