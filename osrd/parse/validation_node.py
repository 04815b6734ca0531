# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said about a node from its own text alone; the part of validation that is kept per node."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

from osrd.model.cluster import Node, OddityKind, RootVolume
from osrd.model.finding import Severity
from osrd.parse.validation_draft import Draft, shown
from osrd.parse.validation_nic import host_address, judge_nics

#: a label of RFC 1123 2.1: letters, digits and inner hyphens, 63 at most
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)
_HOST_RULE = "use letters, digits and hyphens, in labels of at most 63 joined by dots, not digits only (RFC 1123)"
_VOTES = re.compile(r"[0-9]{1,5}", re.ASCII)
_DIGITS = re.compile(r"[0-9.]+", re.ASCII)
#: what can stand unquoted on a kernel command line, in exports(5) and in a boot menu
_PLAIN = re.compile(r"[^\x00-\x20\x7f\"'\\#]+")
NFS_TYPES = ("nfs", "nfs3", "nfs4")
FSTYPES = (*NFS_TYPES, "gfs2", "ocfs2", "ext3", "ext4")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the comparison of nodes with each other needs, and the drafts of what is wrong with the node itself.

    ``addresses``, ``gateways`` and ``server`` are valid dotted quads, which have one spelling each, or absent.
    """

    drafts: tuple[Draft, ...]
    fatal: bool
    macs: tuple[str, ...]
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    server: str
    devices: tuple[str, ...]


def judge_node(node: Node) -> Facts:
    """Judge one node. Pure."""
    drafts = [*_identity(node), *_oddities(node)]
    if node.com_info:
        drafts += _root(node.root)
        drafts += _filesystems(node)
        drafts += judge_nics(node)
    else:
        message = "{node} has no com_info, so it cannot boot from a shared root"
        fix = "add <com_info> with a rootvolume and an eth to {node}, or ignore this if it boots from its own disk"
        drafts.append(Draft(Severity.WARNING, "missing-com-info", message, fix))
    drafts.sort(key=lambda draft: draft.line)
    return Facts(
        drafts=tuple(drafts),
        fatal=any(draft.severity is Severity.ERROR for draft in drafts),
        macs=tuple(dict.fromkeys(nic.mac for nic in node.nics if nic.mac)),
        addresses=tuple(nic.address for nic in node.nics if nic.address and host_address(nic.address)),
        gateways=tuple(dict.fromkeys(nic.gateway for nic in node.nics if host_address(nic.gateway))),
        server=node.root.host if node.root else "",
        devices=tuple(dict.fromkeys(device.name for method in node.fence for device in method.devices)),
    )


def is_host_name(text: str) -> bool:
    """Whether ``text`` is a host name of RFC 1123 that cannot be taken for a number or an address."""
    return bool(_HOST.fullmatch(text)) and not _DIGITS.fullmatch(text)


def _identity(node: Node) -> list[Draft]:
    drafts = []
    if not node.name:
        fix = "add name=... to this <clusternode>"
        drafts.append(Draft(Severity.ERROR, "missing-name", "a node has no name", fix, attribute="name"))
    elif not is_host_name(node.name):
        message = f"the node name {shown(node.name)} is no host name"
        drafts.append(Draft(Severity.ERROR, "invalid-name", message, _HOST_RULE, 0, "name", node.name))
    if not node.nodeid_text:
        fix = 'add nodeid="..." with a free number from 1 to 99999 to {node}'
        drafts.append(Draft(Severity.ERROR, "missing-nodeid", "{node} has no nodeid", fix, attribute="nodeid"))
    elif node.nodeid is None:
        message = f"the nodeid {shown(node.nodeid_text)} of {{node}} is no node id"
        fix = "use a decimal number from 1 to 99999 without sign or leading zeros"
        drafts.append(Draft(Severity.ERROR, "invalid-nodeid", message, fix, 0, "nodeid", node.nodeid_text))
    if not _VOTES.fullmatch(node.votes):
        message = f"the votes {shown(node.votes)} of {{node}} are no number; 1 is assumed"
        fix = "use a decimal number from 0 to 99999, or remove the attribute"
        drafts.append(Draft(Severity.WARNING, "invalid-votes", message, fix, 0, "votes", node.votes))
    return drafts


def _oddities(node: Node) -> list[Draft]:
    drafts = []
    for odd in node.oddities:
        hint = f'write "{odd.hint}" if that is meant' if odd.hint else "remove it if it is a mistake"
        if odd.kind is OddityKind.REPEATED:
            severity, hint = Severity.WARNING, "keep one of them"
            message = f"{{node}} has <{odd.element}> more than once; only the first is used"
        elif odd.attribute:
            severity = Severity.INFO
            message = f"<{odd.element}> of {{node}} has the attribute {odd.attribute}, which nothing uses"
        else:
            severity = Severity.INFO
            message = f"{{node}} has an element <{odd.element}>, which nothing uses"
        drafts.append(Draft(severity, odd.kind.value, message, hint, odd.line, odd.attribute or odd.element))
    return drafts


def _root(root: RootVolume | None) -> list[Draft]:
    if root is None or not root.name:
        fix = 'add <rootvolume name="server:/export" fstype="nfs"/> to the com_info of {node}'
        line = root.line if root else 0
        return [Draft(Severity.ERROR, "missing-rootvolume", "{node} has no root volume", fix, line, "rootvolume")]
    drafts = []
    if root.fstype == "gfs":
        message = "{node} has fstype gfs, which Linux does not have any more"
        fix = "convert the file system with gfs2_convert and use gfs2"
        drafts.append(Draft(Severity.WARNING, "obsolete-fstype", message, fix, root.line, "fstype", root.fstype))
    elif root.fstype not in FSTYPES:
        message = f"the fstype {shown(root.fstype)} of {{node}} is not known"
        fix = f"use one of {', '.join(FSTYPES)}"
        drafts.append(Draft(Severity.ERROR, "unknown-fstype", message, fix, root.line, "fstype", root.fstype))
    if wrong := _root_problem(root):
        message = f"the root volume {shown(root.name)} of {{node}} {wrong[0]}"
        drafts.append(Draft(Severity.ERROR, "invalid-rootvolume", message, wrong[1], root.line, "name", root.name))
    if root.mountopts and not _PLAIN.fullmatch(root.mountopts):
        message = f"the mount options {shown(root.mountopts)} of {{node}} hold blanks, quotes or control characters"
        fix = "separate options with commas only"
        place = (root.line, "mountopts", root.mountopts)
        drafts.append(Draft(Severity.ERROR, "invalid-mountopts", message, fix, *place))
    return drafts


def _root_problem(root: RootVolume) -> tuple[str, str] | None:
    """What is wrong with it, and the fix."""
    if not _PLAIN.fullmatch(root.name):
        return "holds blanks, quotes or control characters", "rename the export without them"
    if root.is_nfs and not root.server:
        return "names no server", 'write it as "server:/export", an IPv6 server in brackets'
    if root.is_nfs and not root.path.startswith("/"):
        return "has no absolute path after the server", 'write it as "server:/export"'
    if root.is_nfs and not _is_server(root.server):
        return "has a server that is neither a host name nor an address", _HOST_RULE
    if root.server and not root.is_nfs and root.fstype in FSTYPES:
        return f"names a server, but {root.fstype} is not a network file system", "use fstype nfs or name a device"
    return None


def _is_server(server: str) -> bool:
    if server.startswith("["):
        try:
            IPv6Address(server[1:-1])
        except AddressValueError:
            return False
        return True
    return bool(host_address(server)) or is_host_name(server)


def _filesystems(node: Node) -> list[Draft]:
    return [
        Draft(
            Severity.WARNING,
            "invalid-filesystem",
            f"a filesystem of {{node}} with dest {shown(item.dest)} and source {shown(item.source)} cannot be mounted",
            "give it an absolute dest, a source and a fstype",
            item.line,
            "dest",
            item.dest,
        )
        for item in node.filesystems
        if not item.dest.startswith("/") or not item.source or not item.fstype
    ]
