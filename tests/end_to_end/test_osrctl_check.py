# SPDX-License-Identifier: GPL-3.0-or-later
"""`osrctl check` as an administrator or a CI job runs it: a process, a file, no daemon."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SEED = REPOSITORY / "tests/fixtures/seed.conf"
MAC = b"00:0C:29:C9:C6:F5"


def check(*arguments: str | Path, data: bytes | None = None) -> "subprocess.CompletedProcess[bytes]":
    """Run it where there is no bus to talk to."""
    return subprocess.run(
        [sys.executable, "-m", "osrd.cli", "check", *map(str, arguments)],
        input=data,
        capture_output=True,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent/bus",
        },
        timeout=60,
        check=False,
    )


@pytest.fixture
def corrected(tmp_path: Path) -> Path:
    head, _, tail = SEED.read_bytes().rpartition(MAC)
    file = tmp_path / "cluster.conf"
    file.write_bytes(head + b"00:0C:29:C9:C6:F6" + tail)
    return file


def test_the_mistake_of_the_seed_is_named_with_both_parties_and_the_fix() -> None:
    done = check(SEED)
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (2, b"")
    for line, name in ((7, "node1"), (13, "node2")):
        assert f"{SEED}:{line}: error: " in text
        assert name in text
    assert "00:0C:29:C9:C6:F5" in text
    assert "fix: " in text
    assert "duplicate-mac" in text
    assert "\x1b" not in text


def test_the_same_as_json() -> None:
    done = check(SEED, "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 2
    assert answer["quarantined"] == ["node1", "node2"]
    errors = [finding for finding in answer["findings"] if finding["severity"] == "error"]
    assert {(finding["node"], finding["line"], finding["other_line"]) for finding in errors} == {
        ("node1", 7, 13),
        ("node2", 13, 7),
    }
    assert all(finding["fix"] for finding in errors)


def test_the_corrected_file_is_clean(corrected: Path) -> None:
    done = check(corrected)
    assert (done.returncode, done.stderr) == (0, b"")
    assert check("-", data=corrected.read_bytes()).returncode == 0


def test_the_corrected_file_is_as_the_schema_says(corrected: Path) -> None:
    done = check("--schema", corrected)
    assert (done.returncode, done.stderr) == (0, b"")
    corrected.write_bytes(b"\n" + corrected.read_bytes().replace(b'nodeid="2"', b'nodeid="two"', 1))
    done = check("--schema", "--json", corrected)
    assert done.returncode == 2
    found = [finding for finding in json.loads(done.stdout)["findings"] if finding["code"] == "schema"]
    assert [(finding["line"], "nodeid" in finding["message"]) for finding in found] == [(11, True)]


@pytest.mark.parametrize("data", [b"", b"garbage", b"<cluster>", b"\xff" * 1000])
def test_garbage_is_unreadable_and_never_a_traceback(data: bytes) -> None:
    done = check("-", data=data)
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.startswith(b"osrctl: error: <stdin>:1: ")
    assert b"Traceback" not in done.stderr


def test_a_hundred_megabytes_are_refused_without_reading_them(tmp_path: Path) -> None:
    file = tmp_path / "huge"
    with file.open("wb") as stream:
        stream.truncate(100 << 20)
    done = check(file)
    assert done.returncode == 3
    assert b"longer than" in done.stderr
