# SPDX-License-Identifier: GPL-3.0-or-later
"""One change of a shared root at a time, whoever makes it: threads, processes and hosts.

An open file description lock (fcntl(2), F_OFD_SETLK) on a file inside the root. NFSv4, GFS2 and OCFS2 make it
cluster-wide; unlike a POSIX lock it also holds between threads. The kernel drops it with the last process that has
the descriptor: programs that work for the holder inherit it, so nobody else begins while they still run.
"""

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from osrd.apply.cdsl.journal import State, numbers, read_journal
from osrd.apply.cdsl.work import LOCK, make_work
from osrd.model.errors import BusyError, ConflictError, FailedError, NotFoundError, OsrdError, UnsupportedError
from osrd.observe.inside import Inside

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.25  # seconds between two tries
#: struct flock: type, whence, start, length, pid, and padding to its alignment
_FLOCK = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


@contextmanager
def locked(inside: Inside, wait_seconds: float = 60.0) -> Iterator[None]:
    """Hold the lock of a root, making ``.osrd`` on first use. Raises BusyError, which says what its holder does,
    after ``wait_seconds``; ConflictError when ``.osrd`` or the lock is not what osrd made."""
    make_work(inside)
    fd = _acquired(inside, time.monotonic() + wait_seconds)
    inside.inherited.append(fd)
    try:
        yield
    finally:
        inside.inherited.remove(fd)
        os.close(fd)


def _acquired(inside: Inside, deadline: float) -> int:
    pause = _FIRST_PAUSE
    while True:
        fd = _lock_file(inside)
        try:
            while not _try(inside, fd):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise BusyError(
                        f"{inside.path} is being changed: {_holder(inside)}", "try again when that is done"
                    )
                time.sleep(min(pause, left))
                pause = min(pause * 2, _LONGEST_PAUSE)
            if _is_current(inside, fd):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # somebody removed the file that we waited for; another may hold the one that is there now


def _lock_file(inside: Inside) -> int:
    while True:
        try:
            return inside.regular(LOCK, os.O_RDWR)
        except NotFoundError:
            pass
        try:
            with inside.holding(LOCK) as (fd, name):
                os.close(os.open(name, _CREATE, 0o600, dir_fd=fd))
        except FileExistsError:
            continue
        except OSError as error:
            raise FailedError(f"{inside.name(LOCK)}: {error.strerror}") from error


def _try(inside: Inside, fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno in (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise UnsupportedError(
                f"{inside.name(LOCK)} cannot be locked: {error.strerror}",
                "mount the file system with locking (NFS: without nolock)",
            ) from error
        raise FailedError(f"{inside.name(LOCK)}: {error.strerror}") from error
    return True


def _is_current(inside: Inside, fd: int) -> bool:
    found = inside.status(LOCK)
    return found is not None and found.st_ino == os.fstat(fd).st_ino


def _holder(inside: Inside) -> str:
    """What the holder does, from its journal: waiting for a lock writes nothing."""
    try:
        for number in reversed(numbers(inside)):
            journal = read_journal(inside, number)
            if journal.state in (State.STAGING, State.COMMITTED, State.UNDOING):
                since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(journal.started))
                who = f"process {journal.process} on {journal.host}"
                verb = "undoes" if journal.state is State.UNDOING else "does"
                return f"{who} {verb} {journal.title!r} since {since}"
    except (NotFoundError, ConflictError, UnsupportedError):
        pass  # between two states, or not ours
    except OsrdError as error:
        return f"by whom is unknown ({error})"
    return "by another osrd"
