# SPDX-License-Identifier: GPL-3.0-or-later
"""How the NICs of one node are built on each other: bonds on slaves, VLANs on a device, bridges on ports."""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, NetmaskValueError

from osrd.model.cluster import Nic, Node
from osrd.model.errors import InvalidConfigError

_MTU = range(68, 65536)


class NicKind(StrEnum):
    ETHERNET = "ethernet"
    BOND = "bond"
    VLAN = "vlan"
    BRIDGE = "bridge"


def kind_of(node: Node, nic: Nic) -> NicKind:
    """What ``nic`` is, from what others say of it and from its own type and name."""
    if nic.vlan and below(nic):
        return NicKind.VLAN
    if nic.type.lower() == "bridge" or any(nic.name and nic.name == other.bridge for other in node.nics):
        return NicKind.BRIDGE
    bond = nic.type.lower() == "bond" or any(nic.name and nic.name == other.master for other in node.nics)
    return NicKind.BOND if bond or (nic.name.startswith("bond") and not nic.mac) else NicKind.ETHERNET


def below(vlan: Nic) -> str:
    """The name of the device that a VLAN is on."""
    return vlan.name.rpartition(".")[0]


def carrier(node: Node, nic: Nic) -> Nic:
    """The NIC that has the address when the machine boots over ``nic``: itself, or what is built on top of it. Raises
    InvalidConfigError when nothing has."""
    return route(node, nic)[-1]


def route(node: Node, nic: Nic) -> tuple[Nic, ...]:
    """``nic`` and what is built on it, up to the first that has an address. Raises InvalidConfigError."""
    way = [nic]
    while not way[-1].ip:
        names = {other.name for other in way}
        above = [other for other in node.nics if other.name not in names and _is_on(other, way[-1])]
        if not above:
            raise InvalidConfigError(
                f"NIC {nic.name or nic.mac} has no address and no bond, bridge or VLAN above it has one",
                'set ip= of the NIC to an address or "dhcp"',
            )
        way.append(next((other for other in above if other.ip), above[0]))
    return tuple(way)


def _is_on(upper: Nic, lower: Nic) -> bool:
    return upper.name in (lower.master, lower.bridge) or upper.name == f"{lower.name}.{upper.vlan}"


def primary(node: Node) -> Nic | None:
    """The NIC with a hardware address over which the root volume is most likely reached: one in the server's own
    subnet, else one with a gateway, else the first with an address; None when nothing has one."""
    ranked = sorted(_with_carriers(node), key=lambda pair: _rank(node, pair[1]))
    return ranked[0][0] if ranked else None


def _with_carriers(node: Node) -> Iterator[tuple[Nic, Nic]]:
    for nic in node.boot_nics:
        try:
            yield nic, carrier(node, nic)
        except InvalidConfigError:
            continue


def _rank(node: Node, nic: Nic) -> int:
    if node.root is not None and node.root.is_nfs:
        try:
            if IPv4Address(node.root.host) in IPv4Interface(f"{nic.address}/{nic.mask}").network:
                return 0
        except (AddressValueError, NetmaskValueError, ValueError):
            pass
    return 1 if nic.gateway else 2


def bond_options(bond: Nic) -> tuple[tuple[str, str], ...]:
    """BONDING_OPTS of ifcfg style (``"mode=1 miimon=100"``), each as name and value."""
    values = [value for name, value in bond.properties if name.upper() == "BONDING_OPTS"]
    words = values[-1].strip("\"' ").split() if values else []
    return tuple((name, value) for name, _, value in (word.partition("=") for word in words))


def property_number(nic: Nic, name: str, allowed: range) -> int | None:
    """What the property ``name`` says, None when nothing. Raises InvalidConfigError."""
    values = [value for key, value in nic.properties if key.upper() == name]
    text = values[-1].strip("\"' ") if values else ""
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) in allowed:
        return int(text)
    raise InvalidConfigError(
        f"{name} {text!r} of NIC {nic.name} is no number from {allowed[0]} to {allowed[-1]}", "correct it"
    )


def mtu_of(nic: Nic) -> int | None:
    """The size of packets that it is set to. Raises InvalidConfigError."""
    return property_number(nic, "MTU", _MTU)


def fixed_address(nic: Nic) -> IPv4Interface:
    """The address with its network. Raises InvalidConfigError saying what is missing."""
    try:
        IPv4Address(nic.ip)
    except AddressValueError:
        raise InvalidConfigError(f"ip {nic.ip!r} of NIC {nic.name} is no IPv4 address", "correct it") from None
    if not nic.mask:
        raise InvalidConfigError(
            f"NIC {nic.name} has a fixed address and no mask, and dracut does not guess one", "set mask="
        )
    try:
        return IPv4Interface(f"{nic.ip}/{nic.mask}")
    except (AddressValueError, NetmaskValueError, ValueError):
        raise InvalidConfigError(f"mask {nic.mask!r} of NIC {nic.name} is no netmask", "correct it") from None
