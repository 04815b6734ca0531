# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot host as osrctl doctor sees it: what was observed, and what a check says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from osrd.model.finding import Finding, Severity, worst
from osrd.model.firewall import Ruleset
from osrd.model.rootcare import Family


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket that anybody may send to. ``program`` is the name of the process that has it, "" when unknown."""

    protocol: str
    address: str
    port: int
    program: str = ""

    @property
    def is_local(self) -> bool:
        """Whether only this host reaches it."""
        return self.address.startswith("127.") or self.address == "::1"


@dataclass(frozen=True, slots=True)
class Network:
    """A network that this host has an address in."""

    interface: str
    network: IPv4Network


@dataclass(frozen=True, slots=True)
class Lease:
    """This host's own address on ``interface`` came from the DHCP server ``server``; ``file`` says so."""

    interface: str
    server: str
    file: str


@dataclass(frozen=True, slots=True)
class Inotify:
    """The limits of a user, and how much of them root uses now; None: that cannot be seen."""

    watches: int = 0
    instances: int = 0
    used_watches: int | None = None
    used_instances: int | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """The file system that ``path`` is on. ``inodes`` is None where they are not counted."""

    path: str
    device: int
    free: int
    inodes: int | None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class RootOnHost:
    """A shared root of osrd.conf. ``problem``: why it cannot be looked into. ``dracut`` is "" when it has none;
    ``modules`` are the names of dracut's modules without their numbers."""

    name: str
    path: str
    problem: str = ""
    family: Family = Family.OTHER
    dracut: str = ""
    modules: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PacketFilter:
    """``problem`` says why the rules are not (all) known; ``firewalld`` and ``ufw``: who set them up."""

    rulesets: tuple[Ruleset, ...] = ()
    problem: str = ""
    firewalld: bool = False
    ufw: bool = False


@dataclass(frozen=True, slots=True)
class Daemon:
    """What osrd says of itself on the bus; ``problem`` when it says nothing."""

    problem: str = ""
    fix: str = ""
    state: str = ""
    in_sync: bool = False
    findings: int = 0
    watch: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """``programs`` are those, of the ones that osrd or a server needs, that are installed. ``nfs_threads`` is None
    where the kernel has no NFS server. ``closed`` are directories above published files that not everybody may enter.
    ``directories`` is how many osrd watches, at most. ``labels`` are SELinux types of paths, ``confined`` the programs
    with an enforced AppArmor profile (None: that cannot be seen). ``memory`` is in MiB, ``synchronised`` about the
    clock."""

    family: Family = Family.OTHER
    privileged: bool = True
    kernel: str = ""
    programs: frozenset[str] = frozenset()
    sockets: tuple[Socket, ...] = ()
    networks: tuple[Network, ...] = ()
    leases: tuple[Lease, ...] = ()
    nfs_threads: int | None = None
    nfs_versions: frozenset[str] = frozenset()
    filter: PacketFilter = PacketFilter()
    selinux: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    nfs_may_export_all: bool = True
    confined: frozenset[str] | None = frozenset()
    inotify: Inotify = Inotify()
    directories: int = 0
    spaces: tuple[Space, ...] = ()
    closed: tuple[str, ...] = ()
    memory: int = 0
    synchronised: bool | None = None
    roots: tuple[RootOnHost, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """One check. ``summary`` says what was seen; ``unknown``: it could not be seen."""

    name: str
    summary: str
    findings: tuple[Finding, ...] = ()
    unknown: bool = False

    @property
    def result(self) -> str:
        """``ok``, ``unknown``, ``info``, ``warning`` or ``error``."""
        severity = worst(self.findings)
        if severity in (Severity.ERROR, Severity.WARNING):
            return severity.value
        if self.unknown:
            return "unknown"
        return severity.value if severity else "ok"
