# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on the bus: their objects, what is asked about them, and what is told when another pair becomes current."""

import asyncio
from dataclasses import replace

import pytest

from osrd.bus.image import LOG_LIMIT
from osrd.bus.names import IMAGE, MANAGER, SHARED_ROOT
from osrd.engine import api
from osrd.model.errors import InvalidArgsError, NotFoundError
from osrd.model.image import ImageState
from osrd.model.view import ImageChosen, KernelState, KernelView
from tests.bus.fake_engine import NEW, OLD, FakeEngine, image_view, shared_root, snapshot
from tests.bus.running import NAME, NOBODY, ROOT, PrivateBus, asking, gdbus, serving
from tests.bus.test_policy import ACTION, mock, mocked
from tests.bus.test_signals import told

MAIN = f"{ROOT}/roots/main"


def path_of(identity: str) -> str:
    return f"{ROOT}/images/{identity}"


def test_properties_and_listing(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()), asking(bus) as client:
            shown = await client.properties(path_of(NEW), IMAGE)
            assert shown == {
                "Id": NEW,
                "Root": "main",
                "Kernel": "6.1.0-9",
                "Way": "full",
                "Fingerprint": f"f{NEW}",
                "Built": 1795341958.5,
                "Seconds": 31.5,
                "Size": 30_000_000,
                "KernelSize": 8_000_000,
                "State": "current",
                "UsedBy": ["node1"],
            }
            assert (await client.managed_objects())[path_of(NEW)] == {IMAGE: shown}
            (rows,) = await client.call(MANAGER, "ListImages", "a{sv}", {})
            assert [(row["path"], row["id"], row["state"], row["used_by"]) for row in rows] == [
                (path_of(NEW), NEW, "current", ["node1"]),
                (path_of(OLD), OLD, "previous", []),
            ]
            assert (await client.properties(MAIN, SHARED_ROOT))["Kernels"] == [
                {"version": "6.1.0-9", "file": "boot/vmlinuz-6.1.0-9", "state": "built", "image": NEW}
            ]

    asyncio.run(story())


def test_requests(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine), asking(bus) as client:
            builds: tuple[dict[str, object], ...] = ({}, {"kernel": "6.1.0-9", "force": True})
            for options in builds:
                await client.call(SHARED_ROOT, "BuildInitrd", "a{sv}", options, path=MAIN)
            rollbacks: tuple[dict[str, object], ...] = ({}, {"image": OLD})
            for options in rollbacks:
                await client.call(SHARED_ROOT, "RollbackInitrd", "a{sv}", options, path=MAIN)
            with pytest.raises(InvalidArgsError, match="unknown option"):
                await client.call(SHARED_ROOT, "BuildInitrd", "a{sv}", {"image": OLD}, path=MAIN)
            assert [request for request, _ in engine.requests] == [
                api.BuildInitrd("main"),
                api.BuildInitrd("main", "6.1.0-9", force=True),
                api.RollbackInitrd("main"),
                api.RollbackInitrd("main", OLD),
            ]

    asyncio.run(story())


