# SPDX-License-Identifier: GPL-3.0-or-later
"""The bind mounts of shared roots (DESIGN 5): a node's tree at the root's link, put there and taken away.

Both ends are opened inside the root first, then joined by descriptor (open_tree, move_mount): no name is resolved a
second time, so a node that swaps a directory for a symlink meanwhile changes nothing. What was done is looked up in
the mount table afterwards; a mount that is not where it should be is taken away again.

The clone stays in the peer group of the mount that it was made from, as with ``mount --bind``: in the host's namespace
it is seen by everybody. That needs an osrd in the host's mount namespace (see the comment in osrd.service).
"""

import errno
import os
from contextlib import suppress

from osrd.apply.syscalls import MNT_DETACH, move_mount, open_tree, umount2
from osrd.model.cdsl import Layout
from osrd.model.errors import BusyError, ConflictError, FailedError, NotFoundError, OsrdError, UnsupportedError
from osrd.model.mount import Holds, Mount
from osrd.observe.holders import holders
from osrd.observe.inside import Inside
from osrd.observe.mounts import mount_id, physical_path, read_mounts, see_root
from osrd.plan.bindmounts import Bind, BindAction, BindPlan, Rebind, absolute, judge, own_mounts, plan_bind
from osrd.plan.mounttable import MountTable

_UMOUNT_NOFOLLOW = 8
#: of the processes that keep a mount busy; the first ones are enough to know what to do
_MOST_NAMED = 5


def keep(path: str, layout: Layout, node: str, *, lazy: bool = False) -> BindPlan:
    """Make the tree of ``node`` ("": none) the one at the link of the shared root at ``path``: look, plan, act.

    Returns the plan that was carried out; nothing was done when it has no action. Raises OsrdError: BusyError when
    another node's tree is bound there and in use (with ``lazy`` it is detached, and goes when its last user does).
    """
    with Inside.open(path) as inside:
        plan = plan_bind(read_mounts(), see_root(inside, layout, node), node)
        if plan.action is not None:
            carry_out(inside, layout, plan.action, lazy=lazy)
        return plan


def carry_out(inside: Inside, layout: Layout, action: BindAction, *, lazy: bool = False) -> None:
    """Do what was planned for this root. Raises OsrdError like ``bind`` and ``unbind``."""
    if not isinstance(action, Bind):
        unbind(inside, action.point, action.mounts, lazy=lazy)
    if isinstance(action, Bind | Rebind):
        bind(inside, layout, action.source, action.point)


def release(path: str, layout: Layout, *, lazy: bool = False) -> tuple[Mount, ...]:
    """Take away every bind of a node tree at the link of the shared root at ``path``, for a root that goes from the
    configuration; in either layout, whoever made it. Returns what was unmounted, () when the root is gone.

    Raises BusyError when one is in use (not with ``lazy``), ConflictError when something else is mounted over one.
    """
    try:
        inside = Inside.open(path)
    except NotFoundError:
        return ()
    gone: list[Mount] = []
    with inside:
        for place in dict.fromkeys((layout.link, layout.mount_point)):
            table = MountTable(read_mounts())
            root = physical_path(inside.fd)
            own = own_mounts(table, root, layout, place)
            unbind(inside, place, tuple(mount.id for mount in own), lazy=lazy)
            gone += own
            _refuse_covered(table, root, layout, place, len(own))
    return tuple(gone)


def bind(inside: Inside, layout: Layout, source: str, point: str) -> Mount:
    """Bind the directory ``source`` on the empty directory ``point``, both relative to the root.

    Raises ConflictError when a symlink or a mount is in the way, ``point`` is not empty or something else changed
    there meanwhile; NotFoundError when one of them is missing; FailedError when the kernel refuses.
    """
    tree = inside.directory(source)
    try:
        target = inside.listing(point)
        try:
            if os.listdir(target):
                raise ConflictError(
                    f"{inside.name(point)} is not empty: a bind would hide what is in it",
                    "move its content to the node that it belongs to",
                )
            mount = _joined(inside, tree, target, point)
        finally:
            os.close(target)
    finally:
        os.close(tree)
    try:
        return _verified(inside, layout, mount, source, point)
    finally:
        os.close(mount)


def _joined(inside: Inside, tree: int, target: int, point: str) -> int:
    """A descriptor of the new mount."""
    try:
        mount = open_tree(tree)
    except OSError as error:
        raise _refused(inside, point, error) from error
    try:
        move_mount(mount, target)
    except OSError as error:
        os.close(mount)
        raise _refused(inside, point, error) from error
    return mount


