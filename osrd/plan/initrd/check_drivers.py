# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of an initrd: does it have the drivers of every node's NICs and of the root's file system, whether as modules
or built into the kernel."""

from collections.abc import Iterator
from dataclasses import dataclass

from osrd.model.cluster import Node
from osrd.model.finding import Finding
from osrd.parse.kernelmodules import normalised
from osrd.plan.initrd.clusterfs import GFS2, OCFS2, needs
from osrd.plan.initrd.subject import Findings, Subject, error, warning

#: a path without a type is taken as this one
_DEFAULT = "ext3"
#: mounted by the initrd without a driver
_NOTHING = frozenset({"bind", "none", "tmpfs"})
#: what a file system of this type needs; one of the names with a bar between is enough
_MODULES = {
    "nfs": ("nfs", "nfsv3|nfsv4"),
    "nfs3": ("nfs", "nfsv3"),
    "nfs4": ("nfs", "nfsv4"),
    "ext2": ("ext2|ext4",),
    "ext3": ("ext3|ext4",),
    "9p": ("9p", "9pnet_virtio"),
}
_LOCKS = {GFS2: ("dlm",), OCFS2: ("ocfs2_dlm", "ocfs2_stack_o2cb")}
_MOUNT_NFS = "mount.nfs"
_VERSIONS = {"vers=3": "nfs3", "nfsvers=3": "nfs3", "vers=4": "nfs4", "nfsvers=4": "nfs4"}


@dataclass(frozen=True, slots=True)
class _Mount:
    """A file system that a node's initrd mounts; ``kind`` has the NFS version when the options tell it."""

    node: Node
    what: str
    kind: str
    is_root: bool


def file_systems(subject: Subject) -> Findings:
    """Drivers and programs, told once each. Without the root's nothing boots; others are only missed."""
    told: set[str] = set()
    for mount in _mounts(subject):
        wanted = (*_MODULES.get(mount.kind, (normalised(mount.kind),)), *_locks(mount))
        for module in wanted:
            if module not in told and not subject.drivers.intersection(module.split("|")):
                told.add(module)
                yield _missing_module(subject, mount, module.partition("|")[0])
        if mount.kind.startswith("nfs") and _MOUNT_NFS not in subject.programs and _MOUNT_NFS not in told:
            told.add(_MOUNT_NFS)
            message = f"the program {_MOUNT_NFS} is not in the initrd, and {mount.what} is NFS"
            yield _judged(mount, message, "install nfs-common (nfs-utils) in the root", _MOUNT_NFS)


def _mounts(subject: Subject) -> Iterator[_Mount]:
    others = []
    for node in subject.nodes:
        if node.root is not None:
            kind = _kind(node.root.fstype or _DEFAULT, node.root.mountopts)
            yield _Mount(node, f"the root of {node.name}", kind, True)
        for item in node.filesystems:
            kind = _kind(item.fstype, item.mountopts)
            if kind not in _NOTHING:
                others.append(_Mount(node, f"{item.dest} of {node.name}", kind, False))
    yield from others


def _kind(fstype: str, options: str) -> str:
    kind = fstype.strip().lower()
    versions = (_VERSIONS.get(option.partition(".")[0]) for option in options.split(","))
    return next(filter(None, versions), kind) if kind == "nfs" else kind


def _locks(mount: _Mount) -> tuple[str, ...]:
    return _LOCKS[mount.kind] if mount.kind in _LOCKS and needs(mount.node, mount.kind) else ()


def _missing_module(subject: Subject, mount: _Mount, module: str) -> Finding:
    message = f"the kernel module {module} is not in the initrd, and {mount.what} is {mount.kind}"
    return _judged(mount, message, _fix(subject, module), module)


def _judged(mount: _Mount, message: str, fix: str, value: str) -> Finding:
    judge = error if mount.is_root else warning
    return judge("initrd-no-filesystem", message, fix, node=mount.node.name, value=value)


def _fix(subject: Subject, module: str) -> str:
    if module in subject.modules.loadable:
        return f'put add_drivers+=" {module} " into a file in etc/dracut.conf.d of the root'
    return f"the kernel {subject.order.kernel.version} has no such module: install the package that has it"


def nic_drivers(subject: Subject) -> Findings:
    """Drivers that cluster.conf names. A name that the kernel does not know says something about cluster.conf, which
    is no reason to keep the initrd from all other nodes."""
    told: set[str] = set()
    for node in subject.nodes:
        for nic in node.nics:
            driver = normalised(nic.driver.strip())
            if not driver or driver in subject.drivers or driver in told:
                continue
            told.add(driver)
            message = f"{driver}, the driver of {nic.name} of {node.name}, is not in the initrd"
            if driver in subject.modules.loadable:
                yield error("initrd-no-driver", message, _fix(subject, driver), node=node.name, value=driver)
            else:
                message += f": the kernel {subject.order.kernel.version} has no module of that name"
                fix = "correct driver= in cluster.conf, or install the module"
                yield warning("initrd-unknown-driver", message, fix, node=node.name, value=driver)
