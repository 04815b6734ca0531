# SPDX-License-Identifier: GPL-3.0-or-later
"""The composition root: builds everything, owns the order of start and stop (osrd(8))."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from osrd import __version__
from osrd.apply import mounts
from osrd.apply.initrd.store import ImageStore
from osrd.apply.lock import exclusive
from osrd.engine.api import Reload
from osrd.engine.bootstates import BootStates
from osrd.engine.builder import Builder
from osrd.engine.journal import MessageId, log_event, set_up_logging
from osrd.engine.load import NO_CLUSTER_CONF
from osrd.engine.memory import give_back, keep
from osrd.engine.notify import Heartbeat, Notifier
from osrd.engine.pipeline import Pipeline, Run, Scope
from osrd.engine.places import Watched, together
from osrd.engine.reconciler import Reconciler
from osrd.engine.roots import Roots
from osrd.engine.whenneeded import BuildWorkWhenNeeded, open_root
from osrd.engine.whole import WholeEngine
from osrd.model.errors import OsrdError
from osrd.model.finding import Finding, Severity
from osrd.model.settings import JOURNAL, Settings, WatchSettings
from osrd.model.view import BuildView, Event, Snapshot, SnapshotChanged, State
from osrd.observe.configuration import read_settings
from osrd.observe.images import store_directory
from osrd.watch.base import WakeUp, Watcher
from osrd.watch.mountinfo import MountWatcher
from osrd.watch.start import start_watcher
from osrd.watch.udev import UdevWatcher

if TYPE_CHECKING:
    from osrd.bus.presence import Presence

logger = logging.getLogger(__name__)

#: Seconds without a sign of life from a run after which the watchdog is no longer fed.
_STUCK = 300.0
#: Seconds that changes in roots whose initrds are built may go on before they are looked at, at least and at most.
_BUILD_QUIET, _BUILD_LIMIT = 0.5, 5.0
#: Seconds between two looks at a server's log where inotify cannot be had.
_LOG_POLL = 5.0
#: Exit statuses of ``--once`` and of the daemon (osrd(8)).
EXIT_DEGRADED = 1
EXIT_FAILED = 2
EXIT_BUS_LOST = 3
EXIT_BUG = 70  # EX_SOFTWARE of sysexits(3)


@dataclass(frozen=True, slots=True)
class Options:
    """The command line. ``required``: osrd.conf was named, so that it must exist; ``bus`` of None: the system bus."""

    configuration: str
    required: bool
    once: bool
    bus: str | None
    use_bus: bool
    log_level: str | None


def run(options: Options) -> int:
    """Be osrd until told to stop; the exit status. Raises OsrdError for what a person must mend before starting."""
    settings, _ = read_settings(options.configuration, required=options.required)
    set_up_logging(options.log_level or settings.log_level)
    with ExitStack() as stack:
        stack.enter_context(exclusive(settings.paths.runtime))
        if options.once:
            return _once(options)
        return asyncio.run(_serve(options))


def _once(options: Options) -> int:
    """One full run without a bus: for early boot, for scripts, and for a look at what osrd would serve."""
    pipeline = Pipeline(options.configuration, required=options.required)
    try:
        pipeline.check_state()
        done = pipeline.run(Scope(), "osrd --once")
    finally:
        pipeline.close()
    for finding in done.snapshot.findings:
        logger.log(_LEVELS[finding.severity], "%s", finding)
    written, removed = (done.result.written, done.result.removed) if done.result else (0, 0)
    logger.info(
        "%s: generation %d, %d files written, %d removed",
        done.snapshot.state,
        done.snapshot.generation,
        written,
        removed,
    )
    undone = done.snapshot.state in (State.DEGRADED, State.INVALID) or not done.snapshot.in_sync
    return EXIT_DEGRADED if undone else 0


_LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}


async def _serve(options: Options) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    early = asyncio.Event()  # asked to reload when osrd.conf may have been read already: neither die nor forget it
    loop.add_signal_handler(signal.SIGHUP, early.set)
    writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
    try:
        pipeline = await loop.run_in_executor(
            writer, partial(Pipeline, options.configuration, required=options.required)
        )
    except OsrdError:
        writer.shutdown()
        raise
    await loop.run_in_executor(writer, _tidy, pipeline)
    daemon = _Daemon(Reconciler(pipeline, writer, loop), pipeline, options, loop)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    if early.is_set():
        daemon.reload()
    return await daemon.serve(stop)


def _tidy(pipeline: Pipeline) -> None:
    """Take away what a killed build left, before anything is built; not from a directory that is a newer osrd's."""
    try:
        pipeline.check_state()
    except OsrdError as error:
        logger.error("%s", error)
    else:
        ImageStore(pipeline.settings.paths.state).recover()


