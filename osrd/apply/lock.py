# SPDX-License-Identifier: GPL-3.0-or-later
"""One osrd per state directory: two writers would undo each other's work."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from osrd.model.errors import BusyError, FailedError


@contextmanager
def exclusive(directory: str) -> Iterator[None]:
    """Hold the lock of ``directory`` (made if missing). Raises BusyError naming the process that has it.

    The kernel drops a flock(2) with its process, so a killed osrd never leaves a stale one.
    """
    path = os.path.join(directory, "lock")
    try:
        os.makedirs(directory, mode=0o755, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise FailedError(
            f"{path}: {error.strerror}", "run osrd as root, or name other [paths] in osrd.conf"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            raise BusyError(
                f"another osrd{f' (process {holder})' if holder else ''} holds {path}",
                "use osrctl to ask it, or stop it first",
            ) from None
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    """The pid that has the lock, from proc_locks(5); "" when the kernel does not tell. Nothing is written into the
    file for this: a run that changes nothing writes nothing (law 1)."""
    inode = str(os.fstat(descriptor).st_ino)
    with suppress(OSError), open("/proc/locks", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if "FLOCK" in fields and fields[-3].rpartition(":")[2] == inode:
                return fields[-4]
    return ""
