# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared root for tests of commands: it answers what a test declares and records what it is asked to do."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from osrd.cli.shared_root import Work
from osrd.model.cdsl import Cdsl, CdslType, Changed, Inventory, Layout, Members, Removal
from osrd.model.errors import NotFoundError, OsrdError
from osrd.model.finding import Finding

VAR = Cdsl("var", CdslType.HOSTDEPENDENT, ("1", "2"), "1795341958.99")
LIB = Cdsl("var/lib", CdslType.SHARED, ("1", "2"), "1795341960.66")
INVENTORY = Inventory(cdsls=(VAR, LIB), file="/srv/web/.cdsl_inventory.xml")


@dataclass
class FakeRoot:
    """``fails`` maps ``method`` or ``method PATH`` to the error it raises. ``calls`` are (method, arguments...)."""

    known: Inventory | None = INVENTORY
    disk: Inventory | None = None
    changed: Changed = field(default_factory=lambda: Changed(("made /var host-dependent",)))
    findings: tuple[Finding, ...] = ()
    kept: tuple[str, ...] = ()
    bound: str = ""
    fails: dict[str, OsrdError] = field(default_factory=dict)
    during: Callable[[Work], None] = lambda work: None
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    members: Members = field(default_factory=Members)
    work: Work = field(default_factory=Work)
    closed: bool = False

    def open(self, path: str, members: Members, work: Work) -> "FakeRoot":
        self.opened.append(path)
        self.members, self.work, self.closed = members, work, False
        return self

    def __enter__(self) -> "FakeRoot":
        return self

    def __exit__(self, *error: object) -> None:
        self.closed = True

    @property
    def inventory(self) -> Inventory:
        if self.known is None:
            raise NotFoundError("there is no CDSL infrastructure", "make it with: osrctl cdsl init")
        return self.known

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.members.ids

    @property
    def directory(self) -> os.stat_result:
        return os.stat(self.opened[-1])

    def public(self, path: str) -> str:
        return path.strip("/")

    def init(self, layout: Layout | None = None, *, maxnodeidnum: int = 0, use_nodeids: bool = True) -> Changed:
        return self._change("init", layout, maxnodeidnum, use_nodeids)

    def make(self, path: str, nodes: Sequence[str] = (), *, orig: bool = False) -> Changed:
        return self._change("make", path, tuple(nodes), *(["orig"] if orig else []))

    def share(self, path: str, winner: str = "", *, orig: bool = False) -> Changed:
        return self._change("share", path, winner, *(["orig"] if orig else []))

    def remove(self, path: str, removal: Removal = Removal()) -> Changed:  # noqa: B008 - immutable
        return self._change("remove", path, removal)

    def undo(self) -> Changed:
        return self._change("undo")

    def recover(self) -> Changed:
        return self._change("recover")

    def check(self) -> tuple[Finding, ...]:
        return self.findings

    def repair(self) -> Changed:
        return self._change("repair")

    def rebuild(self, layout: Layout | None = None) -> Changed:
        return self._change("rebuild")

    def rebuilt(self, layout: Layout | None = None) -> Inventory:
        return self.disk or self.inventory

    def convert(self) -> Changed:
        return self._change("convert")

    def adopt(self, tree: str, node: str) -> Changed:
        return self._change("adopt", tree, node)

    def archive(self, node: str) -> Changed:
        return self._change("archive", node)

    def backups(self) -> tuple[str, ...]:
        return self.kept

    def drop_backup(self, name: str) -> Changed:
        return self._change("drop_backup", name)

    def bind(self, link: str) -> Changed:
        return self._change("bind", link)

    def set(self, name: str, value: str) -> Changed:
        return self._change("set", name, value)

    def add_node(self, node: str) -> Changed:
        return self._change("add_node", node)

    def delete_node(self, node: str) -> Changed:
        return self._change("delete_node", node)

    def register(self, mountpoint: str) -> Changed:
        return self._change("register", mountpoint)

    def dismantle(self, *, discard: bool = False) -> Changed:
        return self._change("dismantle", discard)

    def _change(self, method: str, *arguments: object) -> Changed:
        self.calls.append((method, *arguments))
        self.during(self.work)
        for key in (method, f"{method} {arguments[0]}" if arguments else method):
            if key in self.fails:
                raise self.fails[key]
        return self.changed
