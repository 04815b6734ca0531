# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a node as words of dracut.cmdline(7).

Names like eth0 are not what today's kernels call a NIC. ``ifname=`` ties a name to the hardware address, which every
network provider of dracut understands. Names of the pattern ethN may not be given that way, so those become bootnetN.
"""

import re

from osrd.model.cluster import Nic, Node
from osrd.model.errors import InvalidConfigError
from osrd.plan.cmdline import word
from osrd.plan.nics import NicKind, below, bond_options, carrier, fixed_address, kind_of, mtu_of, route

_KERNEL_NIC_NAME = re.compile(r"eth(\d+)", re.ASCII)


def nic_words(node: Node, nic: Nic) -> tuple[str, ...]:
    """``ip=`` and its companions for a static boot over ``nic``. Raises InvalidConfigError.

    A node with one boot NIC leaves the interface out of ``ip=`` (BOOTIF or being the only one decides).
    """
    way = route(node, nic)
    top = way[-1]
    if top is nic:
        if len(node.boot_nics) == 1:
            return (_ip_word(node, nic, ""),)
        return (_ifname(nic), _ip_word(node, nic, boot_name(nic)))
    devices = [*_bonds(node), *(each for each in way if kind_of(node, each) is not NicKind.ETHERNET)]
    # BOOTIF would make dracut wait for an address on the slave that the firmware used; the address is above it.
    return (*_ifnames(node), *_virtual(node, devices), _ip_word(node, top, device_name(top)), "rd.bootif=0")


def network_words(node: Node, primary: Nic) -> tuple[str, ...]:
    """The whole network of a node, for the initrd that knows who it is. ``primary`` is the NIC of the root. Where
    nothing is built on NICs their names are left to be filled in (``@IF:00:16:3e:00:00:01@``): the kernel's own name
    of the device with this address. Raises InvalidConfigError."""
    addressed = [nic for nic in node.nics if nic.ip and is_wanted(nic)]
    if not is_layered(node):
        words = [_ip_word(node, nic, _placeholder(nic)) for nic in addressed if nic.mac]
        return (*words, f"bootdev={_placeholder(primary)}") if len(words) > 1 else tuple(words)
    devices = [nic for nic in node.nics if kind_of(node, nic) is not NicKind.ETHERNET]
    words = [*_ifnames(node), *_virtual(node, devices)]
    words += [_ip_word(node, nic, device_name(nic)) for nic in addressed]
    return (*words, f"bootdev={device_name(carrier(node, primary))}", "rd.bootif=0")


def is_wanted(nic: Nic) -> bool:
    """Whether the initrd is to configure it."""
    return nic.onboot.strip().lower() not in ("no", "false", "off", "0")


def is_layered(node: Node) -> bool:
    """Whether some NIC is built on others."""
    return any(kind_of(node, nic) is not NicKind.ETHERNET for nic in node.nics)


def _placeholder(nic: Nic) -> str:
    return f"@IF:{nic.mac}@"


def _ifname(nic: Nic) -> str:
    return f"ifname={boot_name(nic)}:{nic.mac}"


def _ifnames(node: Node) -> list[str]:
    names = {other.master for other in node.nics} | {other.bridge for other in node.nics}
    return [_ifname(each) for each in node.boot_nics if not each.vlan and each.name not in names]


def _bonds(node: Node) -> list[Nic]:
    names = dict.fromkeys(other.master for other in node.nics if other.master and other.mac)
    return [next((nic for nic in node.nics if nic.name == name), Nic(name)) for name in names]


def _virtual(node: Node, devices: list[Nic]) -> list[str]:
    """The words that make the devices, each once: bonds, then VLANs, then bridges."""
    words: dict[NicKind, list[str]] = {kind: [] for kind in NicKind}
    for device in dict.fromkeys(devices):
        kind = kind_of(node, device)
        words[kind] += _device(node, device, kind)
    every = [word for kind in (NicKind.BOND, NicKind.VLAN, NicKind.BRIDGE) for word in words[kind]]
    return list(dict.fromkeys(every))


def _device(node: Node, device: Nic, kind: NicKind) -> list[str]:
    if kind is NicKind.VLAN:
        lower = next((nic for nic in node.nics if nic.name == below(device)), Nic(below(device)))
        return [word(f"vlan={device_name(device)}:{device_name(lower)}", "VLAN")]
    if kind is NicKind.BOND:
        slaves = ",".join(boot_name(nic) for nic in node.nics if nic.master == device.name and nic.mac)
        options = ",".join(_option(node, name, value) for name, value in bond_options(device))
        return [word(f"bond={device.name}:{slaves}" + (f":{options}" if options else ""), "bond")]
    ports = [device_name(nic) for nic in node.nics if nic.bridge == device.name]
    return [word(f"bridge={device.name}:{','.join(ports)}", "bridge")] if ports else []


def _option(node: Node, name: str, value: str) -> str:
    if "," in value:
        raise InvalidConfigError(
            f"the bond option {name} of {node.name} has several values, which a command line cannot say", "give it one"
        )
    if name == "primary":
        value = next((device_name(nic) for nic in node.nics if nic.name == value), value)
    return f"{name}={value}" if value else name


def boot_name(nic: Nic) -> str:
    """What the initrd calls a device."""
    match = _KERNEL_NIC_NAME.fullmatch(nic.name)
    if match:
        return f"bootnet{match[1]}"
    return word(nic.name, "eth name") if nic.name else f"boot{nic.mac.replace(':', '')}"


def device_name(nic: Nic) -> str:
    """The same, where VLANs keep ``device.id`` with the name that the device below got."""
    return f"{boot_name(Nic(below(nic)))}.{nic.vlan}" if nic.vlan else boot_name(nic)


def _ip_word(node: Node, nic: Nic, device: str) -> str:
    mtu = f":{mtu_of(nic)}" if mtu_of(nic) else ""
    if nic.is_dhcp:
        return f"ip={device}:dhcp{mtu}" if device else "ip=dhcp"
    fixed_address(nic)
    text = f"ip={nic.ip}::{nic.gateway}:{nic.mask}:{node.name}:{device}:none{mtu}"
    return word(text, f"address of NIC {nic.name}")
