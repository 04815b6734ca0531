# SPDX-License-Identifier: GPL-3.0-or-later
"""What osrctl asks the bus for, and what it makes of the answers."""

import json
import sys
import time
from typing import Any

import pytest

from osrd.bus.names import MANAGER, NODE, ROOT
from osrd.cli.session import connect_to_bus
from osrd.model.errors import (
    BusyError,
    ConflictError,
    FailedError,
    InvalidArgsError,
    NotAuthorizedError,
    NotFoundError,
    OsrdError,
    UnsupportedError,
)
from tests.scripted_bus import JOB_PATH, ScriptedBus, run

FINDING = {
    "code": "duplicate-mac",
    "severity": "error",
    "message": "node1 and node2 have the hardware address 00:0c:29:c9:c6:f5",
    "fix": "give node2 its own address",
    "node": "node2",
    "attribute": "mac",
    "value": "00:0c:29:c9:c6:f5",
    "file": "/etc/cluster/cluster.conf",
    "line": 13,
    "other": "node1",
    "other_file": "/etc/cluster/cluster.conf",
    "other_line": 7,
}
MANAGER_PROPERTIES: dict[str, Any] = {
    "State": "degraded",
    "InSync": True,
    "Generation": 7,
    "ConfigVersion": 3,
    "ClusterName": "axqad109",
    "Findings": [FINDING],
    "FindingsTotal": 1,
    "NodeCount": 2,
    "DhcpState": "running",
    "NfsState": "not-running",
    "WatchMode": "inotify",
    "Version": "0.1.0",
}
NODE1: dict[str, Any] = {
    "Id": "1",
    "Name": "node1",
    "Votes": 1,
    "Nics": [{"name": "eth0", "mac": "00:0c:29:c9:c6:f5", "ip": "192.168.122.171", "boots": True, "master": ""}],
    "Root": {"name": "192.168.122.1:/mnt/virtual/nfsosr/fc11", "fstype": "nfs", "section": "fc11"},
    "BootState": "unknown",
    "BootStateSince": 0,
    "BootMode": "full",
    "Quarantined": True,
    "Findings": [FINDING],
}
PATH1 = f"{ROOT}/nodes/1"
LIST = [[PATH1, "1", "node1", "unknown", True], [f"{ROOT}/nodes/2", "2", "node2", "up", False]]


def bus(**replies: list[Any] | OsrdError) -> ScriptedBus:
    return ScriptedBus(
        {"ListNodes": [LIST], **replies}, {ROOT: {MANAGER: dict(MANAGER_PROPERTIES)}, PATH1: {NODE: NODE1}}
    )


def test_status_fits_one_screen_and_names_the_fix() -> None:
    scripted = bus()
    result = run(scripted, "--bus", "unix:path=/x", "status")
    assert result.exit_code == 0
    assert scripted.address == "unix:path=/x"
    assert scripted.closed
    assert len(result.stdout.splitlines()) < 24
    for word in ("degraded", "in sync", "axqad109", "config_version 3", "1 quarantined", "running", "not-running"):
        assert word in result.stdout
    assert "/etc/cluster/cluster.conf:13: error: node1 and node2" in result.stdout
    assert "see also /etc/cluster/cluster.conf:7: node1" in result.stdout
    assert "fix: give node2 its own address" in result.stdout


def test_status_counts_what_it_does_not_show() -> None:
    scripted = bus()
    scripted.objects[ROOT][MANAGER].update(Findings=[FINDING] * 8, FindingsTotal=2000)
    result = run(scripted, "status")
    assert result.stdout.count("fix:") == 5
    assert "1995 more" in result.stdout


def test_status_says_what_a_hold_is() -> None:
    scripted = bus()
    scripted.objects[ROOT][MANAGER]["State"] = "pinned"
    assert "osrctl apply" in run(scripted, "status").stdout


def test_status_before_there_is_a_cluster() -> None:
    scripted = bus(ListNodes=[[]])
    scripted.objects[ROOT][MANAGER].update(ClusterName="", ConfigVersion=0, NodeCount=0, Findings=[])
    assert "Cluster:    none yet\n" in run(scripted, "status").stdout


