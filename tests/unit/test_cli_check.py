# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl check: its grades, its two outputs, and what it does with what is no cluster.conf."""

import json
import os
import threading
from pathlib import Path

import pytest
from click.testing import Result

from osrd.model.finding import Finding, Severity
from osrd.parse.elements import MAX_SIZE
from tests.conftest import REPOSITORY
from tests.scripted_bus import ScriptedBus, run

SEED = REPOSITORY / "tests/fixtures/seed.conf"
MAC2 = (b"00:0C:29:C9:C6:F5", b"00:0C:29:C9:C6:F6")


def check(*arguments: str | Path) -> Result:
    return run(ScriptedBus(), "check", *map(str, arguments))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """The seed's file with another MAC for node2: only notes are left."""
    head, _, tail = SEED.read_bytes().rpartition(MAC2[0])
    file = tmp_path / "cluster.conf"
    file.write_bytes(head + MAC2[1] + tail)
    return file


def graded(monkeypatch: pytest.MonkeyPatch, *severities: Severity) -> None:
    """Let the validator find these."""
    from osrd.parse import validation

    found = tuple(Finding("code", severity, "message", "repair it") for severity in severities)
    monkeypatch.setattr(validation.Validator, "judge", lambda *_: validation.Verdict(found, frozenset()))


@pytest.mark.parametrize(
    ("severities", "code"),
    [
        ([], 0),
        ([Severity.INFO], 0),
        ([Severity.INFO, Severity.WARNING], 1),
        ([Severity.WARNING, Severity.ERROR, Severity.INFO], 2),
    ],
)
def test_the_grade_is_that_of_the_worst(
    monkeypatch: pytest.MonkeyPatch, good: Path, severities: list[Severity], code: int
) -> None:
    graded(monkeypatch, *severities)
    assert check(good).exit_code == code
    assert check(good, "--json").exit_code == code


def test_errors_come_first_and_are_counted(monkeypatch: pytest.MonkeyPatch, good: Path) -> None:
    graded(monkeypatch, Severity.INFO, Severity.WARNING, Severity.ERROR, Severity.ERROR)
    lines = check(good).stdout.splitlines()
    words = [line.split(":")[0] for line in lines if not line.startswith(" ")]
    assert words == ["error", "error", "warning", "info", str(good)]
    assert lines[-1] == f"{good}: 2 nodes: 2 errors, 1 warning, 1 note"


def test_a_clean_file(good: Path) -> None:
    result = check(good)
    assert result.exit_code == 0
    assert " error: " not in result.stdout
    assert " warning: " not in result.stdout


def test_json_has_the_keys_of_the_bus(good: Path) -> None:
    answer = json.loads(check(SEED, "--json").stdout)
    assert set(answer) == {"file", "findings", "quarantined", "nodes"}
    assert answer["file"] == str(SEED)
    assert answer["nodes"] == 2
    assert answer["quarantined"] == ["node1", "node2"]
    assert set(answer["findings"][0]) == {
        *("code", "severity", "message", "fix", "node", "attribute", "value"),
        *("file", "line", "other", "other_file", "other_line"),
    }
    assert json.loads(check(good, "--json").stdout)["quarantined"] == []


def test_standard_input() -> None:
    result = run(ScriptedBus(), "check", "-", text=SEED.read_text())
    assert result.exit_code == 2
    assert "<stdin>:7: error: " in result.stdout


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(SEED.read_bytes(),))
    writer.start()
    assert check(fifo).exit_code == 2
    writer.join()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"hello",
        b"<cluster",
        b"<other/>",
        b"\xff\xfe<\0c\0",
        b"<cluster name='\xff'/>",
        b"<!DOCTYPE cluster SYSTEM 'file:///etc/passwd'><cluster/>",
        b"<!DOCTYPE c [<!ENTITY a 'aaa'><!ENTITY b '&a;&a;'>]><cluster name='&b;'/>",
    ],
)
def test_what_is_no_cluster_conf_gets_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "cluster.conf"
    file.write_bytes(content)
    for arguments in ([], ["--schema"]):
        result = check(file, *arguments)
        assert result.exit_code == 3
        assert result.stdout == ""
        first, *rest = result.stderr.splitlines()
        assert first.startswith(f"osrctl: error: {file}:1: ")
        assert all(line.startswith("    fix: ") for line in rest)
        assert len(rest) <= 1
    assert json.loads(check(file, "--json").stderr)["error"]["exit"] == 3


@pytest.mark.parametrize(("name", "reason"), [("absent", "No such file"), ("", "Is a directory")])
def test_what_cannot_be_opened(tmp_path: Path, name: str, reason: str) -> None:
    result = check(tmp_path / name)
    assert result.exit_code == 3
    assert reason in result.stderr


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    assert check("/dev/zero").exit_code == 3
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(MAX_SIZE + 1)
    result = check(large)
    assert result.exit_code == 3
    assert str(MAX_SIZE) in result.stderr


def test_names_of_files_cannot_steer_the_terminal(tmp_path: Path, good: Path) -> None:
    evil = tmp_path / "a\x1b[2J\n\udcff"
    good.rename(evil)
    result = check(evil)
    assert "\x1b" not in result.output
    assert "a\\x1b[2J\\n\\xff: 2 nodes" in result.stdout
    assert json.loads(check(evil, "--json").stdout)["file"] == str(evil)
