# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl monitor: every signal is told once, in words; how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from osrd.bus.names import JOB, MANAGER, NODE, OBJECT_MANAGER, PROPERTIES, ROOT, SHARED_ROOT
from osrd.model.errors import FailedError
from tests.scripted_bus import ScriptedBus, Sent, run
from tests.unit.test_cli_commands import FINDING

NODE1 = f"{ROOT}/nodes/1"
JOB7 = f"{ROOT}/jobs/7"
WEB = f"{ROOT}/roots/web"


def told(*signals: Sent, found: list[Any] | None = None) -> list[str]:
    """The lines of monitor without their times."""
    scripted = ScriptedBus(objects={ROOT: {MANAGER: {"Findings": found or []}}}, script=signals)
    result = run(scripted, "monitor")
    assert result.exit_code == 0
    return [line.split(" ", 1)[1] if line[2:3] == ":" else line for line in result.stdout.splitlines()]


def manager(member: str, *arguments: Any) -> Sent:
    return Sent(ROOT, MANAGER, member, list(arguments))


def changed(path: str, interface: str, values: dict[str, Any], invalidated: list[str] | None = None) -> Sent:
    return Sent(path, PROPERTIES, "PropertiesChanged", [interface, values, invalidated or []])


def test_publishing_and_drift() -> None:
    assert told(manager("Reconciled", 7, 6, 1, 2)) == ["published generation 7: 6 written, 1 removed, 2 findings"]
    assert told(manager("DriftDetected", [b"/srv/tftp/osr/\xff\n"])) == [
        "drift: /srv/tftp/osr/\\xff\\n changed by somebody"
    ]
    many = told(manager("DriftDetected", [b"/x"] * 1000))
    assert len(many) == 21
    assert many[-1] == "drift: and 980 more files"


def test_a_rejected_configuration_says_where() -> None:
    lines = told(manager("ConfigRejected", [FINDING]))
    assert lines[0] == "configuration rejected, the last good state is still served"
    assert lines[1].startswith("/etc/cluster/cluster.conf:13: error: ")


def test_jobs() -> None:
    assert told(
        manager("JobNew", JOB7, "edit"),
        changed(JOB7, JOB, {"State": "running", "Progress": 0.5, "Message": "writing"}),
        Sent(JOB7, JOB, "Completed", ["failed", "no space"]),
        changed(JOB7, JOB, {"State": "failed", "Message": "no space"}),
        manager("JobRemoved", JOB7, "failed"),
    ) == ["job 7: edit", "job 7: 50% writing", "job 7: failed, no space"]


def test_nodes_come_change_and_go() -> None:
    assert told(
        Sent(ROOT, OBJECT_MANAGER, "InterfacesAdded", [NODE1, {NODE: {"Name": "node1", "Quarantined": True}}]),
        Sent(ROOT, OBJECT_MANAGER, "InterfacesAdded", [JOB7, {JOB: {}}]),
        changed(NODE1, NODE, {"Quarantined": False, "Findings": [], "BootState": "up", "Nics": []}),
        changed(NODE1, NODE, {"Findings": []}),
        Sent(ROOT, OBJECT_MANAGER, "InterfacesRemoved", [NODE1, [NODE]]),
        Sent(ROOT, OBJECT_MANAGER, "InterfacesRemoved", [JOB7, [JOB]]),
    ) == [
        "node 1 (node1) added, quarantined",
        "node 1: no longer quarantined, boot state up, nics changed",
        "node 1 removed",
    ]


def test_shared_roots_come_change_and_go() -> None:
    assert told(
        Sent(ROOT, OBJECT_MANAGER, "InterfacesAdded", [WEB, {SHARED_ROOT: {"Name": "web"}}]),
        changed(WEB, SHARED_ROOT, {"State": "ready", "NodeCount": 4, "CdslCount": 3, "Link": b"cdsl.local"}),
        changed(WEB, SHARED_ROOT, {"LinkNode": "1", "LinkMounted": True, "FindingsTotal": 0}, ["Findings"]),
        changed(WEB, SHARED_ROOT, {"LinkNode": "", "LinkMounted": False}),
        changed(WEB, SHARED_ROOT, {}, ["Findings"]),
        Sent(ROOT, OBJECT_MANAGER, "InterfacesRemoved", [WEB, [SHARED_ROOT]]),
    ) == [
        "root web added",
        "root web: state ready, nodes: 4, CDSLs: 3",
        "root web: the link is for node 1, mounted at the link, findings: 0",
        "root web: the link is for nobody, not mounted at the link",
        "root web removed",
    ]


def test_the_daemon_and_what_this_osrctl_does_not_know() -> None:
    assert told(changed(ROOT, MANAGER, {"State": "ready", "InSync": True, "Version": "1"})) == [
        "state ready, in sync: yes"
    ]
    assert told(manager("Novelty", "\x1b", 1)) == ["Novelty \\x1b, 1"]


def test_findings_are_told_when_they_come_and_when_they_go() -> None:
    scripted = ScriptedBus(script=[changed(ROOT, MANAGER, {"FindingsTotal": 1}, ["Findings"])] * 2)
    answers = iter([[], [FINDING], []])

    async def properties(path: str, interface: str) -> dict[str, Any]:
        return {"Findings": next(answers)}

    scripted.properties = properties  # type: ignore[method-assign]
    lines = run(scripted, "monitor").stdout.splitlines()
    assert sum("error: node1 and node2" in line for line in lines) == 1
    assert "resolved: /etc/cluster/cluster.conf:13: node1 and node2" in lines[-1]


def test_json_is_one_object_per_line() -> None:
    scripted = ScriptedBus(script=[manager("DriftDetected", [b"/srv/\xff"]), manager("Reconciled", 7, 6, 1, 2)])
    first, second = map(json.loads, run(scripted, "monitor", "--json").stdout.splitlines())
    assert {key: first[key] for key in ("path", "interface", "signal", "arguments")} == {
        "path": ROOT,
        "interface": MANAGER,
        "signal": "DriftDetected",
        "arguments": [["/srv/\udcff"]],
    }
    assert second["arguments"] == [7, 6, 1, 2]
    assert second["time"].count("T") == 1


def test_count_and_timeout_end_it() -> None:
    class Endless(ScriptedBus):
        async def signals(self) -> AsyncIterator[Any]:
            for signal in self.script:
                yield signal
            await asyncio.Event().wait()

    scripted = Endless(script=[manager("Reconciled", 7, 6, 1, 2)] * 3)
    result = run(scripted, "monitor", "--json", "--count", "2")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 2)
    assert run(scripted, "monitor", "--json", "--timeout", "0.05").exit_code == 0
    assert run(scripted, "monitor", "--json", "--timeout", "0.05", "--count", "4").exit_code == 1
    assert scripted.closed


def test_the_end_of_osrd_is_an_error() -> None:
    class Leaving(ScriptedBus):
        async def signals(self) -> AsyncIterator[Any]:
            yield manager("Reconciled", 7, 6, 1, 2)
            raise FailedError("osrd left the bus")

    result = run(Leaving(), "monitor", "--json")
    assert result.exit_code == 8
    assert len(result.stdout.splitlines()) == 1
