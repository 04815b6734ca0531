# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine proper: wake-ups and requests in, runs in the writer thread, events out.

Everything here happens on the event loop except the runs themselves, which have a thread of their own so that the
loop answers callers meanwhile (law 10). There is exactly one such thread: the one writer.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

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
from osrd.model.errors import ConflictError, NotFoundError, OsrdError
from osrd.model.finding import Finding, Severity
from osrd.model.job import Job, JobKind
from osrd.model.view import (
    ConfigRejected,
    DriftDetected,
    Event,
    Generation,
    PlanView,
    Reconciled,
    Snapshot,
    SnapshotChanged,
    State,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

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
        self._writer = writer
        self._loop = loop
        self._listeners: list[Callable[[Event], None]] = []
        self._book = JobBook(loop, self._emit)
        self._waiting: list[_Waiting] = []
        self._hints: set[str] = set()
        self._full = True  # the first run looks at everything
        self._dirty = asyncio.Event()
        self._dirty.set()
        self._snapshot = Snapshot()
        self._watch_mode = ""
        self._extra: tuple[Finding, ...] = ()
        self._rejected: tuple[Finding, ...] = ()
        self._busy_since: float | None = None
        self._active = 0
        self._retries = 0
        self._retry: asyncio.TimerHandle | None = None
        self.after_run: Callable[[Run], None] = _ignore

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @property
    def jobs(self) -> tuple[Job, ...]:
        return self._book.jobs

    @property
    def busy_since(self) -> float | None:
        """Loop time of the last sign of life of the run that is going on, None while idle."""
        return self._busy_since

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        self._listeners.append(listener)

    def wake(self, hints: frozenset[str]) -> None:
        """Something changed: look at the inputs and at ``hints``; an empty set means everything."""
        if hints:
            self._hints |= hints
        else:
            self._full = True
        self._dirty.set()

    def report(self, finding: Finding) -> None:
        """A finding that no run makes (a watcher that had to fall back); the newest of its family replaces the others:
        ``watch-restored`` ends ``watch-degraded``."""
        family = finding.code.partition("-")[0]
        others = tuple(known for known in self._extra if known.code.partition("-")[0] != family)
        self._extra = others if finding.severity is Severity.INFO else (*others, finding)
        logger.log(_LEVELS[finding.severity], "%s", finding)
        self._show(self._pipeline.snapshot)

    def watching(self, mode: str) -> None:
        self._watch_mode = mode
        self._show(self._snapshot)

    def submit(self, request: Request, owner: int) -> Job:
        self._check(request)
        job = self._book.add(_KINDS[type(request)], _target(request), owner)
        self._waiting.append(_Waiting(job.number, request, owner))
        self._dirty.set()
        return job

    def cancel(self, number: int) -> None:
        self._book.cancel(number)
        self._waiting = [waiting for waiting in self._waiting if waiting.job != number]

    async def plan(self, *, diff: bool) -> PlanView:
        return await self._in_writer(partial(self._pipeline.plan_view, diff=diff))

    async def generations(self) -> tuple[Generation, ...]:
        return await self._in_writer(self._pipeline.generations)

    async def work(self) -> None:
        """Run until cancelled: one request, or one run for everything that waits, at a time."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            while self._full or self._hints or self._waiting:
                await self._step()

    async def stop(self) -> None:
        """Let a run that goes on finish (publishing is short and atomic), then give everything back."""
        self._show(replace(self._snapshot, state=State.STOPPING))
        self._book.close()
        if self._retry is not None:
            self._retry.cancel()
        await self._loop.run_in_executor(self._writer, self._pipeline.close)
        self._writer.shutdown()

    async def _step(self) -> None:
        special = next((w for w in self._waiting if not isinstance(w.request, Reconcile)), None)
        ahead = self._waiting[: self._waiting.index(special)] if special else self._waiting
        if ahead or special is None:
            await self._reconcile([waiting.job for waiting in ahead])
            return
        self._waiting.remove(special)
        self._book.start(special.job)
        try:
            result = await self._perform(special)
        except OsrdError as error:
            self._book.failed(special.job, error)
        else:
            self._book.done(special.job, result)

    async def _reconcile(self, jobs: list[int]) -> None:
        """One run for all ``jobs`` and all wake-ups so far: everyone gets the result of the run with their change."""
        self._waiting = [waiting for waiting in self._waiting if waiting.job not in jobs]
        scope = Scope(self._full or bool(jobs), frozenset(self._hints))
        self._full = False
        self._hints.clear()
        for job in jobs:
            self._book.start(job)
        reason = "asked for" if jobs else "inputs or outputs changed"
        try:
            run = await self._in_writer(
                partial(self._pipeline.run, scope, reason, self._progress(jobs), retry=bool(jobs))
            )
        except OsrdError as error:
            self._full = False
            for job in jobs:
                self._book.failed(job, error)
            self._fault(error)
            return
        self._publish_run(run)
        for job in jobs:
            self._book.done(job, _result(run))

    async def _perform(self, waiting: _Waiting) -> Result:
        request, progress = waiting.request, self._progress([waiting.job])
        match request:
            case Verify():
                stale = await self._in_writer(partial(self._pipeline.verify, progress))
                return {"stale": stale, "ok": not stale}
            case Rollback(generation):
                run = await self._in_writer(partial(self._pipeline.pin, generation, progress))
                log_event(logger, MessageId.ROLLED_BACK, f"rolled back to generation {generation}", uid=waiting.owner)
            case Apply(digest):
                run = await self._in_writer(partial(self._pipeline.apply, digest, progress))
            case Reload():
                run = await self._in_writer(partial(self._reload, progress))
            case AddNode() | SetNode() | RemoveNode():
                before, after = await self._in_writer(partial(self._pipeline.edit, request))
                log_event(
                    logger,
                    MessageId.NODE_EDITED,
                    f"uid {waiting.owner}: {_target(request)} edited in cluster.conf",
                    uid=waiting.owner,
                    before=before,
                    after=after,
                )
                run = await self._in_writer(partial(self._pipeline.run, Scope(full=False), "edited", progress))
            case Reconcile():
                raise AssertionError("reconcile requests share runs and never come here")
        self._publish_run(run)
        return _result(run)

    def _reload(self, progress: Progress) -> Run:
        self._pipeline.reload()
        return self._pipeline.run(Scope(), "configuration read again", progress, retry=True)

    def _check(self, request: Request) -> None:
        """Refuse at once what can be seen to fail, so that scripts get the error from the call itself."""
        if isinstance(request, AddNode | SetNode | RemoveNode):
            expected, current = request.expected_version, self._snapshot.config_version
            if expected and expected != current:
                raise ConflictError(
                    f"config_version is {current}, not {expected}", "read the configuration again and repeat the edit"
                )
        if isinstance(request, SetNode | RemoveNode) and not self._known(request.node):
            raise NotFoundError(f"there is no node {request.node}", "osrctl nodes lists them")

    def _known(self, node: str) -> bool:
        nodes = self._snapshot.nodes
        return node in nodes or any(view.node.name == node for view in nodes.values())

    def _publish_run(self, run: Run) -> None:
        """Tell everybody what a run did, in the order: state, findings, drift, result."""
        self._show(run.snapshot)
        if run.rejected and run.rejected != self._rejected:
            log_event(logger, MessageId.CONFIG_REJECTED, "; ".join(str(finding) for finding in run.rejected[:5]))
            self._emit(ConfigRejected(run.rejected))
        self._rejected = run.rejected
        if drift := run.plan.drift:
            log_event(logger, MessageId.DRIFT_FOUND, f"repaired: {', '.join(drift[:5])}", paths=len(drift))
            self._emit(DriftDetected(drift))
        result = run.result
        if result is not None and (result.written or result.removed):
            logger.info(
                "generation %d: %d files written, %d removed", result.generation, result.written, result.removed
            )
            self._emit(Reconciled(result.generation, result.written, result.removed, len(run.snapshot.findings)))
        self._schedule_retry(run)
        self.after_run(run)

    def _schedule_retry(self, run: Run) -> None:
        """A publication that failed (a full disk) is tried again by itself, ever more rarely, up to once a minute."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if not run.failed:
            self._retries = 0
            return
        self._retries += 1
        self._retry = self._loop.call_later(min(60.0, 2.0**self._retries), self.wake, frozenset[str]())

    def _show(self, snapshot: Snapshot) -> None:
        findings = tuple(dict.fromkeys((*snapshot.findings, *self._extra)))
        after = replace(snapshot, findings=findings, watch_mode=self._watch_mode)
        before, self._snapshot = self._snapshot, after
        if after != before:
            self._log_findings(before.findings, after.findings)
            self._emit(SnapshotChanged(before, after))

    def _log_findings(self, before: tuple[Finding, ...], after: tuple[Finding, ...]) -> None:
        known = set(before)
        fresh = [finding for finding in after if finding not in known]
        for finding in fresh[:_LOGGED]:
            event = _event_of(finding)
            if event is None:
                logger.log(_LEVELS[finding.severity], "%s", finding)
            else:
                log_event(logger, event, str(finding), node=finding.node, code=finding.code)
        if len(fresh) > _LOGGED:
            logger.warning("%d more findings, see osrctl status", len(fresh) - _LOGGED)

    def _fault(self, error: OsrdError) -> None:
        log_event(logger, MessageId.PUBLISH_FAILED, str(error))

    def _emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def _progress(self, jobs: list[int]) -> Progress:
        """A callable for the writer thread that reports on the loop."""

        def report(fraction: float, message: str) -> None:
            self._loop.call_soon_threadsafe(self._heard, tuple(jobs), fraction, message)

        return report

    def _heard(self, jobs: tuple[int, ...], fraction: float, message: str) -> None:
        if self._busy_since is not None:
            self._busy_since = self._loop.time()
        for job in jobs:
            self._book.progress(job, fraction, message)

    async def _in_writer(self, work: Callable[[], T]) -> T:
        self._active += 1
        self._busy_since = self._loop.time()
        try:
            return await self._loop.run_in_executor(self._writer, work)
        finally:
            self._active -= 1
            self._busy_since = self._loop.time() if self._active else None


def _ignore(run: Run) -> None:
    """Nobody wants to know."""


#: Findings that one run logs at most; the bus has them all.
_LOGGED = 20


_EVENTS = {
    "watch-degraded": MessageId.WATCH_DEGRADED,
    "publish-failed": MessageId.PUBLISH_FAILED,
    "dhcp-reload": MessageId.DHCP_RELOAD_FAILED,
    "reload-failed": MessageId.DHCP_RELOAD_FAILED,
}


def _event_of(finding: Finding) -> MessageId | None:
    """The journal event of a finding that an operator must act on."""
    event = _EVENTS.get(finding.code)
    if event is None and finding.severity is Severity.ERROR:
        if finding.node:
            event = MessageId.NODE_QUARANTINED
        elif finding.code.startswith("dhcp-"):
            event = MessageId.DHCP_REJECTED
    return event


_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}


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
