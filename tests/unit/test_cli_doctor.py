# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl doctor: its grades, its outputs, and how it asks osrd."""

import json
from typing import Any

import pytest
from click.testing import Result

from osrd.bus.names import MANAGER, ROOT
from osrd.engine import doctor as engine
from osrd.model.errors import FailedError
from osrd.model.finding import Finding, Severity
from osrd.model.host import Checked, Daemon
from tests.scripted_bus import ScriptedBus, run

MANAGED = {"State": "ready", "InSync": True, "FindingsTotal": 2, "WatchMode": "inotify"}


def doctor(monkeypatch: pytest.MonkeyPatch, *checks: Checked, words: tuple[str, ...] = ()) -> tuple[Result, Any]:
    """Run it on a host with these checks; the result, and what was known of osrd."""
    heard = []

    def examine(configuration: str, daemon: Daemon, runner: object, *, required: bool) -> tuple[Checked, ...]:
        heard.append((daemon, required))
        return checks

    monkeypatch.setattr(engine, "examine", examine)
    return run(ScriptedBus(objects={ROOT: {MANAGER: MANAGED}}), "doctor", *words), heard[0]


def check(*severities: Severity, unknown: bool = False) -> Checked:
    found = (Finding(f"code-{number}", each, "it is wrong", "mend it") for number, each in enumerate(severities))
    return Checked("a check", "what was seen", tuple(found), unknown)


@pytest.mark.parametrize(
    ("checks", "status"),
    [
        ((check(),), 0),
        ((check(unknown=True), check(Severity.INFO)), 0),
        ((check(Severity.INFO), check(Severity.WARNING)), 1),
        ((check(Severity.ERROR), check(Severity.WARNING)), 2),
    ],
)
def test_the_grade_is_that_of_the_worst(
    monkeypatch: pytest.MonkeyPatch, checks: tuple[Checked, ...], status: int
) -> None:
    assert doctor(monkeypatch, *checks)[0].exit_code == status
    assert doctor(monkeypatch, *checks, words=("--json",))[0].exit_code == status


def test_people_see_a_table_and_then_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = doctor(monkeypatch, check(), check(Severity.WARNING), check(unknown=True))[0].stdout.splitlines()
    assert lines[0].split() == ["CHECK", "RESULT", "SEEN"]
    assert [line.split()[2] for line in lines[1:4]] == ["ok", "warning", "unknown"]
    assert lines[5:] == ["warning: it is wrong [code-0]", "    fix: mend it", "", "1 warning"]


def test_scripts_get_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = json.loads(doctor(monkeypatch, check(Severity.ERROR), words=("--json",))[0].stdout)
    assert answer["checks"] == [{"name": "a check", "result": "error", "summary": "what was seen"}]
    assert [(each["code"], each["fix"]) for each in answer["findings"]] == [("code-0", "mend it")]


def test_it_asks_osrd_and_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (daemon, required) = doctor(monkeypatch, check())
    assert (daemon, required) == (Daemon("", "", "ready", True, 2, "inotify"), False)

    async def nobody(self: ScriptedBus, path: str, interface: str) -> dict[str, Any]:
        raise FailedError("no answer", "try again")

    monkeypatch.setattr(ScriptedBus, "properties", nobody)
    _, (daemon, _) = doctor(monkeypatch, check())
    assert (daemon.problem, daemon.fix) == ("osrd does not answer: no answer", "try again")
