# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes is told: from the right path, in the right order, no more than once, and lost by nobody."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from osrd.bus.client import Client, Signal
from osrd.bus.names import BUS_NAME, JOB, MANAGER, NODE
from osrd.model.errors import FailedError, NotFoundError
from osrd.model.job import Job, JobKind, JobState
from osrd.model.view import (
    BootProgress,
    BootState,
    ConfigRejected,
    DriftDetected,
    JobAdded,
    Reconciled,
    State,
)
from tests.bus.fake_engine import FakeEngine, finding, snapshot, view
from tests.bus.running import ROOT, PrivateBus, asking, raw, serving
from tests.eventually import eventually_async


class Heard:
    """Collects signals in the background."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []

    async def count(self, number: int) -> list[Signal]:
        await eventually_async(lambda: len(self.signals) >= number, f"{number} signals")
        found, self.signals = self.signals, []
        return found


@asynccontextmanager
async def listening(client: Client) -> AsyncIterator[Heard]:
    heard = Heard()

    async def collect() -> None:
        async for signal in client.signals():
            heard.signals.append(signal)

    task = asyncio.create_task(collect())
    await eventually_async(lambda: client._matched, "the match rule")
    yield heard
    task.cancel()
    await asyncio.wait([task])


def told(bus: PrivateBus, engine: FakeEngine, act: Callable[[], None], number: int) -> list[Signal]:
    """The signals that ``act`` causes."""

    async def story() -> list[Signal]:
        async with serving(bus, engine), asking(bus) as client, listening(client) as heard:
            act()
            return await heard.count(number)

    return asyncio.run(story())


def test_a_node_changes(bus: PrivateBus) -> None:
    engine = FakeEngine()
    changed = replace(engine.snapshot.nodes["1"], boot=BootProgress(BootState.UP, 12.0))
    after = replace(engine.snapshot, nodes={**engine.snapshot.nodes, "1": changed})
    (signal,) = told(bus, engine, lambda: engine.show(after), 1)
    assert signal == Signal(
        f"{ROOT}/nodes/1",
        "org.freedesktop.DBus.Properties",
        "PropertiesChanged",
        [NODE, {"BootState": "up", "BootStateSince": 12}, []],
    )


def test_an_object_that_cannot_be_told_silences_no_other(bus: PrivateBus) -> None:
    """A mistake of osrd's own: nobody would notice that there are no signals any more."""
    engine = FakeEngine()
    odd = replace(view(3), boot=BootProgress(BootState.UP, "never"))  # type: ignore[arg-type]

    def act() -> None:
        engine.show(replace(engine.snapshot, nodes={**engine.snapshot.nodes, "3": odd, "4": view(4)}))

    added, counted = told(bus, engine, act, 2)
    assert (added.member, added.arguments[0]) == ("InterfacesAdded", f"{ROOT}/nodes/4")
    assert counted.arguments == [MANAGER, {"NodeCount": 4}, []]


def test_nodes_come_and_go(bus: PrivateBus) -> None:
    engine = FakeEngine(snapshot(1))
    after = replace(engine.snapshot, nodes={"9": view(9)})
    removed, added, manager = told(bus, engine, lambda: engine.show(replace(after, state=State.DEGRADED)), 3)
    assert removed == Signal(
        ROOT, "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved", [f"{ROOT}/nodes/1", [NODE]]
    )
    assert (added.path, added.member, added.arguments[0]) == (ROOT, "InterfacesAdded", f"{ROOT}/nodes/9")
    assert added.arguments[1][NODE]["Name"] == "node9"  # type: ignore[index]
    assert manager.arguments == [MANAGER, {"State": "degraded"}, []]


def test_an_equal_copy_is_no_change(bus: PrivateBus) -> None:
    engine = FakeEngine()
    moved = {key: replace(node) for key, node in engine.snapshot.nodes.items()}
    (signal,) = told(bus, engine, lambda: engine.show(replace(engine.snapshot, nodes=moved, generation=8)), 1)
    assert signal.arguments == [MANAGER, {"Generation": 8}, []]


def test_findings_are_invalidated_not_sent(bus: PrivateBus) -> None:
    engine = FakeEngine()
    after = replace(engine.snapshot, findings=(finding(),))
    (signal,) = told(bus, engine, lambda: engine.show(after), 1)
    assert signal.arguments == [MANAGER, {"FindingsTotal": 1}, ["Findings"]]


def test_events(bus: PrivateBus) -> None:
    engine = FakeEngine()

    def act() -> None:
        engine.tell(Reconciled(8, 3, 1, 0))
        engine.tell(DriftDetected(("/srv/tftp/\udcff",)))
        engine.tell(ConfigRejected((finding(),)))

    first, second, third = told(bus, engine, act, 3)
    assert first == Signal(ROOT, MANAGER, "Reconciled", [8, 3, 1, 0])
    assert second == Signal(ROOT, MANAGER, "DriftDetected", [[b"/srv/tftp/\xff"]])
    assert third.member == "ConfigRejected"
    assert third.arguments[0][0]["code"] == "duplicate-mac"  # type: ignore[index]


