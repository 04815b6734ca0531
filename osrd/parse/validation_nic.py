# SPDX-License-Identifier: GPL-3.0-or-later
"""The network interfaces of one node: names, hardware addresses, IPv4 addresses, bonds, bridges, VLANs."""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

from osrd.model.address import is_unicast
from osrd.model.cluster import Nic, Node
from osrd.model.finding import Severity
from osrd.parse.validation_draft import Draft, shown

#: dev_valid_name() of Linux: at most 15 bytes, no "/", ":" or white space; ours is narrower by quotes and controls
_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9_.@+-]{1,15}", re.ASCII)
_NAME_RULE = 'use at most 15 letters, digits, "_", "-", "." or "@", as "ip link" shows the interface'


def is_nic_name(text: str) -> bool:
    """Whether an interface can have this name."""
    return _NAME.fullmatch(text) is not None


def called(nic: Nic) -> str:
    """What to call the interface in a message."""
    return nic.name if _NAME.fullmatch(nic.name) else shown(nic.name) if nic.name else "an eth"


def judge_nics(node: Node) -> list[Draft]:
    """Everything wrong with the NICs of a node that has a com_info."""
    if not node.nics:
        message = "{node} has no network interface, so it cannot be given a boot entry"
        fix = 'add <eth name="eth0" mac="..." ip="..." mask="..."/> to the com_info of {node}'
        return [Draft(Severity.ERROR, "no-bootable-nic", message, fix, attribute="eth")]
    drafts = []
    if not any(nic.mac_text for nic in node.nics):
        message = "no network interface of {node} has a MAC, so it cannot be given a boot entry"
        fix = f'add mac="..." to {called(node.nics[0])} of {{node}}'
        drafts.append(Draft(Severity.ERROR, "missing-mac", message, fix, node.nics[0].line, "mac"))
    names = {nic.name for nic in node.nics}
    seen: set[str] = set()
    addresses: set[str] = set()
    for nic in node.nics:
        if nic.name and nic.name in seen:
            message = f"{{node}} has two network interfaces with the name {shown(nic.name)}"
            fix = "rename one of them"
            drafts.append(Draft(Severity.ERROR, "duplicate-nic-name", message, fix, nic.line, "name", nic.name))
        seen.add(nic.name)
        if nic.address and nic.address in addresses:
            message = f"{{node}} has the address {shown(nic.address)} on two network interfaces"
            fix = f"give {called(nic)} another address"
            drafts.append(Draft(Severity.ERROR, "duplicate-ip", message, fix, nic.line, "ip", nic.address))
        addresses.add(nic.address)
        drafts += _name(nic)
        drafts += _mac(nic)
        drafts += _links(nic, names)
        drafts += _address(nic)
    return drafts


@lru_cache(maxsize=4096)
def host_address(text: str) -> IPv4Address | None:
    """``text`` as an address that a NIC can have: not 0.0.0.0/8, loopback, multicast, reserved or broadcast."""
    address = _ipv4(text)
    if address is None or address.is_loopback or address.is_multicast or address.is_reserved or int(address) < 1 << 24:
        return None
    return address


@lru_cache(maxsize=1024)
def netmask(text: str) -> IPv4Address | None:
    """``text`` as a dotted netmask, ones before zeros (RFC 4632 5.1), or None."""
    mask = _ipv4(text)
    if mask is None:
        return None
    zeros = ~int(mask) & 0xFFFFFFFF
    return mask if int(mask) and not zeros & (zeros + 1) else None


