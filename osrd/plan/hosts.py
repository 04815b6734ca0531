# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of nodes, and the hosts(5) fragment made of them."""

from collections.abc import Iterable
from operator import itemgetter

from osrd.model.cluster import Node
from osrd.model.value import value

#: What each of the four numbers of an address may look like.
_OCTETS = {str(number): number for number in range(256)}

#: Something with a place in the order of addresses, and its text: ``(0xC0A87AAB, "192.168.122.171")``.
Sorted = tuple[int, str]


@value
class Addresses:
    """``fixed`` are the node's fixed addresses, ``hosts`` the lines of the hosts file for them, ``dynamic`` the
    gateways ("" when not given) of its NICs with ``ip="dhcp"``."""

    fixed: tuple[Sorted, ...] = ()
    hosts: tuple[Sorted, ...] = ()
    dynamic: tuple[str, ...] = ()


def packed(address: str) -> int | None:
    """An IPv4 address as a number, None when it is none (the validator says so; leading zeros are refused since
    inet_aton(3) takes them for octal)."""
    try:
        first, second, third, fourth = map(_OCTETS.__getitem__, address.split("."))
    except (KeyError, ValueError):
        return None
    return first << 24 | second << 16 | third << 8 | fourth


def addresses(node: Node) -> Addresses:
    """What the aggregated files need of ``node``. The first NIC with an address carries the node's name, the others
    are ``name-nic``."""
    fixed: list[Sorted] = []
    hosts: list[Sorted] = []
    dynamic: list[str] = []
    for nic in node.nics:
        if nic.is_dhcp:
            dynamic.append(nic.gateway)
            continue
        number = packed(nic.ip)
        if number is None:
            continue
        fixed.append((number, nic.ip))
        name = f"{node.name}-{nic.name}" if hosts else node.name
        if _is_name(name):
            hosts.append((number, f"{nic.ip} {name}\n"))
    return Addresses(tuple(fixed), tuple(hosts), tuple(dynamic))


def _is_name(name: str) -> bool:
    """Whether hosts(5) can hold it: a blank or # would end it, a newline would begin another entry."""
    return name.isascii() and name.isprintable() and not set(name) & {" ", "#"}


def hosts_file(lines: Iterable[Sorted], cluster_file: str) -> bytes:
    """The fragment, in the order of addresses."""
    head = f"# Made by osrd from {cluster_file}; edits are undone.\n"
    return (head + "".join(map(itemgetter(1), sorted(set(lines))))).encode()
