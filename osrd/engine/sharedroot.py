# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared root's CDSLs, as osrctl, the compatible commands and the daemon change and check them (DESIGN 5).

Synchronous. Reading takes no lock and writes nothing; every change is: lock, finish what a crash left, read the
inventory, look, plan, run the transaction. Hosts that share the file system are serialised by the lock on it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType

from osrd.apply.cdsl.lock import locked
from osrd.apply.cdsl.transaction import Transactions
from osrd.model.cdsl import INVENTORY, OLD_INVENTORY, Changed, Inventory, Layout, Members, Removal
from osrd.model.errors import ConflictError, NotFoundError
from osrd.model.transaction import Transaction
from osrd.observe.copies import differing
from osrd.observe.inside import Inside
from osrd.parse.inventory import parse_inventory
from osrd.plan.cdsl import membership, paths
from osrd.plan.cdsl import remove as removing
from osrd.plan.cdsl import share as sharing
from osrd.plan.cdsl.infrastructure import infrastructure
from osrd.plan.cdsl.make import make
from osrd.plan.cdsl.nodes import identities

Progress = Callable[[float, str], None]
Plan = Callable[[Inventory], Transaction | None]

#: Bytes of the longest inventory that is read.
_INVENTORY_LIMIT = 64 << 20


def _silent(fraction: float, message: str) -> None:
    """Nobody waits for progress."""


def _never() -> bool:
    return False


def _unbound() -> str:
    return ""


