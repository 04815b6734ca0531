# SPDX-License-Identifier: GPL-3.0-or-later
"""The book of jobs: numbers, states, and how long an ended one is remembered."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from osrd.model.errors import BusyError, NotFoundError, OsrdError, UnsupportedError
from osrd.model.job import Job, JobKind, JobState
from osrd.model.view import Event, JobAdded, JobChanged, JobRemoved

#: Seconds an ended job stays, so that a slow client can still read its result.
REMEMBERED = 60.0
#: Jobs that may wait or run at once; more are answered with Busy.
LIMIT = 200
#: Seconds between two progress reports of one job: DESIGN's at most four a second.
_PROGRESS_STEP = 0.25


def error_name(error: OsrdError) -> str:
    """``Conflict`` for a ConflictError: the last part of its bus error name."""
    return type(error).__name__.removesuffix("Error")


class JobBook:
    """All jobs that run or ended lately. Lives on the event loop; every change is reported as an event."""

    def __init__(self, loop: asyncio.AbstractEventLoop, report: Callable[[Event], None]) -> None:
        self._loop = loop
        self._report = report
        self._jobs: dict[int, Job] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._last = 0
        self._reported: dict[int, float] = {}

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(self._jobs.values())

    def get(self, number: int) -> Job:
        try:
            return self._jobs[number]
        except KeyError:
            raise NotFoundError(f"there is no job {number}") from None

    def add(self, kind: JobKind, target: str, owner: int) -> Job:
        if sum(not job.state.ended for job in self._jobs.values()) >= LIMIT:
            raise BusyError(f"{LIMIT} jobs wait already", "try again when some have ended")
        self._last += 1
        job = Job(self._last, kind, JobState.QUEUED, target=target, owner=owner)
        self._jobs[job.number] = job
        self._report(JobAdded(job))
        return job

    def start(self, number: int) -> None:
        self._change(replace(self.get(number), state=JobState.RUNNING))

    def progress(self, number: int, fraction: float, message: str) -> None:
        """Tell how far a job is; reports that come faster than anybody can read are dropped."""
        now = self._loop.time()
        job = self._jobs.get(number)
        if job is None or job.state is not JobState.RUNNING:
            return  # an end is an end, whatever comes late
        if now - self._reported.get(number, -_PROGRESS_STEP) < _PROGRESS_STEP:
            return
        self._reported[number] = now
        self._change(replace(job, progress=fraction, message=message))

    def done(self, number: int, result: dict[str, str | int | bool | tuple[str, ...]], message: str = "") -> None:
        self._end(replace(self.get(number), state=JobState.DONE, progress=1.0, message=message, result=result))

    def failed(self, number: int, error: OsrdError) -> None:
        self._end(replace(self.get(number), state=JobState.FAILED, message=str(error), error=error_name(error)))

    def cancel(self, number: int, message: str = "cancelled before it started") -> None:
        job = self.get(number)
        if job.state is not JobState.QUEUED:
            raise UnsupportedError(f"job {number} is {job.state}", "only a job that still waits can be cancelled")
        self._end(replace(job, state=JobState.CANCELLED, message=message))

    def cancelled(self, number: int, message: str) -> None:
        """A running job was cancelled and is rolled back."""
        self._end(replace(self.get(number), state=JobState.CANCELLED, message=message))

    def close(self) -> None:
        """Forget everything and every timer; nothing is reported any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _change(self, job: Job) -> None:
        self._jobs[job.number] = job
        self._report(JobChanged(job))

    def _end(self, job: Job) -> None:
        self._reported.pop(job.number, None)
        self._change(job)
        self._timers[job.number] = self._loop.call_later(REMEMBERED, self._forget, job.number)

    def _forget(self, number: int) -> None:
        self._timers.pop(number, None)
        self._report(JobRemoved(self._jobs.pop(number)))
