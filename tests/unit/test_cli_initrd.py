# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl initrd list, build, rollback, diff, log: what is asked of the daemon, and how its answers look."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from osrd.bus.names import SHARED_ROOT, image_path, root_path
from osrd.cli.commands_initrd_look import size
from osrd.cli.exits import Exit, UnreachableError
from osrd.cli.main import osrctl
from osrd.cli.session import Bus, Session
from osrd.model.errors import NotAuthorizedError, NotFoundError
from tests.scripted_bus import JOB_PATH, ScriptedBus

OLD, NEW, OTHER = "a100000000000000", "b200000000000000", "b300000000000000"
WEB = root_path("web")

Osrctl = Callable[..., Result]


def row(identity: str, root: str = "web", **values: object) -> dict[str, Any]:
    start = {
        "path": image_path(identity),
        "id": identity,
        "root": root,
        "kernel": "6.1.0-9",
        "way": "full",
        "fingerprint": "f",
        "built": 1795341958.0,
        "seconds": 30.0,
        "size": 33_000_000,
        "kernel_size": 8_000_000,
        "state": "current",
        "used_by": ["node1"],
    }
    return {**start, **values}


@pytest.fixture
def bus(tmp_path: Path) -> ScriptedBus:
    """A daemon with the root ``web`` at a real directory, and the images of two roots."""
    (tmp_path / "web").mkdir()
    rows = [row(NEW), row(OLD, state="previous", used_by=[]), row(OTHER, "db\x1b[2J", state="kept")]
    kernels = [
        {"version": "6.1.0-10", "file": "boot/vmlinuz-6.1.0-10", "state": "failed", "image": ""},
        {"version": "6.1.0-9", "file": "boot/vmlinuz-6.1.0-9", "state": "built", "image": NEW},
    ]
    return ScriptedBus(
        {
            "ListRoots": [[["web", "10.0.0.1:/web", "nfs4", str(tmp_path / "web"), 2]]],
            "GetRoot": [WEB],
            "ListImages": [rows],
            "BuildInitrd": [JOB_PATH],
            "RollbackInitrd": [JOB_PATH],
        },
        {WEB: {SHARED_ROOT: {"Name": "web", "Kernels": kernels}}},
    )


@pytest.fixture
def run(bus: ScriptedBus, tmp_path: Path) -> Osrctl:
    configuration = tmp_path / "osrd.conf"
    configuration.write_text(f"[root web]\npath = {tmp_path / 'web'}\n")

    def call(*words: str) -> Result:
        async def connect(address: str | None) -> Bus:
            return await bus.connect(address)

        session = Session(connect=connect, configuration=str(configuration))
        result = CliRunner().invoke(osrctl, ["initrd", *words], obj=session, prog_name="osrctl")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def asked(bus: ScriptedBus) -> list[tuple[Any, ...]]:
    return [call for call in bus.calls if call[0] not in ("ListRoots", "GetRoot", "ListImages")]


def test_list(run: Osrctl) -> None:
    lines = run("list", "web").stdout.splitlines()
    assert lines[0].split() == ["IMAGE", "ROOT", "KERNEL", "STATE", "BUILT", "SIZE", "USED", "BY"]
    assert lines[1].startswith(f"{NEW}  web   6.1.0-9  current   2026-11-")
    assert lines[1].endswith("31.5 MiB  node1")
    assert lines[2].startswith(OLD)
    assert lines[3:] == ["web: kernel 6.1.0-10: the build failed; osrctl initrd log says why"]


def test_list_of_all_roots(run: Osrctl, bus: ScriptedBus) -> None:
    text = run("list").stdout
    assert OTHER in text
    assert "\x1b" not in text
    facts = json.loads(run("list", "--json").stdout)
    assert [image["id"] for image in facts["images"]] == [NEW, OLD, OTHER]
    assert facts["kernels"][0] == {
        "root": "web",
        "version": "6.1.0-10",
        "file": "boot/vmlinuz-6.1.0-10",
        "state": "failed",
        "image": "",
    }
    bus.replies["ListImages"] = [[]]
    bus.replies["ListRoots"] = [[]]
    assert run("list").stdout.startswith("no images")


def test_many_users_are_counted(run: Osrctl, bus: ScriptedBus) -> None:
    bus.replies["ListImages"] = [[row(NEW, used_by=[f"node{number}" for number in range(10)])]]
    assert "node0 node1 node2 and 7 more" in run("list", "web").stdout


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {}),
        (["--force"], {"force": True}),
        (["--kernel", "6.1.0-9", "--force"], {"kernel": "6.1.0-9", "force": True}),
    ],
)
def test_build(run: Osrctl, bus: ScriptedBus, words: list[str], options: dict[str, object]) -> None:
    bus.job = {"Kind": "initrd-build", "Result": {"changed": True, "lines": ["built it"], "images": [NEW]}}
    bus.steps = [(0.5, "6.1.0-9: installing modules")]
    result = run("build", "web", *words)
    assert (result.exit_code, result.stdout) == (0, "built it\n")
    assert " 50% 6.1.0-9: installing modules" in result.stderr
    assert asked(bus) == [("BuildInitrd", "a{sv}", options)]
    facts = json.loads(run("build", "web", "--json").stdout)
    assert (facts["kind"], facts["result"]["images"]) == ("initrd-build", [NEW])