def test_status_as_json() -> None:
    answer = json.loads(run(bus(), "status", "--json").stdout)
    assert answer == json.loads(run(bus(), "--json", "status").stdout)
    assert answer["state"] == "degraded"
    assert answer["quarantined"] == 1
    assert answer["findings"] == [FINDING]
    assert set(answer) == {
        *("state", "in_sync", "generation", "cluster", "config_version", "nodes", "quarantined"),
        *("dhcp", "nfs", "watch", "version", "findings_total", "findings"),
    }


@pytest.mark.parametrize(
    ("state", "in_sync", "code"), [("ready", True, 0), ("ready", False, 1), ("degraded", True, 1)]
)
def test_status_exit_code_is_asked_for(state: str, in_sync: bool, code: int) -> None:
    scripted = bus()
    scripted.objects[ROOT][MANAGER].update(State=state, InSync=in_sync)
    assert run(scripted, "status", "--exit-code").exit_code == code
    assert run(scripted, "status").exit_code == 0


def test_nodes_asks_for_the_list_only() -> None:
    scripted = bus()
    lines = run(scripted, "nodes").stdout.splitlines()
    assert scripted.calls == [("ListNodes", "a{sv}", {})]
    assert lines[0].split() == ["ID", "NAME", "BOOT", "STATE"]
    assert lines[1].split() == ["1", "node1", "unknown", "quarantined"]
    assert lines[2].split() == ["2", "node2", "up", "ok"]


def test_nodes_wide_keeps_the_order_and_leaves_out_who_just_left() -> None:
    result = run(bus(), "nodes", "--wide")
    assert result.stdout.splitlines()[1].split() == [
        *("1", "node1", "192.168.122.171", "00:0c:29:c9:c6:f5", "fc11", "full", "unknown", "quarantined")
    ]
    assert len(result.stdout.splitlines()) == 2
    assert [node["name"] for node in json.loads(run(bus(), "nodes", "-w", "--json").stdout)["nodes"]] == ["node1"]


def test_nodes_as_json() -> None:
    assert json.loads(run(bus(), "nodes", "--json").stdout)["nodes"][0] == {
        "path": PATH1,
        "id": "1",
        "name": "node1",
        "boot_state": "unknown",
        "quarantined": True,
    }


@pytest.mark.parametrize("terminal", [False, True])
def test_ten_thousand_nodes_list_fast(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osrd.cli.output.is_terminal", lambda: terminal)
    rows = [[f"{ROOT}/nodes/{i}", str(i), f"node{i}", "unknown", False] for i in range(10_000)]
    start = time.process_time()
    result = run(bus(ListNodes=[rows]), "nodes")
    assert len(result.stdout.splitlines()) == 10_001
    assert time.process_time() - start < 1.0  # 0.04 s; rich takes 6 s


def test_show_by_name_or_hardware_address() -> None:
    result = run(bus(GetNode=[PATH1]), "show", "node1")
    for word in ("node1 (id 1), quarantined", "eth0: mac 00:0c:29:c9:c6:f5, ip 192.168.122.171, boots", "fix:"):
        assert word in result.stdout
    scripted = bus(GetNode=NotFoundError("no such node"), GetNodeByMac=[PATH1])
    assert json.loads(run(scripted, "show", "000C.29C9.C6F5", "--json").stdout)["name"] == "node1"
    assert [call[0] for call in scripted.calls] == ["GetNode", "GetNodeByMac"]
    assert run(bus(GetNode=NotFoundError("no such node")), "show", "nobody").exit_code == 6


def test_generations_and_jobs() -> None:
    row = {
        "number": 7,
        "when": 1700000000.0,
        "reason": "edited",
        "config_version": 3,
        "written": 6,
        "removed": 0,
        "current": True,
        "pinned": False,
    }
    result = run(bus(ListGenerations=[[row]]), "generations")
    assert result.stdout.splitlines()[1].split()[0] == "7"
    assert result.stdout.splitlines()[1].split()[-2:] == ["edited", "current"]
    assert json.loads(run(bus(ListGenerations=[[row]]), "generations", "--json").stdout) == {"generations": [row]}
    jobs = [[JOB_PATH, "verify", "running", 0.25, "hashing"]]
    assert run(bus(ListJobs=[jobs]), "jobs").stdout.splitlines()[1].split() == [
        "7",
        "verify",
        "running",
        "25%",
        "hashing",
    ]
    assert json.loads(run(bus(ListJobs=[jobs]), "jobs", "--json").stdout)["jobs"][0]["job"] == JOB_PATH


@pytest.mark.parametrize("job", ["7", JOB_PATH])
def test_cancel_takes_a_number_or_a_path(job: str) -> None:
    scripted = bus(Cancel=[])
    assert run(scripted, "cancel", job).exit_code == 0
    assert scripted.calls == [("Cancel", "a{sv}", {})]


@pytest.mark.parametrize("job", ["x", "/etc/passwd", "", "\u0663"])
def test_cancel_of_what_is_no_job(job: str) -> None:
    assert run(bus(), "cancel", job).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (InvalidArgsError("x"), 2, "InvalidArgs"),
        (NotAuthorizedError("x"), 5, "NotAuthorized"),
        (NotFoundError("x"), 6, "NotFound"),
        (ConflictError("x"), 7, "Conflict"),
        (FailedError("x"), 8, "Failed"),
        (OsrdError("x"), 8, "Failed"),
        (BusyError("x"), 9, "Busy"),
        (UnsupportedError("x"), 10, "Unsupported"),
    ],
)
def test_every_error_has_its_exit_status(error: OsrdError, code: int, name: str) -> None:
    result = run(bus(Plan=error), "plan")
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("osrctl: error: x\n")
    result = run(bus(Plan=error), "plan", "--json")
    assert result.exit_code == code
    assert json.loads(result.stderr)["error"] | {"fix": ""} == {"name": name, "message": "x", "fix": "", "exit": code}