def _ipv4(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def _wrong(code: str, nic: Nic, what: tuple[str, str], problem: str, fix: str) -> Draft:
    """An error about ``what``, an attribute and its value."""
    attribute, value = what
    message = f"the {attribute} {shown(value)} of {called(nic)} of {{node}} {problem}"
    return Draft(Severity.ERROR, code, message, fix, nic.line, attribute, value)


def _name(nic: Nic) -> list[Draft]:
    if not nic.name:
        message = "a network interface of {node} has no name"
        return [Draft(Severity.ERROR, "missing-nic-name", message, 'add name="eth0" or such', nic.line, "name")]
    if not _NAME.fullmatch(nic.name):
        return [_wrong("invalid-nic-name", nic, ("name", nic.name), "is no interface name", _NAME_RULE)]
    if nic.vlan and not 1 <= int(nic.vlan) <= 4094:
        fix = f'use a VLAN id from 1 to 4094 after the last "." of {nic.name}'
        return [_wrong("invalid-vlan", nic, ("name", nic.name), "has no valid VLAN id", fix)]
    return []


def _mac(nic: Nic) -> list[Draft]:
    if not nic.mac_text:
        return []
    if not nic.mac:
        fix = "write six octets in hexadecimal, as in 00:16:3e:01:02:03"
        return [_wrong("invalid-mac", nic, ("mac", nic.mac_text), "is no hardware address", fix)]
    if is_unicast(nic.mac):
        return []
    if set(nic.mac) <= {"0", ":"}:
        return [_wrong("zero-mac", nic, ("mac", nic.mac_text), "is all zeros", "use the address of the network card")]
    return [
        _wrong(
            "multicast-mac",
            nic,
            ("mac", nic.mac_text),
            "is a group address (the lowest bit of its first octet is set), which no card has",
            "use the address of the network card",
        )
    ]


def _links(nic: Nic, names: set[str]) -> list[Draft]:
    drafts = []
    if nic.master and (nic.master not in names or nic.master == nic.name):
        what = "is no other network interface of this node"
        fix = f"add <eth name={shown(nic.master)} .../> to {{node}} or correct the master"
        drafts.append(_wrong("unknown-master", nic, ("master", nic.master), what, fix))
    if nic.slave and not nic.master:
        message = f"{called(nic)} of {{node}} is a slave without master"
        fix = 'add master="bond0" or such, or remove slave'
        drafts.append(Draft(Severity.WARNING, "missing-master", message, fix, nic.line, "master"))
    if nic.bridge and (nic.bridge not in names or nic.bridge == nic.name):
        message = f"the bridge {shown(nic.bridge)} of {called(nic)} of {{node}} is not among its interfaces"
        fix = f"add <eth name={shown(nic.bridge)} .../> to {{node}}, unless something else makes the bridge"
        drafts.append(Draft(Severity.WARNING, "unknown-bridge", message, fix, nic.line, "bridge", nic.bridge))
    return drafts


def _address(nic: Nic) -> list[Draft]:
    drafts = []
    address = host_address(nic.address)
    if nic.address and not address:
        fix = 'write an IPv4 address such as 192.168.1.10, or "dhcp"'
        drafts.append(_wrong("invalid-ip", nic, ("ip", nic.ip), "is no address that an interface can have", fix))
    mask = netmask(nic.mask)
    if nic.mask and not mask:
        drafts.append(_wrong("invalid-mask", nic, ("mask", nic.mask), "is no netmask", _mask_fix(nic.mask)))
    if nic.address and not nic.mask:
        message = f"{called(nic)} of {{node}} has a fixed address but no mask"
        fix = 'add mask="255.255.255.0" or what the network has'
        drafts.append(Draft(Severity.WARNING, "missing-mask", message, fix, nic.line, "mask"))
    gateway = host_address(nic.gateway)
    if nic.gateway and not gateway:
        what = "is no address that a router can have"
        drafts.append(_wrong("invalid-gateway", nic, ("gateway", nic.gateway), what, "write an IPv4 address"))
    if address and gateway and address == gateway:
        fix = "set the router's address, or remove the gateway"
        drafts.append(_wrong("gateway-is-own-ip", nic, ("gateway", nic.gateway), "is its own address", fix))
    if address and mask:
        drafts += _in_network(nic, address, mask, gateway)
    return drafts


def _in_network(nic: Nic, address: IPv4Address, mask: IPv4Address, gateway: IPv4Address | None) -> list[Draft]:
    bits, host_bits = int(mask), ~int(mask) & 0xFFFFFFFF
    if host_bits < 2:  # /31 and /32 have neither network nor broadcast address (RFC 3021), gateways are on-link
        return []
    drafts = []
    special = {0: "network", host_bits: "broadcast"}
    if kind := special.get(int(address) & host_bits):
        fix = f"use an address between the first and the last of {_network(address, mask)}"
        drafts.append(_wrong(f"{kind}-address", nic, ("ip", nic.ip), f"is the {kind} address of its subnet", fix))
    if gateway is None:
        return drafts
    if int(gateway) & bits != int(address) & bits:
        fix = f"use a gateway in {_network(address, mask)} or correct the mask"
        what = f"is outside of its subnet {_network(address, mask)}"
        drafts.append(_wrong("gateway-outside-subnet", nic, ("gateway", nic.gateway), what, fix))
    elif kind := special.get(int(gateway) & host_bits):
        what = f"is the {kind} address of its subnet"
        drafts.append(_wrong("invalid-gateway", nic, ("gateway", nic.gateway), what, "set the router's address"))
    return drafts


def _network(address: IPv4Address, mask: IPv4Address) -> IPv4Network:
    return IPv4Network((int(address) & int(mask), str(mask)))


def _mask_fix(text: str) -> str:
    try:
        return f"write {IPv4Network('0.0.0.0/' + text.strip().lstrip('/')).netmask}"
    except (AddressValueError, NetmaskValueError, ValueError):
        return "write ones before zeros, as in 255.255.255.0"