class _Daemon:
    """What runs around the engine: watcher, service manager, bus."""

    def __init__(
        self, reconciler: Reconciler, pipeline: Pipeline, options: Options, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._reconciler = reconciler
        self._roots = Roots(open_root, mounts, reconciler.book, reconciler.teller.roots, loop)
        state = pipeline.settings.paths.state
        self._builder = Builder(
            partial(BuildWorkWhenNeeded, state=state),
            reconciler.book,
            loop,
            show=self._show_builds,
            # The choice is a file that is watched, too; but not where inotify cannot be had.
            wake=lambda: reconciler.wake(frozenset({store_directory(state)})),
            emit=reconciler.teller.emit,
        )
        self._boots = BootStates(loop, reconciler.teller.boots, reconciler.teller.strangers)
        self._engine = WholeEngine(reconciler, self._roots, self._builder, self._boots, loop)
        self._pipeline = pipeline
        self._options = options
        self._loop = loop
        self._settings = pipeline.settings
        self._notifier = Notifier()
        self._deaf = False
        self._first_run = asyncio.Event()
        self._reloading: int | None = None
        self._needed: Watched = {}
        self._watched: Watched = {}
        self._watcher = start_watcher(self._settings.watch, self._engine.wake, loop, reconciler.report)
        self._builds_watcher: Watcher | None = None
        self._log_watcher: Watcher | None = None
        self._watch_server_log()
        self._udev = UdevWatcher(self._engine.wake, loop)
        self._mounts = _watch_mounts(lambda _: self._roots.mounts_changed(), loop)
        self._heartbeat = Heartbeat(self._notifier, loop, self._alive)
        self._roots.on_watched = self._roots_changed
        self._builder.on_watched = self._watch_builds
        reconciler.after_run = self._after_run
        reconciler.subscribe(self._heard)

    def reload(self) -> None:
        """SIGHUP: osrd.conf again. The service manager hears of both ends of it."""
        self._notifier.reloading()
        try:
            self._reloading = self._engine.submit(Reload(), owner=0).number
        except OsrdError as error:
            logger.warning("%s", error)
            self._notifier.ready(self._status_line(self._engine.snapshot))

    async def serve(self, stop: asyncio.Event) -> int:
        """Until ``stop``, or until the bus or the engine is lost; the exit status."""
        work = asyncio.create_task(self._reconciler.work(), name="engine")
        tasks: list[asyncio.Task[object]] = [work, asyncio.create_task(stop.wait(), name="stop")]
        first = asyncio.create_task(self._first_run.wait(), name="first run")
        await asyncio.wait([*tasks, first], return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        bus: Presence | None = None
        try:
            if not stop.is_set() and not work.done():
                gc.collect()
                keep()
                await self._engine.settled()
                if self._options.use_bus:
                    bus = await self._on_the_bus(self._options.bus)
                    tasks.append(asyncio.create_task(bus.stay(), name="bus"))
                self._announce()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return self._why(done)
        finally:
            await self._leave(bus, tasks)

    async def _on_the_bus(self, address: str | None) -> "Presence":
        from osrd.bus.presence import Presence  # noqa: PLC0415 - osrd --once needs no bus library

        bus = Presence(self._engine, address, self._bus_changed)
        await bus.start()
        return bus

    def _bus_changed(self, there: bool) -> None:
        self._deaf = not there
        self._notifier.status(self._status_line(self._engine.snapshot))

    def _status_line(self, snapshot: Snapshot) -> str:
        line = status_line(snapshot)
        return f"{line}; there is no message bus" if self._deaf else line

    def _announce(self) -> None:
        keep()  # the rows of the listings too
        give_back()
        self._heartbeat.start()
        self._notifier.ready(status_line(self._engine.snapshot))
        log_event(logger, MessageId.STARTED, f"osrd {__version__} is ready: {status_line(self._engine.snapshot)}")

    def _why(self, done: "set[asyncio.Task[object]]") -> int:
        """The exit status, from the tasks that ended first."""
        for task in done:
            if (error := task.exception()) is not None:
                logger.critical("internal error, osrd ends and has to be started again", exc_info=error)
                return EXIT_BUG
            if task.get_name() == "bus":
                logger.error("%s", task.result())
                return EXIT_BUS_LOST
        return 0

    async def _leave(self, bus: "Presence | None", tasks: "list[asyncio.Task[object]]") -> None:
        """Watchers first, so that nothing new begins; the bus last, so that callers hear how their jobs ended."""
        self._notifier.stopping()
        self._heartbeat.stop()
        self._watcher.close()
        for watcher in (self._builds_watcher, self._log_watcher):
            if watcher is not None:
                watcher.close()
        self._udev.close()
        if self._mounts is not None:
            self._mounts.close()
        await self._engine.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if bus is not None:
            await bus.stop()
        log_event(logger, MessageId.STOPPED, "osrd stopped; everything published stays as it is")

    def _after_run(self, run: Run) -> None:
        self._use(self._pipeline.settings)
        self._engine.ran(run, self._settings)
        self._needed = run.watched
        self._watch()

    def _roots_changed(self) -> None:
        if together(self._needed, self._roots.watched) != self._watched:
            self._watch()

    def _watch(self) -> None:
        """What the last run needs, and the inventories of the roots that answer."""
        self._watched = together(self._needed, self._roots.watched)
        self._watcher.sync(self._watched)
        if self._watcher.mode != self._engine.snapshot.watch_mode:
            self._reconciler.watching(self._watcher.mode)

    def _watch_builds(self) -> None:
        """Roots whose initrds osrd builds have a watcher of their own: package managers write thousands of files,
        which is no reason to look at everything else."""
        if not self._builder.active:
            if self._builds_watcher is not None:
                self._builds_watcher.close()
                self._builds_watcher = None
            return
        if self._builds_watcher is None:
            watch, poll = self._settings.watch, self._settings.build.poll
            settings = WatchSettings(watch.inotify, rescan=poll, poll=poll, quiet=_BUILD_QUIET, limit=_BUILD_LIMIT)
            self._builds_watcher = start_watcher(settings, self._builder.hinted, self._loop, _told_elsewhere)
        self._builds_watcher.sync(self._builder.watched)

    def _show_builds(self, views: Mapping[str, BuildView]) -> None:
        self._reconciler.teller.builds(views)
        self._boots.reported(report for view in views.values() for report in view.reports)

    def _watch_server_log(self) -> None:
        """A log that is a file; the journal tells by itself."""
        if self._log_watcher is not None:
            self._log_watcher.close()
            self._log_watcher = None
        watch = self._settings.watch
        if watch.server_log not in ("", JOURNAL):
            settings = WatchSettings(watch.inotify, rescan=watch.rescan, poll=_LOG_POLL, quiet=watch.quiet)
            self._log_watcher = start_watcher(settings, lambda _: self._boots.look(), self._loop, _told_elsewhere)
            directory, name = os.path.split(watch.server_log)
            self._log_watcher.sync({directory: frozenset((name,))})

    def _use(self, settings: Settings) -> None:
        """What a reload changes here: how to watch, and what to log."""
        before, self._settings = self._settings, settings
        if settings.watch != before.watch:
            self._watcher.close()
            self._watcher = start_watcher(settings.watch, self._engine.wake, self._loop, self._reconciler.report)
            self._watch_server_log()
        if self._builds_watcher is not None and (settings.watch, settings.build) != (before.watch, before.build):
            self._builds_watcher.close()
            self._builds_watcher = None
            self._watch_builds()
        if settings.log_level != before.log_level and self._options.log_level is None:
            set_up_logging(settings.log_level)

    def _heard(self, event: Event) -> None:
        if isinstance(event, SnapshotChanged):
            if self._first_run.is_set():
                self._notifier.status(self._status_line(event.after))
            elif event.after.state is not State.STARTING:
                self._loop.call_soon(self._first_run.set)  # after everything else that the run has to tell
        if self._reloading is not None and all(
            job.state.ended for job in self._engine.jobs if job.number == self._reloading
        ):
            self._reloading = None
            self._notifier.ready(self._status_line(self._engine.snapshot))

    def _alive(self) -> bool:
        since = self._reconciler.busy_since
        return since is None or self._loop.time() - since < _STUCK


def _told_elsewhere(finding: Finding) -> None:
    """That inotify cannot be had is told by the watcher of everything else."""


def _watch_mounts(wake: WakeUp, loop: asyncio.AbstractEventLoop) -> MountWatcher | None:
    """None where mounts cannot be watched: then they are looked at with everything else."""
    try:
        return MountWatcher(wake, loop)
    except OsrdError as error:
        logger.warning("%s", error)
        return None


def status_line(snapshot: Snapshot) -> str:
    """One line for `systemctl status`: what is served, and what is wrong; on a new host, what to do first."""
    for finding in snapshot.findings:
        if finding.code == NO_CLUSTER_CONF and not snapshot.nodes:
            return f"{snapshot.state}: no cluster yet, {finding.place} does not exist; see osrctl status"
    quarantined = sum(view.quarantined for view in snapshot.nodes.values())
    parts = [f"{snapshot.state}: {len(snapshot.nodes)} nodes"]
    if snapshot.cluster_name:
        parts[0] += f" of {snapshot.cluster_name}"
    if quarantined:
        parts.append(f"{quarantined} quarantined")
    parts.append(f"generation {snapshot.generation}")
    errors = sum(finding.severity is Severity.ERROR for finding in snapshot.findings)
    if errors:
        parts.append(f"{errors} errors, see osrctl status")
    return ", ".join(parts)
