# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on this host, in which networks it is, and what it was told by DHCP servers."""

import os
import re
import time
from collections.abc import Iterator, Mapping

from osrd.model.host import Lease, Network, Socket
from osrd.parse.hosttables import (
    TableSocket,
    parse_dhclient_leases,
    parse_networkd_lease,
    parse_routes,
    parse_sockets,
)
from osrd.plan.doctor.ports import LIBVIRT

_LINK = re.compile(r"socket:\[(\d+)\]")
_LEASES = ("/var/lib/dhcp", "/var/lib/dhclient", "/var/lib/NetworkManager")


def text_of(path: str) -> str:
    """The content of a small file; "" when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode(errors="replace")
    except OSError:
        return ""


def names_in(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def sockets(ports: frozenset[int], program: str = "") -> tuple[Socket, ...]:
    """The sockets at these ports, and those of ``program``, which may be at any other."""
    found: list[TableSocket] = []
    for protocol in ("udp", "tcp"):
        for table in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
            found += [each for each in parse_sockets(text_of(table), protocol) if program or each.port in ports]
    programs = _programs({each.inode for each in found})
    seen = [Socket(each.protocol, each.address, each.port, programs.get(each.inode, "")) for each in found]
    return tuple(each for each in seen if each.port in ports or (program and each.program == program))


def _programs(inodes: set[int]) -> Mapping[int, str]:
    """Who has these sockets, as far as this process may look."""
    owners: dict[int, str] = {}
    for pid, link in descriptors():
        match = _LINK.fullmatch(link) if len(owners) < len(inodes) else None
        if match and int(match[1]) in inodes:
            owners.setdefault(int(match[1]), _name(pid))
    return owners


def _name(pid: str) -> str:
    name = text_of(f"/proc/{pid}/comm").strip()
    # libvirt starts one for each of its networks, with the files below a directory of its own.
    return LIBVIRT if name == "dnsmasq" and "/libvirt/" in text_of(f"/proc/{pid}/cmdline") else name


def descriptors() -> Iterator[tuple[str, str]]:
    """Process and text of the link of every open file that this process may look at."""
    for pid in names_in("/proc"):
        if not pid.isdigit():
            continue
        for descriptor in names_in(f"/proc/{pid}/fd"):
            try:
                yield pid, os.readlink(f"/proc/{pid}/fd/{descriptor}")
            except OSError:
                continue  # closed meanwhile


def processes() -> frozenset[str]:
    """The names of everything that runs."""
    return frozenset(text_of(f"/proc/{pid}/comm").strip() for pid in names_in("/proc") if pid.isdigit())


def networks() -> tuple[Network, ...]:
    return tuple(Network(*each) for each in parse_routes(text_of("/proc/net/route")) if each[0] != "lo")


def leases() -> tuple[Lease, ...]:
    """What DHCP clients on this host wrote down: systemd-networkd's and dhclient's files."""
    found = []
    directory = "/run/systemd/netif/leases"
    interfaces = {text_of(f"/sys/class/net/{name}/ifindex").strip(): name for name in names_in("/sys/class/net")}
    for index in names_in(directory):
        server = parse_networkd_lease(text_of(f"{directory}/{index}"))
        if server and index in interfaces:
            found.append(Lease(interfaces[index], server, f"{directory}/{index}"))
    now = time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime())
    for place in _LEASES:
        for name in names_in(place):
            if "dhclient" in name and ".lease" in name:
                file = f"{place}/{name}"
                known = parse_dhclient_leases(text_of(file), now)
                found += [Lease(interface, server, file) for interface, server in known.items()]
    return tuple(each for each in found if each.interface in interfaces.values())
