# SPDX-License-Identifier: GPL-3.0-or-later
"""Every method and property, as osrctl and as scripts call them."""

import asyncio
import os
from dataclasses import replace

import pytest

from osrd.bus.names import JOB, MANAGER, NODE, SHARED_ROOT
from osrd.engine import api
from osrd.model.errors import (
    BusyError,
    ConflictError,
    FailedError,
    InvalidArgsError,
    InvalidConfigError,
    NotAuthorizedError,
    NotFoundError,
    OsrdError,
    UnsupportedError,
)
from tests.bus.fake_engine import NEW, OLD, FakeEngine, finding, snapshot, view
from tests.bus.running import NAME, ROOT, PrivateBus, asking, busctl, gdbus, serving

NODE_1 = f"{ROOT}/nodes/1"


def test_manager_reads(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()), asking(bus) as client:
            (nodes,) = await client.call(MANAGER, "ListNodes", "a{sv}", {})
            assert nodes == [
                [NODE_1, "1", "node1", "unknown", False],
                [f"{ROOT}/nodes/2", "2", "node2", "unknown", False],
            ]
            assert await client.call(MANAGER, "GetNode", "sa{sv}", "node2", {}) == [f"{ROOT}/nodes/2"]
            assert await client.call(MANAGER, "GetNode", "sa{sv}", "2", {}) == [f"{ROOT}/nodes/2"]
            assert await client.call(MANAGER, "GetNodeByMac", "sa{sv}", "0016.3E00.0001", {}) == [NODE_1]
            assert await client.call(MANAGER, "ListRoots", "a{sv}", {}) == [
                [["main", "nas:/vol/root", "nfs", "/srv/root", 2]]
            ]
            (generations,) = await client.call(MANAGER, "ListGenerations", "a{sv}", {})
            assert generations[0] == {
                "number": 7,
                "when": 1.5,
                "reason": "cluster.conf",
                "config_version": 3,
                "written": 4,
                "removed": 1,
                "current": True,
                "pinned": False,
            }
            digest, actions = await client.call(MANAGER, "Plan", "a{sv}", {"diff": True})
            assert digest == "0123abcd"
            assert actions == [
                {"action": "write", "target": "/srv/tftp/x", "reason": "new", "node": "node1", "diff": "+x"}
            ]
            assert await client.call(MANAGER, "Plan", "a{sv}", {}) == ["0123abcd", []]

    asyncio.run(story())


def test_requests_reach_the_engine_with_the_callers_uid(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine), asking(bus) as client:
            calls = [
                ("Reconcile", "a{sv}", ({},), api.Reconcile()),
                ("Apply", "sa{sv}", ("0123", {}), api.Apply("0123")),
                ("Verify", "a{sv}", ({},), api.Verify()),
                ("Rollback", "ta{sv}", (5, {}), api.Rollback(5)),
                ("Reload", "a{sv}", ({},), api.Reload()),
                ("AddNode", "sa{sv}a{sv}", ("n", {"ip": "10.0.0.9"}, {}), api.AddNode("n", {"ip": "10.0.0.9"})),
                (
                    "SetNode",
                    "sa{sv}a{sv}",
                    ("1", {"votes": ""}, {"expected_version": 3}),
                    api.SetNode("1", {"votes": ""}, 3),
                ),
                ("RemoveNode", "sa{sv}", ("node1", {}), api.RemoveNode("node1")),
            ]
            for number, (member, signature, arguments, _) in enumerate(calls, 1):
                assert await client.call(MANAGER, member, signature, *arguments) == [f"{ROOT}/jobs/{number}"]
            assert engine.requests == [(request, os.geteuid()) for *_, request in calls]
            (jobs,) = await client.call(MANAGER, "ListJobs", "a{sv}", {})
            assert jobs[0] == [f"{ROOT}/jobs/1", "reconcile", "queued", 0.0, ""]
            assert len(jobs) == len(calls)

    asyncio.run(story())


