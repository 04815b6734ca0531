# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's NICs as files of systemd.network(5) and systemd.netdev(5).

NICs are found by hardware address, so one image holds the files of all nodes. Where others are built on a NIC and
have the same address, the permanent one is asked for, which only hardware has. Addresses outlive the initrd: taken
away, they would take the root along.
"""

from collections.abc import Iterable, Iterator, Mapping

from osrd.plan.initrd.devices import Device
from osrd.plan.nics import NicKind

_MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
#: option of the kernel's bonding: key of [Bond], the unit of a time, names of the numbers that the kernel takes too
_BOND: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "mode": ("Mode", "", _MODES),
    "miimon": ("MIIMonitorSec", "ms", ()),
    "updelay": ("UpDelaySec", "ms", ()),
    "downdelay": ("DownDelaySec", "ms", ()),
    "arp_interval": ("ARPIntervalSec", "ms", ()),
    "arp_ip_target": ("ARPIPTargets", "", ()),
    "arp_validate": ("ARPValidate", "", ("none", "active", "backup", "all")),
    "arp_all_targets": ("ARPAllTargets", "", ("any", "all")),
    "lacp_rate": ("LACPTransmitRate", "", ("slow", "fast")),
    "xmit_hash_policy": (
        "TransmitHashPolicy",
        "",
        ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"),
    ),
    "fail_over_mac": ("FailOverMACPolicy", "", ("none", "active", "follow")),
    "primary_reselect": ("PrimaryReselectPolicy", "", ("always", "better", "failure")),
    "ad_select": ("AdSelect", "", ("stable", "bandwidth", "count")),
    "min_links": ("MinLinks", "", ()),
    "num_grat_arp": ("GratuitousARP", "", ()),
    "num_unsol_na": ("GratuitousARP", "", ()),
    "packets_per_slave": ("PacketsPerSlave", "", ()),
    "resend_igmp": ("ResendIGMP", "", ()),
    "all_slaves_active": ("AllSlavesActive", "", ("no", "yes")),
    "lp_interval": ("LearnPacketIntervalSec", "s", ()),
}


def networkd_files(nodeid: int, devices: Iterable[Device]) -> Mapping[str, bytes]:
    """By file name: sorted after what an ``ip=`` of the command line becomes (70-), before defaults (89-, zzzz-)."""
    every = tuple(devices)
    files = {}
    for device in every:
        name = f"80-osr-{nodeid}-{device.label}"
        if device.kind is not NicKind.ETHERNET:
            files[f"{name}.netdev"] = _file(_netdev(device))
        files[f"{name}.network"] = _file(_network(device, every))
    return files


def unknown_options(device: Device) -> tuple[str, ...]:
    """The options of a bond that cannot be said here."""
    return tuple(name for name, _ in device.options if name not in _BOND and name != "primary")


def _file(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _netdev(device: Device) -> Iterator[str]:
    yield from ("[NetDev]", f"Name={device.label}", f"Kind={device.kind.value}")
    if device.mac and device.kind is not NicKind.VLAN:
        yield f"MACAddress={device.mac}"
    if device.kind is NicKind.VLAN:
        yield from ("", "[VLAN]", f"Id={device.tag}")
    elif device.kind is NicKind.BRIDGE:
        yield from ("", "[Bridge]", f"STP={'yes' if device.stp else 'no'}")
        if device.delay is not None:
            yield f"ForwardDelaySec={device.delay}"
    elif device.options:
        yield from ("", "[Bond]")
        yield from (_bond(name, value) for name, value in device.options if name in _BOND)


def _bond(option: str, value: str) -> str:
    key, unit, names = _BOND[option]
    if value.isdigit() and int(value) < len(names):
        value = names[int(value)]
    elif unit and value.isdigit():
        value += unit
    return f"{key}={value.replace(',', ' ') if option == 'arp_ip_target' else value}"


def _network(device: Device, every: tuple[Device, ...]) -> Iterator[str]:
    yield "[Match]"
    if device.kind is not NicKind.ETHERNET:
        yield f"Name={device.label}"
    else:
        yield f"{'PermanentMACAddress' if device.shared_mac else 'MACAddress'}={device.mac}"
    if device.mtu:
        yield from ("", "[Link]", f"MTUBytes={device.mtu}")
    yield from ("", "[Network]")
    if device.master:
        yield f"Bond={device.master}"
        if any(other.label == device.master and ("primary", device.label) in other.options for other in every):
            yield "PrimarySlave=yes"
    if device.bridge:
        yield f"Bridge={device.bridge}"
    yield from (f"VLAN={vlan}" for vlan in device.vlans)
    yield f"DHCP={'ipv4' if device.dhcp else 'no'}"
    if device.address:
        yield f"Address={device.address.with_prefixlen}"
    if device.gateway:
        yield f"Gateway={device.gateway}"
    if device.dhcp or device.address:
        yield "KeepConfiguration=yes"
    elif not (device.master or device.bridge):
        yield "LinkLocalAddressing=no"
    if device.dhcp:
        # By the same name as the firmware: the address that it has got is the one that the root is mounted over.
        yield from ("", "[DHCPv4]", "ClientIdentifier=mac")
