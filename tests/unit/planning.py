# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters, settings and facts for tests of the planner, small enough to read."""

from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address

from osrd.model.cluster import Cluster, Nic, Node, RootVolume
from osrd.model.netboot import HostFacts, TemplateSource
from osrd.model.output import FileState
from osrd.model.settings import BootSettings, BootWay, RootSettings, Settings, TftpSettings
from osrd.observe.facts import builtin_templates
from osrd.plan.desired import Desirer, Inputs
from osrd.plan.menus import _shared_values

KERNEL, INITRD = "a" * 64, "b" * 64
VOLUME = RootVolume("192.168.122.1:/srv/root", "nfs4", "192.168.122.1", "/srv/root")
ROOT = RootSettings("web", kernel="/boot/vmlinuz", initrd="/boot/initrd")
DIRECTORY = "/srv/tftp/osr"


@cache
def templates() -> dict[str, TemplateSource]:
    return builtin_templates()


def mac(number: int) -> str:
    return f"00:0c:29:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def eth(number: int, name: str = "eth0", **others: object) -> Nic:
    nic = Nic(name, mac(number), mac(number), f"10.0.{number >> 8}.{number & 255}", "255.255.0.0", "10.0.0.1")
    return replace(nic, **others)  # type: ignore[arg-type]


def node(number: int, **others: object) -> Node:
    made = Node(f"node{number}", number, str(number), root=VOLUME, nics=(eth(number),))
    made = replace(made, **others)  # type: ignore[arg-type]
    return replace(made, source=repr(made).encode())


def cluster(*nodes: Node, name: str = "web") -> Cluster:
    return Cluster("/etc/cluster/cluster.conf", name, 1, nodes=nodes, lines=tuple(range(3, 3 + len(nodes))))


def settings(way: BootWay = BootWay.FULL, **boot: object) -> Settings:
    return Settings(
        tftp=TftpSettings("/srv/tftp", "osr"),
        roots=(ROOT,),
        boot=BootSettings(server=IPv4Address("192.168.122.1"), way=way, **boot),  # type: ignore[arg-type]
    )


def facts(**others: object) -> HostFacts:
    files = {
        "/boot/vmlinuz": FileState(KERNEL, 100, 0o644),
        "/boot/initrd": FileState(INITRD, 200, 0o600),
        "/usr/lib/PXELINUX/pxelinux.0": FileState("1" * 64, 1, 0o644),
        "/usr/lib/syslinux/modules/bios/ldlinux.c32": FileState("2" * 64, 2, 0o644),
        "/usr/bin/grub-mkimage": FileState("3" * 64, 3, 0o755),
    }
    modules = {"/usr/lib/grub/x86_64-efi": "4" * 64}
    made = HostFacts(files, templates(), modules=modules)
    return replace(made, **others)  # type: ignore[arg-type]


def inputs(*nodes: Node, **others: object) -> Inputs:
    made = Inputs(settings(), cluster(*nodes), nodes, frozenset(), facts())
    return replace(made, **others)  # type: ignore[arg-type]


def shared_values() -> dict[str, object]:
    """The variables of a menu that are the same for all nodes."""
    desirer = Desirer()
    desirer.desire(inputs(node(1)))
    assert desirer._last is not None
    around = desirer._last.made.entries[0].around
    assert around is not None
    return _shared_values(around)
