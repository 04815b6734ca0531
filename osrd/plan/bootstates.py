# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each node is, from what servers did for it and from what it said itself (DESIGN 5, node state). Pure.

A node goes dhcp, loader, kernel, initrd, root, up. A boot begins with a loader that is fetched; an address alone is no
boot, since a running system asks for one, too. Nothing tells that a node went down before it boots again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from osrd.model.bootevent import BootEvent, Leased
from osrd.model.cluster import Cluster
from osrd.model.image import NodeReport
from osrd.model.settings import TftpSettings
from osrd.model.view import BootProgress, BootState
from osrd.plan.initrd.reports import boot_state

_ORDER = tuple(BootState)
#: Loaders, by the beginning of their published names (osrd/plan/loaders.py).
_LOADERS = ("pxelinux", "lpxelinux", "ldlinux", "grub", "shim", "ipxe", "undionly", "snponly")


@dataclass(frozen=True, slots=True)
class Directory:
    """Whom a hardware address or an IP address belongs to: the names of nodes. Addresses that two nodes claim are
    nobody's."""

    by_mac: Mapping[str, str]
    by_address: Mapping[str, str]


def directory_of(cluster: Cluster | None) -> Directory:
    macs: dict[str, str] = {}
    addresses: dict[str, str] = {}
    for node in cluster.nodes if cluster else ():
        for nic in node.nics:
            for table, key in ((macs, nic.mac), (addresses, "" if nic.is_dhcp else nic.ip)):
                if key:
                    table[key] = node.name if table.get(key, node.name) == node.name else ""
    return Directory(macs, addresses)


def stage_of(path: str, tftp: TftpSettings) -> BootState | None:
    """What a machine that fetched ``path`` is about to start; None for menus and for files that are not osrd's."""
    names = (f"{tftp.directory}/", f"/{tftp.served('')}", tftp.served(""))
    name = next((path.removeprefix(prefix) for prefix in names if path.startswith(prefix)), None)
    if name is None:
        return None
    if name.startswith("kernels/vmlinuz-"):
        return BootState.KERNEL
    if name.startswith("kernels/initrd-"):
        return BootState.INITRD
    return BootState.LOADER if name.startswith(_LOADERS) and name.count("/") == 0 else None


def after_event(now: BootProgress, event: BootEvent, tftp: TftpSettings, when: float) -> BootProgress:
    """How far a node is after a server did something for it."""
    if isinstance(event, Leased):
        fresh = now.state in (BootState.UNKNOWN, BootState.OFF)
        return BootProgress(BootState.DHCP, when) if fresh else now
    stage = stage_of(event.path, tftp)
    if stage is None or (stage is now.state and stage is not BootState.LOADER):
        return now
    backwards = _ORDER.index(stage) < _ORDER.index(now.state)
    if backwards and stage is not BootState.LOADER and now.state is not BootState.UP:
        return now  # PXELINUX fetches the kernel and the initrd in the order of its menu
    return BootProgress(stage, when)


def after_report(now: BootProgress, report: NodeReport) -> BootProgress:
    """How far a node is that said so itself, if it did so after what is known."""
    state = boot_state(report)
    # Clocks of nodes are not ours: what it said of this very boot counts, too, although it seems to be earlier.
    if state is now.state or (report.time < now.since and _ORDER.index(state) < _ORDER.index(now.state)):
        return now
    return BootProgress(state, report.time)
