# SPDX-License-Identifier: GPL-3.0-or-later
"""One shared root as the event loop sees it: what it should be, what it was last seen to be, and a thread of its own.

A root whose file system hangs (a dead NFS server) holds up its own lane and nothing else. That it hangs is told as a
finding, not to the service manager: starting osrd again would change nothing.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from typing import TypeVar

from osrd.engine.api import BindLink, RootRequest
from osrd.engine.jobs import JobBook
from osrd.engine.journal import MessageId, log_event
from osrd.engine.pulse import Pulse
from osrd.engine.rootview import trouble_of, view_of
from osrd.engine.rootwork import Control, Looked, Order, RootWork
from osrd.engine.worker import Worker
from osrd.model.cdsl import Changed, Layout
from osrd.model.errors import BusyError, OsrdError
from osrd.model.finding import Finding
from osrd.model.job import JobKind
from osrd.model.view import RootState, SharedRootView

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Of what a job did, the lines that its result carries; all of them are in the journal.
_LINES = 1000
#: Seconds until a look that failed is tried again, at first; then ever more rarely, up to once a minute.
_RETRY = 1.0
#: A look that takes longer than this and works becomes a job, so that somebody sees it and can end it.
_VISIBLE = 0.5


class Depth(IntEnum):
    """How much the next look compares."""

    NOTHING = 0
    LINK = 1
    EVERYTHING = 2


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: int
    request: RootRequest
    owner: int


class Lane:
    """``changed`` is called on the loop when ``view`` is another one. ``patience``: seconds without a sign of life
    after which the root is called stuck."""

    def __init__(
        self,
        name: str,
        order: Order,
        work: RootWork,
        *,
        book: JobBook,
        changed: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        patience: float,
    ) -> None:
        self.name = name
        self.view = SharedRootView(name)
        self.layout: Layout | None = None
        self._order = order
        self._override = ""  # of BindLink: until osrd.conf is read again
        self.work = work
        self._book = book
        self._changed = changed
        self._loop = loop
        self._patience = patience
        self.worker = Worker(f"root {name}", loop)
        self._reader = Worker(f"root {name} reader", loop)
        self._asked: dict[str, asyncio.Future[object]] = {}
        self._looked = Looked(RootState.UNKNOWN)
        self._trouble: tuple[Finding, ...] = ()  # why the last look has no result
        self._pulse = Pulse(loop, patience, self._show)
        self._depth = Depth.EVERYTHING
        self._waiting: list[_Waiting] = []
        self._running: int | None = None
        self._cancel = threading.Event()
        self._wake = asyncio.Event()
        self._wake.set()
        self._retry: asyncio.TimerHandle | None = None
        self._retries = 0
        self._stopping = False
        self._show()

    @property
    def order(self) -> Order:
        return self._order

    def follow(self, order: Order) -> None:
        """Another order: look, if it is another one."""
        before, self._order = self._order, order
        if order != before:
            self._show()
            self.look(Depth.EVERYTHING)

    def look(self, depth: Depth) -> None:
        """Look soon: something may have changed."""
        self._depth = max(self._depth, depth)
        self._wake.set()

    def forget_override(self) -> None:
        """osrd.conf counts again for what is mounted."""
        if self._override:
            self._override = ""
            self.look(Depth.LINK)

    def submit(self, job: int, request: RootRequest, owner: int) -> None:
        self._waiting.append(_Waiting(job, request, owner))
        self._wake.set()

    def cancel(self, job: int) -> bool:
        """Cancel ``job`` if it is one of this lane: one that runs rolls back first."""
        if job == self._running:
            self._cancel.set()
            return True
        found = [waiting for waiting in self._waiting if waiting.job == job]
        if found:
            self._book.cancel(job)
            self._waiting.remove(found[0])
        return bool(found)

    async def ask(self, kind: str, work: Callable[[Order], T]) -> T:
        """The answer of ``work``, made in the reader's thread by a call that began after this one. Raises BusyError
        when the root does not answer, and what ``work`` raises."""

        def begin() -> T:
            self._asked.pop(kind, None)  # from here on the answer may be too old for who asks
            return work(self._order)

        future = self._asked.get(kind)
        if future is None:
            future = self._asked[kind] = self._reader.begin(begin)
            future.add_done_callback(_seen)
        done, _ = await asyncio.wait([future], timeout=self._patience)
        if not done:
            raise BusyError(f"[root {self.name}] does not answer", "look at the mount of it, and at its server")
        return future.result()  # type: ignore[return-value]

    async def run(self) -> None:
        """Until stop()."""
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            while not self._stopping and (self._depth or self._waiting):
                if self._depth:
                    await self._look()
                else:
                    await self._perform(self._waiting.pop(0))

    def stop(self) -> None:
        """Cancel what runs and what waits; run() returns when the rest is rolled back."""
        self._stopping = True
        self._cancel.set()
        for waiting in self._waiting:
            self._book.cancel(waiting.job)
        self._waiting.clear()
        if self._retry is not None:
            self._retry.cancel()
        self._wake.set()

    async def release(self) -> None:
        """After run() returned, for a root that leaves the configuration: its mount goes, too."""
        if self.layout is None:
            return
        path, layout = self._order.path, self.layout
        try:
            gone = await self._pulse.of(self.worker.begin(lambda: self.work.release(path, layout)))
        except OsrdError as error:
            logger.warning("[root %s] %s", self.name, error)
            return
        for mount in gone:
            logger.info("[root %s] unmounted %s", self.name, mount.point)

    def close(self) -> None:
        """Give everything back; a thread that hangs is left to its system call."""
        self.worker.close()
        self._reader.close()

    async def _look(self) -> None:
        depth, self._depth = self._depth, Depth.NOTHING
        self._cancel.clear()
        order = self._wanted()
        if depth is Depth.LINK and self._looked.state is RootState.READY:
            link = await self._tried(self.worker.begin(lambda: self.work.link(order)))
            if link is not None:
                self._told((link.done,))
                self._looked = replace(self._looked, link=link)
        else:
            looked = await self._tried(self.worker.begin(partial(self.work.look, order, self._follower())))
            self._end_following(looked)
            if looked is not None:
                self._told((*looked.changed.lines, looked.link.done))
                self._looked = looked
                self.layout = looked.layout or self.layout
        self._show()

    async def _tried(self, future: "asyncio.Future[T]") -> T | None:
        """The result of a look, None when it has none: why is shown, and another look follows."""
        try:
            result = await self._pulse.of(future)
        except OsrdError as error:
            if not self._cancel.is_set():
                self._trouble = (trouble_of(self.name, error),)
                self._schedule_retry()
            return None
        self._trouble = ()
        self._retries = 0
        return result

    async def _perform(self, waiting: _Waiting) -> None:
        job, request = waiting.job, waiting.request
        self._cancel.clear()
        self._running = job
        self._book.start(job)
        order = self._wanted()
        if isinstance(request, BindLink):
            order = replace(order, link=request.node or self._order.link)
        try:
            changed = await self._pulse.of(
                self.worker.begin(partial(self.work.perform, request, order, self._control(job)))
            )
        except OsrdError as error:
            if self._cancel.is_set():
                self._book.cancelled(job, "cancelled; everything is as it was")
            else:
                self._book.failed(job, error)
        else:
            if isinstance(request, BindLink):
                self._override = request.node
            self._told(changed.lines, waiting.owner)
            self._book.done(job, _result(changed))
        finally:
            self._running = None
        self.look(Depth.EVERYTHING)

    def _wanted(self) -> Order:
        return replace(self._order, link=self._override) if self._override else self._order

    def _told(self, lines: tuple[str, ...], owner: int | None = None) -> None:
        """What was done goes to the journal; what a user asked for with who it was."""
        for line in filter(None, lines):
            if owner is None:
                logger.info("[root %s] %s", self.name, line)
            else:
                text = f"uid {owner}: [root {self.name}] {line}"
                log_event(logger, MessageId.ROOT_CHANGED, text, uid=owner, root=self.name)

    def _control(self, job: int) -> Control:
        """For the thread: progress is told on the loop."""

        def report(fraction: float, message: str) -> None:
            self._loop.call_soon_threadsafe(self._heard, job, fraction, message)

        return Control(report, self._cancel.is_set)

    def _heard(self, job: int, fraction: float, message: str) -> None:
        self._pulse.beat()
        self._book.progress(job, fraction, message)

    def _follower(self) -> Control:
        """For a look. It becomes a job when it works for long: a new node's tree may be many files."""
        since = self._loop.time()

        def report(fraction: float, message: str) -> None:
            self._loop.call_soon_threadsafe(self._heard_following, since, fraction, message)

        return Control(report, self._cancel.is_set)

    def _heard_following(self, since: float, fraction: float, message: str) -> None:
        self._pulse.beat()
        if self._running is None and self._pulse.waiting and self._loop.time() - since > _VISIBLE:
            try:
                self._running = self._book.add(JobKind.CDSL_FOLLOW, self.name, 0).number
            except BusyError:
                return  # too many jobs: this one is not seen
            self._book.start(self._running)
        if self._running is not None:
            self._book.progress(self._running, fraction, message)

    def _end_following(self, looked: Looked | None) -> None:
        job, self._running = self._running, None
        if job is None:
            return
        if looked is not None:
            self._book.done(job, _result(looked.changed))
        elif self._cancel.is_set():
            self._book.cancelled(job, "cancelled; everything is as it was")
        else:
            self._book.failed(job, OsrdError(self._trouble[0].message, self._trouble[0].fix))

    def _schedule_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._retries += 1
        delay = min(60.0, _RETRY * 2.0 ** min(self._retries, 6))
        self._retry = self._loop.call_later(delay, self.look, Depth.EVERYTHING)

    def _show(self) -> None:
        stuck = self._patience if self._pulse.stuck else 0.0
        view = view_of(self.name, self._order, self._looked, self._trouble, stuck)
        if view != self.view:
            self.view = view
            self._changed()


def _seen(future: "asyncio.Future[object]") -> None:
    """An answer that came after all who asked had given up is no forgotten error."""
    if not future.cancelled():
        future.exception()


def _result(changed: Changed) -> dict[str, str | int | bool | tuple[str, ...]]:
    return {"changed": bool(changed), "lines": changed.lines[:_LINES], "backups": changed.backups[:_LINES]}