def test_nothing_to_build(run: Osrctl, bus: ScriptedBus) -> None:
    bus.job = {"Result": {"changed": False, "lines": []}}
    assert run("build", "web").stdout == "nothing to do: every image is of what is in the root now\n"


def test_a_build_that_fails(run: Osrctl, bus: ScriptedBus) -> None:
    bus.job = {"State": "failed", "Error": "Failed", "Message": "dracut ended with status 1"}
    result = run("build", "web")
    assert result.exit_code == Exit.FAILED
    assert "error: dracut ended with status 1" in result.stderr
    bus.job = {"State": "cancelled", "Kind": "initrd-build", "Message": "cancelled; the images are as they were"}
    assert run("build", "web").exit_code == Exit.FAILED


def test_rollback(run: Osrctl, bus: ScriptedBus) -> None:
    bus.job = {"Result": {"changed": True, "lines": [f"{OLD} is the current image"]}}
    assert run("rollback", "web").stdout == f"{OLD} is the current image\n"
    run("rollback", "web", "a1")
    assert asked(bus) == [("RollbackInitrd", "a{sv}", {}), ("RollbackInitrd", "a{sv}", {"image": OLD})]
    result = run("rollback", "web", "b")
    assert (result.exit_code, "2 images begin with b" in result.stderr) == (Exit.CONFLICT, True)
    assert run("rollback", "web", "c").exit_code == Exit.NOT_FOUND


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (["web"], (OLD, NEW)),
        (["b2"], ("", NEW)),
        (["b2", "a1"], (NEW, OLD)),
    ],
)
def test_diff_compares(run: Osrctl, bus: ScriptedBus, words: list[str], call: tuple[str, str]) -> None:
    bus.replies["Compare"] = [[], ["nothing differs"], [], 0]
    assert run("diff", *words).stdout == "nothing differs\n"
    assert asked(bus) == [("Compare", "sa{sv}", call[0], {})]


def test_diff_tells(run: Osrctl, bus: ScriptedBus) -> None:
    files = [{"path": b"usr/bin/\xff", "change": "removed", "before": 10, "after": 0}]
    lines = ["- usr/bin/x\x1b (10 bytes)", "  etc/osr/osr.conf (2 bytes, +1 bytes)"]
    bus.replies["Compare"] = [["the root volume of node1 changed"], lines, files, 1003]
    assert run("diff", "web").stdout.splitlines() == [
        "because the root volume of node1 changed",
        "- usr/bin/x\\x1b (10 bytes)",
        "  etc/osr/osr.conf (2 bytes, +1 bytes)",
    ]
    facts = json.loads(run("diff", "web", "--json").stdout)
    assert (facts["from"], facts["to"], facts["total"], len(facts["files"])) == (OLD, NEW, 1003, 1)
    assert run("diff", "a", "b", "c").exit_code == Exit.USAGE
    bus.replies["ListImages"] = [[row(NEW)]]
    assert "no previous image" in run("diff", "web").stderr


def test_log(run: Osrctl, bus: ScriptedBus) -> None:
    bus.replies |= {"GetBuildLog": [b"dracut: \x1b[2Jsaid\n", 17], "GetLog": [b"end\n", 1004]}
    assert run("log", "web").stdout == "dracut: \\x1b[2Jsaid\n"
    assert run("log", NEW).stdout == "... 1000 bytes before\nend\n"
    assert json.loads(run("log", "--json", "b2").stdout) == {"image": NEW, "log": "end\n", "size": 1004}
    bus.replies["GetBuildLog"] = NotFoundError("nothing was built for it")
    assert run("log", "web").exit_code == Exit.NOT_FOUND


def test_a_root_that_osrd_does_not_know(run: Osrctl, bus: ScriptedBus, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    result = run("build", str(other))
    assert (result.exit_code, "osrd knows no root" in result.stderr) == (Exit.UNSUPPORTED, True)
    bus.replies["GetRoot"] = NotFoundError("there is no shared root 'nowhere'")
    assert run("build", "nowhere").exit_code == Exit.NOT_FOUND
    assert run("build", "./nowhere").exit_code == Exit.NOT_FOUND
    assert asked(bus) == []


def test_a_root_that_only_the_daemon_has_a_name_for(run: Osrctl, bus: ScriptedBus) -> None:
    """It runs with another osrd.conf (osrd --config)."""
    assert run("rollback", "far").exit_code == Exit.OK
    assert ("GetRoot", "sa{sv}", "far", {}) in bus.calls
    assert asked(bus) == [("RollbackInitrd", "a{sv}", {})]


def test_permission_and_reachability(run: Osrctl, bus: ScriptedBus, monkeypatch: pytest.MonkeyPatch) -> None:
    bus.replies["RollbackInitrd"] = NotAuthorizedError("no")
    result = run("rollback", "web")
    assert result.exit_code == Exit.NOT_AUTHORIZED
    assert "org.opensharedroot.osrd.rollback-initrd" in result.stderr

    async def gone(address: str | None) -> ScriptedBus:
        raise UnreachableError("osrd is not running")

    monkeypatch.setattr(bus, "connect", gone)
    assert run("list").exit_code == Exit.UNREACHABLE


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (33_000_000, "31.5 MiB"), (5 << 40, "5120.0 GiB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text
