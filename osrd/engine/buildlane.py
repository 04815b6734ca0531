# SPDX-License-Identifier: GPL-3.0-or-later
"""The initrds of one shared root as the event loop sees them: look, wait until the root rests, build, choose.

Level-triggered like everything else: each look compares what there is with what there should be, and whoever wakes the
lane says only that it should look. Builds have a thread of their own, so that a minute of dracut holds up neither an
edit nor the CDSLs of the same root. One root builds at a time: the others wait for their turn, and look again when it
comes, since nobody knows what happened to the root meanwhile.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from osrd.engine.api import BuildInitrd, ImageRequest, RollbackInitrd
from osrd.engine.buildview import cancellation, failure, told_choice, view_of
from osrd.engine.buildwork import Again, Aim, BuildWork, Made, Sight, Wish
from osrd.engine.jobs import JobBook
from osrd.engine.journal import MessageId, log_event
from osrd.engine.places import Watched
from osrd.engine.resting import Resting
from osrd.engine.rootview import trouble_of
from osrd.engine.rootwork import Control
from osrd.engine.turns import Turns
from osrd.engine.worker import Worker
from osrd.model.errors import (
    BusyError,
    CancelledError,
    ConflictError,
    FailedError,
    NotFoundError,
    OsrdError,
    UnsupportedError,
)
from osrd.model.finding import Finding
from osrd.model.image import RootImages
from osrd.model.job import JobKind
from osrd.model.view import BuildView, Event, ImageChosen

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds after an edit of cluster.conf until its consequences are looked at.
_CALM = 0.5
#: Seconds until a look that failed is tried again, at first; then ever more rarely, up to five minutes.
_RETRY = 5.0
_RETRY_LIMIT = 300.0
#: How often the same image is begun by itself while the root changes under it.
_TRIES = 4
#: Seconds until a build that this host is to blame for is tried again, at first; then ever more rarely, up to an hour.
_PAUSE = 60.0
_PAUSE_LIMIT = 3600.0
#: Seconds that a build may take beyond its own limit: to end what runs, to check and to store. Who needs more hangs.
_BEYOND = 120.0
_NOT_NOW = "not started: the root, or what is wanted of it, changed while it waited"


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: int
    request: ImageRequest
    owner: int


@dataclass(frozen=True, slots=True)
class _Held:
    """A build that failed or was cancelled. ``again``: it is tried again by itself, after a pause."""

    print_: str
    finding: Finding
    again: bool = False


@dataclass(frozen=True, slots=True)
class _Queued:
    """A build that osrd wants by itself and that waits for its turn."""

    job: int
    wish: Wish

    @property
    def version(self) -> str:
        return self.wish.kernel.version


@dataclass(frozen=True, slots=True)
class Listener:
    """Called on the loop: ``changed`` when the view or ``watched`` is another, ``chosen`` when what is offered to
    nodes is, ``emit`` with events."""

    changed: Callable[[], None]
    chosen: Callable[[], None]
    emit: Callable[[Event], None]


class BuildLane:
    def __init__(
        self,
        name: str,
        aim: Aim,
        work: BuildWork,
        *,
        book: JobBook,
        turns: Turns,
        listener: Listener,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.name = name
        self.aim = aim
        self.work = work
        self.view = BuildView()
        self.watched: Watched = {}
        self._book = book
        self._turns = turns
        self._listener = listener
        self._loop = loop
        self.worker = Worker(f"build {name}", loop)
        self.reader = Worker(f"build {name} reader", loop)
        self._sight = Sight()
        self._looked = False
        self._held: dict[str, _Held] = {}  # by kernel version
        self._tried: dict[str, tuple[str, bool, int]] = {}  # the fingerprint, whether the host is to blame, how often
        self._trouble: tuple[Finding, ...] = ()  # why the last look has no result
        self._resting = Resting()
        self._building = ""
        self._made: list[Made] = []  # by the job that runs
        self._waiting: list[_Waiting] = []
        self._queued: _Queued | None = None
        self._running: int | None = None
        self._cancel = threading.Event()
        self._dirty = True
        self._wake = asyncio.Event()
        self._wake.set()
        self._timer: asyncio.TimerHandle | None = None
        self._retries = 0
        self._stopping = False

    def follow(self, aim: Aim) -> None:
        """Another aim: look, if it is another one."""
        before, self.aim = self.aim, aim
        if aim.is_like(before):
            return
        if (aim.root, aim.settings.build) != (before.root, before.settings.build):
            self.look()
        elif self._timer is None:
            self._later(_CALM)  # a script that adds a hundred nodes is one reason to look

    def look(self) -> None:
        """Look soon: something may have changed."""
        self._dirty = True
        self._wake.set()

    def hint(self) -> None:
        """Something was written in the root. While it is known not to rest, the look at the end of that will do."""
        if self._timer is None:
            self.look()

    def submit(self, job: int, request: ImageRequest, owner: int) -> None:
        self._waiting.append(_Waiting(job, request, owner))
        self._wake.set()

    def cancel(self, job: int) -> bool:
        """Cancel ``job`` if it is one of this lane."""
        if job == self._running:
            self._cancel.set()
            return True
        if self._queued is not None and job == self._queued.job:
            queued = self._queued
            self._unqueue()
            self._held[queued.version] = _Held(queued.wish.fingerprint.value, cancellation(self.name, queued.version))
            self.look()
            return True
        found = [waiting for waiting in self._waiting if waiting.job == job]
        if found:
            self._book.cancel(job)
            self._waiting.remove(found[0])
        return bool(found)

    async def run(self) -> None:
        """Until stop()."""
        try:
            while not self._stopping:
                await self._wake.wait()
                self._wake.clear()
                while not self._stopping:
                    waiting = self._next()
                    if waiting is not None:
                        await self._perform(waiting)
                    elif self._dirty:
                        await self._follow()
                    else:
                        break
        finally:
            self._turns.done(self)

    def stop(self) -> None:
        """Cancel what runs and what waits; run() returns when a build has ended."""
        self._stopping = True
        self._cancel.set()
        for waiting in self._waiting:
            self._book.cancel(waiting.job)
        self._waiting.clear()
        self._unqueue()
        self._later(None)
        self._wake.set()

    def close(self) -> None:
        self.worker.close()
        self.reader.close()

    @property
    def _longest(self) -> float:
        """Seconds after which a build hangs."""
        return self.aim.settings.build.timeout + _BEYOND

    def _next(self) -> _Waiting | None:
        """The first request that can be carried out: one to build waits for its turn, and no other waits for it."""
        for waiting in self._waiting:
            if isinstance(waiting.request, BuildInitrd) and not self._turns.take(self, self._longest):
                self._turns.wait(self)
                continue
            self._waiting.remove(waiting)
            return waiting
        return None

    async def _follow(self) -> None:
        """Look, and build the first image that is wanted and rested for. The next one is for the next look."""
        if not await self._look() or self._stopping:
            self._step_back()
            return
        ready, left = self._resting.judge(self._sight, self.aim.settings.build.quiet, self._loop.time())
        wish = self._sight.wishes[ready] if ready is not None else None
        if wish is None or self._is_held(wish):
            self._step_back()
            # No hint is heeded while a look is due, and a pause is long.
            self._later(None if left is None else min(left, max(self.aim.settings.build.quiet, _PAUSE)))
            return
        queued = self._queue(wish)
        if queued is None:
            self._later(_RETRY)
            return
        if not self._turns.take(self, self._longest):
            self._turns.wait(self)
            return
        self._queued = None
        job = queued.job
        self._begin(job)
        try:
            await self._build(job, wish, 0.0, 1.0)
            await self._look()  # whoever waits for the end of the job sees what came of it
        except OsrdError as error:
            self._end_badly(job, error)
        else:
            self._book.done(job, _result(self._made))
        finally:
            self._running = None
            self._turns.done(self)
        self.look()

    def _is_held(self, wish: Wish) -> bool:
        """Whether somebody cancelled it during the look that wants it."""
        held = self._held.get(wish.kernel.version)
        return held is not None and not held.again and held.print_ == wish.fingerprint.value

    def _queue(self, wish: Wish) -> _Queued | None:
        """The job for ``wish``, the one that waits already if it is for the same kernel; None when too many wait."""
        if self._queued is not None and self._queued.version != wish.kernel.version:
            self._unqueue(_NOT_NOW)
        if self._queued is not None:
            job = self._queued.job
        else:
            try:
                job = self._book.add(JobKind.INITRD_BUILD, f"{self.name}:{wish.kernel.version}", 0).number
            except BusyError:
                self._step_back()
                return None
        self._queued = _Queued(job, wish)
        return self._queued

    def _unqueue(self, *message: str) -> None:
        if self._queued is not None:
            self._book.cancel(self._queued.job, *message)
            self._queued = None

    def _step_back(self) -> None:
        """Nothing is to be built by itself: whoever waits next has the turn, unless somebody asked."""
        self._unqueue(_NOT_NOW)
        if not self._waiting:
            self._turns.done(self)

    async def _look(self, retried: frozenset[str] = frozenset(), *, full: bool = False) -> bool:
        """See the root anew; whether that could be done."""
        self._dirty = False
        self._later(None)
        held = {version: held.print_ for version, held in self._held.items() if not held.again}
        again = Again(held, retried, full)
        try:
            sight = await self.worker.begin(partial(self.work.look, self.aim, again))
        except OsrdError as error:
            self._trouble = (trouble_of(self.name, error),)
            if not self._stopping:
                self._retries += 1
                self._later(min(_RETRY_LIMIT, _RETRY * 2.0 ** min(self._retries - 1, 6)))
                self._show()
            return False
        self._trouble = ()
        self._retries = 0
        self._see(sight)
        return True

    def _see(self, sight: Sight) -> None:
        before, self._sight = self._sight, sight
        newest: dict[str, str] = {}
        for image in sight.images.images:
            newest.setdefault(image.kernel, image.fingerprint)
        for version, held in tuple(self._held.items()):
            wish = sight.wishes.get(version)
            another = wish is not None and wish.fingerprint.value != held.print_
            recorded = held.again and version in sight.failed  # so it is not tried again by itself after all
            if another or recorded or newest.get(version) == held.print_:
                del self._held[version]
        self._show()
        # What the first look finds was chosen before osrd started, unless the look itself did it.
        if self._looked or sight.chosen:
            self._tell_choice(before.images, sight.images)
        self._looked = True
        if sight.chosen:
            self._listener.chosen()

    def _tell_choice(self, before: RootImages, after: RootImages) -> None:
        line = told_choice(self.name, before, after)
        current = after.get(after.choice.current)
        if line and current is not None:
            log_event(logger, MessageId.IMAGE_CHOSEN, line, root=self.name, image=current.id, kernel=current.kernel)
            self._listener.emit(ImageChosen(self.name, current.id, current.kernel, after.choice.previous))

    async def _perform(self, waiting: _Waiting) -> None:
        """What somebody asked for."""
        job, request = waiting.job, waiting.request
        self._begin(job)
        try:
            if isinstance(request, BuildInitrd):
                await self._asked_to_build(job, request, waiting.owner)
            else:
                await self._roll_back(job, request, waiting.owner)
        except OsrdError as error:
            self._end_badly(job, error)
        finally:
            self._running = None
            if isinstance(request, BuildInitrd):
                self._turns.done(self)
        self.look()

    async def _asked_to_build(self, job: int, request: BuildInitrd, owner: int) -> None:
        if not self._looked:
            await self._look()
        failed = {*self._held, *self._sight.failed}
        retried = frozenset({request.kernel} if request.kernel else failed)
        for version in retried:
            self._held.pop(version, None)
        if not await self._look(retried, full=True):
            raise FailedError(self._trouble[0].message, self._trouble[0].fix)
        versions = self._asked(request)
        for number, version in enumerate(versions):
            if self._cancel.is_set():
                raise CancelledError("cancelled")
            if not self._turns.take(self, self._longest):
                raise BusyError(f"[root {self.name}] did not answer for too long; another root is built", "ask again")
            wish = self._sight.wishes[version]
            start, share = number / len(versions), 1 / len(versions)
            made = await self._build(job, wish, start, share)
            text = f"uid {owner}: [root {self.name}] built {made.image.id} for {version}"
            log_event(logger, MessageId.ROOT_CHANGED, text, uid=owner, root=self.name)
        if self._made:
            await self._look()
        self._book.done(job, _result(self._made))

    def _asked(self, request: BuildInitrd) -> tuple[str, ...]:
        """The kernels that somebody wants an image for. Raises NotFoundError and FailedError."""
        present = [kernel.version for kernel in self._sight.kernels]
        if request.kernel and request.kernel not in present:
            known = f"there are: {', '.join(present)}" if present else "there is none"
            raise NotFoundError(f"[root {self.name}] has no kernel {request.kernel}", known)
        possible = [version for version in present if version in self._sight.wishes]
        if not possible or (request.kernel and request.kernel not in possible):
            why = next(iter(self._sight.findings), None)
            message = why.message if why else f"[root {self.name}] nothing can be built"
            raise FailedError(message, why.fix if why else "osrctl status says what is missing")
        if request.force:
            return (request.kernel or possible[0],)
        return tuple(version for version in self._sight.wanted if request.kernel in ("", version))

    async def _roll_back(self, job: int, request: RollbackInitrd, owner: int) -> None:
        await self._look()
        before = self._sight.images.choice
        choice = await self.worker.begin(partial(self.work.rollback, self.aim, request.image))
        lines = (f"{choice.current} is the current image",) if before != choice else ()
        if lines:
            text = f"uid {owner}: [root {self.name}] rolled back to {choice.current}"
            log_event(logger, MessageId.ROLLED_BACK, text, uid=owner, root=self.name)
            self._listener.chosen()
            await self._look()
        self._book.done(job, {"changed": bool(lines), "lines": lines, "images": (choice.current,)})

    async def _build(self, job: int, wish: Wish, start: float, share: float) -> Made:
        """One build: its end is remembered, what is offered then is told."""
        version = wish.kernel.version
        self._building = version
        self._show()
        logger.info(
            "[root %s] building an initrd for %s%s", self.name, version, f": {wish.reason}" * bool(wish.reason)
        )

        def report(fraction: float, message: str) -> None:
            text = f"{version}: {message}"
            self._loop.call_soon_threadsafe(self._book.progress, job, start + share * fraction, text)

        control = Control(report, self._cancel.is_set)
        try:
            made = await self.worker.begin(partial(self.work.build, self.aim, wish, control))
        except OsrdError as error:
            self._remember(wish, error)
            raise
        finally:
            self._building = ""
        self._made.append(made)
        self._held.pop(version, None)
        self._tried.pop(version, None)
        image = made.image
        logger.info("[root %s] built %s for %s in %.0f s", self.name, image.id, version, image.seconds)
        if made.choice != self._sight.images.choice:
            self._listener.chosen()
        await self._prune()
        return made

    def _remember(self, wish: Wish, error: OsrdError) -> None:
        """What failed is not tried again by itself until something is another. What the root changed under, or went
        away under, is some times: it may be the same when it is looked at the next time. What this host is to blame
        for is as long as it takes: nothing of the root has to change for that to go well."""
        if self._stopping:
            return
        version, print_ = wish.kernel.version, wish.fingerprint.value
        self._held.pop(version, None)
        cancelled = self._cancel.is_set() or isinstance(error, CancelledError)
        passing = error.passing or isinstance(error, UnsupportedError)
        if not cancelled and (passing or isinstance(error, ConflictError | NotFoundError)):
            *before, times = self._tried.get(version, ("", False, 0))
            times = times + 1 if before == [print_, passing] else 1
            self._tried[version] = print_, passing, times
            if passing:
                pause = min(_PAUSE_LIMIT, _PAUSE * 2.0 ** min(times - 1, 10))
                self._resting.postpone(version, print_, self._loop.time() + pause)
                self._held[version] = _Held(print_, failure(self.name, version, error, again=True), again=True)
                return
            if times < _TRIES:
                self._resting.disturbed(version)
                return
        self._tried.pop(version, None)
        finding = cancellation(self.name, version) if cancelled else failure(self.name, version, error)
        self._held[version] = _Held(print_, finding)

    async def _prune(self) -> None:
        try:
            gone = await self.worker.begin(partial(self.work.prune, self.aim))
        except OsrdError as error:
            logger.warning("[root %s] images that nobody needs stay for now: %s", self.name, error)
            return
        for identity in gone:
            logger.info("[root %s] removed the image %s", self.name, identity)

    def _begin(self, job: int) -> None:
        self._cancel.clear()
        self._made = []
        if self._stopping:
            self._cancel.set()
        self._running = job
        self._book.start(job)

    def _end_badly(self, job: int, error: OsrdError) -> None:
        if self._cancel.is_set() or isinstance(error, CancelledError):
            built = "; ".join(f"built {made.image.id} for {made.image.kernel} before that" for made in self._made)
            self._book.cancelled(job, f"cancelled; {built or 'the images are as they were'}")
        else:
            self._book.failed(job, error)

    def _later(self, delay: float | None) -> None:
        """Look again in ``delay`` seconds; None: not by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay is not None and not self._stopping:
            self._timer = self._loop.call_later(delay, self._due)

    def _due(self) -> None:
        self._timer = None
        self.look()

    def _show(self) -> None:
        told = {**self._sight.failed, **{version: held.finding for version, held in self._held.items()}}
        view = view_of(self.aim, self._sight, told, self._building, self._trouble)
        if view != self.view or self._sight.watched != self.watched:
            self.view, self.watched = view, self._sight.watched
            self._listener.changed()


def _result(made: list[Made]) -> dict[str, str | int | bool | tuple[str, ...]]:
    lines = tuple(f"built {one.image.id} for {one.image.kernel}" for one in made)
    remarks = tuple(f"{finding.severity}: {finding.message}" for one in made for finding in one.findings)
    return {"changed": bool(made), "lines": (*lines, *remarks)[:1000], "images": tuple(one.image.id for one in made)}
