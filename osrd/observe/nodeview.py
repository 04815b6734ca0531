# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared root with symlinks as a node sees them, looked at from the host without ever leaving the root.

The way to a place is walked here, component by component, by what the symlinks say; the place itself is then opened
by the kernel without following any (osrd.observe.inside). So what a node changes meanwhile leads nowhere, and the bind
mount of a CDSL link need not be there: ``tree`` stands in for it.
"""

import os
import stat
from collections import deque
from itertools import islice

from osrd.model.errors import ConflictError, FailedError, NotFoundError
from osrd.observe.inside import Inside, open_beneath

#: symlinks in one path, as Linux has it
_MOST_LINKS = 40
#: any node could fill a directory with millions
_MOST_NAMES = 20_000
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK


class NodeView:
    """``link`` is the path of the CDSL link and ``tree`` whose tree is seen there, "" both in a root without CDSLs.
    ``inside`` stays the caller's."""

    def __init__(self, inside: Inside, link: str = "", tree: str = "") -> None:
        self.inside = inside
        self._tree = tree
        self._places = self._mount_points(link) if link and tree else frozenset()

    def _mount_points(self, link: str) -> frozenset[str]:
        """The names under which the node's tree is seen: the link, and the mount point that it leads to."""
        text = self.inside.link(link)
        return frozenset((link, link.rpartition("/")[0] + text)) if text and text[0] != "/" else frozenset((link,))

    def physical(self, path: str) -> str | None:
        """Where ``path`` really is, all symlinks followed inside the root; None when they go in circles or on the way
        is something that cannot be entered. What is there, if anything, is not looked at."""
        todo = deque(path.split("/"))
        done: list[str] = []
        links = 0
        while todo:
            name = todo.popleft()
            if name in ("", "."):
                continue
            if name == "..":
                del done[-1:]
                continue
            done.append(name)
            place = "/".join(done)
            if place in self._places:
                done = self._tree.split("/")
                continue
            try:
                text = self.inside.link(place)
            except (ConflictError, FailedError):
                return None
            if text is None:
                continue
            links += 1
            if links > _MOST_LINKS:
                return None
            done = [] if text.startswith("/") else done[:-1]
            todo.extendleft(reversed(text.split("/")))
        return "/".join(done)

    def find(self, path: str) -> tuple[str, os.stat_result] | None:
        """Where ``path`` really is, and stat(2) of it; None when nothing is there that a node could reach. The usual
        case, a path without symlinks, is not walked."""
        try:
            status = None if path in self._places else self.inside.status(path)
            if status is not None and not stat.S_ISLNK(status.st_mode):
                return path, status
        except (ConflictError, FailedError):
            status = None  # a symlink or a mount is on the way
        place = self.physical(path)
        if place is None:
            return None
        try:
            status = self.inside.status(place)
        except (ConflictError, FailedError):
            return None
        return None if status is None else (place, status)

    def status(self, path: str) -> os.stat_result | None:
        """stat(2) of ``path``, symlinks followed; None when nothing is there."""
        found = self.find(path)
        return None if found is None else found[1]

    def is_directory(self, path: str) -> bool:
        status = self.status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def is_file(self, path: str) -> bool:
        status = self.status(path)
        return status is not None and stat.S_ISREG(status.st_mode)

    def names(self, path: str) -> list[str]:
        """The sorted names in a directory, some of them when there are more than anybody needs; none when it is not
        there, or is none."""
        fd = self.open_directory(path)
        if fd < 0:
            return []
        try:
            with os.scandir(fd) as entries:
                return sorted(entry.name for entry in islice(entries, _MOST_NAMES))
        except OSError:
            return []
        finally:
            os.close(fd)

    def read(self, path: str, limit: int) -> bytes | None:
        """The content of a regular file; None when there is none that can be read, or it has more than ``limit``
        bytes."""
        place = self.physical(path)
        try:
            return None if not place else self.inside.read(place, limit)
        except (NotFoundError, ConflictError, FailedError):
            return None

    def open_directory(self, path: str) -> int:
        """A descriptor of a directory for listing and stat, which the caller closes; -1 when there is none. The usual
        case, a path without symlinks, is one system call."""
        if path not in self._places:
            try:
                return open_beneath(self.inside.fd, path or ".", _LISTED)
            except OSError:
                pass  # a symlink or a mount is on the way, or nothing is there
        place = self.physical(path)
        if place is None or place == path:
            return -1
        try:
            return open_beneath(self.inside.fd, place or ".", _LISTED)
        except OSError:
            return -1
