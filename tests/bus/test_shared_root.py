# SPDX-License-Identifier: GPL-3.0-or-later
"""org.opensharedroot.Osrd1.SharedRoot: what arrives at the engine, what comes back, and who may do it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from osrd.bus.names import JOB, MANAGER, SHARED_ROOT, root_path
from osrd.bus.sharedroot import path_inside
from osrd.bus.wire import Variant
from osrd.engine import api
from osrd.model.cdsl import Layout, Place, Removal
from osrd.model.errors import BusyError, ConflictError, InvalidArgsError, NotFoundError
from osrd.model.job import JobState
from osrd.model.view import RootState
from tests.bus.fake_engine import FakeEngine, finding, shared_root, snapshot
from tests.bus.running import NAME, NOBODY, ROOT, PrivateBus, asking, busctl, gdbus, serving
from tests.bus.test_policy import ACTION, mock, mocked
from tests.bus.test_signals import listening, told
from tests.eventually import eventually_async

MAIN = f"{ROOT}/roots/main"


@pytest.mark.parametrize(
    ("member", "signature", "arguments", "expected"),
    [
        (
            "CreateInfrastructure",
            "a{sv}",
            [{"maxnodeidnum": 4, "use_nodeids": False, "prefix": "node_", "tree": ".cluster/cdsl"}],
            api.CreateInfrastructure("main", Layout(".cluster/cdsl", prefix="node_"), 4, use_nodeids=False),
        ),
        ("CreateInfrastructure", "a{sv}", [{}], api.CreateInfrastructure("main")),
        (
            "MakeHostDependent",
            "ayasa{sv}",
            [b"/var\xff", ["1", "2"], {}],
            api.MakeHostDependent("main", "/var\udcff", ("1", "2")),
        ),
        ("MakeShared", "aysa{sv}", [b"/var/lib\0", "1", {}], api.MakeShared("main", "/var/lib", "1")),
        ("RemoveCdsl", "aya{sv}", [b"var", {}], api.RemoveCdsl("main", "var")),
        (
            "RemoveCdsl",
            "aya{sv}",
            [b"var", {"from": "2", "recursive": True, "discard": True, "others": "beside"}],
            api.RemoveCdsl("main", "var", Removal("2", True, True, Place.BESIDE)),
        ),
        ("RepairCdsls", "a{sv}", [{"rebuild": True}], api.RepairCdsls("main", rebuild=True)),
        ("ConvertLayout", "a{sv}", [{}], api.ConvertLayout("main")),
        ("Undo", "a{sv}", [{}], api.UndoCdsl("main")),
        ("AdoptTree", "ssa{sv}", ["7", "1", {}], api.AdoptTree("main", "7", "1")),
        ("ArchiveTree", "sa{sv}", ["7", {}], api.ArchiveTree("main", "7")),
        ("DropBackup", "sa{sv}", ["1795341958.99-var", {}], api.DropBackup("main", "1795341958.99-var")),
        ("BindLink", "sa{sv}", ["none", {}], api.BindLink("main", "none")),
    ],
)
def test_requests(bus: PrivateBus, member: str, signature: str, arguments: list[Any], expected: api.Request) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine), asking(bus) as client:
            (job,) = await client.call(SHARED_ROOT, member, signature, *arguments, path=MAIN)
            assert job == f"{ROOT}/jobs/1"
            assert [request for request, _ in engine.requests] == [expected]

    asyncio.run(story())


def test_answers(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        engine.root_findings = tuple(finding(number) for number in range(1500))
        async with serving(bus, engine), asking(bus) as client:
            assert await client.call(MANAGER, "GetRoot", "sa{sv}", "main", {}) == [MAIN]
            with pytest.raises(NotFoundError, match="'other'"):
                await client.call(MANAGER, "GetRoot", "sa{sv}", "other", {})
            (cdsls,) = await client.call(SHARED_ROOT, "ListCdsls", "a{sv}", {}, path=MAIN)
            assert cdsls == [
                {"path": b"var", "type": "hostdependent", "nodes": ["1", "2"], "timestamp": "1795341958.99"},
                {"path": b"var/\xff", "type": "shared", "nodes": [], "timestamp": ""},
            ]
            findings, total = await client.call(SHARED_ROOT, "CheckCdsls", "a{sv}", {}, path=MAIN)
            assert (len(findings), total) == (1000, 1500)
            assert findings[1]["code"] == "duplicate-mac"
            (backups,) = await client.call(SHARED_ROOT, "ListBackups", "a{sv}", {}, path=MAIN)
            assert backups == [{"name": "1795341958.99-var"}]

    asyncio.run(story())


def test_errors_by_name(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine), asking(bus) as client:
            for failure in (BusyError("the root does not answer"), ConflictError("the copies differ", "use from")):
                engine.failure = failure
                for member in ("ListCdsls", "CheckCdsls", "ListBackups", "Undo"):
                    with pytest.raises(type(failure), match=failure.message):
                        await client.call(SHARED_ROOT, member, "a{sv}", {}, path=MAIN)
            engine.failure = None
            for path in (b"", b"\0", b"a\0b"):
                with pytest.raises(InvalidArgsError, match="no path"):
                    await client.call(SHARED_ROOT, "RemoveCdsl", "aya{sv}", path, {}, path=MAIN)
            with pytest.raises(InvalidArgsError, match="backup, beside"):
                await client.call(SHARED_ROOT, "RemoveCdsl", "aya{sv}", b"var", {"others": "away"}, path=MAIN)
            assert engine.requests == []

    asyncio.run(story())


def test_paths_of_c_programs() -> None:
    assert path_inside(b"/var\0") == "/var"
    assert path_inside(bytes([0xFF])) == "\udcff"


@pytest.mark.needs("gdbus", "busctl")
def test_as_scripts_call_it(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine):
            ran = await gdbus(bus, f"{SHARED_ROOT}.MakeHostDependent", "b'/var'", "[]", "{}", path=MAIN)
            assert ran.status == 0, ran
            ran = await busctl(
                bus, *("call", NAME, MAIN, SHARED_ROOT, "MakeShared"), *("aysa{sv}", "3", "97", "47", "98", "", "0")
            )
            assert ran.status == 0, ran
            assert [request for request, _ in engine.requests] == [
                api.MakeHostDependent("main", "/var"),
                api.MakeShared("main", "a/b"),
            ]
            ran = await gdbus(bus, "org.freedesktop.DBus.Properties.GetAll", SHARED_ROOT, path=MAIN)
            assert "'Link': <b'cdsl.local'>" in ran.out or "'Link': <[byte 0x63" in ran.out, ran

    asyncio.run(story())


@pytest.mark.root
@pytest.mark.needs("gdbus", "setpriv")
def test_nobody_looks_and_changes_nothing(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine):
            for member in ("ListCdsls", "CheckCdsls", "ListBackups"):
                ran = await gdbus(bus, f"{SHARED_ROOT}.{member}", "{}", path=MAIN, uid=NOBODY)
                assert ran.status == 0, (member, ran)
            for member, *arguments in (
                ("CreateInfrastructure",),
                ("MakeHostDependent", "b'/var'", "[]"),
                ("MakeShared", "b'/var'", ""),
                ("RemoveCdsl", "b'/var'"),
                ("RepairCdsls",),
                ("ConvertLayout",),
                ("Undo",),
                ("AdoptTree", "7", "1"),
                ("ArchiveTree", "7"),
                ("DropBackup", "b"),
                ("BindLink", "1"),
            ):
                ran = await gdbus(bus, f"{SHARED_ROOT}.{member}", *arguments, "{}", path=MAIN, uid=NOBODY)
                assert f"{NAME}.Error.NotAuthorized" in ran.err, (member, ran)
            assert engine.requests == []

    asyncio.run(story())


@pytest.mark.root
@pytest.mark.needs("gdbus", "setpriv")
def test_discarding_data_is_asked_about_separately(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with mocked(bus), serving(bus, engine):
            await mock(bus, "SetAllowed", "as", [f"{ACTION}.manage-cdsl"])
            for options, allowed in (("{}", True), ("{'discard': <false>}", True), ("{'discard': <true>}", False)):
                ran = await gdbus(bus, f"{SHARED_ROOT}.RemoveCdsl", "b'/var'", options, path=MAIN, uid=NOBODY)
                assert (ran.status == 0) is allowed, (options, ran)
            ran = await gdbus(bus, f"{SHARED_ROOT}.DropBackup", "b", "{}", path=MAIN, uid=NOBODY)
            assert f"polkit does not allow you {ACTION}.discard-data" in ran.err
            assert [owner for _, owner in engine.requests] == [NOBODY, NOBODY]
            await mock(bus, "SetAllowed", "as", [f"{ACTION}.discard-data"])
            ran = await gdbus(bus, f"{SHARED_ROOT}.DropBackup", "b", "{}", path=MAIN, uid=NOBODY)
            assert ran.status == 0, ran

    asyncio.run(story())


def test_roots_come_change_and_go(bus: PrivateBus) -> None:
    engine = FakeEngine(snapshot(1, shared_roots={}))
    path = root_path("web-2.b")
    there = replace(engine.snapshot, shared_roots={"web-2.b": shared_root("web-2.b")})
    (added,) = told(bus, engine, lambda: engine.show(there), 1)
    assert (added.path, added.member, added.arguments[0]) == (ROOT, "InterfacesAdded", path)
    assert added.arguments[1][SHARED_ROOT]["LinkNode"] == "1"  # type: ignore[index]
    other = shared_root("web-2.b", state=RootState.STUCK, link_mounted=False, findings=(finding(),))
    changed = replace(there, shared_roots={"web-2.b": other})
    (signal,) = told(bus, engine, lambda: engine.show(changed), 1)
    assert (signal.path, signal.member) == (path, "PropertiesChanged")
    assert signal.arguments == [
        SHARED_ROOT,
        {"State": "stuck", "LinkMounted": False, "FindingsTotal": 1},
        ["Findings"],
    ]
    (removed,) = told(bus, engine, lambda: engine.show(replace(there, shared_roots={})), 1)
    assert (removed.path, removed.member, removed.arguments) == (ROOT, "InterfacesRemoved", [path, [SHARED_ROOT]])


def test_an_equal_root_is_no_change(bus: PrivateBus) -> None:
    engine = FakeEngine()
    same = {"main": replace(engine.snapshot.shared_roots["main"])}
    (signal,) = told(bus, engine, lambda: engine.show(replace(engine.snapshot, shared_roots=same, generation=8)), 1)
    assert signal.arguments == [MANAGER, {"Generation": 8}, []]


def test_a_job_of_a_root(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine), asking(bus) as client, listening(client) as heard:
            (path,) = await client.call(SHARED_ROOT, "MakeHostDependent", "ayasa{sv}", b"/var", [], {}, path=MAIN)
            (running,) = engine.jobs
            engine.change(replace(running, state=JobState.RUNNING, progress=0.5, message="copying"))
            result: dict[str, str | int | bool | tuple[str, ...]] = {
                "changed": True,
                "lines": ("/var",),
                "backups": (),
            }
            engine.change(replace(running, state=JobState.DONE, progress=1.0, result=result))
            await eventually_async(lambda: any(signal.member == "Completed" for signal in heard.signals), "the end")
            job = await client.properties(path, JOB)
            assert (job["Kind"], job["Result"]) == ("cdsl-make", {"changed": True, "lines": ["/var"], "backups": []})
            new = next(signal for signal in heard.signals if signal.member == "JobNew")
            assert new.arguments == [path, "cdsl-make"]

    asyncio.run(story())


def test_options_have_types(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()), asking(bus) as client:
            for options in (
                {"discard": "yes"},
                {"from": 1},
                {"force": True},
                {"recursive": Variant("i", 1)},
            ):
                with pytest.raises(InvalidArgsError, match="option"):
                    await client.call(SHARED_ROOT, "RemoveCdsl", "aya{sv}", b"var", options, path=MAIN)

    asyncio.run(story())
