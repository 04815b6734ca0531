# SPDX-License-Identifier: GPL-3.0-or-later
"""Who keeps a mount busy: the processes that work in it, from proc_pid_cwd(5), proc_pid_root(5) and proc_pid_fd(5).

Only links of /proc are read, never the files they lead to: those may wait for a server that is gone."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Holder:
    """A process and one path by which it uses the mount."""

    pid: int
    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid}, {self.path})"


def holders(point: str) -> tuple[Holder, ...]:
    """The processes of this mount namespace that have a directory or file at or below ``point`` (absolute, without
    symlinks) open, run a program from there or work there. Processes that may not be looked at are left out."""
    here = _link("/proc/self/ns/mnt")
    found = []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        # Another namespace has its own copy of the mount, which does not keep this one busy.
        if _link(f"/proc/{pid}/ns/mnt") == here:
            path = next((each for each in _paths(pid) if f"{each}/".startswith(f"{point}/")), None)
            if path is not None:
                found.append(Holder(pid, _name(pid), path))
    return tuple(found)


def _paths(pid: int) -> Iterator[str]:
    for name in ("cwd", "root", "exe"):
        yield _link(f"/proc/{pid}/{name}")
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            yield _link(f"/proc/{pid}/fd/{name}")


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            return stream.read().rstrip("\n")
    except OSError:
        return "a process that ended"
