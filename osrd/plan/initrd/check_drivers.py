# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of an initrd: does it have the drivers of every node's NICs and of the root's file system, whether as modules
or built into the kernel."""

from dataclasses import dataclass

from osrd.model.cluster import Node
from osrd.model.finding import Finding
from osrd.parse.kernelmodules import normalised
from osrd.plan.initrd.subject import Findings, Subject, error, warning


@dataclass(frozen=True, slots=True)
class _Needs:
    """Kernel modules, and programs that mount such a file system."""

    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


_NEEDS = {
    "nfs": _Needs(("nfs",), ("mount.nfs",)),
    "nfs3": _Needs(("nfs", "nfsv3"), ("mount.nfs",)),
    "nfs4": _Needs(("nfs", "nfsv4"), ("mount.nfs",)),
    "gfs2": _Needs(("gfs2",)),
    "ocfs2": _Needs(("ocfs2", "ocfs2_dlm", "ocfs2_stack_o2cb")),
    "ext2": _Needs(("ext4",)),
    "ext3": _Needs(("ext4",)),
    "ext4": _Needs(("ext4",)),
    "xfs": _Needs(("xfs",)),
    "btrfs": _Needs(("btrfs",)),
}
_DEFAULT = "ext3"
_DLM = ("dlm",)
_NO_LOCKS = "lock_nolock"
_OLD = {"ext2": "ext2", "ext3": "ext3"}


def root_drivers(subject: Subject) -> Findings:
    """Told once for each file system type, with the first node that has it."""
    first: dict[tuple[str, bool], Node] = {}
    for node in subject.nodes:
        if node.root is not None:
            fstype = node.root.fstype or _DEFAULT
            first.setdefault((fstype, fstype == "gfs2" and _NO_LOCKS not in node.root.mountopts), node)
    for (fstype, locked), node in first.items():
        needs = _NEEDS.get(fstype, _Needs((normalised(fstype),)))
        for module in (*needs.modules, *(_DLM if locked else ())):
            if module not in subject.drivers and _OLD.get(fstype) not in subject.drivers:
                yield _missing_file_system(subject, node, fstype, module)
        for program in needs.programs:
            if program not in subject.programs:
                message = f"the program {program} is not in the initrd, and the root of {node.name} is {fstype}"
                fix = "install the package that has it in the root (nfs-common or nfs-utils)"
                yield error("initrd-no-filesystem", message, fix, node=node.name, value=program)


def _missing_file_system(subject: Subject, node: Node, fstype: str, module: str) -> Finding:
    message = f"the kernel module {module} is not in the initrd, and the root of {node.name} is {fstype}"
    if module in subject.modules.loadable:
        fix = f'put add_drivers+=" {module} " into a file in etc/dracut.conf.d of the root'
    else:
        fix = f"the kernel {subject.order.kernel.version} has no such module: install the package that has it"
    return error("initrd-no-filesystem", message, fix, node=node.name, value=module)


def nic_drivers(subject: Subject) -> Findings:
    """Drivers that cluster.conf names. A name that the kernel does not know says something about cluster.conf, which
    is no reason to keep the initrd from all other nodes."""
    told: set[str] = set()
    for node in subject.nodes:
        for nic in node.nics:
            driver = normalised(nic.driver)
            if not driver or driver in subject.drivers or driver in told:
                continue
            told.add(driver)
            message = f"{nic.driver}, the driver of {nic.name} of {node.name}, is not in the initrd"
            if driver in subject.modules.loadable:
                fix = f'put add_drivers+=" {driver} " into a file in etc/dracut.conf.d of the root'
                yield error("initrd-no-driver", message, fix, node=node.name, value=driver)
            else:
                version = subject.order.kernel.version
                message += f": the kernel {version} has no module of that name"
                fix = "correct driver= in cluster.conf, or install the module"
                yield warning("initrd-unknown-driver", message, fix, node=node.name, value=driver)
