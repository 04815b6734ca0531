# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of a root that fight with being shared: SELinux, NetworkManager, cloud-init, osrd itself."""

import re
from collections.abc import Iterable, Iterator

from osrd.model.cdsl import FileKind
from osrd.model.finding import Severity
from osrd.model.rootcare import Link, Remark, Repair, SetAside, Write
from osrd.plan.rootcare.lines import assigned, assignment, edited
from osrd.plan.rootcare.view import Root, remark

#: the second is a link to the first, except on old systems
_SELINUX = ("etc/selinux/config", "etc/sysconfig/selinux")
_SYSTEM = "etc/systemd/system"
#: links that `systemctl enable NetworkManager` makes
_UNITS = (
    "multi-user.target.wants/NetworkManager.service",
    "network-online.target.wants/NetworkManager-wait-online.service",
    "dbus-org.freedesktop.nm-dispatcher.service",
)
#: and `systemctl enable osrd`; by the second, a call on a node's bus would start it
_OSRD = (
    "multi-user.target.wants/osrd.service",
    "dbus-org.opensharedroot.Osrd1.service",
    "sockets.target.wants/osrd-build.socket",
    "sockets.target.wants/osrd-copy.socket",
)
_START = re.compile(r"S([0-9]{2})(NetworkManager|network-manager)")
#: osrd's own file: which NICs NetworkManager leaves alone
UNMANAGED = "etc/NetworkManager/conf.d/10-osrd-shared-root.conf"


def selinux(root: Root) -> Iterator[Remark]:
    """The seed turns it off. Labels are per file system object: files that one node makes have labels of its policy,
    and NFS roots have none at boot."""
    for path in _SELINUX:
        for copy in root.copies(path):
            seen = root.reader.look(copy.path) if root.has(path.rpartition("/")[0]) else None
            if seen is None or seen.kind is FileKind.LINK:
                continue
            data = root.reader.read(copy.path) or b""
            value, line = assigned(data).get("SELINUX", ("", 0))
            if value.lower() != "enforcing":
                continue
            place = root.place(copy, line)
            message = "SELinux is enforcing, which a shared root does not survive"
            repair = Write(path, data, edited(data, _disabled), node=copy.node)
            fix = f"set SELINUX=disabled in line {line} of {place.file}"
            yield remark("root-selinux", Severity.ERROR, message, fix, repair, path=path, node=copy.node, place=place)


def _disabled(line: bytes) -> bytes:
    key, _ = assignment(line)
    return b"SELINUX=disabled" if key == "SELINUX" else line


def network_manager(root: Root) -> Iterator[Remark]:
    """It takes NICs down and up again, the root's too, unless it is told to leave them alone. What each node has a
    copy of its own of is each node's own business."""
    if root.is_host_dependent(_SYSTEM) or root.is_host_dependent("etc/rc.d"):
        return
    starters = _enabled(root, _UNITS)
    levels = list(_run_levels(root))
    if not starters and not levels:
        return
    wanted = unmanaged_file(root)
    if wanted and root.has(UNMANAGED) and root.read(UNMANAGED) == wanted:
        return
    message = "NetworkManager is enabled and would take the NIC of the root down"
    fix = (
        f"systemctl --root={root.path} disable NetworkManager"
        if starters
        else f"chroot {root.path} chkconfig NetworkManager off"
    )
    if wanted:
        fix += "; to keep it for other NICs, add --keep-networkmanager to `osrctl root prepare`"
    repairs: list[Repair] = [SetAside(path) for path in starters]
    for path, stop, text in levels:
        repairs.append(SetAside(path))
        if not root.has(stop):
            repairs.append(Link(stop, text))
    yield remark("root-networkmanager", Severity.ERROR, message, fix, *repairs, path=UNMANAGED)


def _enabled(root: Root, units: Iterable[str]) -> list[str]:
    return [f"{_SYSTEM}/{unit}" for unit in units if root.has(f"{_SYSTEM}/{unit}")]


def _run_levels(root: Root) -> Iterator[tuple[str, str, str]]:
    """Links of chkconfig or update-rc.d that start it: the link, the one that stops it instead, and its text."""
    base = "etc/rc.d" if root.has("etc/rc.d/rc3.d") else "etc"
    for level in "2345":
        directory = f"{base}/rc{level}.d"
        seen = root.look(directory)
        if seen is None or seen.kind is not FileKind.DIRECTORY:
            continue
        for name in root.reader.names(directory):
            link = root.reader.look(f"{directory}/{name}")
            if (match := _START.fullmatch(name)) and link is not None and link.kind is FileKind.LINK:
                stop = f"{directory}/K{100 - int(match[1]):02d}{match[2]}"
                yield f"{directory}/{name}", stop, link.text


def unmanaged_file(root: Root) -> bytes:
    """NetworkManager.conf(5) that leaves the nodes' NICs alone, by hardware address where cluster.conf has it: the
    same file is right on every node. b"" when no NIC is known."""
    known = [f"mac:{mac}" for mac in sorted(root.macs)] or [f"interface-name:{name}" for name in sorted(root.nics)]
    if not known:
        return b""
    text = "# made by osrd: the initrd configures these NICs, the root comes over them\n[keyfile]\nunmanaged-devices="
    return f"{text}{';'.join(known)}\n".encode()


def keep_network_manager(root: Root) -> tuple[Repair, ...]:
    """The other repair of ``root-networkmanager``. Empty when no NIC is known."""
    wanted = unmanaged_file(root)
    if not wanted:
        return ()
    was = root.read(UNMANAGED) if root.has(UNMANAGED) else None
    return (Write(UNMANAGED, was, wanted),)


def cloud_init(root: Root) -> Iterator[Remark]:
    """It writes host name, ssh keys and network configuration at every node's first boot, over those of all."""
    off = "etc/cloud/cloud-init.disabled"
    if not root.has("etc/cloud/cloud.cfg") or root.has(off) or root.is_host_dependent(off):
        return
    message = "cloud-init is installed; it replaces host name, ssh host keys and network configuration"
    fix = f"make an empty {root.path}/{off}"
    yield remark("root-cloud-init", Severity.WARNING, message, fix, Write(off, None, b""), path=off)


def boot_host(root: Root) -> Iterator[Remark]:
    """A boot host that was copied: each node would watch its own copy of the file and publish it. Its DHCP and NFS
    servers may have other duties on the nodes, and are left to who knows."""
    links = [] if root.is_host_dependent(_SYSTEM) else _enabled(root, _OSRD)
    if links:
        message = "osrd is enabled, so that each node would be a boot host; the root was copied from one"
        fix = f"systemctl --root={root.path} disable osrd, and the DHCP, TFTP and NFS servers that only served nodes"
        repairs = (SetAside(link) for link in links)
        yield remark("root-boot-host", Severity.ERROR, message, fix, *repairs, path=links[0])
