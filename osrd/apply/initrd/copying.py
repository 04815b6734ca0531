# SPDX-License-Identifier: GPL-3.0-or-later
"""How files come into the image store: copied out of a root, moved out of a build, written; each durable at the end.

Functions raise OSError for what the host or the file is to blame for.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from osrd.apply.files import finish_temp, remove_temp, write_temp
from osrd.model.errors import NotFoundError
from osrd.observe.nodeview import NodeView

_CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o644


def sync(directory: str) -> None:
    """Make what happened to the names in ``directory`` durable."""
    with _opened(directory) as fd:
        os.fsync(fd)


def write(path: str, data: bytes) -> None:
    """A new file."""
    with _opened(os.path.dirname(path)) as directory:
        write_temp(directory, os.path.basename(path), data, _MODE, sync=True)


def replace_file(path: str, data: bytes) -> None:
    """The file at ``path`` becomes this, all at once. Its temporary file has one name, which is osrd's."""
    name = os.path.basename(path)
    temp = f".{name}.new"
    with _opened(os.path.dirname(path)) as directory:
        remove_temp(directory, temp)
        write_temp(directory, temp, data, _MODE, sync=True)
        try:
            os.rename(temp, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            remove_temp(directory, temp)
            raise
        os.fsync(directory)


def copy_inside(view: NodeView, path: str, destination: str, limit: int) -> tuple[str, int]:
    """Copy the regular file ``path`` of a shared root to the new file ``destination``; the sha256 (hex) and the size
    of what was copied. Symbolic links lead nowhere out of the root (DESIGN law 5), and no more than ``limit`` bytes
    and one are copied, however fast somebody makes it grow. Raises NotFoundError, ConflictError when there is no such
    file."""
    place = view.physical(path)
    if not place:
        raise NotFoundError(f"{view.inside.name(path)} leads nowhere", "look who made the symlink")
    source = view.inside.regular(place)
    try:
        target = os.open(destination, _CREATE, _MODE)
        try:
            os.fchmod(target, _MODE)
            hasher, size = sha256(), 0
            while size <= limit and (part := os.read(source, min(_CHUNK, limit + 1 - size))):
                hasher.update(part)
                size += len(part)
                while part:
                    part = part[os.write(target, part) :]
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)
    return hasher.hexdigest(), size


def take(source: str, destination: str) -> tuple[str, int]:
    """Move what a build made to ``destination`` on the same file system; its sha256 (hex) and size. It has to be a
    regular file of one name."""
    os.rename(source, destination)
    with _opened(os.path.dirname(destination)) as directory:
        return finish_temp(directory, os.path.basename(destination), _MODE)


def tail(path: str, limit: int) -> bytes:
    """The last ``limit`` bytes of a regular file that a build wrote; b"" when it is none."""
    try:
        fd = os.open(path, _READ)
    except OSError:
        return b""
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return b""
        os.lseek(fd, max(0, status.st_size - limit), os.SEEK_SET)
        parts = []
        left = limit
        while left > 0 and (part := os.read(fd, min(left, _CHUNK))):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(fd)
    return b"".join(parts)


@contextmanager
def _opened(directory: str) -> Iterator[int]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
