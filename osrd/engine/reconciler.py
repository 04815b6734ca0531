# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine proper: wake-ups and requests in, runs in the writer thread, events out.

Everything here happens on the event loop except the runs themselves, which have a thread of their own so that the
loop answers callers meanwhile (law 10). There is exactly one such thread: the one writer.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

from osrd.engine.api import (
    AddNode,
    Apply,
    Reconcile,
    Reload,
    RemoveNode,
    Request,
    Rollback,
    SetNode,
    Verify,
)
from osrd.engine.jobs import JobBook
from osrd.engine.journal import MessageId, log_event
from osrd.engine.pipeline import Pipeline, Progress, Run, Scope
from osrd.engine.telling import Teller
from osrd.engine.writer import Writer
from osrd.model.errors import (
    BusyError,
    ConflictError,
    InvalidConfigError,
    NotFoundError,
    OsrdError,
)
from osrd.model.finding import Finding, Severity
from osrd.model.job import Job, JobKind
from osrd.model.view import (
    Event,
    Generation,
    PlanView,
    Snapshot,
)

logger = logging.getLogger(__name__)

Result = dict[str, str | int | bool | tuple[str, ...]]

_KINDS: dict[type[Request], JobKind] = {
    Reconcile: JobKind.RECONCILE,
    Apply: JobKind.APPLY,
    Verify: JobKind.VERIFY,
    Rollback: JobKind.ROLLBACK,
    Reload: JobKind.RELOAD,
    AddNode: JobKind.EDIT,
    SetNode: JobKind.EDIT,
    RemoveNode: JobKind.EDIT,
}


_EDITS = (AddNode, SetNode, RemoveNode)
#: What Apply and Rollback can be refused with; anything else means that the run itself is in trouble.
_REFUSALS = (ConflictError, InvalidConfigError, NotFoundError)


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: int
    request: Request
    owner: int


