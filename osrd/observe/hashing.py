# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of files, computed once for as long as nothing about the file changes.

A file is known by device, inode, size, mtime and ctime. ctime cannot be set back by hand, so a kernel that was
replaced by one of the same size and date is noticed.
"""

import ctypes
import errno
import os
import stat
import sys
import time
from hashlib import sha256

from osrd.model.output import FileState, NotAFile

_Identity = tuple[int, int, int, int, int]

#: A file that changed this recently (seconds) may change again without its times moving (a tick of the kernel's
#: clock is up to 10 ms, other hosts' clocks differ), so its digest is not kept.
_UNSETTLED = 2.0

#: Of a root any node could make one of many TiB that takes no space, or one that grows for as long as it is read.
_LARGEST = 4 << 30
_PART = 1 << 20

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

# openat2(2), which Python has no function for; the number is the same on every architecture osrd runs on.
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)


def open_in_root(root: str, path: str) -> int:
    """Open ``path``, which is inside the directory ``root``, for reading if it is a regular file: opening a device
    does things. Symbolic links are resolved as a process with that root would, so that none of them leads out of it
    (law 5). Returns a descriptor, of anything else one that cannot be read. Raises OSError."""
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
        name = os.fsencode(os.path.relpath(path, root))
        descriptor = _libc.syscall(_SYS_OPENAT2, directory, name, ctypes.byref(how), ctypes.sizeof(how))
        if descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return int(descriptor)
    try:
        return os.open(f"/proc/self/fd/{descriptor}", _OPEN_FLAGS)
    finally:
        os.close(descriptor)


class Hasher:
    """Remembers digests. ``begin`` and ``end`` bracket a pass; what was not asked for in a pass is forgotten."""

    def __init__(self) -> None:
        self._known: dict[_Identity, str] = {}
        self._used: dict[_Identity, str] = {}
        self.hashed = 0

    def begin(self, *, rehash: bool = False) -> None:
        """Start a pass; with ``rehash`` nothing that was known is believed."""
        if rehash:
            self._known.clear()
        self._used = {}

    def end(self) -> None:
        self._known = self._used

    def state(self, path: str, root: str = "") -> FileState | NotAFile:
        """What is at ``path``, symbolic links followed; with ``root``, followed inside that directory only."""
        return self.located(path, root)[0]

    def located(self, path: str, root: str = "") -> tuple[FileState | NotAFile, str]:
        """The same, and where the content really is."""
        try:
            if not root:
                # The cheap way first: nothing is opened for what is known or absent.
                status = os.stat(path)
                if not stat.S_ISREG(status.st_mode):
                    return NotAFile.OTHER, path
                if digest := self._remembered(status):
                    return _file_state(digest, status), path
            descriptor = open_in_root(root, path) if root else os.open(path, _OPEN_FLAGS)
        except OSError as error:
            absent = error.errno in (errno.ENOENT, errno.ENOTDIR)
            return (NotAFile.ABSENT if absent else NotAFile.UNREADABLE), path
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or (root and status.st_size > _LARGEST):
                return NotAFile.OTHER, path
            place = os.readlink(f"/proc/self/fd/{descriptor}") if root else path
            digest = self._remembered(status)
            if not digest:
                digest = _digest(descriptor, _LARGEST if root else sys.maxsize)
                self.hashed += 1
                status = self._remember(descriptor, status, digest)
        except OSError:
            return NotAFile.UNREADABLE, path
        finally:
            os.close(descriptor)
        return _file_state(digest, status), place

    def _remembered(self, status: os.stat_result) -> str:
        identity = _identity(status)
        digest = self._known.get(identity, "") or self._used.get(identity, "")
        if digest:
            self._used[identity] = digest
        return digest

    def _remember(self, descriptor: int, before: os.stat_result, digest: str) -> os.stat_result:
        """Keep the digest if the file rested while it was read. The state afterwards."""
        after = os.fstat(descriptor)
        settled = time.time() - max(after.st_mtime, after.st_ctime) > _UNSETTLED
        if settled and _identity(after) == _identity(before):
            self._used[_identity(after)] = digest
        return after


def _digest(descriptor: int, left: int) -> str:
    digest = sha256()
    while left > 0 and (part := os.read(descriptor, _PART)):
        digest.update(part)
        left -= len(part)
    return digest.hexdigest()


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _file_state(digest: str, status: os.stat_result) -> FileState:
    return FileState(digest, status.st_size, stat.S_IMODE(status.st_mode))
