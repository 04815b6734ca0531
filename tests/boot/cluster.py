# SPDX-License-Identifier: GPL-3.0-or-later
"""The wiki page's cluster, played: a root that osrd prepares, the servers, and its two machines."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.boot.lab import CONF, PLACE, Lab
from tests.boot.machine import Firmware, Machine
from tests.debian import copy
from tests.dhcp import servers
from tests.end_to_end.serving import MAC1, MAC2, corrected
from tests.eventually import eventually

#: what emulation needs: no look for a timer that a busy host delivers late, and a console
APPEND = "console=ttyS0 loglevel=4 systemd.show_status=no no_timer_check net.ifnames=0"
#: seconds for a boot under emulation on a busy machine; a boot that fails ends much earlier, by what it says
PATIENCE = 600.0
_BUILD = "[build]\nquiet = 2s\npoll = 2s\n"


@contextmanager
def nfs_cluster(
    bootable: Path, work: Path, fstype: str = "nfs4", *, boot: str = "way = full", more: str = ""
) -> Iterator[Lab]:
    """The servers run, the root is prepared, and the nodes have something to boot. ``boot`` are lines of [boot]."""
    root = work / "root"
    root.mkdir(parents=True)
    copy(bootable, root)
    configuration = CONF
    for key, text in (("append", APPEND), ("boot", boot), ("root", ""), ("dhcp", "")):
        configuration = configuration.replace(f"{{{key}}}", text)
    conf = corrected().replace(b'fstype="nfs"', f'fstype="{fstype}"'.encode())
    with Lab(root, conf, configuration + _BUILD + more) as lab:
        prepare(lab)
        lab.start_bus()
        lab.start()
        lab.start_nfs()
        eventually(lab.entry(MAC1).exists, "something to boot", PATIENCE)
        lab.start_dhcp(servers.dnsmasq(lab.directory, str(lab.directory / "dnsmasq/osrd.conf")))
        yield lab


def prepare(lab: Lab) -> None:
    """What the wiki page does by hand in the root."""
    lab.command("root", "prepare", "--yes", PLACE, "--clusterconf", str(lab.cluster_conf))
    lab.command("cdsl", "make", PLACE, "/etc/sysconfig/network")
    for node in ("node1", "node2"):
        lab.command("shell", PLACE, "--node", node, "--", "sh", "-c", f"echo HOSTNAME={node} >/etc/sysconfig/network")


@contextmanager
def machines(lab: Lab, firmware: Firmware = Firmware.BIOS) -> Iterator[tuple[Machine, Machine]]:
    """Both machines of the wiki page, switched on. Their consoles are kept with the test's other results."""
    both = Machine(lab, "node1", MAC1, firmware), Machine(lab, "node2", MAC2, firmware)
    try:
        for machine in both:
            machine.switch_on()
        yield both
    finally:
        for machine in both:
            machine.pull_the_plug()
