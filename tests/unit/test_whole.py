# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconciler and shared roots as one engine: who gets what, and that neither waits for the other."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from osrd.engine.api import BindLink, BuildInitrd, MakeHostDependent, Reconcile, Reload, UndoCdsl
from osrd.engine.bootstates import BootStates
from osrd.engine.builder import Builder
from osrd.engine.pipeline import Pipeline
from osrd.engine.reconciler import Reconciler
from osrd.engine.roots import Roots
from osrd.engine.whole import WholeEngine
from osrd.model.errors import BusyError, FailedError, NotFoundError, UnsupportedError
from osrd.model.job import Job, JobKind, JobState
from osrd.model.view import Event, ImageChosen, RootState, SharedRootView, SnapshotChanged, State
from tests.eventually import eventually_async
from tests.initrd.fake_builds import FakeBuilds
from tests.unit.boothost import BootHost
from tests.unit.fake_roots import Disk, Disks, FakeMounter


class Running:
    """The whole engine over a real boot host and one root in memory, wired as the daemon wires it."""

    def __init__(self, host: BootHost, pipeline: Pipeline, writer: ThreadPoolExecutor, disk: Disk) -> None:
        loop = asyncio.get_running_loop()
        self.host = host
        self.disk = disk
        self.stopped = False
        self.mounter = FakeMounter()
        self.events: list[Event] = []
        self.reconciler = Reconciler(pipeline, writer, loop)
        roots = Roots(
            Disks(web=disk), self.mounter, self.reconciler.book, self.reconciler.teller.roots, loop, patience=0.3
        )
        self.builds = FakeBuilds({"6.1": "a"})
        builder = Builder(
            lambda _name: self.builds,
            self.reconciler.book,
            loop,
            show=self.reconciler.teller.builds,
            wake=lambda: self.reconciler.wake(frozenset({"/state/images"})),
            emit=self.reconciler.teller.emit,
        )
        self.engine = WholeEngine(
            self.reconciler,
            roots,
            builder,
            BootStates(loop, self.reconciler.teller.boots, self.reconciler.teller.strangers),
            loop,
        )
        self.reconciler.after_run = lambda run: self.engine.ran(run, pipeline.settings)
        self.engine.subscribe(self.events.append)

    @property
    def root(self) -> SharedRootView | None:
        return self.engine.snapshot.shared_roots.get("web")

    async def ready(self) -> None:
        await eventually_async(lambda: self.root and self.root.state is RootState.READY, "the root is ready")

    async def end(self, job: Job) -> Job:
        await eventually_async(
            lambda: any(now.number == job.number and now.state.ended for now in self.engine.jobs), "the end"
        )
        return next(now for now in self.engine.jobs if now.number == job.number)


def drive(directory: Path, story: Callable[[Running], Awaitable[None]], disk: Disk | None = None) -> None:
    async def play() -> None:
        root = disk or Disk()
        loop = asyncio.get_running_loop()
        writer = ThreadPoolExecutor(1)
        with BootHost(directory) as host:
            pipeline = await loop.run_in_executor(writer, partial(Pipeline, str(host.osrd_conf), required=True))
            running = Running(host, pipeline, writer, root)
            work = asyncio.create_task(running.reconciler.work())
            try:
                await asyncio.wait_for(story(running), 60)
            finally:
                root.gate.set()
                root.steps.set()
                if not running.stopped:
                    await running.engine.stop()
                await asyncio.wait_for(work, 10)

    asyncio.run(play())


def test_a_new_node_is_published_and_has_its_tree(tmp_path: Path) -> None:
    disk = Disk(trees={"1"})

    async def story(running: Running) -> None:
        await running.ready()
        assert disk.trees == {"1", "2"}
        running.host.write(1, 2, 3, version=2)
        running.engine.wake(frozenset({str(running.host.cluster_conf)}))
        await eventually_async(running.host.entry(3).exists, "the boot entry")
        await eventually_async(lambda: "3" in disk.trees, "the tree")
        await eventually_async(lambda: running.root and running.root.nodes == 3, "the count")

    drive(tmp_path, story, disk)


def test_a_copy_holds_up_no_edit_and_its_job_can_be_cancelled(tmp_path: Path) -> None:
    disk = Disk()
    disk.steps.clear()

    async def story(running: Running) -> None:
        await running.ready()
        copying = running.engine.submit(MakeHostDependent("web", "/var"), 0)
        await eventually_async(lambda: "make /var" in disk.calls, "the copy")
        run = await running.end(running.engine.submit(Reconcile(), 0))
        assert run.state is JobState.DONE
        running.engine.cancel(copying.number)
        disk.steps.set()
        assert (await running.end(copying)).state is JobState.CANCELLED
        with pytest.raises(UnsupportedError):
            running.engine.cancel(run.number)
        with pytest.raises(NotFoundError):
            running.engine.cancel(77)

    drive(tmp_path, story, disk)


def test_trouble_with_a_root_is_told_with_everything_else(tmp_path: Path) -> None:
    disk = Disk(failure=FailedError("Input/output error"))

    async def story(running: Running) -> None:
        await eventually_async(lambda: running.root and running.root.state is RootState.FAILED, "the trouble")
        assert "root-failed" in {finding.code for finding in running.engine.snapshot.findings}
        assert running.engine.snapshot.state is State.DEGRADED
        assert running.engine.snapshot.in_sync, "what should be published is"
        disk.failure = None
        running.engine.submit(Reconcile(), 0)
        await running.ready()
        await eventually_async(lambda: running.engine.snapshot.state is State.READY, "the end of it")

    drive(tmp_path, story, disk)


