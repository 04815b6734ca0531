# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done in one shared root, in a thread that may hang there: look and make it true, or carry out one request.

A look is level-triggered: it compares and repairs the difference, and with nothing to repair it writes nothing
(law 1). What a user asks for is done by a SharedRoot alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol, Self

from osrd.engine.api import (
    AdoptTree,
    ArchiveTree,
    BindLink,
    ConvertLayout,
    CreateInfrastructure,
    DropBackup,
    MakeHostDependent,
    MakeShared,
    RemoveCdsl,
    RepairCdsls,
    RootRequest,
    UndoCdsl,
)
from osrd.model.cdsl import INVENTORY, Cdsl, Changed, Inventory, Layout, Members, Removal
from osrd.model.errors import ConflictError, NotFoundError, OsrdError, UnsupportedError
from osrd.model.finding import Finding, Place, Severity
from osrd.model.mount import Mount
from osrd.model.settings import NO_LINK
from osrd.model.view import RootState
from osrd.plan.bindmounts import BindPlan
from osrd.plan.rootlink import wanted_tree

#: Seconds that somebody's request, or a look, waits for the end of a change that another host makes: less than the
#: time after which a root is called stuck. A look comes again.
_WAIT = 15.0
_WAIT_LOOKING = 5.0

#: findings that mean: cluster.conf does not have this node
_ORPHANED = ("cdsl-orphaned-tree", "cdsl-mounted-orphan")
_NOT_MOUNTED = ("cdsl-not-mounted",)
_LEFT_OVER = "cdsl-leftover"

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]


class Root(Protocol):
    """What is used of a SharedRoot (osrd.engine.sharedroot)."""

    @property
    def inventory(self) -> Inventory: ...
    @property
    def nodes(self) -> tuple[str, ...]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def init(self, layout: Layout | None = None, *, maxnodeidnum: int = 0, use_nodeids: bool = True) -> Changed: ...
    def make(self, path: str, nodes: tuple[str, ...] = ()) -> Changed: ...
    def share(self, path: str, winner: str = "") -> Changed: ...
    def remove(self, path: str, removal: Removal) -> Changed: ...
    def undo(self) -> Changed: ...
    def recover(self) -> Changed: ...
    def check(self) -> tuple[Finding, ...]: ...
    def repair(self) -> Changed: ...
    def rebuild(self) -> Changed: ...
    def convert(self) -> Changed: ...
    def follow(self) -> tuple[Changed, tuple[Finding, ...]]: ...
    def adopt(self, tree: str, node: str) -> Changed: ...
    def archive(self, node: str) -> Changed: ...
    def backups(self) -> tuple[str, ...]: ...
    def drop_backup(self, name: str) -> Changed: ...


class OpenRoot(Protocol):
    """Opens the root at ``path``; ``wait``: seconds for other hosts' changes to end. Raises OsrdError, NotFoundError
    when nothing is there."""

    def __call__(
        self, path: str, members: Members, *, progress: Progress, cancelled: Cancelled, wait: float
    ) -> Root: ...


class Mounter(Protocol):
    """Bind mounts at the links of shared roots (osrd.apply.mounts)."""

    def keep(self, path: str, layout: Layout, node: str) -> BindPlan: ...
    def release(self, path: str, layout: Layout) -> tuple[Mount, ...]: ...


