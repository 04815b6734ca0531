# SPDX-License-Identifier: GPL-3.0-or-later
"""The files for systemd-networkd, read by the real one in a network namespace of its own."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from osrd.model.cdsl import Layout
from osrd.model.settings import BootWay, Settings
from osrd.parse.clusterconf import parse_cluster
from osrd.plan.initrd.data import initrd_data
from tests.conftest import REPOSITORY, refuse
from tests.eventually import eventually

NETWORKD = Path("/usr/lib/systemd/systemd-networkd")
#: In a container's place: with a read-only /sys networkd does not wait for udev. $1 is the directory of its files, $2
#: the hardware address of the NIC.
MACHINE = """
set -eu
mount --make-rprivate /
mount -t tmpfs run /run
mount -t sysfs -o ro sys /sys
mkdir -p /run/systemd/network
cp "$1"/* /run/systemd/network/
ip link set lo up
ip link add nic address "$2" type veth peer cable
ip link set cable up
export SYSTEMD_LOG_LEVEL=info SYSTEMD_LOG_TARGET=console
exec "$3"
"""

pytestmark = [pytest.mark.root, pytest.mark.needs("unshare", "nsenter", "ip")]


@pytest.fixture(scope="module")
def files() -> Mapping[str, bytes]:
    cluster = parse_cluster((REPOSITORY / "tests/fixtures/full.conf").read_bytes(), "full.conf")
    return initrd_data(cluster, Settings(), None, Layout(), BootWay.FULL).files


@contextmanager
def machine(files: Mapping[str, bytes], below: str, mac: str, work: Path) -> Iterator[int]:
    """The process id of a networkd with the files directly ``below`` network/systemd and a NIC; its log is the file
    ``log``."""
    if not NETWORKD.exists():
        refuse("not installed: systemd-networkd")
    (work / "files").mkdir()
    for path, data in files.items():
        if os.path.dirname(path) == f"network/systemd{below}":
            (work / "files" / os.path.basename(path)).write_bytes(data)
    with open(work / "log", "wb") as log:
        argv = ["unshare", "-nm", "sh", "-c", MACHINE, "sh", str(work / "files"), mac, str(NETWORKD)]
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


def ip(process: int, *arguments: str) -> list[dict[str, Any]]:
    argv = ["nsenter", "-t", str(process), "-n", "ip", "-j", *arguments]
    shown = subprocess.run(argv, capture_output=True, check=False)
    found: list[dict[str, Any]] = json.loads(shown.stdout or "[]")
    return found


def addresses(process: int, nic: str) -> set[str]:
    found = ip(process, "-4", "addr", "show", nic)
    return {f"{each['local']}/{each['prefixlen']}" for link in found for each in link.get("addr_info", ())}


def complaints(work: Path) -> list[str]:
    words = ("unknown", "failed to parse", "invalid", "ignoring")
    return [line for line in (work / "log").read_text().splitlines() if any(word in line.lower() for word in words)]


def test_one_image_gives_each_node_its_address(files: Mapping[str, bytes], tmp_path: Path) -> None:
    with machine(files, "", "00:16:3e:00:08:00", tmp_path) as process:
        eventually(lambda: addresses(process, "nic") == {"10.0.0.18/24"}, "the NIC has the address of node 8")
    assert complaints(tmp_path) == []


def test_the_devices_of_one_node_are_made(files: Mapping[str, bytes], tmp_path: Path) -> None:
    with machine(files, "/7", "00:16:3e:00:99:99", tmp_path) as process:
        (link,) = eventually(lambda: ip(process, "link", "show", "br0"), "there is a bridge")
        assert link["address"] == "00:16:3e:00:07:00"
        # Only hardware has a permanent address to be found by, so the port is put into its bridge by hand.
        ip(process, "link", "set", "nic", "up", "master", "br0")
        eventually(lambda: addresses(process, "br0") == {"10.0.0.17/24"}, "the bridge has the address of node 7")
    assert complaints(tmp_path) == []


def test_bonds_and_vlans_are_understood(files: Mapping[str, bytes], tmp_path: Path) -> None:
    """Whether the devices can be made depends on the modules of this kernel; what the files mean does not."""
    with machine(files, "/1", "00:16:3e:00:99:99", tmp_path):
        eventually(lambda: "Enumeration completed" in (tmp_path / "log").read_text(), "networkd has read its files")
    assert complaints(tmp_path) == []


def test_a_mistake_would_be_seen(tmp_path: Path) -> None:
    files = {"network/systemd/80-x.network": b"[Match]\nMACAdress=00:16:3e:00:00:01\n"}
    with machine(files, "", "00:16:3e:00:00:01", tmp_path):
        eventually(lambda: complaints(tmp_path) != [], "networkd complains")
