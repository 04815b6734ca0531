# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests in, runs, events out: on a real event loop and a real thread, with a scripted pipeline or the real one."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from osrd.apply.publish import PublishResult
from osrd.engine.api import AddNode, Apply, Reconcile, Reload, RemoveNode, Rollback, SetNode, Verify
from osrd.engine.pipeline import Pipeline, Run, Scope
from osrd.engine.reconciler import Reconciler
from osrd.model.errors import BusyError, ConflictError, FailedError, NotFoundError, UnsupportedError
from osrd.model.finding import Finding, Severity
from osrd.model.job import Job, JobState
from osrd.model.output import Kind, Output, Stage
from osrd.model.plan import Plan, Reason, Write
from osrd.model.view import (
    ConfigRejected,
    DriftDetected,
    Event,
    PlanView,
    Reconciled,
    Snapshot,
    SnapshotChanged,
    State,
)
from tests.eventually import eventually_async
from tests.unit.boothost import BootHost, node_text

GOOD = Snapshot(state=State.READY, in_sync=True, generation=1, config_version=1, cluster_name="test")


def drift_of(*paths: str) -> Plan:
    outputs = (Output(path, Kind.PXELINUX, Stage.MENU, "00") for path in paths)
    return Plan(tuple(Write(output, Reason.DRIFT, "11") for output in outputs))


@dataclass
class ScriptedPipeline:
    """Stands in for Pipeline, the seam. ``gate`` holds the next run until it is set; ``outcomes`` are taken one per
    run: a Run, or an exception to raise; without any a run changes nothing."""

    outcomes: list[Run | BaseException] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    edits: list[object] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    rejected: tuple[Finding, ...] = ()
    closed: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    def _outcome(self, *call: object) -> Run:
        self.calls.append(call)
        self.entered.set()
        assert self.gate.wait(30)
        outcome = self.outcomes.pop(0) if self.outcomes else Run(GOOD, Plan(), None)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def run(self, scope: Scope, reason: str, progress: object, *, retry: bool = False) -> Run:
        return self._outcome("run", scope, reason, retry)

    def apply(self, digest: str, progress: object) -> Run:
        return self._outcome("apply", digest)

    def pin(self, generation: int, progress: Callable[[float, str], None]) -> Run:
        progress(0.5, "half")
        return self._outcome("pin", generation)

    def verify(self, progress: object) -> tuple[str, ...]:
        self._outcome("verify")
        return ("/stale",)

    def reload(self) -> tuple[Finding, ...]:
        self.calls.append(("reload",))
        return self.rejected

    def edit(self, request: object) -> tuple[str, str]:
        self.calls.append(("edit", request))
        self.entered.set()
        assert self.gate.wait(30)
        if isinstance(request, SetNode):
            raise ConflictError("taken")
        self.edits.append(request)
        return "before", "after"

    def plan_view(self, *, diff: bool) -> PlanView:
        return PlanView("digest")

    def generations(self) -> tuple[()]:
        return ()

    def close(self) -> None:
        self.closed = True


class Harness:
    """A Reconciler at work, and all it said."""

    def __init__(self, engine: Reconciler) -> None:
        self.engine = engine
        self.events: list[Event] = []
        self.stopped = False
        engine.subscribe(self.events.append)

    def told(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def job(self, number: int) -> Job:
        return next(job for job in self.engine.jobs if job.number == number)

    async def end(self, job: Job) -> Job:
        await eventually_async(lambda: self.job(job.number).state.ended, f"job {job.number} ends")
        return self.job(job.number)

    async def idle(self) -> None:
        await eventually_async(lambda: self.engine.snapshot.state is not State.STARTING, "the first run")
        await eventually_async(lambda: self.engine.busy_since is None, "nothing runs")


def drive(pipeline: object, story: Callable[[Harness], Awaitable[None]]) -> Harness:
    """Run ``story`` beside the work loop, then stop. ``pipeline`` may be a function that makes one in the writer."""

    async def play() -> Harness:
        loop = asyncio.get_running_loop()
        writer = ThreadPoolExecutor(1)
        made = await loop.run_in_executor(writer, pipeline) if callable(pipeline) else pipeline
        harness = Harness(Reconciler(cast("Pipeline", made), writer, loop))
        work = asyncio.create_task(harness.engine.work())
        try:
            await asyncio.wait_for(story(harness), 60)
        finally:
            if isinstance(pipeline, ScriptedPipeline):
                pipeline.gate.set()
            if not harness.stopped:
                await harness.engine.stop()
            await asyncio.wait_for(work, 10)
        return harness

    return asyncio.run(play())


@pytest.fixture
def scripted() -> ScriptedPipeline:
    return ScriptedPipeline()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootHost]:
    with BootHost(tmp_path) as made:
        yield made


