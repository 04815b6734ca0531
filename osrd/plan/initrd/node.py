# SPDX-License-Identifier: GPL-3.0-or-later
"""What an initrd is told of one node: the keys of ``nodes.d/ID.conf`` (osr.dracut(7), DATA).

Every value is taken from an attribute that is named here; whatever else cluster.conf says of a node (fence devices,
attributes that osrd does not know) cannot get in. What an attribute holds that looks like a password is refused.
"""

import re
from collections.abc import Iterator, Mapping

from osrd.model.cluster import Filesystem, Node, Syslog
from osrd.model.errors import InvalidConfigError
from osrd.parse.validation_node import is_host_name
from osrd.plan.bootroot import boot_root
from osrd.plan.cmdline import nfs_identity
from osrd.plan.nics import primary

#: file systems that the initrd mounts beside the root; none of them has a password among its options
EXTRA_TYPES = frozenset(
    ("bind", "btrfs", "ext2", "ext3", "ext4", "gfs2", "nfs", "nfs3", "nfs4", "none", "ocfs2", "tmpfs", "xfs")
)
#: how the tag of a host's directory is mounted in a virtual machine: the handler of its root= word
_TAGGED = {"virtiofs": "virtiofs", "9p": "virtfs"}
_SECRET = re.compile(r"(?:^|,)\s*[^,=]*(?:pass|secret|credential|key)[^,=]*=", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NODE_ID = re.compile(r"%\((?:param0|nodeid)\)s")
#: bytes that the kernel has for nfs4_unique_id, the final zero left out
_IDENTITY = 63
_ISCSI = re.compile(r"iscsi://[^/]+/([A-Za-z0-9.:_-]+)", re.ASCII)
_TRIES, _WAIT = "30", "10"

Values = Mapping[str, str]


def node_values(node: Node, cluster: str, tree: str = "") -> Values:
    """Keys and values, in order. ``tree`` is the name of the node's tree ("": its id). Raises InvalidConfigError for a
    node that an initrd could not boot."""
    if node.nodeid is None:
        raise InvalidConfigError(f"nodeid {node.nodeid_text!r} of {node.name} is no number", "give the node an id")
    if not is_host_name(node.name):
        raise InvalidConfigError(f"the node name {node.name!r} is no host name", "rename the node")
    values = {"OSR_NODEID": str(node.nodeid), "OSR_NODENAME": node.name, "OSR_HOSTNAME": node.name}
    if tree and tree != values["OSR_NODEID"]:
        values["OSR_TREE"] = tree
    values |= _root(node)
    nic = primary(node)
    values["OSR_PRIMARY"] = nic.mac if nic else ""
    values["OSR_NFSID"] = _identity(node, cluster)
    if node.syslog is not None:
        values |= _syslog(node.syslog)
    if found := _ISCSI.fullmatch(node.rootsource):
        values["OSR_ISCSI_INITIATOR"] = found[1]
    kept = {key: plain(value, f"{key} of {node.name}") for key, value in values.items() if value}
    for number, text in enumerate(_filesystems(node), 1):
        kept[f"OSR_FS_{number}"] = text
    return kept


def plain(value: str, what: str) -> str:
    """``value``, which is one line. Raises InvalidConfigError."""
    if _CONTROL.search(value):
        raise InvalidConfigError(f"{what} has a control character in it: {value!r}", "remove it")
    return value


def _root(node: Node) -> Iterator[tuple[str, str]]:
    root = boot_root(node.root)
    _refuse_secrets(node.root.mountopts if node.root else "", f"the rootvolume of {node.name}")
    yield "OSR_ROOT", root_string(root.text, root.fstype) if root.is_device else root.text
    yield "OSR_ROOTFSTYPE", root.fstype or root.text.partition(":")[0]
    if root.is_device:
        yield "OSR_ROOTFLAGS", ",".join(filter(None, (root.mode, root.options)))
    yield "OSR_ROOTTRIES", _TRIES
    yield "OSR_ROOTWAIT", _WAIT


def root_string(device: str, fstype: str) -> str:
    """What finds the root: a block device, or the tag of a directory of the host of a virtual machine."""
    return f"{_TAGGED.get(fstype, 'block')}:{device}"


def _identity(node: Node, cluster: str) -> str:
    identity = nfs_identity(node, cluster)
    if len(identity.encode()) > _IDENTITY:
        raise InvalidConfigError(
            f"the NFS client identity {identity!r} of {node.name} is longer than {_IDENTITY} bytes",
            "give the cluster a shorter name",
        )
    return identity


def _syslog(syslog: Syslog) -> Iterator[tuple[str, str]]:
    level = f"{syslog.subsys or '*'}.{syslog.level}" if syslog.level else ""
    yield "OSR_SYSLOG_SERVER", syslog.name
    yield "OSR_SYSLOG_FILTER", syslog.filter or level
    yield "OSR_SYSLOG_TYPE", syslog.type


def extra_filesystems(node: Node) -> tuple[tuple[str, ...], tuple[InvalidConfigError, ...]]:
    """The values of OSR_FS_n, parents before what is mounted below them, and why others are left out."""
    good: list[tuple[tuple[str, ...], str]] = []
    wrong = []
    for item in node.filesystems:
        try:
            good.append((tuple(item.dest.split("/")), _filesystem(node, item)))
        except InvalidConfigError as error:
            wrong.append(error)
    return tuple(text for _, text in sorted(good)), tuple(wrong)


def _filesystems(node: Node) -> tuple[str, ...]:
    return extra_filesystems(node)[0]


def _filesystem(node: Node, item: Filesystem) -> str:
    what = f"filesystem {item.dest!r} of {node.name}"
    fstype = item.fstype.strip().lower()
    if fstype not in EXTRA_TYPES:
        raise InvalidConfigError(
            f"the type {item.fstype!r} of {what} is none that the initrd mounts",
            f"use {', '.join(sorted(EXTRA_TYPES))}",
        )
    parts = item.dest.split("/")
    if not item.dest.startswith("/") or ".." in parts or not item.source:
        raise InvalidConfigError(f"{what} cannot be mounted", "give it an absolute dest and a source")
    _refuse_secrets(item.mountopts, what)
    times, wait = (text if text.isascii() and text.isdigit() else "" for text in (item.mounttimes, item.mountwait))
    fields = [item.dest, item.source, fstype, item.mountopts, times, wait]
    fields = [_NODE_ID.sub(str(node.nodeid), field) for field in fields]
    if any("|" in field for field in fields):
        raise InvalidConfigError(f"{what} has a | in it, which separates the fields in the initrd", "rename it")
    return plain("|".join(fields), what)


def _refuse_secrets(options: str, what: str) -> None:
    if _SECRET.search(options):
        raise InvalidConfigError(
            f"the mount options of {what} hold what looks like a password, and an initrd is served to whoever asks",
            "put it into a file of the root that the option names, or mount it after the boot",
        )
