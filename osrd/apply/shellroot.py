# SPDX-License-Identifier: GPL-3.0-or-later
"""A root as one node sees it, put together in the mount namespace of the calling process and made its "/".

Everything is joined by descriptors that were opened inside the root, so no symlink in it leads anywhere else. Device
nodes that are stored in the root do not work (nodev): a node could have made one of this host's disk.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress

from osrd.apply.devices import mount_devices
from osrd.apply.syscalls import (
    AT_FDCWD,
    AT_RECURSIVE,
    MNT_DETACH,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    mount_setattr,
    move_mount,
    new_mount,
    open_tree,
    pivot_root,
    umount2,
)
from osrd.model.cdsl import MOUNT_POINT, FileKind, Layout
from osrd.model.errors import ConflictError, InvalidArgsError, NotFoundError
from osrd.observe.inside import Inside
from osrd.observe.mounts import physical_path, read_mounts
from osrd.plan.bindmounts import bound_node, link_place, resolved
from osrd.plan.shell import Login, default_node, login

Tell = Callable[[str], None]

_UMOUNT_NOFOLLOW = 8
_WHOLE_TREE = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PSEUDO = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
#: of /etc/passwd; a longer one does not hide that root is one of its first lines
_MOST_PASSWD = 1 << 16


class ShellRoot:
    """The root at ``path`` as node ``node`` sees it ("": the node whose tree is bound, else the first one).

    For a process in namespaces of its own (``enter_own_namespaces``); ``tell`` gets what could not be mounted. The
    constructor does all but /proc, which only a process of the new process numbers can mount, and entering.
    Raises OsrdError, or OSError when the kernel refuses a mount.
    """

    def __init__(self, path: str, node: str, layout: Layout, tell: Tell, *, own_user: bool) -> None:
        self._tell = tell
        self._own_user = own_user
        with Inside.open(path) as inside:
            self.node = _chosen(inside, node, layout)
            self._root = Inside(path, open_tree(inside.fd, "", _WHOLE_TREE))
            mount_setattr(self._root.fd, set_=MOUNT_ATTR_NODEV, recursive=True)
            move_mount(self._root.fd, inside.fd)
        if self.node:
            _bind_node(self._root, layout, self.node)
        self._mount("sys", self._sysfs)
        self._mount("dev", lambda target: mount_devices(target, own_user=own_user))

    def mount_proc(self) -> None:
        """Called in the process that is number 1 of the new process numbers."""
        self._mount("proc", self._proc)

    def enter(self) -> None:
        """Make it "/" of this process and of its children, and let go of the host's mounts."""
        os.fchdir(self._root.fd)
        try:
            pivot_root(".", ".")
            umount2(".", MNT_DETACH)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # In an initramfs, or a chroot, "/" cannot be exchanged.
            os.chroot(".")
        os.chdir("/")
        self._root.close()

    def _mount(self, name: str, mount: Callable[[int], None]) -> None:
        try:
            target = os.open(name, _DIRECTORY, dir_fd=self._root.fd)
        except OSError:
            self._tell(
                f"{self._root.path} has no directory {name}, so it is not mounted (mkdir {self._root.name(name)})"
            )
            return
        try:
            mount(target)
        finally:
            os.close(target)

    def _sysfs(self, target: int) -> None:
        """Read-only: what is written there changes this host, which is not the node."""
        try:
            mount = new_mount("sysfs", _PSEUDO | MOUNT_ATTR_RDONLY)
        except PermissionError:  # a user namespace without a network namespace
            mount = open_tree(AT_FDCWD, "/sys", _WHOLE_TREE)
            mount_setattr(mount, set_=MOUNT_ATTR_RDONLY, recursive=True)
        _attach(mount, target)

    def _proc(self, target: int) -> None:
        try:
            mount = new_mount("proc", _PSEUDO)
        except PermissionError:  # in a container whose own /proc is partly hidden
            _attach(open_tree(AT_FDCWD, "/proc", _WHOLE_TREE), target)
            return
        move_mount(mount, target)
        if not self._own_user:
            # Kernel settings are this host's, too (sysctl -p in a package script).
            for name in ("sys", "sysrq-trigger"):
                with suppress(FileNotFoundError):
                    _read_only(mount, name)
        os.close(mount)


