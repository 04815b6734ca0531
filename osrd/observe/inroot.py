# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a configuration file of a shared root as a node would find it: symlinks mean what they mean in there.

openat2(2) with RESOLVE_IN_ROOT: an absolute link and ``..`` stay inside the root, so that no node can make this host
read a file of its own (DESIGN law 5).
"""

import ctypes
import errno
import os
import stat

from osrd.model.errors import InvalidConfigError, NotFoundError, UnsupportedError

_OPENAT2 = 437  # the same on every architecture
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x02, 0x04, 0x08, 0x10
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
#: Errors that mean: there is no such file for a node either.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class _How(ctypes.Structure):
    """struct open_how."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def read_in_root(root: str, path: str, limit: int) -> bytes:
    """All of the regular file ``path`` (relative) of the root, at most ``limit`` bytes.

    Raises NotFoundError, InvalidConfigError saying why it cannot be read, UnsupportedError before Linux 5.6.
    """
    name = f"{root.rstrip('/')}/{path}"
    try:
        directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            place = _open(directory, path, os.O_PATH | os.O_CLOEXEC, _IN_ROOT | _NO_MAGICLINKS)
        finally:
            os.close(directory)
        try:
            # Before it is really opened: opening a device does things.
            if not stat.S_ISREG(os.fstat(place).st_mode):
                raise InvalidConfigError(f"{name}: is not a regular file")
            descriptor = os.open(f"/proc/self/fd/{place}", _FLAGS)
        finally:
            os.close(place)
        with open(descriptor, "rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        if error.errno in _ABSENT:
            raise NotFoundError(f"{name}: there is no such file") from None
        if error.errno == errno.ENOSYS:
            raise UnsupportedError(
                "this kernel cannot resolve paths inside a root (openat2)", "use Linux 5.6"
            ) from None
        raise InvalidConfigError(f"{name}: cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise InvalidConfigError(f"{name}: is longer than {limit} bytes")
    return data


def directory_in_root(root: str, path: str) -> os.stat_result:
    """What the directory ``path`` (relative) of the root is; other file systems may be mounted on the way.

    Raises NotFoundError, and UnsupportedError when a symlink or ``..`` is on the way: any node could let it lead to a
    directory of this host.
    """
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        descriptor = _open(directory, path, flags, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NotFoundError(f"{root}/{path}: there is no such directory", "mount it, or correct -m") from None
        raise UnsupportedError(
            f"{path} does not lead straight to a directory of {root}: {error.strerror}", "name the directory itself"
        ) from error
    finally:
        os.close(directory)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _open(directory: int, path: str, flags: int, resolve: int) -> int:
    how = _How(flags, 0, resolve)
    descriptor: int = _libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(directory),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return descriptor