def test_comparing(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        files = tuple(api.ImageChange(f"usr/lib/{number}\udcff", "added", after=10) for number in range(1500))
        engine.difference = api.ImageDifference(("the kernel changed",), ("+ it",), files)
        async with serving(bus, engine), asking(bus) as client:
            reasons, lines, rows, total = await client.call(IMAGE, "Compare", "sa{sv}", "", {}, path=path_of(NEW))
            assert (reasons, lines, len(rows), total) == (["the kernel changed"], ["+ it"], 1000, 1500)
            assert rows[0] == {"path": b"usr/lib/0\xff", "change": "added", "before": 0, "after": 10}
            await client.call(IMAGE, "Compare", "sa{sv}", NEW, {}, path=path_of(OLD))
            assert engine.compared == [(OLD, NEW), (NEW, OLD)]
            with pytest.raises(NotFoundError, match="from before"):
                await client.call(IMAGE, "Compare", "sa{sv}", "", {}, path=path_of(OLD))

    asyncio.run(story())


def test_logs_are_cut_to_their_end(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()), asking(bus) as client:
            assert await client.call(SHARED_ROOT, "GetBuildLog", "a{sv}", {}, path=MAIN) == [b"all of it\n", 10]
            log, size = await client.call(IMAGE, "GetLog", "a{sv}", {}, path=path_of(NEW))
            assert (log, size) == (b"\xff" * LOG_LIMIT, 300_000)
            with pytest.raises(NotFoundError):
                await client.call(IMAGE, "GetLog", "a{sv}", {}, path=path_of(OLD))

    asyncio.run(story())


@pytest.mark.root
@pytest.mark.needs("gdbus", "setpriv")
def test_each_verb_has_its_own_action(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine):
            for member, path in (("SharedRoot.GetBuildLog", MAIN), ("Image.GetLog", path_of(NEW))):
                ran = await gdbus(bus, f"{NAME}.{member}", "{}", path=path, uid=NOBODY)
                assert ran.status == 0, ran
            for member in ("BuildInitrd", "RollbackInitrd"):
                ran = await gdbus(bus, f"{SHARED_ROOT}.{member}", "{}", path=MAIN, uid=NOBODY)
                assert f"{NAME}.Error.NotAuthorized" in ran.err, ran
        async with mocked(bus), serving(bus, engine):
            for action, member, other in (
                ("build-initrd", "BuildInitrd", "RollbackInitrd"),
                ("rollback-initrd", "RollbackInitrd", "BuildInitrd"),
            ):
                await mock(bus, "SetAllowed", "as", [f"{ACTION}.{action}"])
                ran = await gdbus(bus, f"{SHARED_ROOT}.{member}", "{}", path=MAIN, uid=NOBODY)
                assert ran.status == 0, ran
                ran = await gdbus(bus, f"{SHARED_ROOT}.{other}", "{}", path=MAIN, uid=NOBODY)
                assert f"polkit does not allow you {ACTION}.{'rollback' if other[0] == 'R' else 'build'}" in ran.err

    asyncio.run(story())


def test_a_new_pair_becomes_current(bus: PrivateBus) -> None:
    engine = FakeEngine(snapshot(1, images={OLD: image_view(OLD, state=ImageState.CURRENT)}))
    kernels = (KernelView("6.1.0-9", "boot/vmlinuz-6.1.0-9", KernelState.BUILDING, OLD),)
    root = shared_root(kernels=kernels)
    after = replace(engine.snapshot, images={NEW: image_view(), OLD: image_view(OLD)}, shared_roots={"main": root})

    def act() -> None:
        engine.show(after)
        engine.tell(ImageChosen("main", NEW, "6.1.0-9", OLD))

    added, changed, of_root, chosen = told(bus, engine, act, 4)
    assert (added.path, added.member, added.arguments[0]) == (ROOT, "InterfacesAdded", path_of(NEW))
    assert added.arguments[1][IMAGE]["State"] == "current"  # type: ignore[index]
    assert (changed.path, changed.arguments) == (path_of(OLD), [IMAGE, {"State": "previous"}, []])
    assert of_root.path == MAIN
    assert of_root.arguments[1]["Kernels"][0]["state"] == "building"  # type: ignore[index]
    assert (chosen.path, chosen.member, chosen.arguments) == (
        MAIN,
        "ImageChosen",
        [path_of(NEW), "6.1.0-9", path_of(OLD)],
    )


def test_images_go(bus: PrivateBus) -> None:
    engine = FakeEngine()
    (removed,) = told(bus, engine, lambda: engine.show(replace(engine.snapshot, images={NEW: image_view()})), 1)
    assert (removed.member, removed.arguments) == ("InterfacesRemoved", [path_of(OLD), [IMAGE]])
