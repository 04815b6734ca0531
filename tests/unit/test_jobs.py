# SPDX-License-Identifier: GPL-3.0-or-later
import asyncio
from collections.abc import Iterator

import pytest

from osrd.engine import jobs
from osrd.engine.jobs import JobBook
from osrd.model.errors import BusyError, ConflictError, NotFoundError, UnsupportedError
from osrd.model.job import JobKind, JobState
from osrd.model.view import Event, JobAdded, JobChanged, JobRemoved


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    fresh = asyncio.new_event_loop()
    yield fresh
    fresh.close()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def book(loop: asyncio.AbstractEventLoop, events: list[Event]) -> Iterator[JobBook]:
    made = JobBook(loop, events.append)
    yield made
    made.close()


def test_a_job_lives_from_queued_to_done(book: JobBook, events: list[Event]) -> None:
    job = book.add(JobKind.RECONCILE, "", 1000)
    book.start(job.number)
    book.done(job.number, {"written": 3})
    ended = book.get(job.number)
    assert (ended.state, ended.progress, ended.result, ended.owner) == (JobState.DONE, 1.0, {"written": 3}, 1000)
    assert [type(event) for event in events] == [JobAdded, JobChanged, JobChanged]


def test_a_failure_is_named_after_its_class(book: JobBook) -> None:
    job = book.add(JobKind.EDIT, "node1", 0)
    book.failed(job.number, ConflictError("the version is 4, not 3", "look again"))
    assert book.get(job.number).error == "Conflict"
    assert book.get(job.number).message == "the version is 4, not 3; look again"


def test_only_waiting_jobs_can_be_cancelled(book: JobBook) -> None:
    waiting, running = book.add(JobKind.VERIFY, "", 0), book.add(JobKind.VERIFY, "", 0)
    book.start(running.number)
    book.cancel(waiting.number)
    assert book.get(waiting.number).state is JobState.CANCELLED
    with pytest.raises(UnsupportedError, match="running"):
        book.cancel(running.number)
    with pytest.raises(NotFoundError, match="99"):
        book.cancel(99)


def test_progress_is_told_at_most_four_times_a_second(book: JobBook, events: list[Event]) -> None:
    job = book.add(JobKind.RECONCILE, "", 0)
    book.start(job.number)
    del events[:]
    for step in range(100):
        book.progress(job.number, step / 100, "writing")
    assert len(events) == 1


def test_too_many_jobs_are_refused(book: JobBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LIMIT", 2)
    first = book.add(JobKind.RECONCILE, "", 0)
    book.add(JobKind.RECONCILE, "", 0)
    with pytest.raises(BusyError):
        book.add(JobKind.RECONCILE, "", 0)
    book.done(first.number, {})
    assert book.add(JobKind.RECONCILE, "", 0).number == 3, "ended jobs do not count"


def test_an_ended_job_is_forgotten_after_a_while(
    loop: asyncio.AbstractEventLoop, book: JobBook, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "REMEMBERED", 0.0)
    job = book.add(JobKind.RECONCILE, "", 0)
    book.done(job.number, {})
    loop.run_until_complete(asyncio.sleep(0.01))
    assert book.jobs == ()
    assert isinstance(events[-1], JobRemoved)


def test_progress_that_comes_after_the_end_changes_nothing(book: JobBook, events: list[Event]) -> None:
    job = book.add(JobKind.RECONCILE, "", 0)
    book.progress(job.number, 0.1, "not begun yet")
    book.start(job.number)
    book.done(job.number, {})
    told = len(events)
    book.progress(job.number, 0.5, "late")
    book.progress(999, 0.5, "nobody's")
    assert len(events) == told == 3
    assert book.get(job.number).progress == 1.0
