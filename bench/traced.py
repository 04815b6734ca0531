# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting what a phase writes, from an strace(1) of bench.measure (`strace -f -y`)."""

import re
from dataclasses import dataclass

from bench.measure import MARK

_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)$")
#: Calls that change a directory or a file's metadata, whatever they are given.
_CHANGES = {"rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "link", "linkat", "symlink",
            "symlinkat", "fchmod", "fchmodat", "chmod", "fchown", "fchownat", "chown", "truncate", "ftruncate",
            "utimensat", "fallocate"}  # fmt: skip
_WRITES = {"write", "pwrite64", "writev", "pwritev"}
_OPENS = {"open", "openat", "openat2", "creat"}


@dataclass(frozen=True, slots=True)
class Phase:
    """``writes``: system calls that changed something on a file system; ``files``: paths that got new content."""

    writes: int
    files: tuple[str, ...]


def phase(trace: str, name: str) -> Phase:
    """The part of the trace between the mark ``name`` and the next one."""
    _, _, rest = trace.partition(f"{MARK}{name}")
    body = rest.partition(MARK)[0]
    return Phase(len(changes(body)), written_files(body))


def changes(trace: str) -> list[str]:
    """The lines of system calls that changed something on a file system, or might have created it."""
    found = []
    for line in trace.splitlines():
        match = _CALL.match(line)
        if not match or " = -1 " in line:
            continue
        call, arguments = match.groups()
        writes = call in _WRITES and re.match(r"\d+</(?!dev/)", arguments)
        creates = call in _OPENS and re.search(r"O_CREAT|O_TRUNC", arguments)
        if call in _CHANGES or writes or creates:
            found.append(line)
    return found


def written_files(trace: str) -> tuple[str, ...]:
    """The paths that were opened for writing, in the order of first opening."""
    opened = re.findall(r"(?m)^.*O_(?:WRONLY|RDWR).* = \d+<(/[^>]*)>", trace)
    return tuple(dict.fromkeys(opened))
