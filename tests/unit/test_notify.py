# SPDX-License-Identifier: GPL-3.0-or-later
"""What arrives at a service manager's socket, and when the watchdog is fed."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from osrd.engine.notify import Heartbeat, Notifier, watchdog_seconds
from tests.eventually import eventually_async


class Manager:
    """The service manager's end: a datagram socket that is never waited for."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def received(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    name = str(tmp_path / "notify") if request.param == "file" else f"@osrd-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    manager = Manager(name.replace("@", "\0"))
    with manager.socket:
        yield manager


def test_the_life_of_a_daemon(manager: Manager) -> None:
    notifier = Notifier()
    notifier.ready("2 nodes")
    notifier.status("2 nodes")
    notifier.status("3 nodes")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    notifier.ready("3 nodes")
    notifier.extend(1.5)
    notifier.stopping()
    messages = manager.received()
    assert messages[:2] == ["READY=1\nSTATUS=2 nodes", "STATUS=3 nodes"]
    reloading, stamp = messages[2].split("\n")
    assert reloading == "RELOADING=1"
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert messages[3:] == ["READY=1", "EXTEND_TIMEOUT_USEC=1500000", "STOPPING=1\nSTATUS=stopping"]


def test_a_status_is_one_short_clean_line(manager: Manager) -> None:
    notifier = Notifier()
    notifier.status("node\nSTOPPING=1 \udcff")
    notifier.status("x" * 10_000)
    first, second = manager.received()
    assert first == "STATUS=node STOPPING=1 \\udcff"
    assert len(second) < 600


def test_without_a_service_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier().ready("fine")


def test_a_manager_that_went_away_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notifier = Notifier()
    notifier.ready("a")
    notifier.status("b")
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "-5"}, 0.0),
    ],
)
def test_who_is_watched(environment: dict[str, str], seconds: float) -> None:
    assert watchdog_seconds(environment) == seconds


def test_the_watchdog_is_fed_while_the_work_goes_on(manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        alive = True
        heartbeat = Heartbeat(Notifier(), asyncio.get_running_loop(), lambda: alive)
        received: list[str] = []

        def beats(number: int) -> bool:
            received.extend(manager.received())
            return len(received) >= number

        begin = time.monotonic()
        assert heartbeat.start({"WATCHDOG_USEC": "100000"})
        await eventually_async(lambda: beats(4), "four beats")
        assert time.monotonic() - begin >= 0.14  # one at once, then every 50 ms
        assert set(received) == {"WATCHDOG=1"}
        alive = False
        await eventually_async(lambda: caplog.records, "the complaint about the stand-still")
        manager.received()
        count = len(caplog.records)
        await eventually_async(lambda: len(caplog.records) > count, "another beat that was not sent")
        assert manager.received() == []
        heartbeat.stop()

    asyncio.run(test())


def test_unwatched_means_no_timer() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(Notifier(), loop, lambda: True)
        assert not heartbeat.start({})
        assert loop._scheduled == []  # type: ignore[attr-defined]
        heartbeat.stop()

    asyncio.run(test())
