# SPDX-License-Identifier: GPL-3.0-or-later
import asyncio
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from osrd.watch.udev import UdevWatcher
from tests.eventually import eventually_async


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    fresh = asyncio.new_event_loop()
    yield fresh
    fresh.close()


def test_closing_twice_is_harmless_and_nothing_wakes_by_itself(loop: asyncio.AbstractEventLoop) -> None:
    woken: list[frozenset[str]] = []
    watcher = UdevWatcher(woken.append, loop)
    watcher.close()
    watcher.close()
    assert woken == []


@pytest.mark.root
@pytest.mark.needs("ip")
def test_a_new_interface_wakes(loop: asyncio.AbstractEventLoop) -> None:
    woken: list[frozenset[str]] = []
    watcher = UdevWatcher(woken.append, loop)
    name = f"osrd{uuid.uuid4().hex[:6]}"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"], check=True)
    try:
        loop.run_until_complete(eventually_async(lambda: woken, "a wake-up for the new interface"))
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)
        watcher.close()
    assert woken[0] == frozenset()