def _verified(inside: Inside, layout: Layout, mount: int, source: str, point: str) -> Mount:
    """The new mount as the table has it; it is taken away when it is not the one at ``point``."""
    table = MountTable(read_mounts())
    root = physical_path(inside.fd)
    stack = table.stack(absolute(root, point))
    # Somebody may mount over ours at any time; but ours over something that came meanwhile would cover that.
    if stack and stack[0].id == mount_id(mount):
        holds, node = judge(table, root, layout, stack[0])
        if holds is Holds.NODE and layout.node_tree(node) == source:
            return stack[0]
    with suppress(OSError):
        umount2(f"/proc/self/fd/{mount}", MNT_DETACH)
    raise ConflictError(
        f"{inside.name(point)} or {inside.name(source)} was replaced while it was being bound; nothing is bound there",
        "look who changes it; osrd tries again",
    )


def unbind(inside: Inside, point: str, mounts: tuple[int, ...], *, lazy: bool = False) -> None:
    """Unmount exactly ``mounts`` (identifiers, the visible one first) from the directory ``point``.

    Raises BusyError naming the users (not with ``lazy``, which detaches), ConflictError when another mount is there.
    """
    for wanted in mounts:
        with inside.holding(point) as (parent, name):
            if _mounted(parent, name) != wanted:
                raise ConflictError(f"{inside.name(point)}: another mount is there now", "osrd looks again")
            try:
                # By name in the held directory: a descriptor of the mount itself would keep it busy.
                umount2(f"/proc/self/fd/{parent}/{name}", _UMOUNT_NOFOLLOW | (MNT_DETACH if lazy else 0))
            except OSError as error:
                raise _not_unmounted(inside, point, error) from error


def _mounted(parent: int, name: str) -> int | None:
    """The mount that one is in at ``name``, not through a symlink; None when no directory is there."""
    try:
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return None
    try:
        return mount_id(fd)
    finally:
        os.close(fd)


def _refuse_covered(table: MountTable, root: str, layout: Layout, place: str, removed: int) -> None:
    """Raise ConflictError when a node's tree is left below what is not ours."""
    stack = table.stack(absolute(root, place))
    left = stack[: len(stack) - removed]
    if any(judge(table, root, layout, mount)[0] is not Holds.FOREIGN for mount in left):
        raise ConflictError(
            f"{absolute(root, place)}: {left[-1]} is mounted over the tree of a node, which stays mounted",
            f"umount {absolute(root, place)} until nothing is mounted there; the first one is not osrd's",
        )


def _refused(inside: Inside, point: str, error: OSError) -> OsrdError:
    where = inside.name(point)
    if error.errno == errno.ENOSYS:
        return UnsupportedError(f"{where}: this kernel cannot bind by descriptor", "Linux 5.2 or newer is needed")
    if error.errno == errno.EPERM:
        return FailedError(
            f"{where}: this process may not mount", "run osrd as root; in a container it needs CAP_SYS_ADMIN"
        )
    if error.errno == errno.EINVAL:
        return FailedError(
            f"{where}: the kernel does not bind here",
            "the mount that the root is in must not be unbindable (findmnt -o TARGET,PROPAGATION) and must be one of"
            " osrd's own mount namespace",
        )
    return FailedError(f"{where}: cannot be bound: {error.strerror}")


def _not_unmounted(inside: Inside, point: str, error: OSError) -> OsrdError:
    where = inside.name(point)
    if error.errno == errno.EBUSY:
        return BusyError(
            f"{where} is in use{_users(absolute(physical_path(inside.fd), point))}", "end that, or detach"
        )
    if error.errno == errno.EPERM:
        return FailedError(f"{where}: this process may not unmount", "run osrd as root")
    if error.errno == errno.EINVAL:
        return ConflictError(f"{where} is no mount point any more, or one that belongs to another namespace")
    return FailedError(f"{where}: cannot be unmounted: {error.strerror}")


def _users(point: str) -> str:
    """Who keeps the mount at ``point`` busy, as the end of a sentence."""
    below = [mount.point for mount in read_mounts() if mount.point.startswith(f"{point}/")]
    users = [*(f"{each} is mounted in it" for each in below), *map(str, holders(point))]
    named = ", ".join(users[:_MOST_NAMED])
    more = f" and {len(users) - _MOST_NAMED} more" if len(users) > _MOST_NAMED else ""
    return f": {named}{more}" if users else ""
