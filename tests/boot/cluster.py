# SPDX-License-Identifier: GPL-3.0-or-later
"""The wiki page's cluster, played: a root that osrd prepares, the servers, and its two machines."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.boot.lab import CONF, PLACE, SERVER, Lab
from tests.boot.machine import Firmware, Machine
from tests.boot.serving import DNSMASQ, Servers
from tests.debian import copy
from tests.end_to_end.serving import MAC1, MAC2, cluster_xml, corrected, node_xml
from tests.eventually import eventually

#: what emulation needs: a console, no opinion of the kernel on how late a busy host delivers timers, none of the
#: precautions against processors, which cost an emulated one most
APPEND = (
    "console=ttyS0 loglevel=4 systemd.show_status=no net.ifnames=0 no_timer_check nowatchdog"
    " rcupdate.rcu_cpu_stall_suppress=1 mitigations=off audit=0 edd=off"
)
#: seconds for a boot under emulation on a busy machine; a boot that fails ends much earlier, by what it says
PATIENCE = 600.0
_DISK = 2 << 30
#: The firmware of emulated machines is iPXE and would go on with osrd's scripts. By this template it starts the loader
#: of all other firmware, which is told what it would have been told without iPXE.
PXELINUX = {
    "ipxe-boot.j2": """#!ipxe
set netX/next-server 192.168.122.1
set netX/filename osr/pxelinux.0
chain ../pxelinux.0
"""
}
_BUILD = "[build]\nquiet = 2s\npoll = 2s\n"


@contextmanager
def nfs_cluster(
    bootable: Path,
    work: Path,
    fstype: str = "nfs4",
    *,
    boot: str = "way = full",
    servers: Servers = DNSMASQ,
    templates: Mapping[str, str] | None = None,
    append: str = APPEND,
    more: str = "",
) -> Iterator[Lab]:
    """The servers run, the root is prepared, and the nodes have something to boot. ``boot`` are lines of [boot],
    ``templates`` those of the administrator; ``append`` goes to the kernel."""
    root = work / "root"
    root.mkdir(parents=True)
    copy(bootable, root)
    conf = corrected().replace(b'fstype="nfs"', f'fstype="{fstype}"'.encode())
    with Lab(conf, configuration(boot, servers, append) + more) as lab:
        for name, text in (templates or {}).items():
            (lab.directory / "etc/templates").mkdir(exist_ok=True)
            (lab.directory / "etc/templates" / name).write_text(text)
        lab.inside("mount", "--bind", str(root), PLACE)
        prepare(lab)
        lab.start_bus()
        lab.start()
        lab.start_nfs()
        eventually(lab.entry(MAC1).exists, "something to boot", PATIENCE)
        servers.start(lab)
        yield lab


@contextmanager
def disk_cluster(bootable: Path, disk: Path, fstype: str) -> Iterator[Lab]:
    """One node with its root in the file ``disk``, which is this host's while the root is prepared and the initrd is
    built, and the node's afterwards."""
    with disk.open("wb") as file:
        file.truncate(_DISK)
    subprocess.run([f"mkfs.{fstype}", "-q", "-F", "-d", str(bootable), str(disk)], check=True, capture_output=True)
    volume = f'fstype="nfs" name="{SERVER}:{PLACE}"'
    node = node_xml("node1", 1, "192.168.122.171", MAC1).replace(volume, f'fstype="{fstype}" name="/dev/vda"')
    conf = cluster_xml([node], 1).encode()
    with Lab(conf, configuration("way = static")) as lab:
        lab.inside("mount", "-o", "loop", str(disk), PLACE)
        prepare(lab, ("node1",))
        lab.start_bus()
        lab.start()
        eventually(lab.entry(MAC1).exists, "something to boot", PATIENCE)
        wait_for_rest(lab)
        lab.unmount(PLACE)
        DNSMASQ.start(lab)
        yield lab


def configuration(boot: str = "way = full", servers: Servers = DNSMASQ, append: str = APPEND) -> str:
    """An osrd.conf."""
    text = CONF
    for key, value in (("append", append), ("boot", boot), ("root", ""), ("dhcp", servers.settings)):
        text = text.replace(f"{{{key}}}", value)
    return text + _BUILD


def wait_for_rest(lab: Lab) -> None:
    """Until osrd has nothing to do."""
    eventually(lambda: not [job for job in lab.ask("jobs")["jobs"] if job["state"] == "running"], "osrd rests", 60)


def prepare(lab: Lab, nodes: tuple[str, ...] = ("node1", "node2")) -> None:
    """What the wiki page does by hand in the root."""
    lab.command("root", "prepare", "--yes", PLACE, "--clusterconf", str(lab.cluster_conf))
    lab.command("cdsl", "make", PLACE, "/etc/sysconfig/network")
    for node in nodes:
        lab.command("shell", PLACE, "--node", node, "--", "sh", "-c", f"echo HOSTNAME={node} >/etc/sysconfig/network")


@contextmanager
def machines(
    lab: Lab, firmware: Firmware = Firmware.BIOS, disks: tuple[Path, ...] = ()
) -> Iterator[tuple[Machine, Machine]]:
    """Both machines of the wiki page, switched on, with ``disks`` in common. Their consoles are kept with the test's
    other results."""
    both = Machine(lab, "node1", MAC1, firmware, disks), Machine(lab, "node2", MAC2, firmware, disks)
    try:
        for machine in both:
            machine.switch_on()
        yield both
    finally:
        for machine in both:
            machine.pull_the_plug()


def machine_one(lab: Lab, disks: tuple[Path, ...] = ()) -> AbstractContextManager[Machine]:
    return switched_on(Machine(lab, "node1", MAC1, disks=disks))


@contextmanager
def switched_on(machine: Machine) -> Iterator[Machine]:
    try:
        machine.switch_on()
        yield machine
    finally:
        machine.pull_the_plug()