class Reconciler:
    """Implements osrd.engine.api.Engine around a Pipeline."""

    def __init__(self, pipeline: Pipeline, writer: ThreadPoolExecutor, loop: asyncio.AbstractEventLoop) -> None:
        """``writer`` is the one thread that ``pipeline`` was made in (its database belongs to that thread)."""
        self._pipeline = pipeline
        self._writer = Writer(writer, loop)
        self._loop = loop
        self._teller = Teller()
        self._book = JobBook(loop, self._teller.emit)
        self._waiting: list[_Waiting] = []
        self._hints: set[str] = set()
        self._full = True  # the first run looks at everything
        self._dirty = asyncio.Event()
        self._dirty.set()
        self._step_running = asyncio.Lock()
        self._stopping = False
        self._retries = 0
        self._retry: asyncio.TimerHandle | None = None
        self.after_run: Callable[[Run], None] = _ignore

    @property
    def snapshot(self) -> Snapshot:
        return self._teller.snapshot

    @property
    def jobs(self) -> tuple[Job, ...]:
        return self._book.jobs

    @property
    def busy_since(self) -> float | None:
        """Loop time of the last sign of life of the run that is going on, None while idle."""
        return self._writer.busy_since

    @property
    def book(self) -> JobBook:
        """For those who have jobs beside the runs."""
        return self._book

    @property
    def teller(self) -> Teller:
        """For those who have something to show beside the runs."""
        return self._teller

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        self._teller.subscribe(listener)

    def unsubscribe(self, listener: Callable[[Event], None]) -> None:
        self._teller.unsubscribe(listener)

    def wake(self, hints: frozenset[str]) -> None:
        """Something changed: look at the inputs and at ``hints``; an empty set means everything."""
        if hints:
            self._hints |= hints
        else:
            self._full = True
        self._dirty.set()

    def report(self, finding: Finding) -> None:
        """A finding that no run makes (a watcher that had to fall back)."""
        self._teller.finding(finding)

    def watching(self, mode: str) -> None:
        self._teller.watching(mode)

    def submit(self, request: Request, owner: int) -> Job:
        self._check_running()
        self._check(request)
        job = self._book.add(_KINDS[type(request)], _target(request), owner)
        self._waiting.append(_Waiting(job.number, request, owner))
        self._dirty.set()
        return job

    def cancel(self, number: int) -> None:
        self._book.cancel(number)
        self._waiting = [waiting for waiting in self._waiting if waiting.job != number]

    async def plan(self, *, diff: bool) -> PlanView:
        self._check_running()
        return await self._writer.do(partial(self._pipeline.plan_view, diff=diff))

    async def generations(self) -> tuple[Generation, ...]:
        self._check_running()
        return await self._writer.do(self._pipeline.generations)

    async def work(self) -> None:
        """Until stop(): one request, or one run for everything that waits, at a time."""
        while not self._stopping:
            await self._dirty.wait()
            self._dirty.clear()
            while not self._stopping and (self._full or self._hints or self._waiting):
                async with self._step_running:
                    await self._step()

    async def stop(self) -> None:
        """Let what goes on finish and have its result told (publishing is short and atomic), cancel what waits, then
        give everything back."""
        self._stopping = True
        self._dirty.set()
        self._teller.stopping()
        async with self._step_running:
            for waiting in self._waiting:
                self._book.cancel(waiting.job)
            self._waiting.clear()
        self._book.close()
        if self._retry is not None:
            self._retry.cancel()
        await self._writer.close(self._pipeline.close)

    def _check_running(self) -> None:
        if self._stopping:
            raise BusyError("osrd is stopping", "ask again when it runs")

    async def _step(self) -> None:
        first = self._waiting[0] if self._waiting else None
        if first is None or isinstance(first.request, Reconcile):
            await self._reconcile()
        elif isinstance(first.request, _EDITS):
            await self._edit()
        else:
            self._waiting.remove(first)
            await self._perform(first)

    def _leading(self, *kinds: type[Request]) -> list[_Waiting]:
        """The requests of these kinds at the head of the queue."""
        return list(takewhile(lambda waiting: isinstance(waiting.request, kinds), self._waiting))

    async def _reconcile(self) -> None:
        """One run for all wake-ups so far and all who asked before anybody asked for something else."""
        asked = self._leading(Reconcile)
        del self._waiting[: len(asked)]
        scope = Scope(self._full or bool(asked), frozenset(self._hints))
        self._full = False
        self._hints.clear()
        jobs = [waiting.job for waiting in asked]
        for job in jobs:
            self._book.start(job)
        reason = "asked for" if jobs else "inputs or outputs changed"
        await self._run(jobs, partial(self._pipeline.run, scope, reason, retry=bool(jobs)))

    async def _edit(self) -> None:
        """All edits that wait, in their order, then one run for those that could be made: a script that adds a hundred
        nodes is published once. Each edit is judged by the file as the ones before it left it."""
        made: list[int] = []
        for _ in self._leading(*_EDITS):
            if not self._leading(*_EDITS) or self._stopping:
                break  # cancelled meanwhile
            waiting = self._waiting.pop(0)
            self._book.start(waiting.job)
            try:
                before, after = await self._writer.do(partial(self._change, waiting.request))
            except OsrdError as error:
                self._book.failed(waiting.job, error)
                continue
            made.append(waiting.job)
            text = f"uid {waiting.owner}: {_target(waiting.request)} edited in cluster.conf"
            log_event(logger, MessageId.NODE_EDITED, text, uid=waiting.owner, before=before, after=after)
        if made:
            await self._run(made, partial(self._pipeline.run, Scope(full=False), "edited"))

    def _change(self, request: Request) -> tuple[str, str]:
        assert isinstance(request, _EDITS)
        return self._pipeline.edit(request)

    async def _perform(self, waiting: _Waiting) -> None:
        """A request that is alone in its run."""
        job = waiting.job
        self._book.start(job)
        match waiting.request:
            case Verify():
                try:
                    stale = await self._writer.do(partial(self._pipeline.verify, self._progress([job])))
                except OsrdError as error:
                    self._book.failed(job, error)
                else:
                    self._book.done(job, {"stale": stale, "ok": not stale})
            case Rollback(generation):
                if await self._run([job], partial(self._pipeline.pin, generation), _REFUSALS):
                    text = f"uid {waiting.owner}: rolled back to generation {generation}"
                    log_event(logger, MessageId.ROLLED_BACK, text, uid=waiting.owner)
            case Apply(digest):
                await self._run([job], partial(self._pipeline.apply, digest), _REFUSALS)
            case Reload():
                await self._reload(job)

    async def _reload(self, job: int) -> None:
        """osrd.conf again, then a full run whatever came of it: the templates may have changed too."""
        refusal: OsrdError | None = None
        try:
            rejected = await self._writer.do(self._pipeline.reload)
        except OsrdError as error:
            rejected, refusal = (), error
        for finding in rejected:
            if finding.severity is Severity.ERROR:
                refusal = InvalidConfigError(str(finding), "the former settings stay in force")
                break
        work = partial(self._pipeline.run, Scope(), "configuration read again", retry=True)
        await self._run([job], work, refusal=refusal)

    async def _run(
        self,
        jobs: list[int],
        work: Callable[[Progress], Run],
        refusals: tuple[type[OsrdError], ...] = (),
        refusal: OsrdError | None = None,
    ) -> bool:
        """Do ``work`` in the writer, tell what came of it and end the jobs; whether it had a result.

        An error of ``refusals`` is an answer to who asked; after any other the run is tried again. ``refusal`` is why
        the jobs fail even if the run goes well.
        """
        try:
            run = await self._writer.do(lambda: work(self._progress(jobs)))
        except OsrdError as error:
            if not isinstance(error, refusals):
                self._teller.trouble(error)
                self._schedule_retry(failed=True)
            for job in jobs:
                self._book.failed(job, error)
            return False
        self._teller.ran(run)
        self._schedule_retry(failed=run.failed)
        self.after_run(run)
        for job in jobs:
            if refusal is None:
                self._book.done(job, _result(run))
            else:
                self._book.failed(job, refusal)
        return True

    def _check(self, request: Request) -> None:
        """Refuse at once what is certain to fail, so that scripts get the error from the call itself. Nothing else:
        the file may have been edited, by hand or by a job that still waits, since the last run looked at it."""
        if isinstance(request, _EDITS):
            expected, current = request.expected_version, self.snapshot.config_version
            if expected and expected < current:
                raise ConflictError(
                    f"config_version is {current}, not {expected}", "read the configuration again and repeat the edit"
                )

    def _schedule_retry(self, *, failed: bool) -> None:
        """A publication that failed (a full disk) is tried again by itself, ever more rarely, up to once a minute."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if not failed:
            self._retries = 0
            return
        self._retries += 1
        self._retry = self._loop.call_later(min(60.0, 2.0**self._retries), self.wake, frozenset[str]())

    def _progress(self, jobs: list[int]) -> Progress:
        """A callable for the writer thread that reports on the loop."""

        def report(fraction: float, message: str) -> None:
            self._loop.call_soon_threadsafe(self._heard, tuple(jobs), fraction, message)

        return report

    def _heard(self, jobs: tuple[int, ...], fraction: float, message: str) -> None:
        self._writer.lives()
        for job in jobs:
            self._book.progress(job, fraction, message)


def _ignore(run: Run) -> None:
    """Nobody wants to know."""


def _target(request: Request) -> str:
    match request:
        case AddNode(name):
            return name
        case SetNode(node) | RemoveNode(node):
            return node
        case Rollback(generation):
            return str(generation)
        case _:
            return ""


def _result(run: Run) -> Result:
    result: Result = {
        "generation": run.snapshot.generation,
        "config_version": run.snapshot.config_version,
        "in_sync": run.snapshot.in_sync,
        "written": run.result.written if run.result else 0,
        "removed": run.result.removed if run.result else 0,
        "drift": run.plan.drift[:1000],
    }
    return result
