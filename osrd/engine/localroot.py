# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared root as programs use it that work without the daemon: they may want to know only what would be done, and
those of the original tools have changes of their own."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from osrd.apply.mounts import keep
from osrd.engine.sharedroot import Plan, Progress, SharedRoot
from osrd.model.cdsl import Changed, Inventory, Layout, Members, Place, Removal
from osrd.model.errors import ConflictError, UnsupportedError
from osrd.model.transaction import Transaction
from osrd.plan.cdsl.compatible import dismantle, register, with_originals
from osrd.plan.rootlink import wanted_tree


class LocalRoot(SharedRoot):
    """``simulate``: every change is planned against the root as it is, and only told. No lock is taken then, and
    nothing is written."""

    def __init__(
        self,
        path: str,
        members: Members,
        *,
        progress: Progress,
        cancelled: Callable[[], bool],
        simulate: bool = False,
    ) -> None:
        super().__init__(path, members, progress=progress, cancelled=cancelled)
        self._simulate = simulate
        self._originals = False

    def __enter__(self) -> Self:
        return self

    @property
    def directory(self) -> os.stat_result:
        """The directory that is worked on, whatever its path leads to by now."""
        return os.fstat(self._inside.fd)

    def make(self, path: str, nodes: Sequence[str] = (), *, orig: bool = False) -> Changed:
        """``orig``: what was at ``path`` is kept beside it, as PATH.orig."""
        with self._keeping(orig):
            return super().make(path, nodes)

    def share(self, path: str, winner: str = "", *, orig: bool = False) -> Changed:
        """``orig``: each node's copy is kept beside it, as PATH.orig."""
        with self._keeping(orig):
            return super().share(path, winner)

    def bind(self, link: str) -> Changed:
        """Mount the tree of a node at the link on this host. ``link`` as in osrd.conf: a node, "none" for no mount,
        "" for the lowest node. Raises ConflictError when something else is in the way, BusyError when the tree that
        is mounted now is in use."""
        inventory = self.inventory
        tree = wanted_tree(self.nodes, self._members, inventory.layout.prefix, link)
        plan = keep(self.path, inventory.layout, tree)
        if plan.action is not None:
            return Changed((str(plan.action),))
        for finding in plan.findings:
            raise ConflictError(finding.message, finding.fix)
        return Changed()

    def register(self, mountpoint: str) -> Changed:
        """Tell the inventory of a file system below that has one, too."""
        return self._change(lambda inventory: register(inventory, mountpoint))

    def dismantle(self, *, discard: bool = False) -> Changed:
        """Remove all CDSLs, then the infrastructure. Content stays, unless it is to be discarded: where node copies
        differ, that of the node at the link or of the first one, and the others' as backups."""
        lines: list[str] = []
        backups: list[str] = []
        for src in self._outermost():
            winner = "" if discard else self.bound or next(iter(self.nodes), "")
            changed = self.remove(f"/{src}", Removal(winner, recursive=True, discard=discard, others=Place.BACKUP))
            lines += changed.lines
            backups += changed.backups
        if not (self._simulate and lines):  # a simulated removal leaves the CDSLs in the way
            changed = self._change(
                lambda inventory: dismantle(
                    inventory, self._look, self._inside.names, self.bound, self._when(), discard=discard
                )
            )
            lines += changed.lines
            backups += changed.backups
        return Changed(tuple(lines), tuple(backups))

    def undo(self) -> Changed:
        self._refuse_simulation("undo")
        return super().undo()

    def recover(self) -> Changed:
        self._refuse_simulation("recover")
        return super().recover()

    def rebuild(self, layout: Layout | None = None) -> Changed:
        if not self._simulate:
            return super().rebuild(layout)
        return Changed((f"the disk has {len(self.rebuilt(layout).cdsls)} CDSLs",))

    def drop_backup(self, name: str) -> Changed:
        return Changed((f"the backup {name} would be gone",)) if self._simulate else super().drop_backup(name)

    def _outermost(self) -> list[str]:
        sources = [cdsl.src for cdsl in self.inventory.cdsls]
        return [src for src in sources if not any(src.startswith(f"{other}/") for other in sources)]

    @contextmanager
    def _keeping(self, orig: bool) -> Iterator[None]:
        self._originals = orig
        try:
            yield
        finally:
            self._originals = False

    def _change(self, plan: Plan, default: Inventory | None = None) -> Changed:
        chosen = self._with_originals(plan) if self._originals else plan
        if not self._simulate:
            return super()._change(chosen, default)
        transaction = chosen(self._load() or default or self.inventory)
        return Changed(transaction.lines, transaction.backups) if transaction else Changed()

    def _with_originals(self, plan: Plan) -> Plan:
        def planned(inventory: Inventory) -> Transaction | None:
            transaction = plan(inventory)
            return with_originals(transaction) if transaction else None

        return planned

    def _refuse_simulation(self, what: str) -> None:
        if self._simulate:
            raise UnsupportedError(f"{what} cannot be simulated", "leave out -n")