@dataclass(frozen=True, slots=True)
class Order:
    """What should be true of a root: where it is ("" not on this host), whose nodes use it (None while no usable
    cluster.conf says so), and what osrd.conf, or a caller since, says about ``link``. ``source`` and ``fstype`` are
    its volume in cluster.conf."""

    path: str
    members: Members | None = None
    link: str = ""
    source: str = ""
    fstype: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """The bind mount as it was left: whose tree is wanted, whether it is there, and why not."""

    node: str = ""
    mounted: bool = False
    findings: tuple[Finding, ...] = ()
    done: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look saw and did. ``changed`` is what it did in the root."""

    state: RootState
    layout: Layout | None = None
    cdsls: int = 0
    link: Link = Link()
    findings: tuple[Finding, ...] = ()
    changed: Changed = field(default_factory=Changed)


@dataclass(frozen=True, slots=True)
class Control:
    """How work in a root tells that it goes on, and is told to stop."""

    progress: Progress
    cancelled: Cancelled


def _silent(fraction: float, message: str) -> None:
    """Nobody waits for progress."""


QUIET = Control(_silent, lambda: False)


class RootWork:
    """For one root; every method is called in a thread, and raises OsrdError. ``name`` is its section's."""

    def __init__(self, name: str, open_root: OpenRoot, mounter: Mounter) -> None:
        self._name = name
        self._open_root = open_root
        self._mounter = mounter
        self._recovered = False

    def look(self, order: Order, control: Control) -> Looked:
        """Settle what a crash left, follow the cluster, keep the mount, check."""
        try:
            root = self._open(order, control, _WAIT_LOOKING)
        except NotFoundError:
            return Looked(RootState.ABSENT)
        with root:
            changed = Changed() if self._recovered else root.recover()
            self._recovered = True
            layout = _layout(root)
            if layout is None:
                return Looked(RootState.PLAIN, changed=changed)
            findings: tuple[Finding, ...] | None = None
            if order.members is not None:
                followed, findings = root.follow()
                changed = _both(changed, followed)
            link = self._linked(root, order)
            if findings is None or link.done:  # what is mounted is judged, too
                findings = root.check()
            # Of another host that died since, or that is at work: the next look waits for it and settles it.
            self._recovered = all(finding.code != _LEFT_OVER for finding in findings)
            shown = _shown(root, order, findings)
            return Looked(RootState.READY, layout, len(root.inventory.cdsls), link, shown, changed)

    def link(self, order: Order) -> Link:
        """Only the mount: the mount table changed."""
        try:
            with self._open(order, QUIET) as root:
                return self._linked(root, order) if _layout(root) is not None else Link()
        except NotFoundError:
            return Link()

    def release(self, path: str, layout: Layout) -> tuple[Mount, ...]:
        """Take the mount away: the root leaves the configuration."""
        return self._mounter.release(path, layout)

    def perform(self, request: RootRequest, order: Order, control: Control) -> Changed:
        """What a user asked for."""
        with self._open(order, control) as root:
            match request:
                case CreateInfrastructure(_, layout, maxnodeidnum, use_nodeids):
                    changed = root.init(layout, maxnodeidnum=maxnodeidnum, use_nodeids=use_nodeids)
                case MakeHostDependent(_, path, nodes):
                    changed = root.make(path, nodes)
                case MakeShared(_, path, winner):
                    changed = root.share(path, winner)
                case RemoveCdsl(_, path, removal):
                    changed = root.remove(path, removal)
                case RepairCdsls(_, rebuild):
                    changed = _both(root.rebuild(), root.repair()) if rebuild else root.repair()
                case ConvertLayout():
                    changed = root.convert()
                case UndoCdsl():
                    changed = root.undo()
                case AdoptTree(_, tree, node):
                    changed = root.adopt(tree, node)
                case ArchiveTree(_, node):
                    changed = root.archive(node)
                case DropBackup(_, name):
                    changed = root.drop_backup(name)
                case BindLink():
                    changed = self._bound(root, order)
        return changed

    def cdsls(self, order: Order) -> tuple[Cdsl, ...]:
        with self._open(order, QUIET) as root:
            return root.inventory.cdsls

    def check(self, order: Order) -> tuple[Finding, ...]:
        with self._open(order, QUIET) as root:
            return _shown(root, order, root.check())

    def backups(self, order: Order) -> tuple[str, ...]:
        with self._open(order, QUIET) as root:
            return root.backups()

    def _open(self, order: Order, control: Control, wait: float = _WAIT) -> Root:
        if not order.path:
            raise NotFoundError(f"[root {self._name}] has no path on this host", "set path in osrd.conf")
        members = order.members or Members()
        return self._open_root(order.path, members, progress=control.progress, cancelled=control.cancelled, wait=wait)

    def _linked(self, root: Root, order: Order) -> Link:
        """Make the mount true. Trouble with it is a finding: the root can be worked with all the same."""
        if order.members is None and not order.link:
            return Link()  # who is the lowest is not known
        node = self._wanted(root, order)
        try:
            plan = self._mounter.keep(order.path, root.inventory.layout, node)
        except OsrdError as error:
            fix = error.fix or "osrd tries again at the next change of the mount table"
            return Link(node, findings=(Finding("root-link", Severity.WARNING, error.message, fix, node=node),))
        mounted = bool(node) and (plan.action is not None or plan.bound.node == node)
        return Link(node, mounted, plan.findings, str(plan.action or ""))

    def _wanted(self, root: Root, order: Order) -> str:
        members = order.members or Members()
        return wanted_tree(root.nodes, members, root.inventory.layout.prefix, order.link)

    def _bound(self, root: Root, order: Order) -> Changed:
        """BindLink: the same, but trouble is an answer to who asked."""
        if _layout(root) is None:
            raise UnsupportedError(f"{order.path} has no CDSLs", "prepare it: osrctl cdsl init")
        plan = self._mounter.keep(order.path, root.inventory.layout, self._wanted(root, order))
        if plan.findings and plan.action is None:
            raise ConflictError(plan.findings[0].message, plan.findings[0].fix)
        return Changed((str(plan.action),) if plan.action else ())


def _layout(root: Root) -> Layout | None:
    """None for a root without CDSLs, which is left alone."""
    try:
        return root.inventory.layout
    except NotFoundError:
        return None


def _shown(root: Root, order: Order, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """``findings``, with the root that they are about, without those that are as they should be: while nothing says
    who the nodes are, nobody is orphaned, and where nothing is to be mounted, nothing is missing."""
    meant: tuple[str, ...] = ()
    if order.members is None and not root.inventory.maxnodeidnum:
        meant += _ORPHANED
    if order.link == NO_LINK:
        meant += _NOT_MOUNTED
    return tuple(_located(finding, order.path) for finding in findings if finding.code not in meant)


def _both(first: Changed, second: Changed) -> Changed:
    return Changed(first.lines + second.lines, first.backups + second.backups)


def _located(finding: Finding, path: str) -> Finding:
    """With several roots a finding must say in which it is."""
    if finding.place is not None:
        return finding
    return replace(finding, place=Place(f"{path.rstrip('/')}/{INVENTORY}"))