def test_a_job_that_failed_is_its_error() -> None:
    scripted = bus(Reconcile=[JOB_PATH])
    scripted.job = {"State": "failed", "Error": "Conflict", "Message": "config_version is 4"}
    result = run(scripted, "reconcile")
    assert result.exit_code == 7
    assert "config_version is 4" in result.stderr
    scripted.job = {"State": "cancelled", "Kind": "reconcile"}
    assert run(scripted, "reconcile").exit_code == 8
    scripted.job = {"State": "failed", "Error": "Unheard", "Message": "x"}
    assert run(scripted, "reconcile").exit_code == 8


def test_without_osrd_the_error_says_how_to_start_it() -> None:
    from osrd.bus import client

    async def nobody(address: str | None) -> client.Client:
        raise NotFoundError("osrd is not on the bus")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.Client, "connect", nobody)
        scripted = bus()
        scripted.connect = connect_to_bus  # type: ignore[method-assign,assignment]
        result = run(scripted, "nodes")
    assert result.exit_code == 4
    assert "systemctl start osrd" in result.stderr
    assert "osrd --once" in result.stderr


def test_arguments_that_are_not_utf8_are_a_usage_error() -> None:
    scripted = bus(GetNode=NotFoundError("x"))

    async def call(*arguments: Any, **_: Any) -> list[Any]:
        return [str(arguments).encode()] if "\udcff" not in arguments else ["\udcff".encode()]

    scripted.call = call  # type: ignore[method-assign]
    result = run(scripted, "show", "\udcff")
    assert result.exit_code == 2
    assert "is not UTF-8" in result.stderr


def test_interruption_is_quiet() -> None:
    scripted = bus()

    async def call(*_: Any, **__: Any) -> list[Any]:
        raise KeyboardInterrupt

    scripted.call = call  # type: ignore[method-assign]
    result = run(scripted, "nodes")
    assert (result.exit_code, result.output) == (130, "")


def test_names_cannot_steer_the_terminal() -> None:
    evil = "node\x1b]0;owned\x07\u202e\n"
    rows = [[PATH1, "1", evil, "unknown", False]]
    for arguments in (["nodes"], ["nodes", "--json"], ["--no-color", "nodes"]):
        output = run(bus(ListNodes=[rows]), *arguments, colour=True).stdout
        assert not {"\x1b", "\x07", "\u202e"} & set(output)
    assert "node\\x1b]0;owned\\x07\\u202e\\n" in run(bus(ListNodes=[rows]), "nodes").stdout


def test_colours_only_where_asked() -> None:
    assert "\x1b[" not in run(bus(), "status").stdout
    assert "\x1b[" in run(bus(), "status", colour=True).stdout
    assert "\x1b[" not in run(bus(), "--no-color", "status", colour=True).stdout


def test_a_terminal_gets_a_rich_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osrd.cli.output.is_terminal", lambda: True)
    result = run(bus(), "nodes")
    assert "rich.table" in sys.modules
    assert [line.split() for line in result.stdout.splitlines()][1] == ["1", "node1", "unknown", "quarantined"]
