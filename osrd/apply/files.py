# SPDX-License-Identifier: GPL-3.0-or-later
"""Files put in place atomically: temporary file beside the destination, durable, then rename (DESIGN law 2).

All names are relative to a directory descriptor, and nothing follows a symlink.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from hashlib import sha256

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME_MAX = 255
_RENAME_NOREPLACE = 1

#: The host, not the file, is in trouble: going on with the next file would meet the same.
FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM})

_libc = ctypes.CDLL(None, use_errno=True)
_libc.renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_libc.syncfs.argtypes = (ctypes.c_int,)


def temp_name(name: str, number: int) -> str:
    """The name of the file that becomes ``name`` in run ``number``. It begins with a dot, which directory-reading
    servers (dnsmasq's conf-dir, exports.d) skip; it can be computed again after a crash, so nothing is ever searched
    for by pattern."""
    temp = f".{name}.osrd-{number}"
    if len(os.fsencode(temp)) > _NAME_MAX:
        return f".{sha256(os.fsencode(name)).hexdigest()}.osrd-{number}"
    return temp


def write_temp(directory: int, temp: str, data: bytes, mode: int, *, sync: bool) -> None:
    """A new file with this content and exactly these permission bits, whatever the umask. Raises OSError; a file
    that it could not finish is removed again."""
    fd = _create(directory, temp, mode)
    try:
        os.fchmod(fd, mode)
        written = os.write(fd, data)
        while written < len(data):
            written += os.write(fd, memoryview(data)[written:])
        if sync:
            os.fsync(fd)
    except OSError:
        os.close(fd)
        remove_temp(directory, temp)
        raise
    os.close(fd)


def create_empty(directory: int, temp: str) -> None:
    """A new empty file that only root can read, for a program to write into. Raises OSError."""
    os.close(_create(directory, temp, 0o600))


def _create(directory: int, temp: str, mode: int) -> int:
    try:
        return os.open(temp, _CREATE, mode, dir_fd=directory)
    except FileExistsError:
        raise
    except OSError:
        # A network file system may report an error for what the server did.
        remove_temp(directory, temp)
        raise


def size_of(directory: int, temp: str) -> int:
    """The size of what a program wrote. Raises OSError."""
    return os.stat(temp, dir_fd=directory, follow_symlinks=False).st_size


def finish_temp(directory: int, temp: str, mode: int) -> tuple[str, int]:
    """Set the mode of what a program wrote, make it durable, and give its sha256 (hex) and size. Raises OSError."""
    fd = os.open(temp, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "the program left no regular file")
        hasher = sha256()
        size = 0
        while part := file.read(1 << 20):
            hasher.update(part)
            size += len(part)
        os.fchmod(fd, mode)
        os.fsync(fd)
    return hasher.hexdigest(), size


def put_in_place(directory: int, temp: str, name: str, *, fresh: bool) -> None:
    """Rename. With ``fresh`` nothing may be at ``name``: raises FileExistsError instead of replacing what somebody
    put there since it was looked at. Raises OSError."""
    if not fresh:
        os.rename(temp, name, src_dir_fd=directory, dst_dir_fd=directory)
        return
    # The bytes stay referenced by these names until the call is over.
    old, new = os.fsencode(temp), os.fsencode(name)
    if _libc.renameat2(directory, old, directory, new, _RENAME_NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        # NFS and old file systems have no such rename; a hard link refuses to replace as well.
        os.link(temp, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        os.unlink(temp, dir_fd=directory)
        return
    raise OSError(number, os.strerror(number), name)


def remove_temp(directory: int, temp: str) -> None:
    """Remove a temporary file of ours. What cannot be removed stays; the next start tries again."""
    try:
        os.unlink(temp, dir_fd=directory)
    except OSError:
        return


def sync_file_systems(directories: Iterable[int]) -> None:
    """One syncfs(2) for each file system that holds one of these open directories. Raises OSError."""
    by_device = {os.fstat(fd).st_dev: fd for fd in directories}
    for fd in by_device.values():
        if _libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
