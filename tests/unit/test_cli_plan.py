# SPDX-License-Identifier: GPL-3.0-or-later
"""plan, apply, verify, rollback and the node commands: what is asked, what is confirmed, what it exits with."""

import asyncio
import json
from typing import Any

import pytest

from osrd.bus.names import MANAGER, ROOT
from osrd.model.errors import ConflictError
from tests.scripted_bus import JOB_PATH, ScriptedBus, run

DIFF = "--- a/01-00\n+++ b/01-00\n@@ -1 +1 @@\n-old\x1b[2J\n+new\n"
ACTION = {"action": "write", "target": "/srv/tftp/osr/x", "reason": "new", "node": "node1", "diff": DIFF}
RELOAD = {"action": "reload", "target": "dhcp", "reason": "changed", "node": "", "diff": ""}


def bus(*actions: dict[str, Any], state: str = "ready", **replies: Any) -> ScriptedBus:
    planned: dict[str, Any] = {"Plan": ["d1g35t", list(actions)], "Apply": [JOB_PATH]}
    return ScriptedBus(planned | replies, {ROOT: {MANAGER: {"State": state}}})


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osrd.cli.commands_plan.can_ask", lambda: True)
    monkeypatch.setattr("osrd.cli.commands_edit.can_ask", lambda: True)


def test_plan_lists_actions_and_the_way_to_apply_exactly_them() -> None:
    scripted = bus(ACTION, RELOAD)
    result = run(scripted, "plan")
    assert scripted.calls == [("Plan", "a{sv}", {})]
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "write /srv/tftp/osr/x for node1 (new)"
    assert result.stdout.splitlines()[-1] == "2 actions: osrctl apply --plan d1g35t"
    assert run(bus(ACTION), "plan", "--exit-code").exit_code == 1
    assert run(bus(), "plan", "--exit-code").exit_code == 0
    assert run(bus(), "plan").stdout == "nothing to do\n"


def test_plan_diff_is_coloured_and_harmless() -> None:
    scripted = bus(ACTION)
    plain = run(scripted, "plan", "--diff").stdout
    assert scripted.calls == [("Plan", "a{sv}", {"diff": True})]
    assert "    -old\\x1b[2J\n    +new\n" in plain
    coloured = run(bus(ACTION), "plan", "--diff", colour=True).stdout
    assert "\x1b[31m-old\\x1b[2J\x1b[0m" in coloured
    assert "\x1b[32m+new\x1b[0m" in coloured


def test_plan_as_json() -> None:
    assert json.loads(run(bus(ACTION), "plan", "--json", "--diff").stdout) == {"digest": "d1g35t", "actions": [ACTION]}


def test_apply_with_a_digest_asks_nothing() -> None:
    scripted = bus()
    scripted.job = {"Result": {"generation": 8, "written": 6, "removed": 1, "drift": [b"/srv/\xff"]}}
    result = run(scripted, "apply", "--plan", "d1g35t")
    assert scripted.calls == [("Apply", "sa{sv}", "d1g35t", {})]
    assert result.stdout == "apply done: generation 8, written 6, removed 1\n    repaired: /srv/\\xff\n"
    answer = json.loads(run(scripted, "apply", "--plan", "d1g35t", "--json").stdout)
    assert answer["result"]["drift"] == ["/srv/\udcff"]
    assert answer["job"] == JOB_PATH


def test_apply_refuses_to_guess_without_a_terminal() -> None:
    for arguments in (["apply"], ["apply", "--json"]):
        scripted = bus(ACTION)
        result = run(scripted, *arguments)
        assert result.exit_code == 2
        assert "--yes" in result.stderr
        assert scripted.calls == []


@pytest.mark.usefixtures("terminal")
def test_apply_shows_the_plan_asks_and_applies_that_digest() -> None:
    scripted = bus(ACTION)
    result = run(scripted, "apply", text="y\n")
    assert "write /srv/tftp/osr/x" in result.stdout
    assert scripted.calls[-1] == ("Apply", "sa{sv}", "d1g35t", {})
    assert result.exit_code == 0
    scripted = bus(ACTION)
    assert run(scripted, "apply", text="n\n").exit_code == 1
    assert [call[0] for call in scripted.calls] == ["Plan"]
    assert run(bus(ACTION), "apply", text="").exit_code == 130


