# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules know about a root: the files in it, its CDSLs, and the nodes that will run from it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from osrd.model.cdsl import Cdsl, CdslType, Inventory, Members, Seen
from osrd.model.errors import ConflictError
from osrd.model.finding import Finding, Place, Severity
from osrd.model.rootcare import Family, Remark, Repair
from osrd.plan.cdsl.nodes import identities
from osrd.plan.cdsl.paths import locate


class Reader(Protocol):
    """The files of a root by physical paths, see osrd.observe.rootcare. Whatever is not what it should be (a symlink
    on the way, a FIFO, an endless file) raises OsrdError naming it."""

    def look(self, path: str) -> Seen | None: ...

    def names(self, path: str) -> tuple[str, ...]:
        """Sorted names of a directory, none when there is no directory."""

    def read(self, path: str) -> bytes | None:
        """A regular file's content, None when nothing is there."""

    def mode(self, path: str) -> int | None:
        """Permission bits, None when nothing is there."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One physical copy of a public path: a tree's ("" tree: the only copy there is)."""

    node: str
    path: str


@dataclass(frozen=True, slots=True)
class Root:
    """``path`` is the administrator's name of the root. ``hosts`` maps the names of node trees to host names ("" when
    unknown); without cluster.conf ``nics`` and ``macs`` (lower case) are empty. ``cluster_conf`` is the content of
    ``cluster_file``, which is this host's or was named.
    """

    path: str
    reader: Reader
    family: Family = Family.OTHER
    inventory: Inventory | None = None
    hosts: Mapping[str, str] = field(default_factory=dict)
    nics: frozenset[str] = frozenset()
    macs: frozenset[str] = frozenset()
    cluster_conf: bytes | None = None
    cluster_file: str = "/etc/cluster/cluster.conf"

    @property
    def template(self) -> str:
        return (self.inventory or Inventory()).layout.default

    @property
    def trees(self) -> tuple[str, ...]:
        """The nodes' trees and the template."""
        return (*self.hosts, self.template)

    def has(self, *paths: str) -> bool:
        """Whether one of these is there, on one node at least. A symlink on the way (/lib of a merged /usr) means: not
        under this name."""
        return any(self._has(copy.path) for path in paths for copy in self.copies(path))

    def _has(self, physical: str) -> bool:
        try:
            return self.reader.look(physical) is not None
        except ConflictError:
            return False

    @property
    def systemd(self) -> bool:
        return self.has("usr/lib/systemd/systemd", "lib/systemd/systemd")

    def cover(self, path: str) -> Cdsl | None:
        """The CDSL that decides about ``path``: itself or the nearest above it."""
        return next((found for part in upwards(path) if (found := (self.inventory or Inventory()).get(part))), None)

    def is_host_dependent(self, path: str) -> bool:
        cover = self.cover(path)
        return cover is not None and cover.type is CdslType.HOSTDEPENDENT

    def copies(self, path: str) -> tuple[Copy, ...]:
        """Every physical copy of ``path``: one, or one per node and the template's."""
        cover = self.cover(path)
        if cover is None or cover.type is CdslType.SHARED:
            return (Copy("", self.physical(path, "")),)
        return tuple(Copy(node, self.physical(path, node)) for node in (*cover.nodes, self.template))

    def physical(self, path: str, node: str) -> str:
        """Where the bytes are that ``node`` sees at ``path``."""
        return locate(self.inventory, path, node) if self.inventory else path

    def look(self, path: str) -> Seen | None:
        """What is at a public path; of several copies the first node's."""
        return self.reader.look(self.copies(path)[0].path)

    def read(self, path: str) -> bytes | None:
        return self.reader.read(self.copies(path)[0].path)

    def place(self, copy: Copy, line: int = 0) -> Place:
        return Place(f"{self.path.rstrip('/')}/{copy.path}", line)


def upwards(path: str) -> Iterator[str]:
    """``path``, the directory that holds it, and so on to the top."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def tree_names(inventory: Inventory, members: Members) -> dict[str, str]:
    """Names of the nodes' trees (spec/cdsl.md 1.3), with the host names that cluster.conf gives them ("" unknown)."""
    by_id = {
        f"{inventory.layout.prefix}{number}": name for number, name in zip(members.ids, members.names, strict=True)
    }
    known = by_id if inventory.use_nodeids or inventory.maxnodeidnum > 0 else {name: name for name in members.names}
    return {tree: known.get(tree, "") for tree in identities(inventory, members)}


def remark(
    code: str,
    severity: Severity,
    message: str,
    fix: str,
    *repairs: Repair,
    path: str = "",
    node: str = "",
    place: Place | None = None,
) -> Remark:
    """``path`` is the public path that the finding is about."""
    return Remark(Finding(code, severity, message, fix, place, node, value=path), repairs)


Rule = Callable[[Root], Iterator[Remark]]
