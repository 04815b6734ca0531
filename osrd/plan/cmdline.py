# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel command line of a node: what dracut (dracut.cmdline(7)) and the ``osr`` module read.

Values come from cluster.conf, so every word is made of characters that no boot loader, no shell and not the kernel
gives a meaning. A value that is not is refused with a reason: a line that boots the wrong thing is worse than none.
"""

import re
from ipaddress import AddressValueError, IPv4Address

from osrd.model.cluster import Nic, Node, RootVolume
from osrd.model.errors import InvalidConfigError
from osrd.model.settings import BootWay

#: Where the CDSLs are in a root that was made as the Open Sharedroot how-to says.
CDSL_TREE = "/cluster/cdsl"
CDSL_LINK = "/cdsl.local"

_WORD = re.compile(r"[A-Za-z0-9_./:=,@%+\[\]~-]+", re.ASCII)
_KERNEL_NIC_NAME = re.compile(r"eth(\d+)", re.ASCII)
_NOT_IN_APPEND = re.compile(r"[\x00-\x1f\x7f\\'`]|\$\{")
_IPXE_OPERATORS = frozenset({"||", "&&", ";"})
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_./:=,@%+ -]")
_NEEDS_GRUB_QUOTES = re.compile(r"[^A-Za-z0-9_./:=,@%+-]")


def is_word(text: str) -> bool:
    """Whether ``text`` can be part of a command line, a title or a file name in every boot loader's language."""
    return _WORD.fullmatch(text) is not None


def word(text: str, attribute: str) -> str:
    """``text`` itself. Raises InvalidConfigError naming ``attribute`` when a boot loader would misread it."""
    if _WORD.fullmatch(text) is None:
        raise InvalidConfigError(
            f"{attribute} {text!r} has characters that cannot be passed on a kernel command line",
            f"use only letters, digits and _./:=,@%+-[]~ in {attribute}",
        )
    return text


def node_words(node: Node, cluster: str, way: BootWay) -> tuple[str, ...]:
    """The words that are the same for every NIC of the node. Raises InvalidConfigError."""
    if node.nodeid is None:
        raise InvalidConfigError(f"nodeid {node.nodeid_text!r} is no number from 1 to 99999", "give the node an id")
    words = [f"nodeid={node.nodeid}"]
    if node.root is not None and node.root.is_nfs and node.root.fstype != "nfs3":
        # Two nodes that use one NFSv4 export under one client identity steal each other's lease and hang. Type
        # "nfs" negotiates version 4 as well.
        words.append(word(f"nfs.nfs4_unique_id=osr:{cluster}:{node.nodeid}", "cluster name"))
    if way is BootWay.STATIC:
        words += _root_words(node.root)
        words += [f"cdsltree={CDSL_TREE}", f"cdsllink={CDSL_LINK}"]
    words.append("rd.neednet=1")
    return tuple(words)


def _root_words(volume: RootVolume | None) -> list[str]:
    """``root=`` and what belongs to it (dracut.cmdline(7): NFS, standard)."""
    if volume is None or not volume.path:
        raise InvalidConfigError("the boot way is static and the node has no rootvolume", "add a <rootvolume>")
    options = [option for option in volume.mountopts.split(",") if option]
    read_only = "ro" in options
    mode = "ro" if read_only else "rw"
    if not volume.is_nfs:
        words = [f"root={volume.path}", f"rootfstype={volume.fstype}" if volume.fstype else "", mode]
        rest = [option for option in options if option not in ("ro", "rw")]
        words.append(f"rootflags={','.join(rest)}" if rest else "")
        return [word(text, "rootvolume") for text in words if text]
    options = [mode, *(option for option in options if option not in ("ro", "rw"))]
    versioned = any(option.startswith(("vers=", "nfsvers=", "minorversion=")) for option in options)
    scheme = "nfs"
    if volume.fstype == "nfs4":
        scheme = "nfs4"
        options = [option for option in options if option != "nolock"]
        options += [] if versioned else ["vers=4.2"]
    elif volume.fstype == "nfs3" and not versioned:
        options.append("vers=3")
    server = f"{volume.server}:" if volume.server else ""
    # The word rw is needed too: dracut lets ro/rw of the command line win, and some kernels default to ro.
    return [word(f"root={scheme}:{server}{volume.path}:{','.join(options)}", "rootvolume"), mode]


def nic_words(node: Node, nic: Nic) -> tuple[str, ...]:
    """``ip=`` and its companions for a static boot over ``nic``. Raises InvalidConfigError.

    Names like eth0 are not what today's kernels call a NIC. A node with one boot NIC leaves the interface out of
    ``ip=`` (BOOTIF or being the only one decides); with several, ``ifname=`` ties a name to the hardware address,
    which every network provider of dracut understands. Names of the pattern ethN may not be given that way
    (dracut.cmdline(7)), so those become bootnetN.
    """
    carrier = _carrier(node, nic)
    physical = node.boot_nics
    if carrier is nic:
        if len(physical) == 1:
            return (_ip_word(node, nic, ""),)
        return (f"ifname={_boot_name(nic)}:{nic.mac}", _ip_word(node, nic, _boot_name(nic)))
    names = [f"ifname={_boot_name(each)}:{each.mac}" for each in physical if not each.vlan and _is_below(each, node)]
    # BOOTIF would make dracut wait for an address on the slave that the firmware used; the address is above it.
    device = _device_name(carrier)
    return (*names, *_virtual_words(node, nic, carrier), _ip_word(node, carrier, device), "rd.bootif=0")


