# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes whose root is a cluster file system on a disk that all of them have: OCFS2 with o2cb, GFS2 with corosync and
dlm, and GFS2 of one node alone."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.boot import workshop
from tests.boot.cluster import PATIENCE, configuration, machine_one, machines, prepare, wait_for_rest
from tests.boot.lab import PLACE, SERVER, Lab
from tests.boot.machine import Machine
from tests.boot.serving import DNSMASQ
from tests.boot.test_nfs import they_are_two, they_share
from tests.boot.watch import SERVED, Watch, says_that_it_is_up
from tests.debian import copy
from tests.end_to_end.serving import MAC1, MAC2, cluster_xml, node_xml
from tests.eventually import eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.matrix,
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "debootstrap", "nsenter", "ip", "mkfs.ext4"),
]


@dataclass(frozen=True)
class Disk:
    """A file system, as ``workshop.fill`` makes it, and what cluster.conf says of it."""

    fstype: str
    make: str
    options: str = ""
    check: str = "true"


#: OCFS2 cannot be mounted by a host that is no member of a cluster: here a cluster of one
_O2CB = """modprobe ocfs2_stack_o2cb; modprobe configfs; mount -t configfs configfs /sys/kernel/config
    echo o2cb >/sys/fs/ocfs2/cluster_stack; ip link set lo up; mkdir -p /run/lock
    mkdir -p /sys/kernel/config/cluster/axqad109/node/filler; cd /sys/kernel/config/cluster/axqad109/node/filler
    echo 7777 >ipv4_port; echo 127.0.0.1 >ipv4_address; echo 9 >num; echo 1 >local; cd /
"""
OCFS2 = Disk(
    "ocfs2",
    f"{_O2CB} mkfs.ocfs2 -q -b 4K -C 4K -N 2 -J size=16M /dev/vda; mount -t ocfs2 /dev/vda /mnt",
    check="fsck.ocfs2 -fn",
)
GFS2 = Disk(
    "gfs2",
    "modprobe gfs2; mkfs.gfs2 -q -O -p lock_dlm -t axqad109:root -j 2 -J 32 /dev/vda;"
    " mount -t gfs2 -o acl,lockproto=lock_nolock /dev/vda /mnt",
    check="fsck.gfs2 -n",
)
ALONE = Disk(
    "gfs2",
    "modprobe gfs2; mkfs.gfs2 -q -O -p lock_nolock -j 1 -J 32 /dev/vda; mount -t gfs2 -o acl /dev/vda /mnt",
    "acl,lockproto=lock_nolock",
    check="fsck.gfs2 -n",
)
#: an emulated machine may be silent for longer than corosync has patience by itself
_TOTEM = ' <totem token="60000"/>\n'


@contextmanager
def shared_disk_cluster(bootable: Path, work: Path, disk: Disk, nodes: int) -> Iterator[tuple[Lab, Path]]:
    """The servers run, and the file has a root that osrd has prepared and built the initrd of."""
    root, file = work / "root", work / "disk"
    root.mkdir()
    copy(bootable, root)
    for name in ("corosync.service", "dlm.service"):  # as a distribution enables them
        (root / "etc/systemd/system" / name).unlink()
    with Lab(_cluster_conf(disk, nodes), configuration()) as lab:
        lab.inside("mount", "--bind", str(root), PLACE)
        prepare(lab, tuple(f"node{number}" for number in range(1, nodes + 1)))
        lab.start_bus()
        lab.start()
        eventually(lab.entry(MAC1).exists, "something to boot", PATIENCE)
        wait_for_rest(lab)
        lab.unmount(PLACE)
        workshop.fill(root, file, work, disk.make)
        DNSMASQ.start(lab)
        yield lab, file


def _cluster_conf(disk: Disk, nodes: int) -> bytes:
    volume = f'fstype="nfs" name="{SERVER}:{PLACE}"'
    options = f' mountopts="{disk.options}"' if disk.options else ""
    texts = [
        node_xml(f"node{number}", number, f"192.168.122.{170 + number}", mac).replace(
            volume, f'fstype="{disk.fstype}" name="/dev/vda"{options}'
        )
        for number, mac in enumerate((MAC1, MAC2)[:nodes], 1)
    ]
    return cluster_xml(texts, 1).replace("</cluster>", f"{_TOTEM}</cluster>").encode()


@pytest.mark.parametrize("disk", [pytest.param(OCFS2, id="ocfs2-o2cb"), pytest.param(GFS2, id="gfs2-dlm")])
def test_two_nodes_boot_from_one_disk_together(disk: Disk, bootable: Path, tmp_path: Path) -> None:
    with shared_disk_cluster(bootable, tmp_path, disk, 2) as (lab, file):
        watch = Watch(lab)
        with watch.kept(), machines(lab, disks=(file,)) as both:
            for machine in both:
                came_up(machine, disk, watch)
            they_are_two(*both)
            they_share(*both)
            if disk is GFS2:
                for machine in both:
                    corosync_of_the_initrd_goes_on(machine)
            both[1].shut_down(PATIENCE)
            # Who leaves in order is not missed: the other one neither waits nor fences.
            assert both[0].ask("echo alone >/var/lib/web/alone; cat /var/lib/web/alone") == "alone"
            both[0].shut_down(PATIENCE)
        whole(disk, bootable, file)


def test_one_node_boots_from_gfs2_alone(bootable: Path, tmp_path: Path) -> None:
    with shared_disk_cluster(bootable, tmp_path, ALONE, 1) as (lab, file):
        watch = Watch(lab)
        with watch.kept(), machine_one(lab, disks=(file,)) as machine:
            came_up(machine, ALONE, watch)
            assert machine.ask("systemctl --failed --no-legend --plain") == ""
            machine.ask("echo of node1 >/var/log/own")
            machine.shut_down(PATIENCE)
        whole(ALONE, bootable, file)


def came_up(machine: Machine, disk: Disk, watch: Watch) -> None:
    machine.wait_until_up(PATIENCE)
    assert watch.states(int(machine.ask("cat /run/osr/nodeid"))) == SERVED
    says_that_it_is_up(machine)
    found = machine.ask("findmnt -no FSTYPE,SOURCE,OPTIONS /").split()
    assert found[:2] == [disk.fstype, "/dev/vda"]
    assert found[2].split(",")[0] == "rw"


def corosync_of_the_initrd_goes_on(machine: Machine) -> None:
    """The daemons that answer for the root's locks are those of the initrd, and the units of their names stand for
    them."""
    for name in ("corosync", "dlm_controld"):
        own = machine.ask(f"for each in $(pgrep {name}); do xargs -0 </proc/$each/cmdline; done | sort -u")
        assert re.fullmatch(rf"@{name} [^\n]*", own), "nobody started a second one"
    assert machine.ask("systemctl is-active corosync dlm") == "active\nactive"
    assert "Quorate:          Yes" in machine.ask("corosync-quorumtool -s")


def whole(disk: Disk, bootable: Path, file: Path) -> None:
    """The file system's own checker finds nothing: it was unmounted, by both."""
    script = """mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/tmp" && touch "$1/tmp/disk" &&
        mount --bind "$2" "$1/tmp/disk" && shift 2 && "$@"
    """
    argv = ["chroot", str(bootable), *disk.check.split(), "/tmp/disk"]
    checked = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", bootable, file, *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
