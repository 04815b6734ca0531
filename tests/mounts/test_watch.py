# SPDX-License-Identifier: GPL-3.0-or-later
"""A real mount wakes, nothing else does."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from osrd.watch.mountinfo import MountWatcher
from tests.eventually import eventually_async
from tests.mounts.namespace import private_mounts

pytestmark = pytest.mark.root


def mount(point: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(point)], check=True)


def umount(point: Path) -> None:
    subprocess.run(["umount", str(point)], check=True)


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts the turns in which its selector had something to tell."""

    busy = 0

    def _process_events(self, event_list: list[object]) -> None:
        self.busy += bool(event_list)
        super()._process_events(event_list)  # type: ignore[misc]


@private_mounts
def test_every_change_wakes(tmp_path: Path) -> None:
    loop = CountingLoop()
    woken: list[frozenset[str]] = []
    watcher = MountWatcher(woken.append, loop)
    for _round in range(3):
        for change in (mount, umount):
            woken.clear()
            change(tmp_path)
            loop.run_until_complete(eventually_async(lambda: woken, f"a wake-up after {change.__name__}"))
            assert set(woken) == {frozenset()}
    watcher.close()
    loop.close()


@private_mounts
def test_a_change_before_the_loop_runs_is_not_lost(tmp_path: Path) -> None:
    loop = CountingLoop()
    woken: list[frozenset[str]] = []
    watcher = MountWatcher(woken.append, loop)
    mount(tmp_path)
    loop.run_until_complete(eventually_async(lambda: woken, "a wake-up"))
    watcher.close()
    loop.close()


@private_mounts
def test_nothing_wakes_while_nothing_changes(tmp_path: Path) -> None:
    loop = CountingLoop()
    woken: list[frozenset[str]] = []
    watcher = MountWatcher(woken.append, loop)
    mount(tmp_path)
    loop.run_until_complete(eventually_async(lambda: woken, "a wake-up"))
    loop.run_until_complete(asyncio.sleep(0))
    woken.clear()
    before = loop.busy
    # 400 ms of a loop with a timer of its own: the selector must have nothing to tell but the timer
    loop.run_until_complete(asyncio.wait_for(_idle(), 5))
    assert woken == []
    assert loop.busy == before
    watcher.close()
    loop.close()


async def _idle() -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.4, future.set_result, None)
    await future


@private_mounts
def test_closed_is_closed(tmp_path: Path) -> None:
    loop = CountingLoop()
    woken: list[frozenset[str]] = []
    watcher = MountWatcher(woken.append, loop)
    watcher.close()
    watcher.close()
    mount(tmp_path)
    loop.run_until_complete(_idle())
    assert woken == []
    loop.close()


@private_mounts
def test_a_burst_and_a_busy_loop(tmp_path: Path) -> None:
    """The last change of a burst is never swallowed by the handling of an earlier one."""
    loop = CountingLoop()
    seen: list[int] = []

    def wake(_paths: frozenset[str]) -> None:
        with open("/proc/self/mountinfo", "rb") as stream:
            seen.append(stream.read().count(bytes(tmp_path)))

    watcher = MountWatcher(wake, loop)
    for number in range(1, 31):
        mount(tmp_path)
        if number % 3 == 0:
            loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(eventually_async(lambda: seen and seen[-1] == 30, "the state after the last mount"))
    watcher.close()
    loop.close()