def _carrier(node: Node, nic: Nic) -> Nic:
    """The NIC that has the address when the machine boots over ``nic``: itself, or what is built on top of it."""
    seen = {nic.name}
    current = nic
    while not current.ip:
        above = [
            other
            for other in node.nics
            if other.name not in seen
            and (other.name in (current.master, current.bridge) or other.name == f"{current.name}.{other.vlan}")
        ]
        if not above:
            raise InvalidConfigError(
                f"NIC {nic.name or nic.mac} has no address and no bond, bridge or VLAN above it has one",
                'set ip= of the NIC to an address or "dhcp"',
            )
        current = next((other for other in above if other.ip), above[0])
        seen.add(current.name)
    return current


def _is_below(nic: Nic, node: Node) -> bool:
    return not any(nic.name in (other.master, other.bridge) for other in node.nics)


def _virtual_words(node: Node, nic: Nic, carrier: Nic) -> list[str]:
    words = []
    bonds = dict.fromkeys(other.master for other in node.nics if other.master and other.mac)
    for bond in bonds:
        slaves = ",".join(_boot_name(other) for other in node.nics if other.master == bond and other.mac)
        options = next((_bond_options(other) for other in node.nics if other.name == bond), "")
        words.append(word(f"bond={bond}:{slaves}" + (f":{options}" if options else ""), "bond"))
    if carrier.vlan:
        below = carrier.name.rpartition(".")[0]
        device = _boot_name(nic) if below == nic.name else below
        words.append(word(f"vlan={_device_name(carrier)}:{device}", "VLAN"))
    ports = [_device_name(other) for other in node.nics if other.bridge and other.bridge == carrier.name]
    if ports:
        words.append(word(f"bridge={carrier.name}:{','.join(ports)}", "bridge"))
    return words


def _bond_options(bond: Nic) -> str:
    """BONDING_OPTS of ifcfg style (``"mode=1 miimon=100"``) as dracut wants it."""
    values = [value for name, value in bond.properties if name.upper() == "BONDING_OPTS"]
    return ",".join(values[-1].strip("\"' ").split()) if values else ""


def _boot_name(nic: Nic) -> str:
    match = _KERNEL_NIC_NAME.fullmatch(nic.name)
    if match:
        return f"bootnet{match[1]}"
    return word(nic.name, "eth name") if nic.name else f"boot{nic.mac.replace(':', '')}"


def _device_name(nic: Nic) -> str:
    """What dracut calls a device: VLANs keep ``device.id``, with the name that the device below got."""
    if nic.vlan:
        below, _, tag = nic.name.rpartition(".")
        return f"{_boot_name(Nic(below))}.{tag}"
    return _boot_name(nic)


def _ip_word(node: Node, nic: Nic, device: str) -> str:
    if nic.is_dhcp:
        return f"ip={device}:dhcp" if device else "ip=dhcp"
    try:
        IPv4Address(nic.ip)
    except AddressValueError:
        raise InvalidConfigError(f"ip {nic.ip!r} of NIC {nic.name} is no IPv4 address", "correct it") from None
    if not nic.mask:
        raise InvalidConfigError(
            f"NIC {nic.name} has a fixed address and no mask, and dracut does not guess one", "set mask="
        )
    return word(f"ip={nic.ip}::{nic.gateway}:{nic.mask}:{node.name}:{device}:none", f"address of NIC {nic.name}")


def append_words(append: str, where: str) -> tuple[str, ...]:
    """The administrator's own words, split as the kernel does: double quotes hold blanks together.

    Raises InvalidConfigError for what would not arrive unchanged through all three boot loaders.
    """
    if _NOT_IN_APPEND.search(append) or append.count('"') % 2:
        raise InvalidConfigError(
            f"append of {where} has a control character, a single quote, a backslash, a backtick, ${{ or an unpaired "
            "double quote, which do not pass unchanged through every boot loader: " + repr(append),
            f"remove it from append of {where}",
        )
    words = re.findall(r'(?:[^\s"]|"[^"]*")+', append)
    bad = sorted(_IPXE_OPERATORS & {part for text in words for part in text.split()})
    if bad:
        raise InvalidConfigError(f"append of {where} has {bad[0]!r}, which iPXE would obey", "remove it")
    return tuple(words)


def is_plain(args: str) -> bool:
    """Whether a whole command line means the same to GRUB as to the kernel."""
    return _NOT_PLAIN.search(args) is None


def grub_words(words: tuple[str, ...]) -> str:
    """Words joined for GRUB. Its ``linux`` command quotes words with blanks for the kernel itself, so the kernel's
    double quotes are taken off first."""
    return " ".join(_grub_word(text.replace('"', "")) for text in words)


def _grub_word(text: str) -> str:
    return f"'{text}'" if _NEEDS_GRUB_QUOTES.search(text) else text
