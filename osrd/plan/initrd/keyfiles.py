# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's NICs as NetworkManager's profiles, nm-settings-keyfile(5). Their ids are the same in every build."""

from collections.abc import Iterable, Iterator, Mapping
from uuid import UUID, uuid5

from osrd.plan.initrd.devices import Device
from osrd.plan.nics import NicKind

_OURS = UUID("3d1f4a3e-7c1c-5f0f-9d0b-4d0d6b6f7372")
_MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")


def key_files(cluster: str, nodeid: int, devices: Iterable[Device]) -> Mapping[str, bytes]:
    """By file name."""
    every = tuple(devices)
    identities = {device.label: str(uuid5(_OURS, f"{cluster}\0{nodeid}\0{device.label}")) for device in every}
    return {
        f"osr-{nodeid}-{device.label}.nmconnection": "".join(
            f"{line}\n" for line in _lines(nodeid, device, identities)
        ).encode()
        for device in every
    }


def unknown_options(device: Device) -> tuple[str, ...]:
    """The options of a bond that cannot be said here: the primary's name is not the kernel's."""
    return tuple(name for name, _ in device.options if name == "primary")


def _lines(nodeid: int, device: Device, identities: Mapping[str, str]) -> Iterator[str]:
    yield from ("[connection]", f"id=osr-{nodeid}-{device.label}", f"uuid={identities[device.label]}")
    yield f"type={device.kind.value}"
    if device.kind is not NicKind.ETHERNET:
        yield f"interface-name={device.label}"
    if device.master or device.bridge:
        yield f"master={device.master or device.bridge}"
        yield f"slave-type={'bond' if device.master else 'bridge'}"
    yield from _ethernet(device)
    if device.kind is NicKind.VLAN:
        yield from ("", "[vlan]", f"id={device.tag}", f"parent={identities.get(device.parent, device.parent)}")
    elif device.kind is NicKind.BRIDGE:
        yield from ("", "[bridge]", f"stp={'true' if device.stp else 'false'}")
        if device.stp and device.delay is not None:
            yield f"forward-delay={device.delay}"
    elif device.kind is NicKind.BOND and device.options:
        yield from ("", "[bond]")
        yield from (f"{name}={_value(name, value)}" for name, value in device.options if name != "primary")
    if not (device.master or device.bridge):
        yield from _addresses(device)


def _ethernet(device: Device) -> Iterator[str]:
    mac = device.mac.upper() if device.kind is not NicKind.VLAN else ""
    if mac or device.mtu:
        yield from ("", "[ethernet]")
    if mac:
        yield f"{'mac-address' if device.kind is NicKind.ETHERNET else 'cloned-mac-address'}={mac}"
    if device.mtu:
        yield f"mtu={device.mtu}"


def _value(option: str, value: str) -> str:
    return _MODES[int(value)] if option == "mode" and value.isdigit() and int(value) < len(_MODES) else value


def _addresses(device: Device) -> Iterator[str]:
    yield from ("", "[ipv4]")
    if device.dhcp:
        # By the same name as the firmware, see networkd.py.
        yield from ("method=auto", "dhcp-client-id=mac", "may-fail=false")
    elif device.address:
        gateway = f",{device.gateway}" if device.gateway else ""
        yield from ("method=manual", f"address1={device.address.with_prefixlen}{gateway}", "may-fail=false")
    else:
        yield "method=disabled"
    yield from ("", "[ipv6]", f"method={'auto' if device.dhcp or device.address else 'disabled'}")
