# SPDX-License-Identifier: GPL-3.0-or-later
"""Listing over the bus: the real daemon on a private bus, busctl as the client, and two probes that run meanwhile.

The longest block comes from the daemon's own event loop: it feeds a watchdog of a few milliseconds, and what one beat
is late is how long the loop was held up. The message bus, which pings go through, has no part in that figure; it is
held up itself for a tenth of a second by eight megabytes. Each figure is the better of two fresh daemons, since the
machine is noisy; the first call of a daemon is what counts, never a warm one.
"""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from bench.measure import resident_of
from bench.world import node_text
from osrd.bus.client import Client
from tests.end_to_end.sandbox import Sandbox
from tests.eventually import eventually_async

_ROOT = "/org/opensharedroot/Osrd1"
_NAME = "org.opensharedroot.Osrd1"
_LISTNODES = (f"{_NAME}.Manager", "ListNodes", "a{sv}", "0")
_MANAGED = ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
#: seconds between two beats: half of WATCHDOG_USEC (sd_watchdog_enabled(3))
_BEAT = 0.004
_ROUNDS = 2


class Beats:
    """Hears the watchdog beats of a daemon. ``longest`` is how late one was at most since reset, in milliseconds."""

    def __init__(self, place: Path) -> None:
        self.environment = {"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": str(int(_BEAT * 2_000_000))}
        self.longest = 0.0
        self._last = 0.0
        self._ready = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(place))
        self._socket.settimeout(120)
        self._thread = threading.Thread(target=self._hear)

    def __enter__(self) -> "Beats":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()  # STOPPING=1 ends it
        self._socket.close()

    def wait_ready(self) -> None:
        assert self._ready.wait(120), "osrd did not become ready"

    def reset(self) -> None:
        self.longest = 0.0

    def _hear(self) -> None:
        while b"STOPPING=1" not in (message := self._socket.recv(4096)):
            now = time.monotonic()
            if message == b"WATCHDOG=1":
                if self._last:
                    self.longest = max(self.longest, (now - self._last - _BEAT) * 1000)
                self._last = now
            elif b"READY=1" in message:
                self._ready.set()


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _longest_ping(address: str, stop: asyncio.Event) -> float:
    """The longest time in milliseconds until a ping through the bus was answered, one every five milliseconds."""
    client = await Client.connect(address)
    longest = 0.0
    while not stop.is_set():
        start = time.monotonic()
        await client.call("org.freedesktop.DBus.Peer", "Ping")
        longest = max(longest, time.monotonic() - start)
        await asyncio.sleep(0.005)
    await client.close()
    return longest * 1000


async def _listed(box: Sandbox, process: int, method: tuple[str, ...], name: str) -> dict[str, float]:
    """One call by busctl: CPU of the daemon, and wall time, of which busctl's own parsing and printing is a part."""
    argv = ["busctl", "--address", box.address, "call", _NAME, _ROOT, *method]
    before, start = _cpu_of(process), time.monotonic()
    client = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.DEVNULL)
    assert await client.wait() == 0
    wall = time.monotonic() - start
    return {f"{name}cpu_s": round(_cpu_of(process) - before, 3), f"{name}wall_s": round(wall, 3)}


async def _edited(box: Sandbox, number: int) -> None:
    """Give a node another MAC, wait until it is published, and a moment more for the signal."""
    new = node_text(number, 1)
    box.replace(_placed(node_text(number)), _placed(new))
    mac = new.partition('mac="')[2].partition('"')[0]
    await eventually_async(box.entry(mac).exists, "the edited node is published", 60)
    await asyncio.sleep(0.5)


def _placed(text: str) -> str:
    """Nodes of the benchmark on the root that the sandbox has, so that they are published."""
    return text.replace("10.255.0.1:/srv/roots/one", "192.168.122.1:/mnt/virtual/nfsosr/fc11")


async def _measure(box: Sandbox, process: int, beats: Beats, nodes: int) -> dict[str, float]:
    stop = asyncio.Event()
    pings = asyncio.create_task(_longest_ping(box.address, stop))
    beats.reset()
    result = await _listed(box, process, _LISTNODES, "")
    result |= await _listed(box, process, _MANAGED, "managed_objects_")
    result["max_block_ms"] = round(beats.longest, 1)
    stop.set()
    result["max_ping_ms"] = round(await pings, 1)
    beats.reset()
    await _edited(box, max(nodes // 2, 1))
    result["edit_max_block_ms"] = round(beats.longest, 1)
    return result


def _round(cluster_conf: bytes) -> dict[str, float]:
    with Sandbox(_placed(cluster_conf.decode()).encode()) as box:
        box.start_bus()
        with Beats(box.directory / "notify") as beats:
            argv = [sys.executable, "-m", "osrd", "--config", str(box.osrd_conf)]
            with box.log.open("ab") as log:
                osrd = box.spawn(argv, stderr=log, environment=box.environment | beats.environment)
            try:
                beats.wait_ready()
                result = asyncio.run(_measure(box, osrd.pid, beats, cluster_conf.count(b"<clusternode ")))
                result["rss_mib"] = resident_of(osrd.pid)
            finally:
                osrd.terminate()
                osrd.wait(60)
        return result


def measure(cluster_conf: bytes) -> dict[str, float]:
    """Start osrd with this cluster.conf, list its nodes, edit one. Seconds, milliseconds and mebibytes."""
    rounds = [_round(cluster_conf) for _ in range(_ROUNDS)]
    return {key: min(figures[key] for figures in rounds) for key in rounds[0]}
