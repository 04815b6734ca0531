# SPDX-License-Identifier: GPL-3.0-or-later
"""The mount table of this process, read so that it is one state of it and not parts of several, and what a shared
root says about its bind mount."""

import os
import select

from osrd.model.cdsl import Layout
from osrd.model.errors import FailedError
from osrd.model.mount import Mount, RootSeen
from osrd.observe.inside import Inside
from osrd.parse.mountinfo import parse_mountinfo
from osrd.plan.bindmounts import bound_node, link_place

_MOUNTINFO = "/proc/self/mountinfo"
_READ_BYTES = 1 << 20
#: a table that changes faster than it can be read is taken as it is; the watcher wakes us for the next change
_MOST_ATTEMPTS = 20


def read_mounts() -> tuple[Mount, ...]:
    """Every mount that this process can see. Raises FailedError where /proc is not mounted."""
    return parse_mountinfo(read_table())


def read_table(path: str = _MOUNTINFO) -> bytes:
    """The bytes of a mount table. The kernel hands out a page at a time and lets mounts change in between; it tells
    (POLLPRI) when it did, and then the whole is read again."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FailedError(f"{path}: {error.strerror}: mounts cannot be seen", "mount /proc") from error
    try:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        for _attempt in range(_MOST_ATTEMPTS):
            data = _whole(fd)
            if not poll.poll(0):
                break
        return data
    finally:
        os.close(fd)


def _whole(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    parts: list[bytes] = []
    while part := os.read(fd, _READ_BYTES):
        parts.append(part)
    return b"".join(parts)


def mount_id(fd: int) -> int:
    """The identifier (the first column of the table) of the mount that the open file ``fd`` is reached through."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as stream:
        for line in stream:
            if line.startswith(b"mnt_id:"):
                return int(line[len(b"mnt_id:") :])
    raise FailedError("the kernel does not tell mounts of open files apart", "use Linux 5.8 or newer")


def physical_path(fd: int) -> str:
    """The path of an open directory as the mount table spells it: absolute, no symlinks."""
    return os.readlink(f"/proc/self/fd/{fd}")


def see_root(inside: Inside, layout: Layout, node: str = "") -> RootSeen:
    """What there is to know for binding the tree of ``node``. Raises ConflictError when a symlink or another mount
    is in the way to the link, the mount point or the tree."""
    link = inside.look(layout.link)
    place = link_place(layout, link)
    return RootSeen(
        path=physical_path(inside.fd),
        layout=layout,
        link=link,
        point=inside.look(place) if place is not None else None,
        tree=inside.look(layout.node_tree(node)) if node else None,
    )


def node_at_link(root: str, layout: Layout) -> str:
    """The node whose tree is at the link of the shared root at ``root`` now, "" when none is or /proc is missing."""
    try:
        return bound_node(read_mounts(), os.path.realpath(root), layout)
    except FailedError:
        return ""
