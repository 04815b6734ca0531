# SPDX-License-Identifier: GPL-3.0-or-later
"""The initrds of all shared roots of this host: a build lane for each root that takes part (osrd(8), INITRDS)."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TypeVar

from osrd.engine.api import BuildInitrd, ImageDifference, ImageRequest
from osrd.engine.buildlane import BuildLane, Listener
from osrd.engine.buildwork import Aim, BuildWork, WorkOf
from osrd.engine.jobs import JobBook
from osrd.engine.places import Watched, together
from osrd.engine.turns import Turns
from osrd.model.errors import BusyError, NotFoundError, UnsupportedError
from osrd.model.job import Job, JobKind
from osrd.model.view import BuildView, Event

T = TypeVar("T")

#: Seconds that a running build has to end in when osrd stops.
_STOPPING = 30.0
#: Seconds after which a question is answered with Busy: less than the 25 seconds that D-Bus clients wait.
_PATIENCE = 20.0


class Builder:
    """Lives on the event loop. ``show`` gets the views of all roots when one of them is another, ``wake`` is called
    when nodes are to be offered other images, ``emit`` gets events."""

    def __init__(
        self,
        work_of: WorkOf,
        book: JobBook,
        loop: asyncio.AbstractEventLoop,
        *,
        show: Callable[[Mapping[str, BuildView]], None],
        wake: Callable[[], None],
        emit: Callable[[Event], None],
    ) -> None:
        self._work_of = work_of
        self._book = book
        self._show = show
        self._listener = Listener(self._changed, wake, emit)
        self._loop = loop
        self._turns = Turns(loop)
        self._lanes: dict[str, BuildLane] = {}
        self._tasks: dict[BuildLane, asyncio.Task[None]] = {}
        self._stopping = False
        #: told when ``watched`` may be another
        self.on_watched: Callable[[], None] = _ignore

    @property
    def active(self) -> bool:
        """Whether any root takes part."""
        return bool(self._lanes)

    @property
    def watched(self) -> Watched:
        """Where to notice changes."""
        joined: Watched = {}
        for lane in self._lanes.values():
            joined = together(joined, lane.watched)
        return joined

    def follow(self, aims: Mapping[str, Aim]) -> None:
        """What a run found."""
        if self._stopping:
            return
        for name in [name for name, lane in self._lanes.items() if _elsewhere(lane.aim, aims.get(name))]:
            self._retire(self._lanes.pop(name))
        for name, aim in aims.items():
            lane = self._lanes.get(name)
            if lane is None:
                self._start(name, aim)
            else:
                lane.follow(aim)
        self._lanes = {name: self._lanes[name] for name in aims}
        self._changed()

    def hinted(self, hints: frozenset[str]) -> None:
        """Paths that may have changed; none means anything may have."""
        for lane in self._lanes.values():
            if not hints or any(_is_watched(hint, lane.watched) for hint in hints):
                lane.hint()

    def look(self) -> None:
        """Look at all roots soon."""
        for lane in self._lanes.values():
            lane.look()

    def submit(self, request: ImageRequest, owner: int) -> Job:
        """Queue ``request``. Raises NotFoundError, UnsupportedError and BusyError."""
        if self._stopping:
            raise BusyError("osrd is stopping", "ask again when it runs")
        lane = self._lane(request.root)
        builds = isinstance(request, BuildInitrd)
        if builds and not lane.aim.builds:
            raise UnsupportedError("osrd.conf says that nothing is built", "set enabled = auto in [build]")
        kind = JobKind.INITRD_BUILD if builds else JobKind.INITRD_ROLLBACK
        which = request.kernel if isinstance(request, BuildInitrd) else request.image
        job = self._book.add(kind, f"{request.root}:{which}".removesuffix(":"), owner)
        lane.submit(job.number, request, owner)
        return job

    def cancel(self, job: int) -> bool:
        """Whether ``job`` is one of these, which is cancelled."""
        return any(lane.cancel(job) for lane in self._lanes.values())

    async def difference(self, one: str, other: str) -> ImageDifference:
        lane = self._lane_of(other)
        return await self._asked(lane, lambda work: work.difference(one, other))

    async def log(self, root: str, image: str) -> bytes:
        return await self._asked(self._lane(root), lambda work: work.log(image))

    async def stop(self) -> None:
        """Cancel builds and wait for their end, but not for a root that hangs."""
        self._stopping = True
        for lane in self._lanes.values():
            lane.stop()
        tasks = set(self._tasks.values())
        if tasks:
            _, hanging = await asyncio.wait(tasks, timeout=_STOPPING)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
        for lane in self._lanes.values():
            lane.close()

    def _lane(self, name: str) -> BuildLane:
        lane = self._lanes.get(name)
        if lane is None:
            raise UnsupportedError(
                f"osrd builds no initrds for the root {name!r}", "set path, and no kernel, in [root NAME] of osrd.conf"
            )
        return lane

    def _lane_of(self, image: str) -> BuildLane:
        for lane in self._lanes.values():
            if any(view.image.id == image for view in lane.view.images):
                return lane
        raise NotFoundError(f"there is no image {image}", "osrctl initrd list shows them")

    async def _asked(self, lane: BuildLane, question: Callable[[BuildWork], T]) -> T:
        """The answer, made in the reader's thread beside a build that may go on."""
        future = lane.reader.begin(partial(question, lane.work))
        done, _ = await asyncio.wait([future], timeout=_PATIENCE)
        if not done:
            future.add_done_callback(_seen)
            raise BusyError(f"[root {lane.name}] does not answer", "try again later")
        return future.result()

    def _start(self, name: str, aim: Aim) -> None:
        work = self._work_of(name)
        lane = BuildLane(name, aim, work, book=self._book, turns=self._turns, listener=self._listener, loop=self._loop)
        self._lanes[name] = lane
        task = self._tasks[lane] = self._loop.create_task(lane.run(), name=f"build {name}")
        task.add_done_callback(lambda _: self._tasks.pop(lane, None))

    def _retire(self, lane: BuildLane) -> None:
        """The root takes no part any more: what was built stays in the store."""
        lane.stop()
        self._tasks[lane].add_done_callback(lambda _: lane.close())

    def _changed(self) -> None:
        if not self._stopping:
            self._show(MappingProxyType({name: lane.view for name, lane in self._lanes.items()}))
            self.on_watched()


def _ignore() -> None:
    """Nobody watches."""


def _elsewhere(now: Aim, wanted: Aim | None) -> bool:
    return wanted is None or now.root.path != wanted.root.path


def _is_watched(path: str, watched: Watched) -> bool:
    directory, _, name = path.rpartition("/")
    names = watched.get(directory, frozenset())
    return names is None or name in names


def _seen(future: "asyncio.Future[T]") -> None:
    """An answer that came after who asked had given up is no forgotten error."""
    if not future.cancelled():
        future.exception()
