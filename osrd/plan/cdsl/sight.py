# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at physical paths that may lead through things that are no directories, and following symlinks in a root
from outside: as a node would, without the bind mount (spec/cdsl.md 2.2)."""

from collections.abc import Callable
from functools import lru_cache

from osrd.model.cdsl import FileKind, Seen
from osrd.model.errors import InvalidArgsError
from osrd.plan.cdsl.index import Index, join, parent_path, prefixes
from osrd.plan.cdsl.words import shown

#: physical path -> what is there, None: nothing. Must only be asked for paths whose parents are directories.
Look = Callable[[str], Seen | None]
#: physical path of a directory -> the names in it
Names = Callable[[str], list[str]]

#: symlinks in one path, as Linux has it
_MOST_LINKS = 40
#: what is only filled in a running system: a link into it does not dangle because the host has not mounted it
_RUNTIME = ("proc", "sys", "dev", "run")


class Sight:
    """A ``look`` for any path: where a symlink or a file is in the way there is nothing."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._is_directory = lru_cache(maxsize=4096)(self._find_directory)

    def __call__(self, path: str) -> Seen | None:
        parent = parent_path(path)
        return self._look(path) if not parent or self._is_directory(parent) else None

    def _find_directory(self, path: str) -> bool:
        seen = self(path)
        return seen is not None and seen.kind is FileKind.DIRECTORY

    def obstacle(self, path: str) -> str | None:
        """The nearest ancestor of ``path`` that exists without being a directory."""
        for ancestor in prefixes(path):
            if (seen := self(ancestor)) is not None:
                return None if seen.kind is FileKind.DIRECTORY else ancestor
        return None


class Walk:
    """A path walked as ``node`` would, component by component: links of CDSLs by what the inventory says of them,
    whether they are there or not, all other symlinks by their text."""

    def __init__(self, index: Index, node: str, sight: Sight) -> None:
        self._index = index
        self._sight = sight
        self._node = node or index.layout.default
        self._followed = 0

    def public(self, path: str) -> str:
        """The public path that the user's path means: parents resolved, the last component kept as it is, so that a
        symlink itself can be meant. Machinery that belongs to no CDSL stays what it is.

        Raises InvalidArgsError for a loop of symlinks.
        """
        parts = [part for part in path.split("/") if part not in ("", ".")]
        last = parts.pop() if parts and parts[-1] != ".." else ""
        directory = self._walk("", parts, typed=True)
        return self._named(join(directory, last))

    def reaches(self, physical: str) -> bool:
        """Whether something is where the physical path leads, the last component followed, too."""
        try:
            end = self._walk(parent_path(physical), physical.rpartition("/")[2:], typed=False)
        except InvalidArgsError:
            return False
        return end.partition("/")[0] in _RUNTIME or self._sight(end) is not None

    def _named(self, physical: str) -> str:
        public = self._index.public_of(physical)
        return physical if public is None else public

    def _walk(self, at: str, parts: "list[str] | tuple[str, ...]", *, typed: bool) -> str:
        """The physical path reached from the physical directory ``at``. In a ``typed`` path ``..`` means the public
        parent: users do not see that a CDSL is somewhere else."""
        for part in parts:
            if part == "..":
                at = self._parent(at) if typed else parent_path(at)
            elif part not in ("", "."):
                at = self._step(at, join(at, part))
        return at

    def _parent(self, at: str) -> str:
        public = self._index.public_of(at)
        return parent_path(at) if public is None else self._index.locate(parent_path(public), self._node)

    def _step(self, directory: str, path: str) -> str:
        layout = self._index.layout
        if path in (layout.link, layout.mount_point):
            return layout.node_tree(self._node)
        if directory == layout.tree:
            self._node = path[len(directory) + 1 :]
            return path
        public = self._index.public_of(path)
        if public in self._index.by_src:
            # what is there may be a symlink itself
            path = self._index.locate(public or "", self._node)
            directory = parent_path(path)
        # A running system has file systems mounted there, which are none of the root's.
        seen = None if path.partition("/")[0] in _RUNTIME else self._sight(path)
        if seen is None or seen.kind is not FileKind.LINK:
            return path
        self._followed += 1
        if self._followed > _MOST_LINKS:
            raise InvalidArgsError(f"{shown(path)}: too many symlinks", "look for a loop of symlinks, and correct it")
        return self._walk("" if seen.text.startswith("/") else directory, seen.text.split("/"), typed=False)
