# SPDX-License-Identifier: GPL-3.0-or-later
"""The mount table of this process, read so that it is one state of it and not parts of several."""

import os
import select

from osrd.model.errors import FailedError
from osrd.model.mount import Mount
from osrd.parse.mountinfo import parse_mountinfo

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


def in_namespace_of_its_own() -> bool:
    """Whether this process has another mount namespace than process 1, so that its mounts may stay unseen on the
    host. False where process 1 may not be asked."""
    try:
        return os.readlink("/proc/self/ns/mnt") != os.readlink("/proc/1/ns/mnt")
    except OSError:
        return False
