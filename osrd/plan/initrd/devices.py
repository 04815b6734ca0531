# SPDX-License-Identifier: GPL-3.0-or-later
"""What an initrd has to know of each NIC of a node, checked, before some provider's language is made of it.

Of the properties of a NIC only those are used that are listed here: the others may be anything, keys of a wireless
network for instance, and an image is served to whoever asks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface

from osrd.model.address import is_unicast
from osrd.model.cluster import Nic, Node
from osrd.model.errors import InvalidConfigError
from osrd.parse.validation_nic import host_address, is_nic_name
from osrd.plan.nics import NicKind, below, bond_options, fixed_address, kind_of, mtu_of, property_number
from osrd.plan.nicwords import is_layered, is_wanted

_OPTION = re.compile(r"[A-Za-z0-9_.,:+-]+", re.ASCII)
_YES = ("yes", "on", "true", "1")
_DELAY = range(301)


@dataclass(frozen=True, slots=True)
class Device:
    """A NIC. Every text is made of characters that mean nothing to anybody. ``label`` names it in files; ``address``
    is None for DHCP and for none at all. ``master`` and ``bridge`` are what it is a part of, ``parent`` what a VLAN is
    on, ``vlans`` the VLANs on it; ``options`` those of a bond. ``shared_mac``: devices on top have its address, too.
    ``mac`` of a VLAN is the one of the device below, and not said."""

    label: str
    kind: NicKind
    mac: str = ""
    dhcp: bool = False
    address: IPv4Interface | None = None
    gateway: str = ""
    mtu: int = 0
    master: str = ""
    bridge: str = ""
    parent: str = ""
    tag: int = 0
    vlans: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    stp: bool = False
    delay: int | None = None
    shared_mac: bool = False

    @property
    def is_used(self) -> bool:
        """Whether it has an address, or others have one by it."""
        return bool(self.dhcp or self.address or self.master or self.bridge or self.vlans)


def devices(node: Node) -> tuple[tuple[Device, ...], tuple[InvalidConfigError, ...]]:
    """The devices of a node, in the order of cluster.conf, and what is wrong with those that are left out."""
    found, wrong = [], []
    for nic in node.nics:
        if not is_wanted(nic):
            continue
        try:
            device = _device(node, nic)
        except InvalidConfigError as error:
            wrong.append(error)
            continue
        if device.is_used:
            found.append(device)
    found = [replace(device, mac=_hardware(device, found)) for device in found]
    labels = {device.label for device in found}
    for device in found:
        for other in filter(None, (device.master, device.bridge, device.parent)):
            if other not in labels:
                message = f"NIC {device.label} of {node.name} belongs to {other}, which the initrd does not make"
                wrong.append(InvalidConfigError(message, f"add <eth name={other!r} .../> to {node.name}"))
    return tuple(found), tuple(wrong)


def _hardware(device: Device, every: list[Device]) -> str:
    """The address of a bond or bridge: its own, else that of the first of its parts. Left to chance, it would be
    another one at each boot, which no DHCP server and no switch knows."""
    parts = [other for other in every if device.label in (other.master, other.bridge) and other is not device]
    found = (device.mac, *(part.mac or _hardware(part, [each for each in every if each != device]) for part in parts))
    return next(filter(None, found), "")


def _device(node: Node, nic: Nic) -> Device:
    kind = kind_of(node, nic)
    label = nic.name or f"boot{nic.mac.replace(':', '')}"
    if not is_nic_name(label):
        raise InvalidConfigError(f"NIC name {label!r} of {node.name} is none", "correct name=")
    if kind is NicKind.ETHERNET and not (nic.mac and is_unicast(nic.mac)):
        raise InvalidConfigError(
            f"NIC {label} of {node.name} has no hardware address, so the initrd cannot tell which one it is",
            "set mac=",
        )
    for other in (nic.master, nic.bridge):
        if other and not is_nic_name(other):
            raise InvalidConfigError(f"NIC name {other!r} of {node.name} is none", "correct master= or bridge=")
    address = fixed_address(nic) if nic.address else None
    if nic.gateway and host_address(nic.gateway) is None:
        raise InvalidConfigError(f"gateway {nic.gateway!r} of NIC {label} of {node.name} is no address", "correct it")
    properties = {name.upper(): value.strip() for name, value in nic.properties}
    return Device(
        label,
        kind,
        mac=nic.mac,
        dhcp=nic.is_dhcp,
        address=address,
        gateway=nic.gateway if address else "",
        mtu=mtu_of(nic) or 0,
        master=nic.master,
        bridge=nic.bridge,
        parent=below(nic) if kind is NicKind.VLAN else "",
        tag=int(nic.vlan) if kind is NicKind.VLAN else 0,
        vlans=tuple(other.name for other in node.nics if other.vlan and below(other) == nic.name and is_wanted(other)),
        options=tuple(_options(node, nic)) if kind is NicKind.BOND else (),
        stp=properties.get("STP", "").lower() in _YES,
        delay=property_number(nic, "DELAY", _DELAY),
        shared_mac=is_layered(node),
    )


def _options(node: Node, nic: Nic) -> Iterator[tuple[str, str]]:
    for name, value in bond_options(nic):
        if not (_OPTION.fullmatch(name) and _OPTION.fullmatch(value)):
            text = f"{name}={value}"
            raise InvalidConfigError(f"bond option {text!r} of {nic.name} of {node.name} is none", "correct it")
        yield name, value
