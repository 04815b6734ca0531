# SPDX-License-Identifier: GPL-3.0-or-later
"""A /dev for commands in a shared root.

Not the host's: programs of the root, which any node may have replaced, and package scripts in good faith, would find
this host's disks there. So /dev is a tmpfs with the harmless devices, pseudo terminals of its own, and the caller's
terminal as /dev/console, where ttyname(3) finds it. The devices are bound from the host's /dev, which needs no mknod;
what mknod makes in there does not work.
"""

import os
import stat
from contextlib import suppress

from osrd.apply.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    move_mount,
    new_mount,
    open_tree,
)

_HARMLESS = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
#: the group tty of every distribution, which write(1) and grantpt(3) count on
_TTY_GROUP = "5"


def mount_devices(target: int, *, own_user: bool, terminals: bool = True) -> None:
    """Put a new /dev on the open directory ``target``. In a user namespace (``own_user``) there is no group tty;
    without ``terminals`` there are neither those nor shared memory, for programs that talk to nobody.

    Raises OSError when the kernel refuses a mount.
    """
    dev = new_mount("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, mode="755", size="1m")
    try:
        move_mount(dev, target)
        for name in _HARMLESS:
            _bind_device(dev, name, f"/dev/{name}")
        for name, text in _LINKS.items():
            os.symlink(text, name, dir_fd=dev)
        if not terminals:
            return
        terminal = _terminal()
        if terminal:
            _bind_device(dev, "console", terminal)
        os.symlink("pts/ptmx", "ptmx", dir_fd=dev)
        options = {"ptmxmode": "666", "mode": "620", **({} if own_user else {"gid": _TTY_GROUP})}
        _mount_below(dev, "pts", new_mount("devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, **options))
        _mount_below(dev, "shm", new_mount("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, mode="1777"))
    finally:
        os.close(dev)


def _mount_below(directory: int, name: str, mount: int) -> None:
    """Make the directory ``name`` and put ``mount``, which is closed, on it."""
    try:
        os.mkdir(name, 0o755, dir_fd=directory)
        target = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            move_mount(mount, target)
        finally:
            os.close(target)
    finally:
        os.close(mount)


def _bind_device(directory: int, name: str, path: str) -> None:
    """Show the host's character device ``path`` as ``name``; nothing when the host has none."""
    try:
        source = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISCHR(os.fstat(source).st_mode):
            return
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory))
        target = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            clone = open_tree(source)
            try:
                move_mount(clone, target)
            finally:
                os.close(clone)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _terminal() -> str:
    """The path of the terminal that the command will have, "" when it will have none."""
    for fd in (0, 1, 2):
        with suppress(OSError):
            return os.ttyname(fd)
    return ""