@pytest.mark.usefixtures("terminal")
def test_questions_are_asked_outside_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside, asyncio's SIGINT handler cancels a task that waits for the answer: the first Ctrl-C does nothing."""

    def confirm(*_: object, **__: object) -> bool:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return False

    monkeypatch.setattr("click.confirm", confirm)
    assert run(bus(ACTION), "apply").exit_code == 1
    assert run(bus(), "node", "remove", "node3").exit_code == 1


def test_apply_yes_reports_a_conflict() -> None:
    result = run(bus(ACTION, Apply=ConflictError("the plan is other now", "look again")), "apply", "--yes")
    assert result.exit_code == 7
    assert "fix: look again" in result.stderr


def test_apply_of_nothing_makes_no_job_unless_a_rollback_is_held() -> None:
    scripted = bus()
    assert run(scripted, "apply", "--yes").stdout == "nothing to do\n"
    assert [call[0] for call in scripted.calls] == ["Plan"]
    assert json.loads(run(bus(), "apply", "--yes", "--json").stdout)["job"] is None
    scripted = bus(state="pinned")
    shown = run(scripted, "apply", "--yes").stdout
    assert "a rollback is held" in shown
    assert "nothing to do" not in shown
    assert [call[0] for call in scripted.calls] == ["Plan", "Apply"]


def test_progress_goes_to_standard_error_and_not_beside_json() -> None:
    scripted = bus(Reconcile=[JOB_PATH])
    scripted.steps = [(0.0, "comparing"), (0.5, "writing"), (0.6, "writing"), (1.0, "\x1b[2J")]
    result = run(scripted, "reconcile")
    assert result.stderr.splitlines() == ["  0% comparing", " 50% writing", "100% \\x1b[2J"]
    assert run(scripted, "reconcile", "--json").stderr == ""


def test_verify_exits_with_1_when_something_is_stale() -> None:
    scripted = bus(Verify=[JOB_PATH])
    assert run(scripted, "verify").exit_code == 0
    scripted.job = {"Result": {"stale": ["/srv/tftp/osr/x"]}}
    result = run(scripted, "verify")
    assert result.exit_code == 1
    assert "/srv/tftp/osr/x is stale" in result.stdout
    assert "osrctl reconcile" in result.stdout
    answer = run(scripted, "verify", "--json")
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["stale"] == ["/srv/tftp/osr/x"]


def test_rollback_and_reload() -> None:
    scripted = bus(Rollback=[JOB_PATH], Reload=[JOB_PATH])
    assert run(scripted, "rollback", "6").exit_code == 0
    assert run(scripted, "reload").exit_code == 0
    assert scripted.calls == [("Rollback", "ta{sv}", 6, {}), ("Reload", "a{sv}", {})]
    for number in ("0", "-1", "x", str(2**64)):
        assert run(scripted, "rollback", "--", number).exit_code == 2


def test_node_add_and_set() -> None:
    scripted = bus(AddNode=[JOB_PATH], SetNode=[JOB_PATH])
    run(scripted, "node", "add", "node3", "mac=00:11", "mountopts=rw,a=b", "--expect-version", "4")
    run(scripted, "node", "set", "node3", "eth1.ip=", "--json")
    assert scripted.calls == [
        ("AddNode", "sa{sv}a{sv}", "node3", {"mac": "00:11", "mountopts": "rw,a=b"}, {"expected_version": 4}),
        ("SetNode", "sa{sv}a{sv}", "node3", {"eth1.ip": ""}, {}),
    ]


@pytest.mark.parametrize("words", [["set", "n"], ["set", "n", "mac"], ["add", "n", "=x"], ["add", "n", "a=1", "a=2"]])
def test_node_words_that_are_no_assignments(words: list[str]) -> None:
    scripted = bus()
    assert run(scripted, "node", *words).exit_code == 2
    assert scripted.calls == []


def test_node_remove_asks() -> None:
    scripted = bus(RemoveNode=[JOB_PATH])
    assert run(scripted, "node", "remove", "node3").exit_code == 2
    assert scripted.calls == []
    assert run(scripted, "node", "remove", "node3", "--yes", "--expect-version", "9").exit_code == 0
    assert scripted.calls == [("RemoveNode", "sa{sv}", "node3", {"expected_version": 9})]


@pytest.mark.usefixtures("terminal")
def test_node_remove_takes_no_for_an_answer() -> None:
    scripted = bus(RemoveNode=[JOB_PATH])
    assert run(scripted, "node", "remove", "node3", text="n\n").exit_code == 1
    assert scripted.calls == []
    assert run(scripted, "node", "remove", "node3", text="y\n").exit_code == 0
