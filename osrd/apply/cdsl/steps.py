# SPDX-License-Identifier: GPL-3.0-or-later
"""Single objects of a staged tree: directories, links, files. The big ones are cp's (staging.py).

All raise OSError, or what Inside raises.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from osrd.apply.files import write_temp
from osrd.model.errors import ConflictError
from osrd.model.transaction import DropLink, MakeDirectory, MakeFile, MakeLink
from osrd.observe.inside import Inside

Small = MakeDirectory | MakeLink | MakeFile | DropLink
#: attributes that a process without root's rights cannot set, or that not every file system has
_OPTIONAL = ("security.", "trusted.")


def perform(inside: Inside, step: Small, place: str) -> None:
    """Do ``step`` at the staged path ``place``. The times of the directory around it stay as a copy left them."""
    with inside.holding(place) as (parent, name), times_kept(parent):
        match step:
            case MakeDirectory():
                os.mkdir(name, 0o700, dir_fd=parent)
                _become_like(inside, place, step.like)
            case MakeLink():
                replace_link(inside, parent, name, step.text)
            case MakeFile():
                write_temp(parent, name, step.data, step.mode, sync=False)
            case DropLink():
                _the_link(inside, parent, name)
                os.unlink(name, dir_fd=parent)


def replace_link(inside: Inside, parent: int, name: str, text: str) -> None:
    """A symlink with this text at ``name``; owner, times and labels are those of the symlink that was there."""
    before = _the_link(inside, parent, name, needed=False)
    # Links cannot be opened for their attributes; the descriptor's own entry in /proc leads to the directory.
    path = f"/proc/self/fd/{parent}/{name}"
    labels = _attributes(path) if before else {}
    if before:
        os.unlink(name, dir_fd=parent)
    os.symlink(text, name, dir_fd=parent)
    if before:
        os.chown(name, before.st_uid, before.st_gid, dir_fd=parent, follow_symlinks=False)
        for attribute, value in labels.items():
            _set(path, attribute, value)
        os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns), dir_fd=parent, follow_symlinks=False)


def _the_link(inside: Inside, parent: int, name: str, *, needed: bool = True) -> os.stat_result | None:
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        if needed:
            raise
        return None
    if not stat.S_ISLNK(found.st_mode):
        raise ConflictError(f"the copy of {name!r} in {inside.path} is no symlink any more", "try again")
    return found


def _become_like(inside: Inside, place: str, like: str) -> None:
    """Owner, ACLs, labels and mode of the directory ``like``, in this order: each resets the one after it."""
    fd = inside.listing(place)
    try:
        if not like:
            os.fchmod(fd, 0o755)
            return
        model = inside.listing(like)
        try:
            found = os.fstat(model)
            os.fchown(fd, found.st_uid, found.st_gid)
            for attribute, value in _attributes(model).items():
                _set(fd, attribute, value)
            os.fchmod(fd, stat.S_IMODE(found.st_mode))
        finally:
            os.close(model)
    finally:
        os.close(fd)


def _attributes(of: int | str) -> dict[str, bytes]:
    follow = isinstance(of, int)
    try:
        return {
            name: os.getxattr(of, name, follow_symlinks=follow) for name in os.listxattr(of, follow_symlinks=follow)
        }
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENODATA, errno.EPERM):
            return {}
        raise


def _set(of: int | str, name: str, value: bytes) -> None:
    try:
        os.setxattr(of, name, value, follow_symlinks=isinstance(of, int))
    except OSError as error:
        if not name.startswith(_OPTIONAL) or error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL):
            raise


@contextmanager
def times_kept(directory: int) -> Iterator[None]:
    """What is done in the directory leaves its times as they were."""
    before = os.fstat(directory)
    yield
    os.utime(".", ns=(before.st_atime_ns, before.st_mtime_ns), dir_fd=directory)