async def held(harness: Harness, pipeline: ScriptedPipeline) -> None:
    """Let a run begin and hold it."""
    await harness.idle()
    pipeline.gate.clear()
    pipeline.entered.clear()
    harness.engine.wake(frozenset({"/held"}))
    await eventually_async(pipeline.entered.is_set, "a run began")


# sharing and order


def test_requests_that_wait_together_share_one_run(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        await held(harness, scripted)
        before = len(scripted.calls)
        harness.engine.wake(frozenset({"/a"}))
        jobs = [harness.engine.submit(Reconcile(), 0) for _ in range(50)]
        scripted.outcomes = [Run(GOOD, Plan(), None), Run(replace(GOOD, generation=7), Plan(), None)]
        scripted.gate.set()
        ended = [await harness.end(job) for job in jobs]
        assert {job.state for job in ended} == {JobState.DONE}
        assert {job.result["generation"] for job in ended} == {7}, "of the run that began after they asked"
        assert scripted.calls[before:] == [("run", Scope(True, frozenset({"/a"})), "asked for", True)]

    drive(scripted, story)


def test_a_full_run_takes_the_hints_along_and_hints_alone_stay_a_quick_run(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        await held(harness, scripted)
        harness.engine.wake(frozenset({"/a"}))
        harness.engine.wake(frozenset())
        harness.engine.wake(frozenset({"/b"}))
        scripted.gate.set()
        await eventually_async(lambda: len(scripted.calls) == 3, "one more run")
        await harness.idle()
        assert scripted.calls[2][1] == Scope(True, frozenset({"/a", "/b"}))
        harness.engine.wake(frozenset({"/c"}))
        await eventually_async(lambda: len(scripted.calls) == 4, "one more run")
        assert scripted.calls[3][1] == Scope(False, frozenset({"/c"}))

    drive(scripted, story)


def test_edits_that_wait_share_one_run_and_keep_their_order(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        await held(harness, scripted)
        before = len(scripted.calls)
        first = harness.engine.submit(AddNode("a"), 0)
        bad = harness.engine.submit(SetNode("b"), 0)
        last = harness.engine.submit(RemoveNode("c"), 0)
        verify = harness.engine.submit(Verify(), 0)
        late = harness.engine.submit(AddNode("d"), 0)
        scripted.gate.set()
        ended = [await harness.end(job) for job in (first, bad, last, verify, late)]
        assert [job.state for job in ended] == [JobState.DONE, JobState.FAILED, *[JobState.DONE] * 3]
        assert (ended[1].error, ended[1].message) == ("Conflict", "taken")
        assert [call[0] for call in scripted.calls[before:]] == [
            "edit",
            "edit",
            "edit",
            "run",
            "verify",
            "edit",
            "run",
        ]
        assert scripted.edits == [AddNode("a"), RemoveNode("c"), AddNode("d")]

    drive(scripted, story)


def test_edits_that_all_fail_need_no_run(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        await harness.idle()
        before = len(scripted.calls)
        await harness.end(harness.engine.submit(SetNode("b"), 0))
        assert [call[0] for call in scripted.calls[before:]] == ["edit"]

    drive(scripted, story)


def test_a_hundred_edits_at_once_lose_nothing(host: BootHost) -> None:
    async def story(harness: Harness) -> None:
        await harness.idle()
        jobs = [
            harness.engine.submit(
                AddNode(f"new{i}", {"ip": f"10.0.0.{100 + i}", "mac": f"02:00:00:00:01:{i:02x}"}), owner=0
            )
            for i in range(100)
        ]
        ended = [await harness.end(job) for job in jobs]
        assert {(job.state, job.message) for job in ended} == {(JobState.DONE, "")}
        assert ended[-1].result["config_version"] == 101
        assert len(harness.engine.snapshot.nodes) == 102
        assert harness.engine.snapshot.config_version == 101
        assert harness.engine.snapshot.in_sync
        assert harness.engine.snapshot.generation < 60, "they shared runs"

    drive(lambda: host.pipeline, story)
    assert host.cluster_conf.read_text().count("<clusternode ") == 102
    assert len(list(host.entry(1).parent.glob("01-*"))) == 102


def test_what_the_last_run_did_not_see_yet_is_no_reason_to_refuse(host: BootHost) -> None:
    """A script adds a node by hand, then calls at once, faster than any watcher."""

    async def story(harness: Harness) -> None:
        await harness.idle()
        host.write(1, 2, 3, version=5)
        ended = await harness.end(harness.engine.submit(SetNode("node3", {"votes": "2"}, expected_version=5), 0))
        assert (ended.state, ended.message) == (JobState.DONE, "")
        with pytest.raises(ConflictError, match="6, not 5"):
            harness.engine.submit(SetNode("node3", {"votes": "3"}, expected_version=5), 0)
        add = harness.engine.submit(AddNode("node4", {"ip": "10.0.0.4", "mac": "02:00:00:00:00:04"}), 0)
        at_once = harness.engine.submit(SetNode("node4", {"votes": "3"}, expected_version=7), 0)
        assert [(await harness.end(job)).state for job in (add, at_once)] == [JobState.DONE] * 2

    drive(lambda: host.pipeline, story)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (SetNode("node9", {"votes": "2"}), "NotFound"),
        (RemoveNode("node9"), "NotFound"),
        (AddNode("node1", {"ip": "10.0.0.9"}), "Conflict"),
        (AddNode("node9", {"colour": "red"}), "InvalidArgs"),
        (SetNode("node1", {"votes": "2"}, expected_version=9), "Conflict"),
        (Rollback(99), "NotFound"),
        (Apply("0123456789abcdef"), "Conflict"),
    ],
)
def test_a_refused_request_fails_its_job_by_name_and_changes_nothing(
    host: BootHost, request_: Any, error: str
) -> None:
    async def story(harness: Harness) -> None:
        await harness.idle()
        before = (host.cluster_conf.read_bytes(), host.published(), harness.engine.snapshot)
        ended = await harness.end(harness.engine.submit(request_, 0))
        assert (ended.state, ended.error) == (JobState.FAILED, error)
        assert ended.message
        assert (host.cluster_conf.read_bytes(), host.published(), harness.engine.snapshot) == before
        assert harness.engine.snapshot.state is State.READY

    drive(lambda: host.pipeline, story)


def test_a_job_can_be_cancelled_while_it_waits_only(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        await held(harness, scripted)
        running = harness.engine.submit(Verify(), 0)
        waiting = [harness.engine.submit(request, 0) for request in (AddNode("a"), AddNode("b"), Reconcile())]
        for job in waiting:
            harness.engine.cancel(job.number)
            assert harness.job(job.number).state is JobState.CANCELLED
        scripted.entered.clear()
        scripted.gate.set()
        assert (await harness.end(running)).state is JobState.DONE
        for job in (*waiting, running):
            with pytest.raises(UnsupportedError):
                harness.engine.cancel(job.number)
        with pytest.raises(NotFoundError):
            harness.engine.cancel(999)
        assert scripted.edits == []

    drive(scripted, story)


def test_too_many_jobs_are_refused(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        await held(harness, scripted)
        for _ in range(200):
            harness.engine.submit(Verify(), 0)
        with pytest.raises(BusyError):
            harness.engine.submit(Verify(), 0)

    drive(scripted, story)


# trouble


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(5, "Input/output error"), MemoryError()])
def test_a_mistake_in_osrd_fails_the_jobs_and_not_the_daemon(
    scripted: ScriptedPipeline, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async def story(harness: Harness) -> None:
        await harness.idle()
        for request in (Reconcile(), Rollback(1), Apply(), Verify(), Reload(), AddNode("a")):
            scripted.outcomes = [error]
            ended = await harness.end(harness.engine.submit(request, 0))
            assert (ended.state, ended.error) == (JobState.FAILED, "Failed")
            assert type(error).__name__ in ended.message
            assert "Traceback" not in ended.message
        snapshot = harness.engine.snapshot
        assert (snapshot.state, snapshot.in_sync) == (State.DEGRADED, False)
        assert "run-failed" in {finding.code for finding in snapshot.findings}
        assert [event for event in harness.told(SnapshotChanged) if event.after.state is State.DEGRADED]
        ended = await harness.end(harness.engine.submit(Reconcile(), 0))
        assert ended.state is JobState.DONE
        assert harness.engine.snapshot == GOOD

    drive(scripted, story)
    logged = [record for record in caplog.records if record.exc_info]
    assert logged
    assert type(error).__name__ in caplog.text


def test_a_mistake_in_the_first_run_still_lets_osrd_start(scripted: ScriptedPipeline) -> None:
    scripted.outcomes = [RuntimeError("a bug")]

    async def story(harness: Harness) -> None:
        await harness.idle()
        assert harness.engine.snapshot.state is State.DEGRADED

    drive(scripted, story)


def test_a_run_in_trouble_is_tried_again_ever_more_rarely(
    scripted: ScriptedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Run(replace(GOOD, state=State.DEGRADED, in_sync=False), Plan(), None, failed=True)
    scripted.outcomes = [failed, FailedError("disk"), RuntimeError("bug"), *[failed] * 5]

    async def story(harness: Harness) -> None:
        delays: list[float] = []
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def soon(delay: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
            if callback == harness.engine.wake:
                delays.append(delay)
                delay = 0
            return call_later(delay, callback, *args)

        monkeypatch.setattr(loop, "call_later", soon)
        await eventually_async(lambda: len(scripted.calls) == 9, "eight retries")
        await harness.idle()
        assert delays == [2, 4, 8, 16, 32, 60, 60, 60]
        assert all(call[1].full for call in scripted.calls)
        scripted.outcomes = [failed]
        harness.engine.wake(frozenset({"/a"}))
        await eventually_async(lambda: len(delays) == 9, "one more")
        assert delays[-1] == 2, "it was well in between"

    drive(scripted, story)


def test_a_rollback_that_failed_half_way_is_followed_by_a_run(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        await harness.idle()
        scripted.outcomes = [FailedError("publishing stopped: no space")]
        assert (await harness.end(harness.engine.submit(Rollback(1), 0))).error == "Failed"
        assert harness.engine.snapshot.state is State.DEGRADED
        await eventually_async(lambda: scripted.calls[-1][0] == "run", "it is made right again")

    drive(scripted, story)


def test_a_stuck_writer_shows_however_many_ask(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        assert harness.engine.busy_since is not None or harness.engine.snapshot.state is State.STARTING
        await held(harness, scripted)
        since = harness.engine.busy_since
        assert since is not None
        asking = [asyncio.create_task(harness.engine.generations()) for _ in range(3)]
        asking.append(asyncio.create_task(harness.engine.plan(diff=False)))  # type: ignore[arg-type]
        await eventually_async(lambda: asyncio.get_running_loop().time() > since + 0.05, "time passes")
        assert harness.engine.busy_since == since
        scripted.gate.set()
        await asyncio.gather(*asking)
        await harness.idle()

    drive(scripted, story)


def test_progress_is_a_sign_of_life(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        await held(harness, scripted)
        job = harness.engine.submit(Rollback(1), 0)
        scripted.gate.set()
        await harness.end(job)
        assert [event.job.progress for event in harness.events if getattr(event, "job", None) is not None][-2:] == [
            0.5,
            1.0,
        ]

    drive(scripted, story)


# telling


def test_drift_is_told_once_until_it_is_repaired(scripted: ScriptedPipeline) -> None:
    both, one = drift_of("/a", "/b"), drift_of("/a")
    stuck = frozenset({"/a"})

    async def story(harness: Harness) -> None:
        await harness.idle()
        result = PublishResult(1, written=1)
        scripted.outcomes = [
            Run(GOOD, both, None, failed=True, outstanding=frozenset({"/a", "/b"})),
            Run(GOOD, both, result, outstanding=stuck),
            Run(GOOD, one, None, outstanding=stuck),
            Run(GOOD, one, result),
            Run(GOOD, one, result),
        ]
        for _ in range(5):
            await harness.end(harness.engine.submit(Reconcile(), 0))
        assert [event.paths for event in harness.told(DriftDetected)] == [("/a", "/b"), ("/a",)]
        assert len(harness.told(Reconciled)) == 3

    drive(scripted, story)


def test_a_rejection_is_told_when_it_changes(scripted: ScriptedPipeline, caplog: pytest.LogCaptureFixture) -> None:
    first = Finding("malformed-cluster-conf", Severity.ERROR, "line 3", "correct it")
    other = replace(first, message="line 4")
    bad = [Run(replace(GOOD, state=State.INVALID, findings=(why,)), Plan(), None, (why,)) for why in (first, other)]

    async def story(harness: Harness) -> None:
        await harness.idle()
        scripted.outcomes = [bad[0], bad[0], bad[1], bad[1], Run(GOOD, Plan(), None), bad[0]]
        for _ in range(6):
            await harness.end(harness.engine.submit(Reconcile(), 0))
        assert [event.findings for event in harness.told(ConfigRejected)] == [(first,), (other,), (first,)]

    drive(scripted, story)
    assert sum("line 3" in record.getMessage() for record in caplog.records) == 2, "one line each time"


def test_nothing_new_is_told_by_runs_that_find_nothing(host: BootHost) -> None:
    async def story(harness: Harness) -> None:
        await harness.idle()
        nodes = harness.engine.snapshot.nodes
        before = len([event for event in harness.events if not hasattr(event, "job")])
        for _ in range(5):
            await harness.end(harness.engine.submit(Reconcile(), 0))
            harness.engine.wake(frozenset({"/etc/passwd", str(host.entry(1)), "/nowhere"}))
        await harness.idle()
        assert len([event for event in harness.events if not hasattr(event, "job")]) == before
        assert harness.engine.snapshot.nodes is nodes

    drive(lambda: host.pipeline, story)


def test_callers_see_the_new_state_before_their_job_ends(host: BootHost) -> None:
    async def story(harness: Harness) -> None:
        await harness.idle()
        seen: list[int] = []

        def listen(event: Event) -> None:
            if getattr(event, "job", None) is not None and event.job.state is JobState.DONE:  # type: ignore[union-attr]
                seen.append(harness.engine.snapshot.config_version)

        harness.engine.subscribe(listen)
        await harness.end(harness.engine.submit(SetNode("1", {"votes": "2"}), 0))
        assert seen == [2]

    drive(lambda: host.pipeline, story)


def test_reloading_wrong_settings_fails_the_job_and_right_ones_recover(host: BootHost) -> None:
    async def story(harness: Harness) -> None:
        await harness.idle()
        host.configure("server = 10.0.0.254", "server = nonsense")
        ended = await harness.end(harness.engine.submit(Reload(), 0))
        assert (ended.state, ended.error) == (JobState.FAILED, "InvalidConfig")
        assert "osrd.conf:" in ended.message
        assert harness.engine.snapshot.state is State.INVALID
        assert len(harness.told(ConfigRejected)) == 1
        host.configure("server = nonsense", "server = 10.0.0.254")
        assert (await harness.end(harness.engine.submit(Reload(), 0))).state is JobState.DONE
        assert harness.engine.snapshot.state is State.READY

    drive(lambda: host.pipeline, story)


def test_a_quarantined_node_is_an_event_in_the_journal_and_a_blocked_file_is_not(
    host: BootHost, caplog: pytest.LogCaptureFixture
) -> None:
    host.write(node_text(1, mac="nonsense"), 2)
    host.entry(2).parent.mkdir(parents=True)
    host.entry(2).write_bytes(b"somebody else's")

    async def story(harness: Harness) -> None:
        await harness.idle()

    drive(lambda: host.pipeline, story)
    events = {
        record.OSRD_CODE for record in caplog.records if getattr(record, "MESSAGE_ID", "").startswith("a2f442cbe49a")
    }
    assert events
    assert "occupied" not in events
    assert any("occupied" in record.getMessage() for record in caplog.records)


def test_findings_of_the_watcher_come_on_top_and_go_again(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        await harness.idle()
        degraded = Finding("watch-degraded", Severity.WARNING, "no inotify", "raise the limit")
        harness.engine.report(degraded)
        harness.engine.watching("poll")
        assert harness.engine.snapshot.findings == (degraded,)
        await harness.end(harness.engine.submit(Reconcile(), 0))
        assert (harness.engine.snapshot.findings, harness.engine.snapshot.watch_mode) == ((degraded,), "poll")
        harness.engine.report(Finding("watch-restored", Severity.INFO, "well again", "nothing"))
        assert harness.engine.snapshot.findings == ()

    drive(scripted, story)


# the end


def test_stopping_finishes_the_run_tells_its_result_and_cancels_the_rest(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        await held(harness, scripted)
        running = harness.engine.submit(Rollback(1), 0)
        scripted.gate.set()
        await harness.end(running)
        scripted.gate.clear()
        running = harness.engine.submit(Rollback(1), 0)
        await eventually_async(lambda: harness.job(running.number).state is JobState.RUNNING, "it runs")
        waiting = harness.engine.submit(AddNode("a"), 0)
        stopping = asyncio.create_task(harness.engine.stop())
        await eventually_async(lambda: harness.engine.snapshot.state is State.STOPPING, "it is told")
        with pytest.raises(BusyError):
            harness.engine.submit(Reconcile(), 0)
        with pytest.raises(BusyError):
            await harness.engine.plan(diff=False)
        assert not scripted.closed
        scripted.gate.set()
        await stopping
        harness.stopped = True
        assert harness.job(running.number).state is JobState.DONE
        assert harness.job(waiting.number).state is JobState.CANCELLED
        assert scripted.edits == []
        assert scripted.closed
        assert harness.engine.snapshot.state is State.STOPPING

    drive(scripted, story)


def test_an_edit_that_was_made_is_published_before_osrd_stops(scripted: ScriptedPipeline) -> None:
    async def story(harness: Harness) -> None:
        await harness.idle()
        scripted.entered.clear()
        scripted.gate.clear()
        jobs = [harness.engine.submit(AddNode(name), 0) for name in ("a", "b")]
        await eventually_async(scripted.entered.is_set, "the first edit is being made")
        stopping = asyncio.create_task(harness.engine.stop())
        await eventually_async(lambda: harness.engine.snapshot.state is State.STOPPING, "it is told")
        scripted.gate.set()
        await stopping
        harness.stopped = True
        assert [harness.job(job.number).state for job in jobs] == [JobState.DONE, JobState.CANCELLED]
        assert scripted.edits == [AddNode("a")]
        assert scripted.calls[-1][0] == "run"

    drive(scripted, story)


def test_a_broken_listener_ends_the_work_loop_for_all_to_see(
    scripted: ScriptedPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def play() -> None:
        writer = ThreadPoolExecutor(1)
        engine = Reconciler(cast("Pipeline", scripted), writer, asyncio.get_running_loop())

        def broken(event: Event) -> None:
            raise RuntimeError("a bug in the bus")

        engine.subscribe(broken)
        with pytest.raises(RuntimeError, match="a bug in the bus"):
            await engine.work()
        writer.shutdown()

    asyncio.run(play())
