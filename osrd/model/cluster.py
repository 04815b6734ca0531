# SPDX-License-Identifier: GPL-3.0-or-later
"""What cluster.conf says, as values (spec/cdsl.md 5). No judgement here: the validator of osrd.parse judges.

Lines inside a node are relative to the line of its ``<clusternode`` tag (0 is that line), so that a Node is a
pure function of its own text and stays equal, even identical, when the file grows above it. ``Cluster.place``
turns them into lines of the file.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from osrd.model.finding import Place

Attributes = tuple[tuple[str, str], ...]


class OddityKind(StrEnum):
    """What is odd about a piece of markup."""

    ELEMENT = "unknown-element"
    ATTRIBUTE = "unknown-attribute"
    REPEATED = "repeated-element"


@dataclass(frozen=True, slots=True)
class Oddity:
    """Markup that osrd does not use. ``attribute`` is "" for elements; ``hint`` is the known name nearest to it."""

    kind: OddityKind
    element: str
    attribute: str = ""
    hint: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Nic:
    """One ``<eth>``. Strings are as written, "" when absent; ``mac`` is normalised, ``mac_text`` is not."""

    name: str
    mac: str = ""
    mac_text: str = ""
    ip: str = ""
    mask: str = ""
    gateway: str = ""
    master: str = ""
    slave: bool = False
    bridge: str = ""
    driver: str = ""
    type: str = ""
    onboot: str = ""
    properties: Attributes = ()
    extra: Attributes = ()
    line: int = 0

    @property
    def is_dhcp(self) -> bool:
        """``ip="dhcp"``: the address comes from a DHCP server's pool, in any case of the word."""
        return self.ip.lower() == "dhcp"

    @property
    def address(self) -> str:
        """The fixed address, "" for dhcp and for NICs without one."""
        return "" if self.is_dhcp else self.ip

    @property
    def vlan(self) -> str:
        """The VLAN id of ``device.id`` names (``bond0.45``), "" for others."""
        _, dot, tag = self.name.rpartition(".")
        return tag if dot and tag.isdigit() else ""


@dataclass(frozen=True, slots=True)
class RootVolume:
    """``<rootvolume>`` with the ``nfs:host:/export:opts`` spellings already taken apart.

    ``name`` is as written; ``server`` is "" for local and cluster file systems, an IPv6 address keeps its brackets so
    that ``server:path`` can be mounted; ``path`` is the export or the device.
    """

    name: str
    fstype: str
    server: str
    path: str
    mountopts: str = ""
    line: int = 0

    @property
    def is_nfs(self) -> bool:
        return self.fstype in ("nfs", "nfs3", "nfs4")

    @property
    def host(self) -> str:
        """The server without the brackets of an IPv6 address."""
        return self.server.removeprefix("[").removesuffix("]")


@dataclass(frozen=True, slots=True)
class Syslog:
    name: str
    level: str = ""
    subsys: str = ""
    type: str = ""
    filter: str = ""


@dataclass(frozen=True, slots=True)
class Scsi:
    failover: str = ""
    name: str = ""
    driver: str = ""


@dataclass(frozen=True, slots=True)
class ChrootEnv:
    mountpoint: str = ""
    fstype: str = ""
    device: str = ""
    chrootdir: str = ""
    mountopts: str = ""


@dataclass(frozen=True, slots=True)
class Filesystem:
    """An extra file system mounted by the initrd; ``source`` may hold ``%(param0)s`` or ``%(nodeid)s``."""

    dest: str
    source: str
    fstype: str
    mountopts: str = ""
    mountwait: str = ""
    mounttimes: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class FenceDevice:
    """A ``<fencedevice>``, or a ``<device>`` inside a node's fence method. Attributes may hold secrets: they
    are kept out of ``repr`` and never leave the host."""

    name: str
    attributes: Attributes = field(default=(), repr=False)
    line: int = 0


