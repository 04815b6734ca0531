# SPDX-License-Identifier: GPL-3.0-or-later
"""Where to stand to see every change of a directory, whether it exists yet or not."""

import os
import stat
from collections import deque
from dataclasses import dataclass

from osrd.watch.filesystems import Filesystems, Sight

_MOST_SYMLINKS = 40  # path_resolution(7)


@dataclass(frozen=True, slots=True)
class Route:
    """How a directory is reached.

    ``end`` is its real path, "" when it cannot be watched. ``steps`` are (real directory, name) pairs: a change of
    one of these names, a symlink on the way or the part that is missing, means that the way must be found again.
    ``blind`` says that changes can happen there which inotify does not show.
    """

    end: str
    steps: tuple[tuple[str, str], ...] = ()
    blind: bool = False


def find_route(directory: str, filesystems: Filesystems) -> Route:
    """The way to ``directory`` (absolute) as it is now. Nothing on a network file system is touched."""
    steps: list[tuple[str, str]] = []
    pending = deque(directory.split("/"))
    current, symlinks = "/", 0
    while pending:
        name = pending.popleft()
        if name in ("", "."):
            continue
        if name == "..":
            current = os.path.dirname(current)
            continue
        here = os.path.join(current, name)
        if filesystems.sight(here) is Sight.NONE:
            return Route("", tuple(steps), blind=True)
        target = ""
        try:
            mode = os.lstat(here).st_mode
            if stat.S_ISLNK(mode):
                target = os.readlink(here)
        except OSError:
            return Route("", (*steps, (current, name)))
        if stat.S_ISDIR(mode):
            current = here
            continue
        steps.append((current, name))
        symlinks += 1
        if not target or symlinks > _MOST_SYMLINKS:
            return Route("", tuple(steps))
        if target.startswith("/"):
            current = "/"
        pending.extendleft(reversed(target.split("/")))
    return Route(current, tuple(steps), blind=filesystems.sight(current) is not Sight.ALL)
