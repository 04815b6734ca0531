# SPDX-License-Identifier: GPL-3.0-or-later
"""Killed in the middle, no room on the disk, switched off: a few seconds later everything is true again."""

import os
import re
import signal
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from osrd.engine.journal import MessageId
from tests.end_to_end.serving import MAC1, MAC3, cluster_xml, node_xml
from tests.host.boothost import CLUSTER, NODE1, NODE2, SHARED, TOOLS, BootHost, soon

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs(*TOOLS)]

NODE3 = node_xml("node3", 3, "192.168.122.173", MAC3)
#: so many that the menus are put in place for a while
NODES, ROUNDS = 400, 6
#: files in a directory that takes a moment to copy, and how many copies are there when osrd is killed
MANY, SOME = 1500, 100


def mac_of(number: int) -> str:
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


def many_nodes() -> list[str]:
    addresses = [f"192.168.{number >> 8}.{number & 255}" for number in range(1, NODES + 1)]
    return [
        node_xml(f"n{number}", number, address, mac_of(number), mask="255.255.0.0")
        for number, address in enumerate(addresses, 1)
    ]


def appended(host: BootHost) -> dict[str, int]:
    """The entries by the word that they tell the kernel; each is whole."""
    count: dict[str, int] = {}
    for name, menu in host.entries().items():
        assert menu.endswith(b"IPAPPEND 2\n"), (name, menu)
        (word,) = {found.decode() for found in re.findall(rb"osrtest\.(\w+)", menu)} or {"none"}
        count[word] = count.get(word, 0) + 1
    return count


def test_killed_in_the_middle_of_a_publication(host: BootHost) -> None:
    host.nodes(many_nodes(), version=2)
    soon(lambda: len(host.entries()) == NODES, "all nodes have an entry")
    assert appended(host) == {"none": NODES}
    seen = []
    for number in range(ROUNDS):
        pid, word = host.pid_outside(), f"r{number}".encode()
        one = host.entry(mac_of(1))
        host.settings(append=f"osrtest.{word.decode()}", wait=False)
        begin = time.monotonic()
        while word not in one.read_bytes():  # no pause: that would be longer than what is waited for
            assert time.monotonic() - begin < 60, "nothing is published"
        os.kill(pid, signal.SIGKILL)
        seen.append(appended(host))
        soon(lambda: host.main_pid() != 0, "systemd starts it again")
        host.wait_true("everything is true again")
        assert appended(host) == {word.decode(): NODES}
        host.run("systemctl", "reset-failed", "osrd")
        if len(seen[-1]) == 2:
            break
    print(seen)
    assert len(seen[-1]) == 2, f"never killed in the middle: {seen}"
    assert "true" in host.says("osrctl", "--json", "verify")


def test_killed_in_the_middle_of_a_change_of_the_root(shared: BootHost, tmp_path: Path) -> None:
    """The conversion of a directory, which copies it for every node: it does not happen, and can be made after it."""
    directory = shared.path(f"{SHARED}/srv")
    directory.mkdir(exist_ok=True)
    for number in range(MANY):
        (directory / f"page-{number}").write_text(f"{number}\n" * 50)
    before = digest(directory)
    pid = shared.main_pid()
    command = shared.spawn("osrctl", "cdsl", "make", "fc11", "/srv", output=tmp_path / "said")
    soon(lambda: len(staged(shared)) > SOME, "some of it is copied")
    shared.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "osrd")
    assert digest(directory) == before
    assert command.wait(60) != 0
    soon(lambda: shared.main_pid() not in (0, pid), "systemd starts it again")
    shared.wait_true("everything is true again")
    soon(lambda: not staged(shared), "what was staged is gone")
    assert digest(directory) == before
    assert not directory.is_symlink()
    shared.run("osrctl", "cdsl", "check", "fc11")
    shared.run("osrctl", "cdsl", "make", "fc11", "/srv")
    assert directory.is_symlink()
    assert digest(shared.path(f"{SHARED}/cluster/cdsl/2/srv")) == before
    shared.run("osrctl", "cdsl", "undo", "fc11")
    assert digest(directory) == before


def staged(host: BootHost) -> list[Path]:
    """Copies of a change that has not happened yet."""
    return list(host.path(SHARED).glob(".osrd/tx/*/new/*/page-*"))


def digest(directory: Path) -> str:
    """Of the names and contents of its files."""
    total = sha256()
    for file in sorted(directory.iterdir()):
        total.update(os.fsencode(file.name) + file.read_bytes())
    return total.hexdigest()


@pytest.fixture
def own_disk(host: BootHost) -> Iterator[BootHost]:
    """What osrd publishes and what it remembers are on a disk of their own."""
    host.run("systemctl", "stop", "osrd")
    disk, places = "/srv/disk", {"/srv/tftp": "/srv/disk/tftp", "/var/lib/osrd": "/srv/disk/osrd"}
    host.run("mkdir", "-p", disk)
    host.run("mount", "-t", "tmpfs", "-o", "size=512m,mode=755", "disk", disk)
    for place, there in places.items():
        host.run("mkdir", there)
        host.run("mount", "--bind", there, place)
    host.run("mkdir", "/srv/tftp/osr")
    host.run("systemctl", "start", "osrd")
    soon(lambda: len(host.entries()) == 2, "all is published there")
    yield host
    host.run("systemctl", "stop", "osrd")
    host.run("umount", *places, disk)


def resize(host: BootHost, size: str) -> None:
    host.run("mount", "-o", f"remount,size={size}", "/srv/disk")


def test_a_full_disk(own_disk: BootHost) -> None:
    host = own_disk
    before, pid = host.entries(), host.main_pid()
    resize(host, host.says("df", "--output=used", "/srv/disk").split()[-1] + "k")
    host.nodes([NODE1, NODE2, NODE3], version=2)
    host.settings(append="quiet")
    told = soon(lambda: host.events(MessageId.PUBLISH_FAILED), "the journal tells of it")
    assert "free some space" in told[0]
    assert host.get("State") == "degraded"
    assert host.entries() == before, "what was published is whole"
    assert host.run("systemctl", "is-active", "osrd").stdout == "active\n"
    resize(host, "512m")
    host.wait_true("everything is true again")
    assert host.main_pid() == pid
    assert host.entry(MAC3).exists()
    assert all(b" quiet" in menu for menu in host.entries().values())


def test_rebooted(shared: BootHost) -> None:
    """What was edited while the machine was off is published when it is on; the mount is there."""
    before = shared.entry(MAC1).read_bytes()
    three = cluster_xml([NODE1, NODE2, NODE3], 2)
    shared.reboot(meanwhile=lambda disk: (disk / CLUSTER.lstrip("/")).write_text(three))
    shared.wait_true("everything is true again")
    soon(shared.entry(MAC3).exists, "what was edited meanwhile is published")
    assert shared.entry(MAC1).read_bytes() == before
    soon(shared.mounted, "the tree of node 1 is mounted again")
    assert shared.show("NRestarts") == "0"
