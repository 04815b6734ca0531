# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each node is, from what servers did for it and from what it said itself (DESIGN 5, node state). Pure.

A node goes dhcp, loader, kernel, initrd, root, up. A boot begins with a loader that is fetched; an address alone is no
boot, since a running system asks for one, too. Nothing tells that a node went down before it boots again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from osrd.model.bootevent import Leased, Sent
from osrd.model.cluster import Cluster, RootVolume
from osrd.model.finding import Finding, Severity
from osrd.model.image import NodeReport
from osrd.model.settings import Settings, TftpSettings
from osrd.model.view import BootProgress, BootState
from osrd.plan.initrd.reports import boot_state
from osrd.plan.roots import root_of_volume

_ORDER = tuple(BootState)
_CLUSTER_FILE_SYSTEMS = frozenset({"gfs2", "ocfs2"})
#: Where a node is between its loader and its end, what it does not do there, and where to look.
_HANGING = {
    BootState.LOADER: ("fetches no kernel", "look at its console, and for its menu in the log of the TFTP server"),
    BootState.KERNEL: ("fetches no initrd", "look at its console, and in the log of the TFTP server"),
    BootState.INITRD: (
        "has not mounted its root {volume}",
        "its console says why; look whether {volume} is served to it",
    ),
    BootState.ROOT: ("is in its root {volume} and does not come up", "its console says what does not start"),
}
BOOTING = frozenset(_HANGING)
#: Loaders, by the beginning of their published names (osrd/plan/loaders.py).
_LOADERS = ("pxelinux", "lpxelinux", "ldlinux", "grub", "shim", "ipxe", "undionly", "snponly")
#: The first script of iPXE, which fetches no loader where it is in the firmware.
_FIRST_SCRIPT = "ipxe/boot.ipxe"


@dataclass(frozen=True, slots=True)
class Directory:
    """Whom a hardware address or an IP address belongs to: the names of nodes. Addresses that two nodes claim are
    nobody's. ``volumes`` are the root volumes of the nodes that can say that they are up, by name."""

    by_mac: Mapping[str, str]
    by_address: Mapping[str, str]
    volumes: Mapping[str, str] = field(default_factory=dict)


def directory_of(cluster: Cluster | None, settings: Settings) -> Directory:
    macs: dict[str, str] = {}
    addresses: dict[str, str] = {}
    nodes = cluster.nodes if cluster else ()
    telling = {volume for volume in {node.root for node in nodes} if _can_tell(volume, settings)}
    volumes = {node.name: node.root.name for node in nodes if node.root in telling and node.root is not None}
    for node in nodes:
        for nic in node.nics:
            for table, key in ((macs, nic.mac), (addresses, "" if nic.is_dhcp else nic.ip)):
                if key:
                    table[key] = node.name if table.get(key, node.name) == node.name else ""
    return Directory(macs, addresses, volumes)


def _can_tell(volume: RootVolume | None, settings: Settings) -> bool:
    """Whether nodes with this root leave reports that this host sees: not on a disk of their own, nor read-only."""
    root = root_of_volume(settings, volume)
    if volume is None or root is None or not root.takes_images or "ro" in volume.mountopts.split(","):
        return False
    return volume.is_nfs or volume.fstype in _CLUSTER_FILE_SYSTEMS


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
    loads = name == _FIRST_SCRIPT or (name.startswith(_LOADERS) and name.count("/") == 0)
    return BootState.LOADER if loads else None


def after_event(
    now: BootProgress, event: Leased | Sent, tftp: TftpSettings, when: float, *, asked: bool = True
) -> BootProgress:
    """How far a node is after a server did something for it. ``asked``: it asked for an address after its last loader,
    as every firmware does; some TFTP servers tell of a transfer long after it, when nobody has confirmed the end."""
    if isinstance(event, Leased):
        fresh = now.state in (BootState.UNKNOWN, BootState.OFF)
        return BootProgress(BootState.DHCP, when) if fresh else now
    stage = stage_of(event.path, tftp)
    if stage is None or (stage is now.state and stage is not BootState.LOADER):
        return now
    backwards = _ORDER.index(stage) < _ORDER.index(now.state)
    if backwards and stage is BootState.LOADER and not asked:
        return now
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


def late(node: str, state: BootState, volume: str, limit: float) -> Finding:
    """A node that is still at ``state`` when it should be up."""
    lacks, look = (text.format(volume=volume) for text in _HANGING[state])
    return Finding(
        "node-not-up",
        Severity.WARNING,
        f"{node} is not up {limit:g} s after its loader: it {lacks}",
        look,
        node=node,
        value=str(state),
    )


def stranger(mac: str) -> Finding:
    """A machine that would like to boot, maybe."""
    return Finding(
        "unknown-machine",
        Severity.INFO,
        f"a machine with hardware address {mac} asks for an address, and no node has it",
        f"if it is to be one: osrctl node add NAME ip=ADDRESS mac={mac}",
        value=mac,
    )