def test_a_cluster_conf_that_breaks_orphans_nobody(tmp_path: Path) -> None:
    disk = Disk(trees={"1", "2"})

    async def story(running: Running) -> None:
        await running.ready()
        running.host.cluster_conf.write_text("<cluster")
        running.engine.wake(frozenset())
        await eventually_async(lambda: running.engine.snapshot.state is State.INVALID, "the rejection")
        await running.end(running.engine.submit(Reconcile(), 0))
        assert running.root is not None
        assert running.root.nodes == 2, "the last good state"

    drive(tmp_path, story, disk)


def test_hints_go_where_they_belong(tmp_path: Path) -> None:
    disk = Disk()

    async def story(running: Running) -> None:
        await running.ready()
        looks = disk.calls.count("check")
        runs: list[object] = []
        follow = running.reconciler.after_run
        running.reconciler.after_run = lambda run: (runs.append(run), follow(run))[1]
        running.engine.wake(frozenset({"/srv/web/.cdsl_inventory.xml"}))
        await eventually_async(lambda: disk.calls.count("check") > looks, "the look")
        assert runs == [], "an inventory is no boot file"
        looks = disk.calls.count("check")
        running.engine.wake(frozenset())
        await eventually_async(lambda: runs and disk.calls.count("check") > looks, "both look at everything")

    drive(tmp_path, story, disk)


def test_a_reload_ends_what_bindlink_asked_for(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        assert (await running.end(running.engine.submit(BindLink("web", "2"), 0))).state is JobState.DONE
        assert running.mounter.bound == {"/srv/web": "2"}
        await running.end(running.engine.submit(Reconcile(), 0))
        assert running.mounter.bound == {"/srv/web": "2"}
        running.engine.submit(Reload(), 0)
        await eventually_async(lambda: running.mounter.bound == {"/srv/web": "1"}, "osrd.conf counts")

    drive(tmp_path, story)


def test_the_roots_are_known_before_anybody_can_ask(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await eventually_async(lambda: running.engine.snapshot.state is not State.STARTING, "the first run")
        await running.engine.settled()
        assert running.root is not None
        assert await running.engine.backups("web") == ("backup-1",)
        assert await running.engine.cdsls("web") == ()
        assert await running.engine.check_cdsls("web") == ()
        with pytest.raises(NotFoundError, match="'other'"):
            await running.engine.cdsls("other")

    drive(tmp_path, story)


def test_stop_tells_how_jobs_of_roots_end(tmp_path: Path) -> None:
    disk = Disk()
    disk.steps.clear()

    async def story(running: Running) -> None:
        await running.ready()
        job = running.engine.submit(MakeHostDependent("web", "/var"), 0)
        await eventually_async(lambda: "make /var" in disk.calls, "the copy")
        stopping = asyncio.create_task(running.engine.stop())
        await eventually_async(lambda: running.engine.snapshot.state is State.STOPPING, "it says that it stops")
        with pytest.raises(BusyError):
            running.engine.submit(UndoCdsl("web"), 0)
        disk.steps.set()
        await stopping
        assert (await running.end(job)).state is JobState.CANCELLED
        running.stopped = True

    drive(tmp_path, story, disk)


def test_progress_of_a_copy_is_a_jobs_business_only(tmp_path: Path) -> None:
    """A copy of an hour makes no snapshot anew: nobody is told anything but its job."""

    async def story(running: Running) -> None:
        await running.ready()
        await running.end(running.engine.submit(Reconcile(), 0))
        before = len([event for event in running.events if isinstance(event, SnapshotChanged)])
        job = await running.end(running.engine.submit(MakeHostDependent("web", "/var"), 0))
        assert job.kind is JobKind.CDSL_MAKE
        await eventually_async(lambda: running.root and running.root.cdsls == 1, "the new count")
        changes = [event for event in running.events if isinstance(event, SnapshotChanged)][before:]
        assert len(changes) == 1
        assert changes[0].after == replace(changes[0].before, shared_roots=changes[0].after.shared_roots)

    drive(tmp_path, story)


def test_initrds_are_built_beside_everything_else(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        assert running.engine.snapshot.images == {}, "the administrator chose a kernel"
        conf = running.host.osrd_conf
        lines = [line for line in conf.read_text().splitlines() if not line.startswith(("kernel =", "initrd ="))]
        conf.write_text("\n".join([*lines, "[build]", "quiet = 0", ""]))
        await running.end(running.engine.submit(Reload(), 0))
        await eventually_async(lambda: running.engine.snapshot.images, "an image")
        await eventually_async(lambda: running.root and running.root.kernels, "its kernel is shown with the root")
        (chosen,) = [event for event in running.events if isinstance(event, ImageChosen)]
        assert chosen.image in running.engine.snapshot.images
        runs = len([event for event in running.events if isinstance(event, SnapshotChanged)])
        done = await running.end(running.engine.submit(BuildInitrd("web", force=True), 0))
        assert (done.kind, done.state) == (JobKind.INITRD_BUILD, JobState.DONE)
        assert len(running.engine.snapshot.images) == 2
        assert await running.engine.build_log("web") == b"dracut said\n"
        assert (await running.engine.image_difference("a", done.result["images"][0])).reasons  # type: ignore[index,arg-type]
        await eventually_async(
            lambda: len([event for event in running.events if isinstance(event, SnapshotChanged)]) > runs, "a run"
        )
        running.builds.gate.clear()
        running.builds.building.clear()
        job = running.engine.submit(BuildInitrd("web", force=True), 0)
        await eventually_async(running.builds.building.is_set, "it builds")
        running.engine.cancel(job.number)
        running.builds.gate.set()
        assert (await running.end(job)).state is JobState.CANCELLED

    drive(tmp_path, story)
