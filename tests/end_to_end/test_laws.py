# SPDX-License-Identifier: GPL-3.0-or-later
"""The laws (DESIGN 6) against the running daemon: nothing is ever missing or half-written, nothing depends on what was
before, and nothing is touched without a reason."""

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.dhcp.network import Network, firmware
from tests.end_to_end.sandbox import Sandbox
from tests.end_to_end.serving import DNSMASQ, MAC1, BootHost, cluster_xml, node_xml
from tests.eventually import eventually

EDITS, KILLS = 200, 30
#: outputs for several nodes, which change although node1 does not
COLLECTED = {"dnsmasq/hosts", "exports.d/osrd.exports", "hosts"}


class Administrator:
    """Edits cluster.conf all the time, in all the ways that editors and people have. node1 is left alone; names,
    hardware and IP addresses of the others come from small pools, so that they change hands again and again."""

    def __init__(self, box: Sandbox, dice: random.Random) -> None:
        self._box, self._dice = box, dice
        self._version = 1
        self.nodes: dict[int, tuple[str, str, str]] = {}  # number: name, IP, MAC
        self.macs = [f"00:0c:29:c9:c7:{number:02x}" for number in range(12)]

    def edit(self, *, right: bool = False) -> None:
        """One edit; unless it is to be ``right`` it may be a mistake, which the next one corrects."""
        kind = self._dice.choice(("add", "add", "remove", "mac", "ip", "name", "swap"))
        number = self._dice.choice([*self.nodes, 0])
        if kind == "remove" and number:
            del self.nodes[number]
        elif kind == "swap" and len(self.nodes) > 1:
            first, second = self._dice.sample(list(self.nodes), 2)
            (name1, ip1, mac1), (name2, ip2, mac2) = self.nodes[first], self.nodes[second]
            self.nodes[first], self.nodes[second] = (name1, ip1, mac2), (name2, ip2, mac1)
        elif kind == "add" or not number:
            free = [candidate for candidate in range(2, 12) if candidate not in self.nodes]
            if free:
                number = self._dice.choice(free)
                self.nodes[number] = (f"node{number}", self._free(1), self._free(2))
        else:
            name, ip, mac = self.nodes[number]
            self.nodes[number] = {
                "name": (f"machine{number}" if name.startswith("node") else f"node{number}", ip, mac),
                "ip": (name, self._free(1), mac),
            }.get(kind, (name, ip, self._free(2)))
        self._version += 1
        self._write(right)

    def _free(self, field: int) -> str:
        taken = {node[field] for node in self.nodes.values()}
        pool = self.macs if field == 2 else [f"192.168.122.{number}" for number in range(20, 32)]
        return self._dice.choice([value for value in pool if value not in taken])

    def text(self) -> str:
        nodes = [node_xml("node1", 1, "192.168.122.171", MAC1)]
        nodes += [node_xml(name, number, ip, mac) for number, (name, ip, mac) in self.nodes.items()]
        return cluster_xml(nodes, self._version)

    def _write(self, right: bool) -> None:
        file, text = self._box.cluster_conf, self.text()
        way = self._dice.random()
        if way < 0.1:  # an editor that writes in place
            file.write_text(text[: len(text) // 2])
            file.write_text(text)
            return
        if way < 0.2 and not right:  # two nodes with one hardware address, until the next edit
            wrong = node_xml("again", 98, "192.168.122.98", self._dice.choice(self.macs))
            wrong += wrong.replace("again", "once-more").replace("98", "99")
            text = text.replace(" </clusternodes>", wrong + " </clusternodes>")
        elif way < 0.25 and not right:  # no XML at all, until the next edit
            text = text[: -len(text) // 3]
        temporary = file.with_suffix(".tmp")
        temporary.write_text(text)
        temporary.rename(file)


def linger(box: Sandbox, seconds: float) -> None:
    """Let time pass, and look at what is served meanwhile."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert box.entry(MAC1).read_bytes().endswith(b"IPAPPEND 2\n")


def served(box: Sandbox) -> dict[str, tuple[int, bytes]]:
    """Everything published, directories too: name to permission bits and content."""
    found = {}
    for place in ("tftp", "dnsmasq", "exports.d"):
        for path in [box.directory / place, *(box.directory / place).rglob("*")]:
            content = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(box.directory))] = (stat.S_IMODE(path.stat().st_mode), content)
    return found | {"hosts": (0, (box.directory / "hosts").read_bytes())}


def afresh(box: Sandbox) -> dict[str, tuple[int, bytes]]:
    """What an osrd without a past makes of the same cluster.conf in the same place."""
    for name in ("state", "tftp", "dnsmasq", "exports.d"):
        shutil.rmtree(box.directory / name)
    (box.directory / "hosts").unlink()
    for name in ("tftp", "dnsmasq", "exports.d"):
        (box.directory / name).mkdir()
    box.once()
    return served(box)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[BootHost]:
    network = Network(tmp_path)
    try:
        network.build()
        with BootHost(network, DNSMASQ) as host:
            host.start_bus()
            yield host
    finally:
        network.remove()


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.needs("ip", "dhclient", "dnsmasq", "dbus-daemon")
def test_a_storm_of_edits_and_kills_never_shows_and_leaves_no_trace(box: BootHost) -> None:
    number = random.randrange(1 << 32)
    print(f"random seed {number}")  # pytest shows it when the test fails
    dice = random.Random(number)
    admin = Administrator(box, dice)
    box.cluster_conf.write_text(admin.text())
    box.start()
    box.start_server()
    constant = {name: content for name, content in box.published().items() if name not in COLLECTED}
    assert len(constant) > 10
    expected = box.directory / "expected"
    expected.write_text("".join(f"{sha256(content).hexdigest()} {name}\n" for name, content in constant.items()))
    reader = box.spawn(
        [sys.executable, "-m", "tests.end_to_end.reader", str(box.directory), str(expected)], stdout=subprocess.PIPE
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"LOOKING\n"

    kills = set(dice.sample(range(EDITS), KILLS))
    for edit in range(EDITS):
        admin.edit(right=edit == EDITS - 1)
        linger(box, dice.uniform(0, 0.06))
        if edit in kills:
            assert box.stop(signal.SIGKILL) == -signal.SIGKILL
            if dice.random() < 0.5:
                box.launch()  # the next edits, perhaps the next kill, meet it while it recovers
            else:
                box.start()
            linger(box, dice.uniform(0, 0.15))

    assert box.osrd is not None
    assert box.osrd.poll() is None, box.log.read_text()[-3000:]
    eventually(lambda: box.osrctl("status", check=False).returncode == 0, "osrd is on the bus", 20)
    box.osrctl("reconcile")
    status = box.ask("status")
    assert (status["state"], status["in_sync"], status["nodes"]) == ("ready", True, len(admin.nodes) + 1), status
    reader.terminate()
    said = reader.communicate(timeout=10)[0].decode().splitlines()
    rounds = int(said.pop().removeprefix("ROUNDS "))
    assert said == []
    assert rounds > EDITS
    for name, ip, mac in admin.nodes.values():
        answer = eventually(lambda mac=mac: box.network.ask(mac, firmware(0), 3), f"an answer to {mac}", 15)
        assert (answer.address, answer.name) == (ip, name)
    unused = next(mac for mac in admin.macs if mac not in {node[2] for node in admin.nodes.values()})
    assert box.network.ask(unused, firmware(0), 2) is None
    assert box.ask("verify")["stale"] == []
    box.kill_server()
    assert box.stop() == 0
    with_a_past = served(box)
    assert with_a_past == afresh(box)


Marks = dict[str, tuple[int, int, int]]


def marks(directory: Path) -> Marks:
    """Inode, times of change of content and of the inode of everything below: a write or a rename shows in it, as does
    a temporary file in the times of its directory."""
    found = {}
    for parent, _, names in os.walk(directory):
        for path in (parent, *(f"{parent}/{name}" for name in names)):
            state = os.lstat(path)
            found[path.removeprefix(f"{directory}/")] = (state.st_ino, state.st_mtime_ns, state.st_ctime_ns)
    return found


def differing(before: Marks, after: Marks) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@pytest.mark.slow
@pytest.mark.needs("dbus-daemon")
def test_of_ten_thousand_nodes_only_what_changed_is_touched() -> None:
    def node(number: int, salt: int = 0) -> str:
        high, low = divmod(number, 256)
        mac = f"02:00:00:{salt:02x}:{high:02x}:{low:02x}"
        return node_xml(f"node{number}", number, f"10.0.{high}.{low}", mac, mask="255.0.0.0").replace(
            'gateway="192.168.122.1"', 'gateway="10.255.0.1"'
        )

    count, one = 10_000, 5_000
    text = cluster_xml((node(number) for number in range(1, count + 1)), 1)
    with Sandbox(text.encode()) as box:
        box.start_bus()
        box.start()
        box.osrctl("reconcile")
        before = marks(box.directory)
        assert len([name for name in before if name.startswith("tftp/osr/") and "01-02-00-00" in name]) == 3 * count
        answer = box.ask("reconcile")
        after = marks(box.directory)
        assert {name for name in differing(before, after) if not name.endswith(".log")} == set(), answer

        box.replace(node(one), node(one, salt=1))
        old, new = (f"01-02-00-00-{salt:02x}-{one // 256:02x}-{one % 256:02x}" for salt in (0, 1))
        entries = ("tftp/osr/pxelinux.cfg/{}", "tftp/osr/grub/grub.cfg-{}", "tftp/osr/ipxe/{}.ipxe")
        eventually(
            lambda: box.ask("status")["generation"] == 2 and not (box.directory / entries[0].format(old)).exists(),
            "the edit is published",
        )
        changed = differing(after, marks(box.directory))
        outputs = {name for name in changed if name.startswith(("tftp", "dnsmasq", "exports.d", "hosts"))}
        files = {name for name in outputs if not (box.directory / name).is_dir()}
        assert files == {entry.format(bootif) for entry in entries for bootif in (old, new)} | {"dnsmasq/hosts"}
        assert {name for name in outputs - files if name.count("/") == 1} == set(), "no directory above is touched"
        assert all((box.directory / entry.format(new)).exists() for entry in entries)
        assert not any((box.directory / entry.format(old)).exists() for entry in entries)
