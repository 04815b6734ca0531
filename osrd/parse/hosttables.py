# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the kernel and of DHCP clients that say what a host does in its networks (proc(5))."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address

_LISTENING = "0A"  # TCP_LISTEN
_SERVER = re.compile(r"^\s*option dhcp-server-identifier ([0-9.]+);", re.MULTILINE)
_EXPIRE = re.compile(r"^\s*expire \d ([0-9/]{10} [0-9:]{8});", re.MULTILINE)
_BOUND = re.compile(r'^\s*interface "([^"]+)";', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TableSocket:
    """A line of /proc/net/{tcp,udp}{,6}."""

    protocol: str
    address: str
    port: int
    inode: int


def parse_sockets(text: str, protocol: str) -> Iterator[TableSocket]:
    """The sockets that take what comes from anywhere: listening ones, of UDP those without a peer."""
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 10:
            continue
        local, peer, state, inode = words[1], words[2], words[3], words[9]
        if protocol == "tcp" and state != _LISTENING:
            continue
        if protocol == "udp" and peer.strip("0:"):
            continue
        address, _, port = local.partition(":")
        yield TableSocket(protocol, _address(address), int(port, 16), int(inode))


def _address(text: str) -> str:
    """The kernel prints addresses as words in its own byte order; little on every machine that boots like this."""
    raw = b"".join(bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8))
    return str(IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw))


def parse_routes(text: str) -> Iterator[tuple[str, IPv4Network]]:
    """Interface and network of each route of /proc/net/route that needs no gateway."""
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 8 or int(words[2], 16) or not int(words[7], 16):
            continue
        yield words[0], IPv4Network((_address(words[1]), _address(words[7])))


def parse_networkd_lease(text: str) -> str:
    """The server of a lease in /run/systemd/netif/leases, "" when it names none."""
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "SERVER_ADDRESS":
            return value.strip()
    return ""


def parse_dhclient_leases(text: str, now: str) -> dict[str, str]:
    """Interface to the server of its last lease (dhclient.leases(5)), if that has not expired at ``now``, written
    YYYY/MM/DD HH:MM:SS in UTC: the file stays when an interface gets a fixed address."""
    found = {}
    for part in text.split("lease {")[1:]:
        interface, server = _BOUND.search(part), _SERVER.search(part)
        if interface and server:
            expire = _EXPIRE.search(part)
            found[interface[1]] = server[1] if expire is None or expire[1] > now else ""
    return {interface: server for interface, server in found.items() if server}


def parse_apparmor(text: str) -> frozenset[str]:
    """Programs with an enforced profile: the last part of each profile's name, which usually is a path."""
    found = set()
    for line in text.splitlines():
        name, _, mode = line.rpartition(" ")
        if mode == "(enforce)":
            found.add(name.rpartition("/")[2].rpartition(".")[2])
    return frozenset(found)
