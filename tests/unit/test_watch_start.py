# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's watcher: debounced, and polling where inotify cannot be had."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from osrd.model.errors import FailedError
from osrd.model.finding import Finding, Severity
from osrd.model.settings import InotifyUse, WatchSettings
from osrd.watch import start as start_module
from osrd.watch.base import Watcher
from osrd.watch.filesystems import Filesystems
from osrd.watch.inotify import InotifyWatcher
from osrd.watch.start import HostWatcher, start_watcher
from tests.eventually import eventually_async

FAST = WatchSettings(rescan=1000, poll=1000, quiet=0.02, limit=0.2)


class Daemon:
    """What the watcher talks to."""

    def __init__(self) -> None:
        self.wakes: list[frozenset[str]] = []
        self.findings: list[Finding] = []

    def watch(self, settings: WatchSettings) -> Watcher:
        return start_watcher(settings, self.wakes.append, asyncio.get_running_loop(), self.findings.append)


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(test())


def pending_timers(within: float = 1e9) -> int:
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = loop._scheduled  # type: ignore[attr-defined]
    return sum(not timer.cancelled() and timer.when() - loop.time() < within for timer in timers)


def test_a_burst_of_edits_is_one_wake_up(tmp_path: Path) -> None:
    async def test() -> None:
        daemon = Daemon()
        watcher = daemon.watch(FAST)
        assert watcher.mode == "inotify"
        watcher.sync({str(tmp_path): frozenset({"a", "b"})})
        await eventually_async(lambda: daemon.wakes == [frozenset()], "the look at a new directory")
        daemon.wakes.clear()
        for number in range(50):
            (tmp_path / "a").write_text(str(number))
        (tmp_path / "b").write_text("x")
        await eventually_async(lambda: daemon.wakes, "a wake-up")
        assert daemon.wakes == [frozenset({f"{tmp_path}/a", f"{tmp_path}/b"})]
        assert daemon.findings == []
        watcher.close()

    run(test)


def test_idle_means_one_slow_timer(tmp_path: Path) -> None:
    async def test() -> None:
        daemon = Daemon()
        watcher = daemon.watch(FAST)
        watcher.sync({str(tmp_path): None})
        await eventually_async(lambda: daemon.wakes, "the look at a new directory")
        assert pending_timers(within=800) == 0
        assert pending_timers(within=1200) >= 1
        watcher.close()
        assert pending_timers(within=1200) == 0

    run(test)


def test_without_inotify_the_poller_wakes(tmp_path: Path) -> None:
    async def test() -> None:
        daemon = Daemon()
        watcher = daemon.watch(WatchSettings(InotifyUse.NEVER, rescan=1000, poll=0.02, quiet=0, limit=0))
        watcher.sync({str(tmp_path): None})
        assert watcher.mode == "poll"
        await eventually_async(lambda: len(daemon.wakes) >= 3, "three polls")
        assert set(daemon.wakes) == {frozenset()}
        assert daemon.findings == []  # it was asked for
        watcher.close()
        assert pending_timers() == 0

    run(test)


def test_a_refused_watch_degrades_says_so_once_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = True
    arm = InotifyWatcher.arm

    def maybe(self: InotifyWatcher) -> bool:
        if refusing and self._wanted:
            raise FailedError("all watches are taken", "raise the limit")
        return arm(self)

    monkeypatch.setattr(InotifyWatcher, "arm", maybe)

    async def test() -> None:
        nonlocal refusing
        daemon = Daemon()
        watcher = daemon.watch(WatchSettings(rescan=0.04, poll=0.02, quiet=0, limit=0))
        assert watcher.mode == "inotify"
        watcher.sync({str(tmp_path): None})
        assert watcher.mode == "poll"
        await eventually_async(lambda: len(daemon.wakes) >= 10, "polling goes on")
        (finding,) = daemon.findings
        assert (finding.code, finding.severity) == ("watch-degraded", Severity.WARNING)
        assert "all watches are taken" in finding.message
        assert finding.fix == "raise the limit"
        refusing = False
        await eventually_async(lambda: watcher.mode == "inotify", "inotify is tried again")
        assert [each.code for each in daemon.findings] == ["watch-degraded", "watch-restored"]
        watcher.close()

    run(test)


def test_no_instance_at_the_start_degrades(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> InotifyWatcher:
        raise FailedError("all instances are taken", "raise the limit")

    monkeypatch.setattr(start_module, "InotifyWatcher", refuse)

    async def test() -> None:
        daemon = Daemon()
        watcher = daemon.watch(FAST)
        assert watcher.mode == "poll"
        assert [finding.code for finding in daemon.findings] == ["watch-degraded"]
        watcher.close()

    run(test)


def test_a_blind_spot_is_polled_beside_inotify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osrd.watch.inotify.mounted_filesystems", lambda: Filesystems({str(tmp_path / "gfs"): "gfs2"}))
    (tmp_path / "gfs").mkdir()

    async def test() -> None:
        daemon = Daemon()
        settings = WatchSettings(rescan=1000, poll=0.05, quiet=0, limit=0)
        watcher = daemon.watch(settings)
        assert isinstance(watcher, HostWatcher)
        watcher.sync({str(tmp_path): frozenset()})
        assert watcher._poller.interval == 1000
        watcher.sync({str(tmp_path): frozenset(), str(tmp_path / "gfs"): frozenset({"f"})})
        assert watcher.mode == "inotify"
        daemon.wakes.clear()
        await eventually_async(lambda: daemon.wakes.count(frozenset()) >= 2, "polls")
        (tmp_path / "gfs" / "f").write_text("x")
        await eventually_async(lambda: frozenset({f"{tmp_path}/gfs/f"}) in daemon.wakes, "this host's write at once")
        watcher.close()

    run(test)
