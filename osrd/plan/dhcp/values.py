# SPDX-License-Identifier: GPL-3.0-or-later
"""What the DHCP planner passes around: reservations, subnets, and the files it ends in."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from osrd.model.finding import Finding
from osrd.model.netboot import BootFiles
from osrd.model.settings import DhcpBackend, Settings
from osrd.model.value import value

_CONFIG_PLACES = {
    # A fragment beside the distribution's own dnsmasq configuration.
    DhcpBackend.DNSMASQ: "/etc/dnsmasq.d/osrd.conf",
    # Complete configurations: the unit is pointed at them (dhcpd -cf, INTERFACES in its defaults file), or the
    # distribution's file includes them (Kea: <?include "..."?>). Both AppArmor profiles allow these directories.
    DhcpBackend.ISC: "/etc/dhcp/osrd-dhcpd.conf",
    DhcpBackend.KEA: "/etc/kea/osrd-dhcp4.conf",
    DhcpBackend.NONE: "",
}


def config_place(settings: Settings) -> str:
    """Where the back end's configuration goes, "" for the back end none."""
    return settings.dhcp.config or _CONFIG_PLACES[settings.dhcp.backend]


def hosts_place(settings: Settings) -> str:
    """Where dnsmasq's hosts file goes; "" for the other back ends, which have reservations in their configuration.

    dnsmasq reads it again as its own user, so every directory above must be passable for everybody.
    """
    if settings.dhcp.backend is not DhcpBackend.DNSMASQ:
        return ""
    return settings.dhcp.hosts or f"{settings.paths.state}/dnsmasq.hosts"


@dataclass(frozen=True, slots=True)
class DhcpFile:
    """One file to publish: final path, content, permission bits."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class DhcpResult:
    """No files although there is a back end means that what is published must stay; the findings say why."""

    files: tuple[DhcpFile, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A finding that does not know its place in the file yet: ``line`` is relative to the node's."""

    finding: Finding
    line: int


@value
class Reservation:
    """What a DHCP server must know about one address of a node, or about one of its NICs without a fixed address.

    ``macs`` are all hardware addresses that may ask for it (the slaves of a bond share one). ``name`` is "" where the
    name was given to an earlier address of the node already, or is no host name. ``network`` is the subnet in CIDR
    notation, "" together with an ``address`` of None. ``owner`` is the node's name as plain ASCII, for read-back.
    """

    owner: str
    name: str
    macs: tuple[str, ...]
    address: IPv4Address | None
    network: str
    gateway: str
    line: int


@value
class Part:
    """Everything one node adds to the files. ``texts`` are the reservations in the back end's syntax.

    ``places`` are (network, gateway) per reservation with an address: counting them finds the subnets.
    """

    node: str
    reservations: tuple[Reservation, ...]
    texts: tuple[str, ...]
    text: str
    places: tuple[tuple[str, str], ...]
    troubles: tuple[Trouble, ...]


@dataclass(frozen=True, slots=True)
class Subnet:
    """A network that is served. ``range`` is the pool for known machines without a fixed address."""

    network: IPv4Network
    router: IPv4Address | None = None
    dns: tuple[IPv4Address, ...] = ()
    domain: str = ""
    range: tuple[IPv4Address, IPv4Address] | None = None
    next_server: IPv4Address | None = None
    interface: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """Everything a back end needs to write its files. ``count`` is the number of reservations in ``parts``."""

    settings: Settings
    boot: BootFiles
    source: str
    subnets: tuple[Subnet, ...]
    parts: Sequence[Part]
    count: int

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The interfaces to listen on, each once; none means that the subnets alone decide who is answered."""
        named = (*self.settings.dhcp.interfaces, *(subnet.interface for subnet in self.subnets))
        return tuple(dict.fromkeys(name for name in named if name))