def test_the_life_of_a_job(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine), asking(bus) as client, listening(client) as heard:
            (path,) = await client.call(MANAGER, "Reconcile", "a{sv}", {})
            added, new = await heard.count(2)
            assert (added.path, added.member, added.arguments[0]) == (ROOT, "InterfacesAdded", path)
            assert new.arguments == [path, "reconcile"]
            job = engine.jobs[0]
            engine.change(replace(job, state=JobState.RUNNING, progress=0.5, message="half\ud800\0"))
            (signal,) = await heard.count(1)
            half = {"State": "running", "Progress": 0.5, "Message": "half\\ud800\\0"}
            assert signal.arguments == [JOB, half, []]
            done = replace(job, state=JobState.DONE, progress=1.0, result={"written": 3, "drift": ("a",), "in": "b"})
            engine.change(done)
            changed, completed = await heard.count(2)
            assert changed.arguments[1]["Result"] == {"written": 3, "drift": ["a"], "in": "b"}  # type: ignore[index]
            assert completed == Signal(path, JOB, "Completed", ["done", ""])
            engine.remove(done)
            gone, removed = await heard.count(2)
            assert gone.arguments == [path, [JOB]]
            assert removed == Signal(ROOT, MANAGER, "JobRemoved", [path, "done"])

    asyncio.run(story())


def test_a_job_is_known_before_its_path_is_returned(bus: PrivateBus) -> None:
    """Clients with an object cache (Cockpit) look the path up in it at once."""

    async def story() -> None:
        async with serving(bus, FakeEngine()), raw(bus) as caller:
            members: list[str] = []
            await caller.add_match(f"type='signal',sender='{BUS_NAME}'")
            caller.on_signal = lambda signal: members.append(signal.member)
            await caller.call(BUS_NAME, ROOT, MANAGER, "Reconcile", signature="a{sv}", arguments=[{}])
            assert members == ["InterfacesAdded", "JobNew"]

    asyncio.run(story())


def test_waiting_for_a_job(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine), asking(bus) as client:
            (path,) = await client.call(MANAGER, "Reconcile", "a{sv}", {})
            seen: list[tuple[float, str]] = []
            waiting = asyncio.create_task(client.wait_job(path, lambda *progress: seen.append(progress)))
            await eventually_async(lambda: seen, "the first report")
            engine.change(replace(engine.jobs[0], state=JobState.RUNNING, progress=0.5, message="half"))
            await eventually_async(lambda: len(seen) == 2, "the second report")
            engine.change(replace(engine.jobs[0], state=JobState.FAILED, error="Conflict", message="no"))
            job = await waiting
            assert (job["State"], job["Error"], job["Message"]) == ("failed", "Conflict", "no")
            assert seen == [(0.0, ""), (0.5, "half")]
            assert await client.wait_job(path) == job, "ended before anybody waited"
            with pytest.raises(NotFoundError):
                await client.wait_job(f"{ROOT}/jobs/77")

    asyncio.run(story())


def test_osrd_leaves_while_somebody_waits(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with asking_later(bus) as connect:
            async with serving(bus, engine):
                client = await connect()
                (path,) = await client.call(MANAGER, "Reconcile", "a{sv}", {})
                waiting = asyncio.create_task(client.wait_job(path))
                stream = client.signals()
                listening_task = asyncio.ensure_future(anext(aiter(stream)))
                await eventually_async(lambda: len(client._listeners) == 2, "both")
                await client.call(MANAGER, "ListJobs", "a{sv}", {})
            for task in (waiting, listening_task):
                with pytest.raises(FailedError, match="osrd left the bus"):
                    await asyncio.wait_for(task, 10)
            with pytest.raises(NotFoundError):
                await client.call(MANAGER, "ListJobs", "a{sv}", {})

    asyncio.run(story())


@asynccontextmanager
async def asking_later(bus: PrivateBus) -> AsyncIterator[Callable[[], object]]:
    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(await Client.connect(bus.address))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()


def test_a_snapshot_that_changes_while_it_is_told(bus: PrivateBus) -> None:
    """Ten runs in one turn of the loop: clients end with the last state and hear of no state in between."""

    async def story() -> None:
        engine = FakeEngine(snapshot(2000))
        async with serving(bus, engine), asking(bus) as client, listening(client) as heard:
            for number in range(10):
                renamed = {key: view(int(key), f"n{number}-{key}") for key in engine.snapshot.nodes}
                engine.show(replace(engine.snapshot, nodes=renamed, generation=number + 10))
            signals = await heard.count(2001)
            names = {signal.path: signal.arguments[1].get("Name") for signal in signals}  # type: ignore[attr-defined]
            assert names == {ROOT: None} | {f"{ROOT}/nodes/{key}": f"n9-{key}" for key in engine.snapshot.nodes}
            assert len(signals) == 2001

    asyncio.run(story())


def test_a_job_that_ended_at_once(bus: PrivateBus) -> None:
    engine = FakeEngine()
    job = Job(5, JobKind.VERIFY, JobState.DONE)
    signals = told(bus, engine, lambda: engine.tell(JobAdded(job)), 3)
    assert [signal.member for signal in signals] == ["InterfacesAdded", "JobNew", "Completed"]