@dataclass(frozen=True, slots=True)
class FenceMethod:
    name: str
    devices: tuple[FenceDevice, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One ``<clusternode>``. ``nodeid`` is None when the attribute is absent or no decimal number 1..99999.

    ``source`` is the element's own text in UTF-8, the identity of the value: two nodes with equal source are equal.
    ``com_info`` is False when the node has no such element, that is when Open Sharedroot does not boot it.
    """

    name: str
    nodeid: int | None
    nodeid_text: str = ""
    votes: str = "1"
    root: RootVolume | None = None
    nics: tuple[Nic, ...] = ()
    syslog: Syslog | None = None
    scsi: Scsi | None = None
    rootsource: str = ""
    chrootenv: ChrootEnv | None = None
    filesystems: tuple[Filesystem, ...] = ()
    fence: tuple[FenceMethod, ...] = ()
    extra: Attributes = ()
    source: bytes = field(default=b"", repr=False)
    com_info: bool = True
    oddities: tuple[Oddity, ...] = ()

    @property
    def boot_nics(self) -> tuple[Nic, ...]:
        """The NICs whose firmware may ask for a boot file: every one with a hardware address, bond slaves included.

        A VLAN, bridge or bond repeats the address of the NIC below it; each address is listed once.
        """
        by_mac: dict[str, Nic] = {}
        for nic in self.nics:
            if nic.mac:
                by_mac.setdefault(nic.mac, nic)
        return tuple(by_mac.values())


@dataclass(frozen=True, slots=True)
class FailoverDomain:
    name: str
    #: (node name, priority); a priority of None was not given or is no number
    members: tuple[tuple[str, int | None], ...] = ()
    extra: Attributes = ()
    line: int = 0
    #: the line of the file of each member
    member_lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """The whole file. ``lines[i]`` is the line in ``file`` of the start tag of ``nodes[i]``. ``leading_space`` tells
    of white space before the XML declaration, which XML forbids and the wiki page's example has."""

    file: str
    name: str
    config_version: int | None
    type: str = ""
    nodes: tuple[Node, ...] = ()
    lines: tuple[int, ...] = field(default=(), repr=False)
    fencedevices: tuple[FenceDevice, ...] = ()
    failoverdomains: tuple[FailoverDomain, ...] = ()
    #: attributes of <totem>, the protocol of corosync
    totem: Attributes = ()
    extra: Attributes = ()
    line: int = 0
    oddities: tuple[Oddity, ...] = ()
    leading_space: bool = False
    config_version_text: str = ""

    def place(self, index: int, line: int = 0) -> Place:
        """The place in the file of the line ``line`` (relative) of ``nodes[index]``."""
        return Place(self.file, self.lines[index] + line)

    def node(self, key: str) -> Node | None:
        """The first node whose id (as decimal text) or, failing that, whose name is ``key``."""
        for node in self.nodes:
            if str(node.nodeid) == key:
                return node
        for node in self.nodes:
            if node.name == key:
                return node
        return None


def node_keys(cluster: Cluster) -> tuple[str, ...]:
    """A key per node, unique in the cluster: its id in decimal if that is valid and unique, else ``name:NAME`` if the
    name is there and unique, else ``line:N`` (or ``line:N.I`` with its index, when nodes share a line)."""
    nodes = cluster.nodes
    ids = Counter(node.nodeid for node in nodes)
    if len(ids) == len(nodes) and None not in ids:
        return tuple([str(node.nodeid) for node in nodes])
    names = Counter(node.name for node in nodes)
    lines = Counter(cluster.lines)
    keys = []
    for index, node in enumerate(nodes):
        line = cluster.lines[index]
        if node.nodeid is not None and ids[node.nodeid] == 1:
            keys.append(str(node.nodeid))
        elif node.name and names[node.name] == 1:
            keys.append(f"name:{node.name}")
        else:
            keys.append(f"line:{line}" if lines[line] == 1 else f"line:{line}.{index}")
    return tuple(keys)