def _chosen(inside: Inside, node: str, layout: Layout) -> str:
    if node in (".", "..", MOUNT_POINT) or "/" in node or "\0" in node:
        raise InvalidArgsError(f"{node!a} is not the name of a node tree")
    if node:
        if inside.status(layout.node_tree(node)) is None:
            has = ", ".join(_trees(inside, layout)) or "none"
            raise NotFoundError(f"{inside.path} has no tree of node {node} (there are: {has})", "name one of them")
        return node
    bound = bound_node(read_mounts(), physical_path(inside.fd), layout)
    return default_node(bound, _trees(inside, layout), layout)


def _trees(inside: Inside, layout: Layout) -> list[str]:
    """The directories in which node trees are."""
    try:
        return [name for name in inside.names(layout.tree) if _is_directory(inside, layout.node_tree(name))]
    except NotFoundError:
        return []


def _is_directory(inside: Inside, path: str) -> bool:
    status = inside.status(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def _bind_node(root: Inside, layout: Layout, node: str) -> None:
    """Bind the node's tree where the link leads."""
    link = root.look(layout.link)
    if link is not None and link.kind is FileKind.LINK and resolved(layout.link, link.text) == layout.node_tree(node):
        return  # the link is this node's without any mount
    place = link_place(layout, link)
    if place is None:
        raise NotFoundError(
            f"{root.name(layout.link)} is neither a directory nor a symlink to {layout.mount_point}: there is no place"
            f" for the tree of node {node}",
            f"osrctl cdsl repair {root.path}",
        )
    with root.holding(place) as (parent, name), root.holding(layout.node_tree(node)) as (trees, tree_name):
        _uncover(parent, name)
        tree = _directory(root, layout.node_tree(node), trees, tree_name)
        try:
            target = _directory(root, place, parent, name)
            try:
                _attach(open_tree(tree, "", _WHOLE_TREE), target)
            finally:
                os.close(target)
        finally:
            os.close(tree)


def _uncover(parent: int, name: str) -> None:
    """Take what the host has bound there off our copy of the root. In a user namespace mounts that were inherited
    stay (EINVAL, as for no mount at all), and ours goes over them."""
    while True:
        try:
            umount2(f"/proc/self/fd/{parent}/{name}", MNT_DETACH | _UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return
            raise


def _directory(root: Inside, path: str, parent: int, name: str) -> int:
    """A descriptor of what is at ``path``, mounts included, which the caller closes."""
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError as error:
        raise NotFoundError(f"{root.name(path)} does not exist", f"osrctl cdsl check {root.path}") from error
    except OSError as error:
        raise ConflictError(
            f"{root.name(path)} is not a directory", f"look who replaced it, then osrctl cdsl check {root.path}"
        ) from error


def _attach(mount: int, target: int) -> None:
    try:
        move_mount(mount, target)
    finally:
        os.close(mount)


def _read_only(mount: int, name: str) -> None:
    target = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=mount)
    try:
        copy = open_tree(target)
        mount_setattr(copy, set_=MOUNT_ATTR_RDONLY)
        _attach(copy, target)
    finally:
        os.close(target)


def login_inside() -> Login:
    """The home and shell of root in the root that was entered; its /etc/passwd may be anything, also a FIFO."""
    try:
        fd = os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return Login()
    try:
        found = login(os.read(fd, _MOST_PASSWD)) if stat.S_ISREG(os.fstat(fd).st_mode) else Login()
    finally:
        os.close(fd)
    return found if os.access(found.shell, os.X_OK) else Login(found.home)
