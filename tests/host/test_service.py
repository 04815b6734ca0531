# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd as systemd's service: started, asked, told, stuck, killed."""

import os
import signal
import time

import pytest

from osrd.engine.journal import MessageId
from tests.end_to_end.serving import MAC1
from tests.host.boothost import NAME, ROOT, SETTINGS, TOOLS, BootHost, soon

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs(*TOOLS)]


def test_started_it_shows_one_useful_line_and_the_cluster(host: BootHost) -> None:
    assert host.show("StatusText").startswith("ready: 2 nodes of axqad109, generation ")
    assert f'Status: "{host.show("StatusText")}"' in host.says("systemctl", "status", "osrd")
    tree = host.says("busctl", "--list", "tree", NAME).split()
    assert {f"{ROOT}/nodes/1", f"{ROOT}/nodes/2", f"{ROOT}/roots/fc11"} <= set(tree)
    assert host.entry(MAC1).read_bytes().endswith(b"IPAPPEND 2\n")
    assert host.run("dnsmasq", "--test", check=False).returncode == 0


def test_a_call_starts_it(host: BootHost) -> None:
    host.run("systemctl", "stop", "osrd")
    assert host.entry(MAC1).exists(), "what is published stays"
    (rows,) = host.bus("call", "Manager", "ListNodes", "a{sv}", "0", user="nobody")
    assert [row[2] for row in rows] == ["node1", "node2"]
    soon(host.running, "systemd has heard that it is ready")  # which it says after it is on the bus


def test_a_call_does_not_start_what_is_disabled(host: BootHost) -> None:
    host.run("systemctl", "disable", "--now", "osrd")
    done = host.run("busctl", "get-property", NAME, ROOT, f"{NAME}.Manager", "State", check=False)
    assert done.returncode != 0
    assert not host.running()


def test_reload(host: BootHost) -> None:
    pid = host.main_pid()
    host.settings(append="quiet")
    soon(lambda: b" quiet" in host.entry(MAC1).read_bytes(), "the new setting is in force")
    host.write(SETTINGS, "[boot]\nserver = nowhere\n")
    host.run("systemctl", "reload", "osrd", check=False)
    (rejected,) = soon(lambda: host.events(MessageId.CONFIG_REJECTED), "the mistake is in the journal")
    assert SETTINGS in rejected
    assert b" quiet" in host.entry(MAC1).read_bytes(), "the former settings stay in force"
    assert host.main_pid() == pid


def test_the_journal_knows_what_happened(host: BootHost) -> None:
    """Events are found by their id, and the catalog says what to do."""
    host.restart()
    assert len(host.events(MessageId.STARTED)) == 1
    good = host.entry(MAC1).read_bytes()
    host.entry(MAC1).write_bytes(b"DEFAULT something else\n")
    soon(lambda: host.entry(MAC1).read_bytes() == good, "the entry is repaired")
    (drift,) = soon(lambda: host.journal(MESSAGE_ID=MessageId.DRIFT_FOUND.value), "it is in the journal")
    assert host.entry(MAC1).name in drift["MESSAGE"]
    assert (drift["SYSLOG_IDENTIFIER"], drift["PRIORITY"]) == ("osrd", "4")
    explained = host.says("journalctl", "--boot", "--catalog", f"MESSAGE_ID={MessageId.DRIFT_FOUND}")
    assert "A published file was changed by somebody else" in explained


def test_what_is_logged_is_changed_while_it_runs(host: BootHost) -> None:
    level = ("systemctl", "service-log-level", "osrd")
    assert host.says(*level) == "info"
    host.run(*level, "err")
    host.entry(MAC1).write_bytes(b"DEFAULT something else\n")
    soon(lambda: host.entry(MAC1).read_bytes() != b"DEFAULT something else\n", "the entry is repaired")
    assert host.says(*level) == "err"
    host.wait_true("the run has ended")
    assert host.events(MessageId.DRIFT_FOUND) == []
    refused = ("set-property", NAME, "/org/freedesktop/LogControl1", "org.freedesktop.LogControl1", "LogLevel", "s")
    assert host.run("busctl", *refused, "debug", user="nobody", check=False).returncode != 0
    host.run(*level, "info")
    assert host.says(*level) == "info"


def test_killed_it_comes_back(host: BootHost) -> None:
    pid = host.main_pid()
    host.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "osrd")
    soon(lambda: host.main_pid() not in (0, pid), "systemd starts it again")
    host.wait_true("everything is true again")


def test_a_hung_daemon_is_killed_and_started_again(host: BootHost) -> None:
    """The watchdog, with less patience than the unit has: it is fed while osrd works, and no longer."""
    host.drop_in("[Service]\nWatchdogSec=3\n")
    host.restart()
    pid, begin = host.main_pid(), time.monotonic()
    soon(lambda: time.monotonic() - begin > 5, "the watchdog had its chance")
    assert host.main_pid() == pid
    os.kill(host.pid_outside(), signal.SIGSTOP)
    soon(lambda: host.main_pid() not in (0, pid), "systemd starts it again")
    host.wait_true("everything is true again")
    assert any("Watchdog timeout" in entry["MESSAGE"] for entry in host.journal())
