# SPDX-License-Identifier: GPL-3.0-or-later
"""What should be bound at the link of a shared root, what is, and the one action between the two (DESIGN 5).

Who bound a node's tree at the link does not matter: a bind that the administrator made by hand, as the seed's page has
it, is as good as osrd's, and is taken over. Anything else that is mounted there is never touched.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from osrd.model.cdsl import MOUNT_POINT, WORK, FileKind, Layout, Seen
from osrd.model.finding import Finding, Severity
from osrd.model.mount import Bound, Holds, Mount, RootSeen
from osrd.plan.mounttable import MountTable, place_in

#: what the kernel appends to the root of a mount whose directory was deleted
_DELETED = "//deleted"


@dataclass(frozen=True, slots=True)
class Bind:
    """Bind the directory ``source`` on the empty directory ``point``; both relative to the shared root ``root``."""

    root: str
    source: str
    point: str
    reason: str

    def __str__(self) -> str:
        return f"bind {self.source} at {absolute(self.root, self.point)} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Rebind:
    """Unmount exactly ``mounts`` (identifiers, the visible one first), then bind as Bind does."""

    root: str
    source: str
    point: str
    mounts: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        return f"bind {self.source} instead at {absolute(self.root, self.point)} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Unbind:
    """Unmount exactly ``mounts`` from the directory ``point``, the visible one first."""

    root: str
    point: str
    mounts: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        return f"unmount {absolute(self.root, self.point)} ({self.reason})"


BindAction = Bind | Rebind | Unbind


@dataclass(frozen=True, slots=True)
class BindPlan:
    """What is bound now, what is to be done about it (None: nothing), and why it must not be done."""

    bound: Bound
    action: BindAction | None = None
    findings: tuple[Finding, ...] = ()


def absolute(root: str, path: str) -> str:
    """The absolute path of ``path``, which is relative to the shared root ``root``."""
    return f"{root.rstrip('/')}/{path}" if path else root


def link_place(layout: Layout, link: Seen | None) -> str | None:
    """Where in the root the link wants its mount, from what is at the link: the link itself when it is a directory
    (the original layouts), the mount point beside the node trees when it is a symlink there; None when neither."""
    if link is None:
        return None
    if link.kind is FileKind.DIRECTORY:
        return layout.link
    leads_to = resolved(layout.link, link.text) if link.kind is FileKind.LINK else None
    return layout.mount_point if leads_to == layout.mount_point else None


def bound_node(mounts: Iterable[Mount], root: str, layout: Layout) -> str:
    """The node whose tree is bound at the link of the shared root ``root`` (absolute, without symlinks), "" when
    none is. Needs no look at the file system: where the link is a directory nothing can be at the other place."""
    return bound(mounts, root, layout).node


def bound(mounts: Iterable[Mount], root: str, layout: Layout) -> Bound:
    """What is mounted for the link of the shared root ``root``, in either layout."""
    return _bound(MountTable(mounts), root, layout)


def _bound(table: MountTable, root: str, layout: Layout) -> Bound:
    at_link = bound_at(table, root, layout, layout.link)
    return at_link if at_link.stack else bound_at(table, root, layout, layout.mount_point)


def bound_at(table: MountTable, root: str, layout: Layout, place: str) -> Bound:
    """What is mounted at ``place`` (relative to ``root``)."""
    point = absolute(root, place)
    stack = table.stack(point)
    if not stack:
        return Bound(Holds.NOTHING, point)
    holds, node = _Judge(table, root, layout).judge(stack[-1])
    return Bound(holds, point, node, stack)


def plan_bind(mounts: Iterable[Mount], seen: RootSeen, node: str) -> BindPlan:
    """The plan that makes the tree of ``node`` (its directory name; "": none) the one at the link."""
    table = MountTable(mounts)
    place = link_place(seen.layout, seen.link)
    if place is None:
        return BindPlan(_bound(table, seen.path, seen.layout), findings=(_no_link(seen),) if node else ())
    now = bound_at(table, seen.path, seen.layout, place)
    if not node:
        return _nothing_wanted(table, seen, place, now)
    plan = BindPlan(now) if now.node == node else _another_wanted(table, seen, place, now, node)
    unseen = _unseen(table.holding(seen.path), now.point)
    return replace(plan, findings=(*plan.findings, unseen)) if unseen else plan


def judge(table: MountTable, root: str, layout: Layout, mount: Mount) -> tuple[Holds, str]:
    """What ``mount`` is to the shared root ``root``, and of which node."""
    return _Judge(table, root, layout).judge(mount)


def own_mounts(table: MountTable, root: str, layout: Layout, place: str, until: str = "") -> tuple[Mount, ...]:
    """The mounts at ``place`` that are binds of this root's node trees, the visible one first, down to the first
    one that is not, or that is the tree of the node ``until``."""
    judge = _Judge(table, root, layout)
    found: list[Mount] = []
    for mount in reversed(table.stack(absolute(root, place))):
        holds, node = judge.judge(mount)
        if holds is Holds.FOREIGN or (until and node == until):
            break
        found.append(mount)
    return tuple(found)


def _nothing_wanted(table: MountTable, seen: RootSeen, place: str, now: Bound) -> BindPlan:
    ids = tuple(mount.id for mount in own_mounts(table, seen.path, seen.layout, place))
    if not ids:
        return BindPlan(now)
    return BindPlan(now, Unbind(seen.path, place, ids, f"{_what(now)} is bound there and none should be"))


def _another_wanted(table: MountTable, seen: RootSeen, place: str, now: Bound, node: str) -> BindPlan:
    if seen.tree is None or seen.tree.kind is not FileKind.DIRECTORY:
        return BindPlan(now, findings=(_no_tree(seen, node),))
    if now.stack:
        return _replaced(table, seen, place, now, node)
    if problem := _unfit_point(seen, place, now.point):
        return BindPlan(now, findings=(problem,))
    return BindPlan(now, Bind(seen.path, seen.layout.node_tree(node), place, "nothing is bound there"))


def _replaced(table: MountTable, seen: RootSeen, place: str, now: Bound, node: str) -> BindPlan:
    """Something is mounted at ``place`` that is not the tree of ``node``."""
    own = own_mounts(table, seen.path, seen.layout, place, until=node)
    ids, below = tuple(mount.id for mount in own), now.stack[: len(now.stack) - len(own)]
    if below and _Judge(table, seen.path, seen.layout).judge(below[-1]) == (Holds.NODE, node):
        return BindPlan(now, Unbind(seen.path, place, ids, f"{_what(now)} covers the tree of node {node}"))
    if below:
        return BindPlan(now, findings=(_foreign(now, below[-1], node),))
    return BindPlan(now, Rebind(seen.path, seen.layout.node_tree(node), place, ids, f"{_what(now)} is bound there"))


def _what(now: Bound) -> str:
    return f"the tree of node {now.node}" if now.node else "a tree that is no node's any more"


class _Judge:
    """Tells node trees of one shared root from everything else that can be mounted."""

    def __init__(self, table: MountTable, root: str, layout: Layout) -> None:
        trees = absolute(root, layout.tree)
        self._holder = table.holding(trees)
        self._trees = place_in(self._holder, trees) if self._holder else trees
        base = table.holding(root)
        self._work = f"{place_in(base, root).rstrip('/')}/{WORK}/" if base else ""

    def judge(self, mount: Mount) -> tuple[Holds, str]:
        """What this mount is, and of which node."""
        place = place_in(mount)
        alive = place.removesuffix(_DELETED)
        above, _, node = alive.rpartition("/")
        if self._holder is None:
            # In a chroot the mount that holds the root is hidden, and with it where in its file system the root is.
            ours = above.endswith(self._trees)
        elif mount.device != self._holder.device:
            return Holds.FOREIGN, ""
        else:
            ours = above == self._trees
        if ours and node != MOUNT_POINT:
            return (Holds.NODE, node) if alive == place else (Holds.STALE, "")
        # A transaction or the archive moved the tree away from under its mount.
        moved = bool(self._work) and alive.startswith(self._work)
        return (Holds.STALE if moved else Holds.FOREIGN), ""


def resolved(location: str, text: str) -> str | None:
    """Where a symlink at ``location`` with this text leads, None when outside the root."""
    if text.startswith("/"):
        return None
    parts = location.split("/")[:-1]
    for part in text.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _no_link(seen: RootSeen) -> Finding:
    path = absolute(seen.path, seen.layout.link)
    if seen.link is None:
        message, fix = f"{path} does not exist: nothing can be bound for a node", f"osrctl cdsl init {seen.path}"
    elif seen.link.kind is FileKind.LINK:
        message = f"{path} leads to {seen.link.text}, not to {seen.layout.mount_point}: nothing is bound there"
        fix = f"make it a symlink to {seen.layout.mount_point} or an empty directory (osrctl cdsl repair {seen.path})"
    else:
        message = f"{path} is neither a directory nor a symlink: nothing can be bound there"
        fix = f"move it away, then osrctl cdsl repair {seen.path}"
    return Finding("bind-no-link", Severity.ERROR, message, fix, value=path)


def _no_tree(seen: RootSeen, node: str) -> Finding:
    path = absolute(seen.path, seen.layout.node_tree(node))
    what = "does not exist" if seen.tree is None else "is not a directory"
    message = f"{path} {what}: the tree of node {node} cannot be bound"
    fix = f"add the node to cluster.conf, or bind another one's tree: osrctl cdsl bind {seen.path} NODE"
    return Finding("bind-no-tree", Severity.ERROR, message, fix, node=node, value=path)


def _unfit_point(seen: RootSeen, place: str, point: str) -> Finding | None:
    if seen.point is None:
        message, fix = f"the mount point {point} does not exist", f"osrctl cdsl repair {seen.path}"
        return Finding("bind-no-mount-point", Severity.ERROR, message, fix, value=point)
    if seen.point.kind is not FileKind.DIRECTORY:
        message, fix = (
            f"the mount point {point} is not a directory",
            f"move it away, then osrctl cdsl repair {seen.path}",
        )
        return Finding("bind-no-mount-point", Severity.ERROR, message, fix, value=point)
    if not seen.point.empty:
        message = f"the mount point {point} is not empty: a bind would hide what is in it"
        fix = f"move its content to the node that it belongs to ({seen.layout.tree}/NODE) and leave {place} empty"
        return Finding("bind-not-empty", Severity.ERROR, message, fix, value=point)
    return None


def _foreign(now: Bound, mount: Mount, node: str) -> Finding:
    message = f"{now.point} has something else mounted on it: {mount}; the tree of node {node} is not bound there"
    fix = f"find out who needs it (findmnt {now.point}, systemctl list-units --type=mount) and umount {now.point}"
    return Finding("bind-foreign-mount", Severity.ERROR, message, fix, node=node, value=now.point, other=str(mount))


def _unseen(holder: Mount | None, point: str) -> Finding | None:
    """A warning when the mount table of osrd only follows another one: a service with a mount namespace of its own
    (systemd.exec(5), mount_namespaces(7)). Process 1 cannot be asked: osrd has fewer capabilities."""
    if holder is None or not holder.slave:
        return None
    message = f"what osrd binds at {point} is only seen in its own mount namespace: {holder.point} is a slave mount"
    fix = "take PrivateTmp=, ProtectSystem= and their like out of the drop-ins of osrd.service (osrd(8))"
    return Finding("bind-unseen", Severity.WARNING, message, fix, value=point)