@pytest.mark.parametrize(("votes", "told"), [("2", 2), ("99999", 99999), ("", 1), ("-1", 1), ("9" * 5000, 1)])
def test_votes_are_what_the_finding_says(bus: PrivateBus, votes: str, told: int) -> None:
    """A number too long for Python once hid all nodes: no listing could be made any more."""

    async def story() -> None:
        odd = replace(view(1), node=replace(view(1).node, votes=votes))
        engine = FakeEngine(replace(snapshot(), nodes={"1": odd, "2": view(2)}))
        async with serving(bus, engine), asking(bus) as client:
            assert (await client.properties(NODE_1, NODE))["Votes"] == told
            assert f"{ROOT}/nodes/2" in await client.managed_objects()

    asyncio.run(story())


def test_properties_of_every_object(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine(snapshot(findings=(finding(),)))
        async with serving(bus, engine), asking(bus) as client:
            await client.call(MANAGER, "Verify", "a{sv}", {})
            found = await client.properties(ROOT, MANAGER)
            assert {key: found[key] for key in ("State", "InSync", "Generation", "NodeCount", "FindingsTotal")} == {
                "State": "ready",
                "InSync": True,
                "Generation": 7,
                "NodeCount": 2,
                "FindingsTotal": 1,
            }
            assert found["Findings"] == [
                {
                    "code": "duplicate-mac",
                    "severity": "error",
                    "message": "the NIC eth0 has the MAC of another node (1)",
                    "fix": "give it its own",
                    "node": "node1",
                    "attribute": "",
                    "value": "",
                    "file": "/etc/cluster/cluster.conf",
                    "line": 1,
                    "other": "node2",
                    "other_file": "/etc/cluster/cluster.conf",
                    "other_line": 10,
                }
            ]
            node = await client.properties(NODE_1, NODE)
            assert (node["Id"], node["Name"], node["Votes"], node["BootMode"]) == ("1", "node1", 1, "full")
            assert node["Nics"] == [
                {
                    "name": "eth0",
                    "mac": "00:16:3e:00:00:01",
                    "ip": "10.0.0.1",
                    "mask": "255.255.0.0",
                    "gateway": "10.0.0.1",
                    "master": "",
                    "bridge": "",
                    "slave": False,
                    "boots": True,
                }
            ]
            assert node["Root"] == {
                "name": "nas:/vol/root",
                "fstype": "nfs",
                "server": "nas",
                "path": "/vol/root",
                "mountopts": "ro",
                "section": "main",
            }
            job = await client.properties(f"{ROOT}/jobs/1", JOB)
            assert (job["Kind"], job["State"], job["Owner"], job["Result"]) == ("verify", "queued", os.geteuid(), {})
            managed = await client.managed_objects()
            images = {f"{ROOT}/images/{identity}" for identity in (NEW, OLD)}
            assert set(managed) == {NODE_1, f"{ROOT}/nodes/2", f"{ROOT}/roots/main", f"{ROOT}/jobs/1"} | images
            assert managed[NODE_1] == {NODE: node}
            root = await client.properties(f"{ROOT}/roots/main", SHARED_ROOT)
            assert managed[f"{ROOT}/roots/main"] == {SHARED_ROOT: root}
            assert (root["Path"], root["Link"], root["LinkMounted"]) == ("/srv/root", b"cdsl.local", True)
            assert managed[f"{ROOT}/jobs/1"] == {JOB: job}

    asyncio.run(story())


@pytest.mark.needs("gdbus", "busctl")
def test_as_scripts_call_it(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()):
            ran = await gdbus(bus, f"{MANAGER}.ListNodes", "{}")
            assert f"'{NODE_1}'" in ran.out, ran
            ran = await gdbus(bus, "org.freedesktop.DBus.ObjectManager.GetManagedObjects")
            assert "'BootState': <'unknown'>" in ran.out, ran
            ran = await busctl(bus, "get-property", NAME, ROOT, MANAGER, "Generation")
            assert ran.out == "t 7\n", ran
            ran = await busctl(bus, "call", NAME, ROOT, MANAGER, "Reconcile", "a{sv}", "0")
            assert ran.out == f'o "{ROOT}/jobs/1"\n', ran
            ran = await busctl(bus, "tree", NAME, "--list")
            assert {ROOT, NODE_1, f"{ROOT}/jobs/1"} <= set(ran.out.split()), ran
            ran = await busctl(bus, "introspect", NAME, NODE_1)
            assert ".Quarantined" in ran.out, ran
            ran = await busctl(bus, "call", NAME, ROOT, "org.freedesktop.DBus.Peer", "GetMachineId")
            assert ran.status == 0, ran
            ran = await busctl(bus, "call", NAME, "/", "org.freedesktop.DBus.Peer", "Ping")
            assert ran.status == 0, ran
            ran = await gdbus(bus, f"{MANAGER}.GetNode", "nobody-knows", "{}")
            assert ran.status != 0
            assert f"{NAME}.Error.NotFound" in ran.err

    asyncio.run(story())


@pytest.mark.parametrize(
    "kind",
    [
        BusyError,
        ConflictError,
        FailedError,
        InvalidArgsError,
        InvalidConfigError,
        NotAuthorizedError,
        NotFoundError,
        UnsupportedError,
    ],
)
def test_errors_arrive_as_their_class(bus: PrivateBus, kind: type[OsrdError]) -> None:
    async def story() -> None:
        engine = FakeEngine()
        engine.failure = kind("it is so", "do otherwise")
        async with serving(bus, engine), asking(bus) as client:
            with pytest.raises(OsrdError) as caught:
                await client.call(MANAGER, "Reconcile", "a{sv}", {})
            assert type(caught.value) is kind
            assert str(caught.value) == "it is so; do otherwise"

    asyncio.run(story())


def test_a_bug_stays_inside(bus: PrivateBus, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        engine = FakeEngine()
        engine.failure = RuntimeError("secret of /etc/shadow")
        async with serving(bus, engine), asking(bus) as client:
            with pytest.raises(FailedError, match="inside osrd") as caught:
                await client.call(MANAGER, "Reconcile", "a{sv}", {})
            assert "secret" not in str(caught.value)
            assert "Traceback" not in str(caught.value)
            assert await client.call(MANAGER, "ListJobs", "a{sv}", {}) == [[]]

    asyncio.run(story())
    assert "secret of /etc/shadow" in caplog.text


def test_nodes_without_a_usable_id(bus: PrivateBus) -> None:
    """A node whose id is missing is reached under its name; two nodes of one name or MAC are a conflict."""

    async def story() -> None:
        odd = replace(view(1, "web-1.ä"), key="name:web-1.ä")
        twin = replace(view(1, "web-1.ä"), key="line:9")
        engine = FakeEngine(replace(snapshot(), nodes={odd.key: odd}))
        async with serving(bus, engine), asking(bus) as client:
            (path,) = await client.call(MANAGER, "GetNode", "sa{sv}", "web-1.ä", {})
            assert path == f"{ROOT}/nodes/name_3aweb_2d1_2e_c3_a4"
            assert (await client.properties(path, NODE))["Name"] == "web-1.ä"
            engine.show(replace(engine.snapshot, nodes={odd.key: odd, twin.key: twin}))
            with pytest.raises(ConflictError, match=r"2 nodes named .*line:9"):
                await client.call(MANAGER, "GetNode", "sa{sv}", "web-1.ä", {})
            with pytest.raises(ConflictError, match="2 nodes with the hardware address"):
                await client.call(MANAGER, "GetNodeByMac", "sa{sv}", "00:16:3e:00:00:01", {})
            with pytest.raises(InvalidArgsError, match="no hardware address"):
                await client.call(MANAGER, "GetNodeByMac", "sa{sv}", "zz", {})
            with pytest.raises(NotFoundError):
                await client.call(MANAGER, "GetNodeByMac", "sa{sv}", "00:16:3e:00:00:02", {})

    asyncio.run(story())


def test_jobs_can_be_cancelled(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()), asking(bus) as client:
            (path,) = await client.call(MANAGER, "Reconcile", "a{sv}", {})
            assert await client.call(JOB, "Cancel", "a{sv}", {}, path=path) == []
            assert (await client.wait_job(path))["State"] == "cancelled"
            with pytest.raises(UnsupportedError, match="it runs"):
                await client.call(JOB, "Cancel", "a{sv}", {}, path=path)
            with pytest.raises(NotFoundError):
                await client.call(JOB, "Cancel", "a{sv}", {}, path=f"{ROOT}/jobs/99")

    asyncio.run(story())