class SharedRoot:
    """The file system at ``path`` on this host. Use as a context manager; not for two threads at once.

    ``members`` are the nodes of cluster.conf that use it; ``bound`` tells the node whose tree is mounted at the link
    on this host. ``cancelled`` is asked while data is copied; a change that is cancelled leaves everything as it was.
    ``wait``: seconds for another host's or process's change to end. The constructor and every method raise OsrdError.
    """

    def __init__(
        self,
        path: str,
        members: Members = Members(),  # noqa: B008 - immutable
        *,
        progress: Progress = _silent,
        cancelled: Callable[[], bool] = _never,
        wait: float = 60.0,
        clock: Callable[[], float] = time.time,
        bound: Callable[[], str] = _unbound,
    ) -> None:
        self.path = path
        self._members = members
        self._clock = clock
        self._wait = wait
        self._bound = bound
        self._stack = ExitStack()
        self._inside = self._stack.enter_context(Inside.open(path))
        self._look = self._inside.look
        self._transactions = Transactions(self._inside, progress=progress, cancelled=cancelled)

    def __enter__(self) -> "SharedRoot":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def inventory(self) -> Inventory:
        """What the inventory says, of whatever generation. Raises NotFoundError when there is none."""
        inventory = self._load()
        if inventory is None:
            raise NotFoundError(
                f"{self.path} has no CDSL infrastructure", f"make it with: osrctl cdsl init {self.path}"
            )
        return inventory

    @property
    def nodes(self) -> tuple[str, ...]:
        """The directory names of the nodes, as a new CDSL would get them."""
        return identities(self.inventory, self._members, required=False)

    def public(self, path: str) -> str:
        """The public path, relative to the root, that a user means by ``path`` (spec/cdsl.md 2.2)."""
        return self._public(self.inventory, path)

    def init(self, layout: Layout | None = None, *, maxnodeidnum: int = 0, use_nodeids: bool = True) -> Changed:
        """The trees, the link and the inventory. What is there already stays as it is, and its word counts."""
        fresh = Inventory(layout or Layout(), maxnodeidnum=maxnodeidnum, use_nodeids=use_nodeids)

        def plan(inventory: Inventory) -> Transaction | None:
            return infrastructure(inventory, identities(inventory, self._members, required=False), self._look)

        return self._change(plan, fresh)

    def make(self, path: str, nodes: Sequence[str] = ()) -> Changed:
        """Make ``path`` host-dependent, for ``nodes`` only when any are given."""

        def plan(inventory: Inventory) -> Transaction:
            chosen = identities(inventory, self._members, nodes)
            return make(inventory, self._public(inventory, path), chosen, self._look, self._when())

        return self._change(plan)

    def share(self, path: str, winner: str = "") -> Changed:
        """Make ``path``, below a host-dependent one, shared. Node copies that are not alike are a ConflictError
        unless ``winner`` names the node whose content becomes everybody's; the others' is kept as a backup."""

        def plan(inventory: Inventory) -> Transaction:
            src = self._public(inventory, path)
            copies = sharing.copies(inventory, src, self._look)
            best, differ = self._settled(src, copies, self._named(inventory, winner))
            return sharing.share(inventory, src, best, differ, self._look, self._when())

        return self._change(plan)

    def remove(self, path: str, removal: Removal = Removal()) -> Changed:  # noqa: B008 - immutable
        """Remove the CDSL at ``path``: its content comes back on every node, unless it is to be discarded. Copies
        that are not alike are a ConflictError unless ``removal.winner`` is named."""

        def plan(inventory: Inventory) -> Transaction:
            src = self._public(inventory, path)
            wanted = replace(removal, winner=self._named(inventory, removal.winner))
            differ: list[str] = []
            if not removal.discard:
                for copies in removing.copies(inventory, src, self._look):
                    best, others = self._settled(copies.src, copies.places, wanted.winner)
                    differ += [copies.places[node] for node in others]
                    if copies.src == src:
                        wanted = replace(wanted, winner=best)
            return removing.remove(inventory, src, wanted, differ, self._look, self._when())

        return self._change(plan)

    def undo(self) -> Changed:
        """Take back the last transaction, where nothing has changed since."""
        with locked(self._inside, self._wait):
            self._transactions.recover()
            return self._transactions.undo()

    def recover(self) -> Changed:
        """Finish or take back what a crash left, of whichever host."""
        with locked(self._inside, self._wait):
            return self._transactions.recover()

    def follow(self) -> Changed:
        """A tree, and an entry in every CDSL, for nodes that are new in cluster.conf."""
        return self._change(
            lambda inventory: membership.add_nodes(
                inventory, identities(inventory, self._members, required=False), self._look
            )
        )

    def adopt(self, tree: str, node: str) -> Changed:
        """The tree of a node that is gone becomes the tree of ``node``."""
        return self._change(
            lambda inventory: membership.adopt(
                inventory,
                tree,
                self._named(inventory, node),
                identities(inventory, self._members),
                self._look,
                self._when(),
            )
        )

    def archive(self, node: str) -> Changed:
        """The tree of a node that is gone becomes a backup."""
        return self._change(
            lambda inventory: membership.archive(
                inventory, node, identities(inventory, self._members, required=False), self._look, self._when()
            )
        )

    def _change(self, plan: Plan, default: Inventory | None = None) -> Changed:
        """Lock, recover, plan and run. ``default`` is the inventory of a root that has none."""
        with locked(self._inside, self._wait):
            recovered = self._transactions.recover()
            inventory = self._load() or default or self.inventory
            transaction = plan(inventory)
            if transaction is None:
                return recovered
            rebase = partial(paths.rebased, inventory)
            done = self._transactions.run(transaction, rebase)
            return Changed((*recovered.lines, *done.lines), done.backups)

    def _load(self) -> Inventory | None:
        """The inventory, in the place of its generation; None when there is none."""
        for file in (INVENTORY, OLD_INVENTORY):
            if file == OLD_INVENTORY and self._behind_a_link(file):
                file = self._old_inventory()
            if self._look(file) is not None:
                return parse_inventory(self._inside.read(file, _INVENTORY_LIMIT), file)
        return None

    def _public(self, inventory: Inventory, path: str) -> str:
        nodes = identities(inventory, self._members, required=False)
        node = self._bound() or next(iter(nodes), inventory.layout.default)
        return paths.resolve(inventory, path, node, self._look)

    def _named(self, inventory: Inventory, node: str) -> str:
        """The tree's name of a node that a user names."""
        if node in ("", inventory.layout.default):
            return node
        return identities(inventory, self._members, (node,))[0]

    def _settled(self, src: str, copies: Mapping[str, str], winner: str) -> tuple[str, tuple[str, ...]]:
        """Whose copy becomes everybody's, and which nodes' are not like it. Raises ConflictError when nobody was named
        and it matters, NotFoundError when the one that was named has no copy."""
        if winner and winner not in copies:
            raise NotFoundError(f"/{src} does not exist on node {winner}", f"these have it: {', '.join(copies)}")
        best = winner or self._bound() or next(iter(copies), "")
        if best not in copies:
            best = next(iter(copies), "")
        differ = differing(self._inside, copies, best) if best else ()
        if differ and not winner:
            raise sharing.differing_error(src, best, differ)
        return best, differ

    def _when(self) -> str:
        return f"{self._clock():.2f}"
