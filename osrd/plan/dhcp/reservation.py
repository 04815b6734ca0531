# SPDX-License-Identifier: GPL-3.0-or-later
"""From a node's NICs to the reservations it needs. Pure per node, so the planner may keep the result."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, NetmaskValueError

from osrd.model.cluster import Nic, Node
from osrd.model.finding import Finding, Severity
from osrd.model.settings import SubnetSettings
from osrd.plan.dhcp.values import Reservation, Trouble
from osrd.plan.hosts import packed

_ETHERNET = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
# dnsmasq(8) tells the fields of a host line apart by their looks: these names would be a lease time, a flag that
# switches the host off, or an address.
_MISREAD = re.compile(r"\d+[wdhms]?|infinite|ignore|[\d.]+", re.IGNORECASE)


def reservations(
    node: Node, sections: Sequence[SubnetSettings]
) -> tuple[tuple[Reservation, ...], tuple[Trouble, ...]]:
    """The reservations of ``node``, each hardware address in at most one, and what could not be reserved."""
    troubles: list[Trouble] = []
    carriers: dict[str, tuple[Nic, list[str]]] = {}
    for mac, carrier in _carriers(node).items():
        if not _ETHERNET.fullmatch(mac):
            troubles.append(_not_ethernet(node, carrier, mac))
            continue
        key = carrier.address or (carrier.name if carrier.is_dhcp else mac)
        carriers.setdefault(key, (carrier, []))[1].append(mac)

    name, owner = _names(node, troubles)
    ranged = any(section.range for section in sections)
    made: list[Reservation] = []
    for carrier, macs in carriers.values():
        if not carrier.address:
            if not ranged:
                if carrier.is_dhcp:
                    troubles.append(_no_range(node, carrier))
                continue
            made.append(Reservation(owner, name, tuple(macs), None, "", "", carrier.line))
        else:
            placed = _placed(carrier, sections)
            if isinstance(placed, str):
                troubles.append(_unusable(node, carrier, placed))
                continue
            address, network = placed
            made.append(Reservation(owner, name, tuple(macs), address, network, carrier.gateway, carrier.line))
        name = ""  # a name that is given out twice moves from lease to lease
    return tuple(made), tuple(troubles)


def _carriers(node: Node) -> dict[str, Nic]:
    """Each hardware address of the node with the NIC whose address its firmware should get.

    Firmware cannot tag, so a VLAN never speaks for the NIC below it. A slave gets the address of its bond and a
    bridge port that of its bridge: one of them boots, and the address is the same one that the node has later.
    """
    by_mac: dict[str, list[Nic]] = {}
    by_name = {nic.name: nic for nic in node.nics}
    for nic in node.nics:
        if nic.mac:
            by_mac.setdefault(nic.mac, []).append(nic)
    return {mac: _carrier(nics, by_name) for mac, nics in by_mac.items()}


def _carrier(nics: Sequence[Nic], by_name: dict[str, Nic]) -> Nic:
    untagged = [nic for nic in nics if not nic.vlan] or list(nics)
    for nic in untagged:
        above: Nic | None = nic
        for _ in range(3):  # at most NIC, bond, bridge; a circle of masters ends here too
            if above is None:
                break
            if above.ip:
                return above
            above = by_name.get(above.master) or by_name.get(above.bridge)
    return untagged[0]


def _names(node: Node, troubles: list[Trouble]) -> tuple[str, str]:
    """The name to hand out, and the same or a safe stand-in as the owner that read-back compares."""
    if not _HOST_NAME.fullmatch(node.name):
        reason = "is no host name"
    elif _MISREAD.fullmatch(node.name):
        reason = "would be read as a lease time, a flag or an address by DHCP servers"
    else:
        return node.name, node.name
    finding = Finding(
        "dhcp-name",
        Severity.WARNING,
        f"the name {node.name!r} {reason}, so DHCP gives the node no name",
        "rename the node (letters, digits and hyphens, RFC 1123)",
        node=node.name,
        attribute="name",
        value=node.name,
    )
    troubles.append(Trouble(finding, 0))
    return "", f"id-{node.nodeid}" if node.nodeid is not None else "unnamed"


def _placed(nic: Nic, sections: Sequence[SubnetSettings]) -> tuple[IPv4Address, str] | str:
    """The address and its subnet: the [subnet] section that holds it, else what the NIC's mask says; or why not."""
    number = packed(nic.address)
    if number is None:
        return f'ip="{nic.address}" is no IPv4 address'
    address = IPv4Address(number)
    holding = [section for section in sections if address in section.network]
    if holding:
        section = max(holding, key=lambda section: section.network.prefixlen)
        if section.range and section.range[0] <= address <= section.range[1]:
            return f"{address} is inside the range {section.range[0]}-{section.range[1]} of [subnet {section.network}]"
        return address, str(section.network)
    if not nic.mask:
        return f"{address} has no mask, and no [subnet] section holds it"
    try:
        return address, _network(number & _mask(nic.mask), nic.mask)
    except NetmaskValueError:
        return f'mask="{nic.mask}" is no network mask'


# Ten thousand nodes share a few masks and networks, and ipaddress takes ten microseconds to think about each.
@lru_cache(maxsize=1024)
def _mask(text: str) -> int:
    return int(IPv4Network(f"0.0.0.0/{text}").netmask)


@lru_cache(maxsize=4096)
def _network(address: int, mask: str) -> str:
    return str(IPv4Network((address, mask)))


def _not_ethernet(node: Node, nic: Nic, mac: str) -> Trouble:
    finding = Finding(
        "dhcp-not-ethernet",
        Severity.WARNING,
        f"{node.name} {nic.name}: {mac} is no Ethernet address, so DHCP cannot recognise this NIC by it (RFC 4390)",
        "give the node an Ethernet NIC to boot from",
        node=node.name,
        attribute="mac",
        value=mac,
    )
    return Trouble(finding, nic.line)


def _no_range(node: Node, nic: Nic) -> Trouble:
    finding = Finding(
        "dhcp-no-range",
        Severity.WARNING,
        f'{node.name} {nic.name} has ip="dhcp", but no [subnet] section of osrd.conf has a range to take it from',
        "set range in a [subnet] section, or give the NIC an address",
        node=node.name,
        attribute="ip",
        value=nic.ip,
    )
    return Trouble(finding, nic.line)


def _unusable(node: Node, nic: Nic, why: str) -> Trouble:
    finding = Finding(
        "dhcp-address",
        Severity.ERROR,
        f"{node.name} {nic.name} cannot have a reservation: {why}",
        "correct ip and mask in cluster.conf, or the [subnet] section in osrd.conf",
        node=node.name,
        attribute="ip",
        value=nic.ip,
    )
    return Trouble(finding, nic.line)
