# SPDX-License-Identifier: GPL-3.0-or-later
"""Roots as dictionaries: bytes are files, a Link is a symlink, None is a directory; parents are made by themselves."""

from collections.abc import Mapping
from dataclasses import dataclass

from osrd.model.cdsl import Cdsl, CdslType, FileKind, Inventory, Seen
from osrd.model.errors import ConflictError
from osrd.model.rootcare import Family, Remark
from osrd.plan.rootcare.view import Root, Rule, upwards


@dataclass(frozen=True)
class To:
    """A symlink."""

    text: str


@dataclass(frozen=True)
class Odd:
    """A FIFO."""


Tree = Mapping[str, "bytes | To | Odd | None"]
ID1, ID2 = b"0123456789abcdef0123456789abcde1\n", b"0123456789abcdef0123456789abcde2\n"


class DictReader:
    """A Reader as strict as the real one: no symlink on the way, regular files only."""

    def __init__(self, tree: Tree, modes: Mapping[str, int] | None = None) -> None:
        self.tree = dict(tree)
        self.modes = modes or {}
        for path in tree:
            for parent in list(upwards(path))[1:]:
                self.tree.setdefault(parent, None)

    def look(self, path: str) -> Seen | None:
        for parent in list(upwards(path))[1:]:
            if isinstance(self.tree.get(parent), To):
                raise ConflictError(f"{parent}: a symlink is in the way")
        if path not in self.tree:
            return None
        match self.tree[path]:
            case None:
                return Seen(FileKind.DIRECTORY, empty=not self.names(path))
            case To(text):
                return Seen(FileKind.LINK, text)
            case Odd():
                return Seen(FileKind.OTHER)
        return Seen(FileKind.FILE)

    def names(self, path: str) -> tuple[str, ...]:
        found = {each[len(path) + 1 :].partition("/")[0] for each in self.tree if each.startswith(path + "/")}
        return tuple(sorted(found))

    def read(self, path: str) -> bytes | None:
        if self.look(path) is None:
            return None
        content = self.tree[path]
        if not isinstance(content, bytes):
            raise ConflictError(f"/root/{path} is no regular file")
        return content

    def mode(self, path: str) -> int | None:
        return None if self.look(path) is None else self.modes.get(path, 0o644)


def root(
    tree: Tree,
    *cdsls: str,
    family: Family = Family.REDHAT,
    hosts: Mapping[str, str] | None = None,
    nics: tuple[str, ...] = ("eth0",),
    macs: tuple[str, ...] = ("00:0c:29:c9:c6:f5",),
    cluster_conf: bytes | None = None,
    modes: Mapping[str, int] | None = None,
) -> Root:
    """``cdsls`` are paths, ``+path`` for shared ones; with any of them, or with "", the root has an inventory."""
    hosts = {"1": "node1", "2": "node2"} if hosts is None else hosts
    inventory = None
    if cdsls:
        kinds = {"+": CdslType.SHARED}
        made = [
            Cdsl(each.lstrip("+"), kinds.get(each[:1], CdslType.HOSTDEPENDENT), tuple(hosts)) for each in cdsls if each
        ]
        inventory = Inventory(cdsls=tuple(made))
    reader = DictReader(tree, modes)
    return Root("/root", reader, family, inventory, hosts, frozenset(nics), frozenset(macs), cluster_conf)


def found(rule: Rule, *arguments: object, **options: object) -> list[Remark]:
    return list(rule(root(*arguments, **options)))  # type: ignore[arg-type]


def codes(remarks: list[Remark]) -> list[str]:
    return [each.finding.code for each in remarks]
