# SPDX-License-Identifier: GPL-3.0-or-later
"""What is at the published paths. Hashes are the truth (DESIGN law 7), but a file whose inode did not change since
it was hashed is not read again, so a full pass over 30,000 files costs 30,000 fstatat calls and nothing else."""

import errno
import os
import stat
import time
from collections.abc import Iterable, Mapping
from hashlib import sha256
from types import MappingProxyType

from osrd.model.output import FileState, Found, NotAFile
from osrd.observe.directories import Directories

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 20

#: Kernels stamp files with a clock that ticks every 1..10 ms. A file that changed within the last tick may change
#: again and keep its stamps, so its hash is not remembered until it has rested (git calls this "racily clean").
_TICK_NS = 20_000_000

Signature = int


def signature(status: os.stat_result) -> Signature:
    """What cannot stay the same when the content or mode of a file changes: 64 bits of its change time, modification
    time, size and identity. One number, since five of them would take 10 MiB for 30,000 files."""
    return hash((status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev))


class FileCache:
    """Finds, hashes and remembers. Not thread-safe: one thread at a time. ``bases``: see Directories."""

    def __init__(self, bases: Iterable[str] = ()) -> None:
        self.bases = tuple(bases)
        self._known: dict[str, tuple[Signature, FileState]] = {}

    def find(self, paths: Iterable[str], *, rehash: bool = False) -> dict[str, Found]:
        """What is at each absolute path, symlinks never followed. ``rehash`` reads every file whatever is known."""
        found: dict[str, Found] = {}
        known = self._known
        places: dict[str, tuple[int, NotAFile | None]] = {}
        stat_at, entry_of, place_of = os.stat, known.get, places.get
        with Directories(self.bases) as directories:
            for path in paths:
                parent, _, name = path.rpartition("/")
                place = place_of(parent)
                if place is None:
                    place = places[parent] = _directory(directories, parent)
                directory, problem = place
                if problem is not None:
                    found[path] = problem
                    continue
                try:
                    status = stat_at(name, dir_fd=directory, follow_symlinks=False)
                except OSError as error:
                    known.pop(path, None)
                    found[path] = _problem(error)
                    continue
                entry = entry_of(path)
                if (
                    entry is not None
                    and not rehash
                    # signature(status), written out: a call costs a tenth of this loop
                    and entry[0]
                    == hash((status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev))
                ):
                    found[path] = entry[1]
                else:
                    found[path] = self._hashed(path, name, directory, status)
        return found

    def _hashed(self, path: str, name: str, directory: int, status: os.stat_result) -> Found:
        self._known.pop(path, None)
        if not stat.S_ISREG(status.st_mode):
            return NotAFile.OTHER
        try:
            fd = os.open(name, _READ, dir_fd=directory)
        except OSError as error:
            return _problem(error)
        try:
            # The signature from before reading: what changes meanwhile shows as a change at the next look.
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return NotAFile.OTHER
            now = time.time_ns()
            digest = _digest(fd)
        except OSError as error:
            return _problem(error)
        finally:
            os.close(fd)
        state = FileState(digest, status.st_size, stat.S_IMODE(status.st_mode))
        if status.st_ctime_ns < now - _TICK_NS:
            self._known[path] = (signature(status), state)
        return state

    def record(self, states: Mapping[str, FileState], written: int) -> None:
        """These files were put in place just now and need not be hashed again.

        ``written`` is when the last of their content was written, in ns since the epoch; a file modified after that,
        or within the current clock tick, is somebody else's work or may yet be, and will be hashed.
        """
        settled = time.time_ns() - _TICK_NS
        with Directories(self.bases) as directories:
            for path, state in states.items():
                parent, _, name = path.rpartition("/")
                self._known.pop(path, None)
                try:
                    status = os.stat(name, dir_fd=directories.fd(parent), follow_symlinks=False)
                except OSError:
                    continue
                if (
                    (status.st_size, status.st_mode) == (state.size, stat.S_IFREG | state.mode)
                    and status.st_mtime_ns <= written
                    and status.st_ctime_ns < settled
                ):
                    self._known[path] = (signature(status), state)

    def read(self, path: str, limit: int) -> bytes | None:
        """The content of the regular file ``path``, None when there is none or it is larger than ``limit`` bytes."""
        parent, _, name = path.rpartition("/")
        with Directories(self.bases) as directories:
            try:
                fd = os.open(name, _READ, dir_fd=directories.fd(parent))
            except OSError:
                return None
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    return None
                parts = []
                left = limit + 1
                while left > 0 and (part := os.read(fd, min(left, _CHUNK))):
                    parts.append(part)
                    left -= len(part)
            except OSError:
                return None
            finally:
                os.close(fd)
        return b"".join(parts) if left > 0 else None

    @property
    def remembered(self) -> Mapping[str, tuple[Signature, FileState]]:
        """The files whose hash is known, read-only; for tests and memory accounting."""
        return MappingProxyType(self._known)


def _digest(fd: int) -> str:
    """The sha256 of a file from its current position, in hex."""
    part = os.read(fd, _CHUNK)
    hasher = sha256(part)
    # A short read is no end of file (signals, network file systems): only an empty one is.
    while part:
        part = os.read(fd, _CHUNK)
        hasher.update(part)
    return hasher.hexdigest()


def _directory(directories: Directories, path: str) -> tuple[int, NotAFile | None]:
    try:
        return directories.fd(path), None
    except OSError as error:
        return -1, _problem(error)


def _problem(error: OSError) -> NotAFile:
    if error.errno == errno.ENOENT:
        return NotAFile.ABSENT
    if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
        return NotAFile.OTHER
    return NotAFile.UNREADABLE
