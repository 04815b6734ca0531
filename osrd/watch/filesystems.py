# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file systems hide the writes of other hosts from this kernel's inotify (law 7).

The mount table answers, not statfs(2): asking a file system whose server is gone would hang the event loop.
"""

import re
from collections.abc import Mapping
from enum import Enum

_MOUNTINFO = "/proc/self/mountinfo"
_OCTAL = re.compile(rb"\\([0-7]{3})")
#: other hosts write here unseen; touching the file system is as safe as touching a disk
_CLUSTER = frozenset({"gfs", "gfs2", "ocfs2", "virtiofs"})
#: as before, and any access may wait for a server (or, under autofs, make a mount)
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "coda", "lustre", "glusterfs", "autofs", "fuse"}
)


class Sight(Enum):
    """What inotify sees of a file system: ALL changes, only those of THIS_HOST, or better do not ask: NONE."""

    ALL = "all"
    THIS_HOST = "this-host"
    NONE = "none"


class Filesystems:
    """The mount table at one moment: mount point to type."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self._types = types

    def sight(self, path: str) -> Sight:
        """What inotify sees at ``path``, an absolute path in which no part is a symlink."""
        while path not in self._types and path != "/":
            path = path.rpartition("/")[0] or "/"
        kind = self._types.get(path, "")
        if kind in _NETWORK or kind.startswith("fuse."):
            return Sight.NONE
        return Sight.THIS_HOST if kind in _CLUSTER else Sight.ALL


def parse_mountinfo(content: bytes) -> dict[str, str]:
    """Mount point to file system type, from proc_pid_mountinfo(5). The last mount on a point is the visible one."""
    types: dict[str, str] = {}
    for line in content.split(b"\n"):
        before, dash, after = line.partition(b" - ")
        fields = before.split(b" ")
        if dash and len(fields) > 4:
            point = _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), fields[4])
            types[point.decode(errors="surrogateescape")] = after.partition(b" ")[0].decode(errors="replace")
    return types


def mounted_filesystems() -> Filesystems:
    """The mount table of this process, empty (all local) where /proc is not mounted."""
    try:
        with open(_MOUNTINFO, "rb") as stream:
            return Filesystems(parse_mountinfo(stream.read()))
    except OSError:
        return Filesystems({})
