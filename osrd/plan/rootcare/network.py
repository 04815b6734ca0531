# SPDX-License-Identifier: GPL-3.0-or-later
"""Network configuration that came along with the source machine. The initrd has configured the NIC of the root before
anything in here is read; whoever configures it again takes the root away. Each distribution writes it elsewhere."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from osrd.model.finding import Severity
from osrd.model.rootcare import CommentOut, Remark, SetAside, Write
from osrd.plan.rootcare.lines import assigned, assignment, lines
from osrd.plan.rootcare.view import Copy, Root, remark

_IFCFG = "etc/sysconfig/network-scripts"
_KEYFILES = "etc/NetworkManager/system-connections"
_RULES = "etc/udev/rules.d"
#: links that `systemctl enable systemd-networkd` makes
_NETWORKD = ("multi-user.target.wants/systemd-networkd.service", "dbus-org.freedesktop.network1.service")
_MAC = re.compile(r"(?<![0-9a-f:])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![0-9a-f:])", re.ASCII)
#: words that begin a stanza of interfaces(5)
_STANZAS = (
    "iface",
    "mapping",
    "auto",
    "allow-",
    "no-auto-down",
    "no-scripts",
    "source",
    "source-directory",
    "template",
)


def nics(root: Root) -> frozenset[str]:
    """The NICs that cluster.conf gives the nodes; without it the seed's."""
    return root.nics or frozenset({"eth0"})


def ifcfg(root: Root) -> Iterator[Remark]:
    """Red Hat's network scripts."""
    for path, copy, data in _files(root, _IFCFG, "ifcfg-"):
        values = assigned(data)
        device = values.get("DEVICE", ("", 0))[0] or path.rpartition("/ifcfg-")[2]
        mac = values.get("HWADDR", values.get("MACADDR", ("", 0)))[0].lower()
        if device in nics(root) or mac in root.macs:
            yield _leftover("root-ifcfg", root, path, copy, f"configures {device}, which the nodes' initrd configures")
        elif mac and device != "lo":
            yield _foreign("root-ifcfg-mac", root, path, copy, mac)


def keyfiles(root: Root) -> Iterator[Remark]:
    """NetworkManager's profiles, nm-settings-keyfile(5)."""
    for path, copy, data in _files(root, _KEYFILES):
        values = {key: value for key, (value, _) in assigned(data).items()}
        device, mac = values.get("interface-name", ""), values.get("mac-address", "").lower()
        if device in nics(root) or mac in root.macs:
            what = f"is NetworkManager's profile of {device or mac}, which the nodes' initrd configures"
            yield _leftover("root-keyfile", root, path, copy, what)
        elif values.get("type") in ("ethernet", "802-3-ethernet") and not device and not mac:
            what = "is a NetworkManager profile for any Ethernet NIC, the root's too"
            yield _leftover("root-keyfile", root, path, copy, what)
        elif mac:
            yield _foreign("root-keyfile-mac", root, path, copy, mac)


def netplan(root: Root) -> Iterator[Remark]:
    """netplan(5), of which only the names and addresses of devices are read: a file that has none but the nodes' NICs
    can go, another one is for the administrator to edit."""
    for path, copy, data in _files(root, "etc/netplan", suffix=".yaml"):
        devices = set(_netplan_devices(data))
        macs = set(_MAC.findall(data.decode(errors="replace").lower()))
        ours = devices & nics(root)
        if devices and ours == devices:
            what = f"configures {', '.join(sorted(ours))}, which the nodes' initrd configures"
            yield _leftover("root-netplan", root, path, copy, what)
        elif ours or macs & root.macs:
            message = f"/{path} configures {', '.join(sorted(ours)) or 'a NIC of the nodes'} among others"
            fix = f"remove the nodes' NICs from {root.path}/{copy.path}"
            yield remark("root-netplan", Severity.ERROR, message, fix, path=path, node=copy.node)
        elif macs:
            yield _foreign("root-netplan-mac", root, path, copy, min(macs))


def _netplan_devices(data: bytes) -> Iterator[str]:
    """Keys one level below ethernets:, bonds: and so on."""
    section, level = -1, -1
    for line in data.decode(errors="replace").splitlines():
        body = line.strip()
        if not body or body.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip(" "))
        if body in ("ethernets:", "bonds:", "bridges:", "vlans:", "wifis:"):
            section, level = indent, -1
        elif section >= 0 and indent <= section:
            section = -1
        elif section >= 0:
            level = indent if level < 0 else level
            if indent == level and ":" in body:
                yield body.partition(":")[0].strip("\"'")


def networkd(root: Root) -> Iterator[Remark]:
    """systemd-networkd's, systemd.network(5), where that is enabled: else nobody reads them."""
    if not root.has(*(f"etc/systemd/system/{unit}" for unit in _NETWORKD)):
        return
    for path, copy, data in _files(root, "etc/systemd/network", suffix=".network"):
        wanted = _matched(data)
        names, macs = wanted.get("Name", "").split(), set(wanted.get("MACAddress", "").lower().split())
        named = sorted(nic for nic in nics(root) if any(fnmatchcase(nic, pattern) for pattern in names))
        if named or macs & root.macs:
            what = f"configures {', '.join(named) or 'a NIC of the nodes'}, which the nodes' initrd configures"
            yield _leftover("root-networkd", root, path, copy, what)
        elif wanted.keys() == {"Type"} and "ether" in wanted["Type"].split():
            yield _leftover("root-networkd", root, path, copy, "configures any Ethernet NIC, the root's too")
        elif macs:
            yield _foreign("root-networkd-mac", root, path, copy, min(macs))


