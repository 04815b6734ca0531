# SPDX-License-Identifier: GPL-3.0-or-later
"""10,000 nodes: long listings are right, and the loop is never held up (DESIGN 6, law 10; DESIGN 10)."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from osrd.bus.names import MANAGER, NODE, SHARED_ROOT
from osrd.bus.wire import Incoming
from tests.bus.fake_engine import FakeEngine, finding, shared_root, snapshot
from tests.bus.running import NAME, ROOT, PrivateBus, asking, busctl, gdbus, raw, run, serving
from tests.eventually import eventually_async

NODES = 10_000
#: The law says 50 ms. A test may not depend on how fast or busy the machine is, so what is compared is CPU time of the
#: loop's thread between two beats with CPU time of counting to a million in the same run: some 30 ms on a machine of
#: 2020. A listing made in one piece takes 40 times that.
LONGEST = 10.0


def count_to_a_million() -> float:
    """The yardstick, in CPU seconds."""
    start = time.thread_time()
    for _ in range(1_000_000):
        pass
    return time.thread_time() - start


class Heartbeat:
    """Beats every millisecond; ``longest`` is the most CPU time that passed without a beat, in seconds."""

    longest = 0.0

    async def beat(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self.longest = max(self.longest, now - last)
            last = now


@pytest.fixture(autouse=True)
def _nobody_elses_garbage() -> Iterator[None]:
    """The collector walks what 3,000 collected tests and hypothesis keep in memory, 150 ms at a time: not osrd's."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@asynccontextmanager
async def heartbeat(what: str) -> AsyncIterator[None]:
    heart = Heartbeat()
    task = asyncio.create_task(heart.beat())
    await asyncio.sleep(0)
    cpu = time.process_time()
    yield
    cpu = time.process_time() - cpu
    task.cancel()
    ratio = heart.longest / max(count_to_a_million(), count_to_a_million())
    print(f"{what}: {cpu:.3f} s CPU here, at most {heart.longest * 1000:.0f} ms in one piece, {ratio:.1f} yardsticks")
    assert ratio < LONGEST, (
        f"{what} held up the loop for {heart.longest:.3f} s of CPU, {ratio:.1f} times the yardstick"
    )


def test_listings_of_ten_thousand_nodes(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine(snapshot(NODES))
        async with AsyncExitStack() as stack:
            async with heartbeat("start and GetManagedObjects"):
                await stack.enter_async_context(serving(bus, engine))
                ran = await gdbus(bus, "org.freedesktop.DBus.ObjectManager.GetManagedObjects")
            assert ran.out.count("'Quarantined': <false>") == NODES
            async with heartbeat("GetManagedObjects, again, by busctl"):
                ran = await busctl(bus, "call", NAME, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
            assert ran.out.startswith(f"a{{oa{{sa{{sv}}}}}} {NODES + 3} ")
            async with heartbeat("ListNodes, first"):
                ran = await gdbus(bus, f"{MANAGER}.ListNodes", "{}")
            assert ran.out.count(f"objectpath '{ROOT}/nodes/") + ran.out.count(f"('{ROOT}/nodes/") == NODES
            async with heartbeat("ListNodes, again"):
                await gdbus(bus, f"{MANAGER}.ListNodes", "{}")
            async with heartbeat("Introspect of the parent of all nodes"):
                ran = await run(bus, "gdbus", "introspect", "-y", "-d", NAME, "-o", f"{ROOT}/nodes")
            assert ran.out.count("node ") >= NODES

    asyncio.run(story())


def test_our_own_unmarshaller_agrees(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine(snapshot(300))), asking(bus) as client:
            managed = await client.managed_objects()
            assert len(managed) == 300 + 3  # the shared root, and its two images
            for number in (1, 2, 77, 300):
                path = f"{ROOT}/nodes/{number}"
                assert managed[path] == {NODE: await client.properties(path, NODE)}

    asyncio.run(story())


def test_one_change_among_ten_thousand(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine(snapshot(NODES))
        async with serving(bus, engine), raw(bus) as watcher:
            arrived: list[Incoming] = []
            watcher.on_signal = lambda signal: arrived.append(signal) if signal.path.startswith(ROOT) else None
            await watcher.add_match(f"type='signal',sender='{NAME}'")
            node = engine.snapshot.nodes["5000"]
            changed = replace(node, quarantined=True, findings=(finding(5000),))
            async with heartbeat("one node changed"):
                engine.show(replace(engine.snapshot, nodes=dict(engine.snapshot.nodes) | {"5000": changed}))
                await eventually_async(lambda: arrived, "the signal")
            (signal,) = arrived
            assert (signal.path, signal.member) == (f"{ROOT}/nodes/5000", "PropertiesChanged")
            assert set(signal.arguments[1]) == {"Quarantined", "Findings"}

    asyncio.run(story())


def test_all_nodes_appear_and_go_at_once(bus: PrivateBus) -> None:
    """Nothing is lost and the loop stays free when 3,000 nodes appear in one run and vanish in the next."""

    async def story() -> None:
        engine = FakeEngine(snapshot(0))
        async with serving(bus, engine), raw(bus) as watcher:
            members: list[str] = []
            watcher.on_signal = lambda signal: members.append(signal.member)
            await watcher.add_match(f"type='signal',sender='{NAME}'")
            full = snapshot(3000)
            async with heartbeat("3,000 nodes appear"):
                engine.show(full)
                await eventually_async(lambda: members.count("InterfacesAdded") == 3000, "all of them", 60)
            async with heartbeat("3,000 nodes vanish"):
                engine.show(snapshot(0))
                await eventually_async(lambda: members.count("InterfacesRemoved") == 3000, "none of them", 60)

    asyncio.run(story())


def test_a_thousand_findings(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine(snapshot(findings=tuple(finding(number) for number in range(5000))))
        async with serving(bus, engine):
            async with heartbeat("Findings"):
                ran = await busctl(bus, "get-property", NAME, ROOT, MANAGER, "Findings")
            assert ran.out.startswith("aa{sv} 1000 ")
            async with heartbeat("GetAll"):
                ran = await gdbus(bus, "org.freedesktop.DBus.Properties.GetAll", MANAGER)
            assert "'FindingsTotal': <uint32 5000>" in ran.out

    asyncio.run(story())


def test_a_thousand_findings_of_a_shared_root(bus: PrivateBus) -> None:
    async def story() -> None:
        roots = {"main": shared_root(findings=tuple(finding(number) for number in range(5000)))}
        engine = FakeEngine(snapshot(shared_roots=roots))
        async with serving(bus, engine):
            async with heartbeat("Findings of a root"):
                ran = await busctl(bus, "get-property", NAME, f"{ROOT}/roots/main", SHARED_ROOT, "Findings")
            assert ran.out.startswith("aa{sv} 1000 ")
            async with heartbeat("GetManagedObjects"):
                ran = await gdbus(bus, "org.freedesktop.DBus.ObjectManager.GetManagedObjects")
            assert "'FindingsTotal': <uint32 5000>" in ran.out

    asyncio.run(story())
