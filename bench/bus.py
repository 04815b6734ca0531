# SPDX-License-Identifier: GPL-3.0-or-later
"""Listing over the bus: the real daemon on a private bus, a real client, and a second client that pings meanwhile."""

import asyncio
import os
import subprocess
import time
from pathlib import Path

from bench.measure import resident_of
from osrd.bus.client import Client
from tests.end_to_end.sandbox import Sandbox

_MANAGER = "org.opensharedroot.Osrd1.Manager"


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _longest_ping(address: str, stop: asyncio.Event) -> float:
    """The longest time in milliseconds that the daemon took to answer a ping, one every five milliseconds."""
    client = await Client.connect(address)
    longest = 0.0
    while not stop.is_set():
        start = time.monotonic()
        await client.call("org.freedesktop.DBus.Peer", "Ping")
        longest = max(longest, time.monotonic() - start)
        await asyncio.sleep(0.005)
    await client.close()
    return longest * 1000


async def _measure(box: Sandbox) -> dict[str, float]:
    assert box.osrd is not None
    stop = asyncio.Event()
    pings = asyncio.create_task(_longest_ping(box.address, stop))
    await asyncio.sleep(0.2)
    result: dict[str, float] = {}
    for member, interface in (("ListNodes", _MANAGER), ("GetManagedObjects", "org.freedesktop.DBus.ObjectManager")):
        before, start = _cpu_of(box.osrd.pid), time.monotonic()
        process = await asyncio.create_subprocess_exec(*_argv(box, interface, member), stdout=subprocess.DEVNULL)
        assert await process.wait() == 0
        wall = time.monotonic() - start
        key = "" if member == "ListNodes" else "managed_objects_"
        result[f"{key}cpu_s"] = round(_cpu_of(box.osrd.pid) - before, 3)
        result[f"{key}wall_s"] = round(wall, 3)
    stop.set()
    result["max_block_ms"] = round(await pings, 1)
    return result


def _argv(box: Sandbox, interface: str, member: str) -> list[str]:
    arguments = ["a{sv}", "0"] if member == "ListNodes" else []
    root = "/org/opensharedroot/Osrd1"
    return [
        "busctl",
        "--address",
        box.address,
        "call",
        "org.opensharedroot.Osrd1",
        root,
        interface,
        member,
        *arguments,
    ]


def measure(cluster_conf: bytes) -> dict[str, float]:
    """Start osrd with this cluster.conf and list its nodes. Seconds, milliseconds and mebibytes."""
    with Sandbox(cluster_conf) as box:
        box.start_bus()
        box.start()
        result = asyncio.run(_measure(box))
        assert box.osrd is not None
        result["rss_mib"] = resident_of(box.osrd.pid)
        return result