def _matched(data: bytes) -> dict[str, str]:
    """The section [Match]; of several assignments to a key all count."""
    found: dict[str, str] = {}
    section = b""
    for line in lines(data):
        if line.startswith(b"["):
            section = line.strip()
        elif section == b"[Match]":
            key, value = assignment(line)
            if key:
                found[key] = f"{found[key]} {value}" if key in found else value
    return found


def interfaces(root: Root) -> Iterator[Remark]:
    """Debian's ifupdown, interfaces(5): stanzas of the nodes' NICs become comments, the rest stays."""
    files = [("etc/network/interfaces", copy) for copy in root.copies("etc/network/interfaces")]
    found = [(path, copy, root.reader.read(copy.path)) for path, copy in files if root.has("etc/network")]
    for path, copy, data in (*found, *_files(root, "etc/network/interfaces.d")):
        if data is None:
            continue
        numbers, names = _stanza_lines(data, nics(root))
        if numbers:
            place = root.place(copy, numbers[0])
            message = f"/{path} configures {', '.join(names)}, which the nodes' initrd configures"
            fix = f"comment out {_spelled(numbers)} of {place.file}"
            repair = CommentOut(path, data, tuple(numbers), copy.node)
            yield remark(
                "root-interfaces", Severity.ERROR, message, fix, repair, path=path, node=copy.node, place=place
            )


def _stanza_lines(data: bytes, wanted: frozenset[str]) -> tuple[list[int], list[str]]:
    """The lines of the stanzas of these NICs, and which NICs. An auto line that names others too stays, since auto of
    a NIC without a stanza is only a complaint of ifup's."""
    numbers: list[int] = []
    names: list[str] = []
    inside = False
    for number, line in enumerate(lines(data), 1):
        words = line.decode(errors="surrogateescape").split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith(_STANZAS):
            about = set(words[1:2] if words[0] == "iface" else words[1:])
            plain = words[0] == "iface" or words[0] == "auto" or words[0].startswith("allow-")
            inside = words[0] == "iface" and bool(about & wanted)
            if plain and about and about <= wanted:
                numbers.append(number)
                names += sorted(about - set(names))
        elif inside:
            numbers.append(number)
    return numbers, names


def _spelled(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"lines {numbers[0]} to {numbers[-1]}"
    return "lines " + ", ".join(map(str, numbers))


def persistent(root: Root) -> Iterator[Remark]:
    """udev's remembered names of NICs: on a node with another address its eth0 becomes eth1."""
    for path, copy, data in _files(root, _RULES):
        name = path.rpartition("/")[2]
        if "persistent-net" in name and "generator" not in name and _MAC.search(data.decode(errors="replace").lower()):
            what = "remembers the hardware addresses of the source machine; the nodes' NICs would get other names"
            yield _leftover("root-persistent-net", root, path, copy, what)
    generator = "75-persistent-net-generator.rules"
    mask = f"{_RULES}/{generator}"
    if root.has(f"lib/udev/rules.d/{generator}", f"usr/lib/udev/rules.d/{generator}") and not root.has(mask):
        message = "udev remembers the names of NICs in /etc, which all nodes share"
        fix = f"make an empty {root.path}/{mask}"
        yield remark("root-persistent-net", Severity.WARNING, message, fix, Write(mask, None, b""), path=mask)
    for path, copy, data in _files(root, "etc/systemd/network", suffix=".link"):
        macs = set(_MAC.findall(data.decode(errors="replace").lower()))
        if macs - root.macs:
            yield _foreign("root-link-mac", root, path, copy, min(macs - root.macs))


def _files(root: Root, directory: str, prefix: str = "", suffix: str = "") -> Iterator[tuple[str, Copy, bytes]]:
    """The regular files of a directory that has one copy; a host-dependent one is every node's own business."""
    if root.is_host_dependent(directory) or not root.has(directory):
        return
    physical = root.physical(directory, "")
    for name in root.reader.names(physical):
        if not name.startswith(prefix) or not name.endswith(suffix) or name.endswith((".bak", ".orig", "~")):
            continue
        path = f"{directory}/{name}"
        for copy in root.copies(path):
            seen = root.reader.look(copy.path)
            if seen is not None and seen.kind == "file" and (data := root.reader.read(copy.path)) is not None:
                yield path, copy, data


def _leftover(code: str, root: Root, path: str, copy: Copy, what: str) -> Remark:
    fix = f"move {root.path}/{copy.path} away"
    repair = SetAside(path, copy.node)
    return remark(code, Severity.ERROR, f"/{path} {what}", fix, repair, path=path, node=copy.node)


def _foreign(code: str, root: Root, path: str, copy: Copy, mac: str) -> Remark:
    message = f"/{path} is about the NIC {mac}, which is no node's in cluster.conf"
    fix = f"remove {root.path}/{copy.path} if it was the source machine's"
    return remark(code, Severity.WARNING, message, fix, path=path, node=copy.node)
