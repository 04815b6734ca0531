# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared roots in memory, one of which may hang: the seam between the lanes and the CDSL engine."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

from osrd.engine.rootwork import Cancelled, Progress
from osrd.model.cdsl import Cdsl, CdslType, Changed, Inventory, Layout, Members, Removal
from osrd.model.errors import FailedError, NotFoundError, OsrdError
from osrd.model.finding import Finding
from osrd.model.mount import Bound, Holds, Mount
from osrd.plan.bindmounts import Bind, BindPlan


@dataclass
class Disk:
    """What is in one root. ``gate`` holds every call that goes to the disk; ``steps`` holds a make in the middle."""

    inventory: Inventory | None = field(default_factory=Inventory)
    trees: set[str] = field(default_factory=set)
    findings: tuple[Finding, ...] = ()
    calls: list[str] = field(default_factory=list)
    failure: OsrdError | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    steps: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()
        self.steps.set()

    def access(self, call: str) -> None:
        self.calls.append(call)
        self.entered.set()
        assert self.gate.wait(30)
        if self.failure is not None:
            raise self.failure


class FakeRoot:
    """Implements osrd.engine.rootwork.Root."""

    def __init__(self, disk: Disk, members: Members, progress: Progress, cancelled: Cancelled) -> None:
        self._disk = disk
        self._members = members
        self._progress = progress
        self._cancelled = cancelled
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    @property
    def inventory(self) -> Inventory:
        if self._disk.inventory is None:
            raise NotFoundError("no CDSL infrastructure")
        return self._disk.inventory

    @property
    def nodes(self) -> tuple[str, ...]:
        return self._members.ids

    def init(self, layout: Layout | None = None, *, maxnodeidnum: int = 0, use_nodeids: bool = True) -> Changed:
        self._disk.access("init")
        if self._disk.inventory is not None:
            return Changed()
        self._disk.inventory = Inventory(layout or Layout(), maxnodeidnum=maxnodeidnum, use_nodeids=use_nodeids)
        return Changed(("made the infrastructure",))

    def make(self, path: str, nodes: tuple[str, ...] = ()) -> Changed:
        self._disk.access(f"make {path} {' '.join(nodes)}".strip())
        for number in range(1, 100):
            self._progress(number / 100, f"copying {number}")
        assert self._disk.steps.wait(30)
        if self._cancelled():
            self._disk.calls.append("rolled back")
            raise FailedError("cancelled")
        self._add(Cdsl(path.strip("/"), CdslType.HOSTDEPENDENT, nodes or self.nodes))
        return Changed((f"{path} is host-dependent",))

    def share(self, path: str, winner: str = "") -> Changed:
        return self._noted(f"share {path} {winner}".strip())

    def remove(self, path: str, removal: Removal) -> Changed:
        self._disk.access(f"remove {path} {removal.winner}".strip())
        return Changed((f"removed {path}",), ("backup-1",))

    def undo(self) -> Changed:
        return self._noted("undo")

    def recover(self) -> Changed:
        self._disk.access("recover")
        return Changed()

    def check(self) -> tuple[Finding, ...]:
        self._disk.access("check")
        return self._disk.findings

    def repair(self) -> Changed:
        return self._noted("repair")

    def rebuild(self) -> Changed:
        return self._noted("rebuild")

    def convert(self) -> Changed:
        return self._noted("convert")

    def follow(self) -> tuple[Changed, tuple[Finding, ...]]:
        self._disk.access("follow")
        fresh = [node for node in self.nodes if node not in self._disk.trees]
        self._disk.trees.update(fresh)
        return Changed(tuple(f"made the tree of {node}" for node in fresh)), self.check()

    def adopt(self, tree: str, node: str) -> Changed:
        return self._noted(f"adopt {tree} {node}")

    def archive(self, node: str) -> Changed:
        return self._noted(f"archive {node}")

    def backups(self) -> tuple[str, ...]:
        self._disk.access("backups")
        return ("backup-1",)

    def drop_backup(self, name: str) -> Changed:
        return self._noted(f"drop {name}")

    def _noted(self, call: str) -> Changed:
        self._disk.access(call)
        return Changed((call,))

    def _add(self, cdsl: Cdsl) -> None:
        self._disk.inventory = replace(self.inventory, cdsls=(*self.inventory.cdsls, cdsl))


class Disks:
    """Implements osrd.engine.rootwork.OpenRoot; without a disk nothing is at a path."""

    def __init__(self, **disks: Disk) -> None:
        self.at = {f"/srv/{name}": disk for name, disk in disks.items()}
        self.opened: list[FakeRoot] = []

    def __call__(
        self, path: str, members: Members, *, progress: Progress, cancelled: Cancelled, wait: float
    ) -> FakeRoot:
        if path not in self.at:
            raise NotFoundError(f"{path}: not there")
        self.opened.append(FakeRoot(self.at[path], members, progress, cancelled))
        return self.opened[-1]


class FakeMounter:
    """Implements osrd.engine.rootwork.Mounter; ``bound`` has the node by path."""

    def __init__(self) -> None:
        self.bound: dict[str, str] = {}
        self.failure: OsrdError | None = None
        self.on_keep: Callable[[], None] = lambda: None

    def keep(self, path: str, layout: Layout, node: str) -> BindPlan:
        self.on_keep()
        if self.failure is not None:
            raise self.failure
        before = self.bound.get(path, "")
        now = Bound(Holds.NODE if before else Holds.NOTHING, f"{path}/{layout.mount_point}", before)
        if before == node:
            return BindPlan(now)
        self.bound[path] = node
        return BindPlan(now, Bind(path, layout.node_tree(node), layout.mount_point, "nothing is bound there"))

    def release(self, path: str, layout: Layout) -> tuple[Mount, ...]:
        node = self.bound.pop(path, "")
        return (Mount(1, 1, "0:1", "/", f"{path}/{layout.mount_point}"),) if node else ()
