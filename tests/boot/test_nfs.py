# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes from one root over NFS: the last chapter of the wiki page."""

import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.boot.cluster import PATIENCE, PXELINUX, machines, nfs_cluster
from tests.boot.lab import Lab
from tests.boot.machine import Firmware, Machine
from tests.boot.serving import DNSMASQ, ISC, KEA, Servers
from tests.boot.watch import WHOLE, Watch
from tests.eventually import eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.needs("qemu-system-x86_64", "ganesha.nfsd", "rpcbind", "debootstrap", "nsenter", "ip", "busybox"),
]


@dataclass(frozen=True)
class Cell:
    fstype: str = "nfs4"
    boot: str = "way = full"
    firmware: Firmware = Firmware.BIOS
    servers: Servers = DNSMASQ
    templates: dict[str, str] = field(default_factory=dict)


CELLS = [
    pytest.param(Cell(templates=PXELINUX), id="nfs4-full-pxelinux", marks=pytest.mark.needs("dnsmasq")),
    pytest.param(
        Cell(boot="way = static", servers=ISC, templates=PXELINUX),
        id="nfs4-static-pxelinux-isc",
        marks=[pytest.mark.matrix, pytest.mark.needs("dhcpd", "in.tftpd")],
    ),
    pytest.param(
        Cell(firmware=Firmware.UEFI, servers=KEA),
        id="nfs4-full-grub-kea",
        marks=[pytest.mark.matrix, pytest.mark.needs("kea-dhcp4", "in.tftpd")],
    ),
    pytest.param(
        Cell("nfs3", "way = full\nbios-loader = ipxe"),
        id="nfs3-full-ipxe",
        marks=[pytest.mark.matrix, pytest.mark.needs("dnsmasq")],
    ),
]


@pytest.mark.parametrize("cell", CELLS)
def test_two_nodes_boot_from_one_root_together(cell: Cell, bootable: Path, tmp_path: Path) -> None:
    with nfs_cluster(
        bootable, tmp_path, cell.fstype, boot=cell.boot, servers=cell.servers, templates=cell.templates
    ) as lab:
        watch = Watch(lab)
        with watch.kept(), machines(lab, cell.firmware) as both:
            for machine in both:
                machine.wait_until_up(PATIENCE)
                options = machine.ask("findmnt -no OPTIONS /").split(",")
                assert options[0] == "rw"
                assert ("vers=3" if cell.fstype == "nfs3" else "vers=4.2") in options
                assert machine.ask("test -d /sys/firmware/efi && echo uefi || echo bios") == cell.firmware
            they_are_two(*both)
            for number, machine in enumerate(both, 1):
                assert machine.ask("cat /sys/module/nfs/parameters/nfs4_unique_id") == f"osr:axqad109:{number}"
            they_share(*both)
            for number in (1, 2):
                eventually(partial(watch.is_up, number), f"node {number} is up", PATIENCE)
                assert watch.states(number) == WHOLE
            osrd_knows(lab, *both)
            for machine in both:
                machine.shut_down(PATIENCE)


def they_are_two(one: Machine, other: Machine) -> None:
    """What must differ differs, and is the node's own."""
    for number, machine in enumerate((one, other), 1):
        assert machine.ask("hostname; cat /run/osr/nodeid") == f"{machine.name}\n{number}"
        assert machine.ask("cat /etc/sysconfig/network") == f"HOSTNAME={machine.name}"
        assert machine.ask("stat -c %d:%i /cdsl.local/") == machine.ask(f"stat -c %d:%i /cluster/cdsl/{number}/")
        assert machine.ask("systemctl --failed --no-legend --plain") == ""
    for what in (
        "cat /etc/machine-id",
        "cat /etc/ssh/ssh_host_ed25519_key.pub",
        "cat /proc/sys/kernel/random/boot_id",
    ):
        answers = [machine.ask(what) for machine in (one, other)]
        assert all(answers)
        assert answers[0] != answers[1], what
    assert re.fullmatch("[0-9a-f]{32}", one.ask("cat /etc/machine-id"))


def they_share(one: Machine, other: Machine) -> None:
    """What is shared is the same for both, and /var/log is not."""
    one.ask("mkdir /var/lib/web; echo hello from node1 >/var/lib/web/file; echo of node1 >/var/log/own")
    assert other.ask("cat /var/lib/web/file") == "hello from node1"
    assert other.ask("test -e /var/log/own || echo none") == "none"
    other.ask("echo a line of node2 >>/etc/motd")
    assert "a line of node2" in one.ask("cat /etc/motd")


def osrd_knows(lab: Lab, *booted: Machine) -> None:
    """The nodes said through the root that they are up."""
    for machine in booted:
        assert lab.ask("show", machine.name)["boot_state"] == "up"
