# SPDX-License-Identifier: GPL-3.0-or-later
"""A day of work in a minute: what osrd holds afterwards is what it held after the first hours."""

import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.serving import MAC1, MAC3, node_xml
from tests.host.boothost import NODE1, NODE2, OSRD_CONF, SETTINGS, TOOLS, BootHost, soon

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs(*TOOLS)]

#: an edit every two minutes, for 24 hours; the first six hours warm caches up
EDITS, WARM = 720, 180
#: and now and then somebody builds an initrd
BUILD = 180
#: KiB that the resident set may grow in the other eighteen
SLACK = 2048


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    memory: int
    files: int
    tasks: int


def held(pid: int) -> Held:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Held(int(status["VmRSS"].split()[0]), len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"]))


def test_a_day_of_edits(host: BootHost) -> None:
    """Nodes come, change and go, mistakes are made and corrected, files are vandalised, people ask."""
    host.write(SETTINGS, OSRD_CONF.replace("quiet = 0.2s", "quiet = 1h") + "[watch]\nquiet = 1ms\n")
    host.run("systemctl", "reload", "osrd")
    dice, pid = random.Random(24), host.pid_outside()
    begin = warm = held(pid)
    for edit in range(EDITS):
        one_edit(host, dice, version=edit + 2)
        if edit % BUILD == 0:
            host.run("osrctl", "initrd", "build", "fc11", "--force")
        if edit == WARM:
            warm = held(pid)
    end = soon(lambda: calm(pid, warm), "no more files and tasks than before")
    print(f"after {EDITS} edits: {begin} -> {warm} -> {end}")
    assert end.memory - warm.memory < SLACK
    assert host.show("NRestarts") == "0"


def calm(pid: int, warm: Held) -> Held | None:
    """What it holds when nothing goes on: as many files and tasks as then, at most."""
    now = held(pid)
    return now if now.files <= warm.files and now.tasks <= warm.tasks else None


def one_edit(host: BootHost, dice: random.Random, version: int) -> None:
    address = f"192.168.122.{dice.randrange(20, 170)}"
    third = node_xml("node3", 3, address, MAC3)
    match dice.choice(("address", "address", "gone", "mistake", "drift", "ask")):
        case "address":
            host.nodes([NODE1, NODE2, third], version)
            soon(lambda: f",{address}," in hosts(host), "node3 has its address")
        case "gone":
            host.nodes([NODE1, NODE2], version)
            soon(lambda: "node3" not in hosts(host), "node3 is gone")
        case "mistake":
            host.nodes([NODE1, NODE2, third, third], version)
            soon(lambda: host.get("ConfigVersion") == version, "it is seen")
        case "drift":
            host.entry(MAC1).write_bytes(b"something else\n")
            soon(lambda: host.entry(MAC1).read_bytes().endswith(b"IPAPPEND 2\n"), "it is repaired")
        case "ask":
            host.bus("call", "Manager", "ListNodes", "a{sv}", "0", user="nobody")


def hosts(host: BootHost) -> str:
    return host.path("/var/lib/osrd/dnsmasq.hosts").read_text()
