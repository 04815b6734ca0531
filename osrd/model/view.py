# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon shows of itself: one immutable snapshot after every run, and the events between two of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from osrd.model.cluster import Node
from osrd.model.finding import Finding
from osrd.model.image import Image, ImageState, NodeReport
from osrd.model.job import Job
from osrd.model.settings import BootWay


class State(StrEnum):
    """The daemon as a whole, for the Manager's State property and the STATUS line."""

    STARTING = "starting"
    READY = "ready"  # everything is published
    DEGRADED = "degraded"  # something is not: see the findings
    INVALID = "config-invalid"  # cluster.conf or osrd.conf is unusable; the last good state is still served
    PINNED = "pinned"  # rolled back; held until the inputs change or somebody applies
    STOPPING = "stopping"


class BootState(StrEnum):
    """How far a node is, as far as the servers' log and its own report tell (osrd.plan.bootstates)."""

    UNKNOWN = "unknown"
    OFF = "off"
    DHCP = "dhcp"
    LOADER = "loader"
    KERNEL = "kernel"
    INITRD = "initrd"
    ROOT = "root"
    UP = "up"


@dataclass(frozen=True, slots=True)
class BootProgress:
    """How far a node is, since ``since`` (seconds since the epoch). ``late`` says so when it should be up by now."""

    state: BootState = BootState.UNKNOWN
    since: float = 0.0
    late: Finding | None = None


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node as published. ``key`` names its bus object: the node id, or ``name:NAME`` / ``line:N`` where the id is
    missing or taken. ``root`` is the name of its ``[root]`` section ("" when none matches)."""

    key: str
    node: Node
    quarantined: bool
    way: BootWay
    root: str = ""
    boot: BootProgress = BootProgress()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class RootView:
    """A shared root that nodes of the cluster use. ``path`` is "" when it is not on this host."""

    name: str
    volume: str
    fstype: str
    path: str
    nodes: int


class RootState(StrEnum):
    """Whether the CDSLs of a shared root can be worked with on this host."""

    UNKNOWN = "unknown"  # not looked at yet
    ABSENT = "absent"  # not on this host
    PLAIN = "plain"  # without CDSLs
    READY = "ready"
    FAILED = "failed"  # see its findings
    STUCK = "stuck"  # its file system does not answer


class KernelState(StrEnum):
    """What becomes of a kernel in a shared root."""

    FOUND = "found"  # nothing is built for it
    WAITING = "waiting"  # an image of what is there now will be built when the root rests
    BUILDING = "building"
    BUILT = "built"  # there is an image of what is there now
    FAILED = "failed"  # the last build did, and nothing has changed since


@dataclass(frozen=True, slots=True)
class KernelView:
    """A kernel in a shared root. ``file`` is its path in the root, ``image`` the id of its newest image or ""."""

    version: str
    file: str
    state: KernelState
    image: str = ""


@dataclass(frozen=True, slots=True)
class ImageView:
    """A kernel and initrd in the store. ``used_by`` are nodes that say that they are booted from it."""

    image: Image
    state: ImageState
    used_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildView:
    """What the builder sees of one root; the newest kernel and image come first. ``reports`` are the nodes' own."""

    kernels: tuple[KernelView, ...] = ()
    images: tuple[ImageView, ...] = ()
    findings: tuple[Finding, ...] = ()
    reports: tuple[NodeReport, ...] = ()


@dataclass(frozen=True, slots=True)
class SharedRootView:
    """A ``[root NAME]`` of osrd.conf as it was when it was last looked at. ``source`` is its root volume in
    cluster.conf, "" when no node uses it; ``link`` is a path inside the root; ``link_node`` is whose tree is kept
    mounted there, "" for none, and ``link_mounted`` whether it is."""

    name: str
    path: str = ""
    source: str = ""
    fstype: str = ""
    nodes: int = 0
    state: RootState = RootState.UNKNOWN
    cdsls: int = 0
    link: str = ""
    link_node: str = ""
    link_mounted: bool = False
    kernels: tuple[KernelView, ...] = ()
    findings: tuple[Finding, ...] = ()


class ServiceState(StrEnum):
    """Whether a server that reads osrd's files was there the last time osrd had to tell it something."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    ABSENT = "not-running"
    FAILED = "failed"
    UNMANAGED = "unmanaged"  # reload = none


@dataclass(frozen=True, slots=True)
class Generation:
    """One published set of outputs. ``when`` is seconds since the epoch; ``pinned`` marks the one rolled back to."""

    number: int
    when: float
    reason: str
    config_version: int
    written: int
    removed: int
    current: bool = False
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the bus and osrctl show, consistent in itself."""

    state: State = State.STARTING
    in_sync: bool = False
    generation: int = 0
    config_version: int = 0
    cluster_name: str = ""
    findings: tuple[Finding, ...] = ()
    nodes: Mapping[str, NodeView] = field(default_factory=dict, repr=False)
    roots: tuple[RootView, ...] = ()
    shared_roots: Mapping[str, SharedRootView] = field(default_factory=dict)
    images: Mapping[str, ImageView] = field(default_factory=dict)
    dhcp: ServiceState = ServiceState.UNKNOWN
    nfs: ServiceState = ServiceState.UNKNOWN
    watch_mode: str = "inotify"


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """One line of a plan for people and scripts. ``diff`` is a unified diff, "" for binaries or when not asked for."""

    action: str  # write, adopt, remove, forget, reload
    target: str  # a path or a service
    reason: str
    node: str = ""
    diff: str = ""


@dataclass(frozen=True, slots=True)
class PlanView:
    """The reply to Plan(): ``digest`` is what Apply() takes."""

    digest: str
    actions: tuple[PlannedAction, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotChanged:
    before: Snapshot
    after: Snapshot


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A run ended and changed something."""

    generation: int
    written: int
    removed: int
    findings: int


@dataclass(frozen=True, slots=True)
class DriftDetected:
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfigRejected:
    """cluster.conf or osrd.conf could not be used at all; the last good state stays."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class ImageChosen:
    """Nodes of ``root`` boot ``image`` from now on; ``previous`` is one menu line away ("": none)."""

    root: str
    image: str
    kernel: str
    previous: str = ""


@dataclass(frozen=True, slots=True)
class JobAdded:
    job: Job


@dataclass(frozen=True, slots=True)
class JobChanged:
    job: Job


@dataclass(frozen=True, slots=True)
class JobRemoved:
    job: Job


Event = (
    SnapshotChanged | Reconciled | DriftDetected | ConfigRejected | ImageChosen | JobAdded | JobChanged | JobRemoved
)
