# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared root's CDSLs, as osrctl, the compatible commands and the daemon change and check them (DESIGN 5).

Synchronous. Reading takes no lock and writes nothing; every change is: lock, finish what a crash left, read the
inventory, look, plan, run the transaction. Hosts that share the file system are serialised by the lock on it.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType

from osrd.apply.cdsl.lock import locked
from osrd.apply.cdsl.transaction import Transactions
from osrd.model.cdsl import INVENTORY, OLD_INVENTORY, Changed, Inventory, Layout, Members, Removal
from osrd.model.errors import NotFoundError
from osrd.model.finding import Finding
from osrd.model.transaction import Transaction
from osrd.observe.copies import differing
from osrd.observe.inside import Inside
from osrd.parse.inventory import parse_inventory
from osrd.plan.cdsl.infrastructure import infrastructure
from osrd.plan.cdsl.make import make
from osrd.plan.cdsl.nodes import identities
from osrd.plan.cdsl.paths import rebased, resolve
from osrd.plan.cdsl.remove import remove
from osrd.plan.cdsl.share import choose, copies, share
from osrd.plan.cdsl.sight import Look, Sight

Progress = Callable[[float, str], None]
Plan = Callable[[Inventory], Transaction | None]

#: Bytes of the longest inventory that is read.
_INVENTORY_LIMIT = 64 << 20
#: Where the second generation's inventory gets to when /var is host-dependent, and when /var/lib is shared again.
_OLD_TREES = ("cluster/shared", "cluster/cdsl/1", "cluster/cdsl/default")


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
        return identities(self.inventory, self._members)

    def public(self, path: str) -> str:
        """The public path, relative to the root, that a user means by ``path`` (spec/cdsl.md 2.2)."""
        return self._public(self.inventory, path)

    def init(self, layout: Layout | None = None, *, maxnodeidnum: int = 0, use_nodeids: bool = True) -> Changed:
        """The trees, the link and the inventory. What is there already stays as it is, and its word counts."""
        fresh = Inventory(layout or Layout(), maxnodeidnum=maxnodeidnum, use_nodeids=use_nodeids)

        return self._change(lambda inventory: infrastructure(inventory, *self._nodes_look_when(inventory)), fresh)

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
            named = self._named(inventory, winner)
            best, differ = self._compared(inventory, src, named)
            return share(inventory, src, named if differ else best, differ, self._look, self._when())

        return self._change(plan)

    def remove(self, path: str, removal: Removal = Removal()) -> Changed:  # noqa: B008 - immutable
        """Remove the CDSL at ``path``: its content comes back on every node, unless it is to be discarded. Copies
        that are not alike are a ConflictError unless ``removal.winner`` is named."""

        def plan(inventory: Inventory) -> Transaction:
            src = self._public(inventory, path)
            wanted = replace(removal, winner=self._named(inventory, removal.winner))
            best, differ = ("", ()) if removal.discard else self._compared(inventory, src, wanted.winner)
            return remove(
                inventory, src, wanted, best, differ, self._look, self._when(), names=self._inside.names
            )

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

    def check(self) -> tuple[Finding, ...]:
        """What is wrong on the disk and in the mount table, each with its repair; writes nothing."""
        return ()

    def follow(self) -> Changed:
        return self._change(lambda inventory: infrastructure(inventory, *self._nodes_look_when(inventory)))

    def _change(self, plan: Plan, default: Inventory | None = None) -> Changed:
        """Lock, recover, plan and run. ``default`` is the inventory of a root that has none."""
        with locked(self._inside, self._wait):
            recovered = self._transactions.recover()
            inventory = self._load() or default or self.inventory
            transaction = plan(inventory)
            if transaction is None:
                return recovered
            done = self._transactions.run(transaction, partial(rebased, inventory))
            return Changed((*recovered.lines, *done.lines), done.backups)

    def _nodes_look_when(self, inventory: Inventory) -> tuple[Sequence[str], Look, str]:
        return identities(inventory, self._members), self._look, self._when()

    def _load(self) -> Inventory | None:
        """The inventory, in the place of its generation; None when there is none. That of the first two lies in a
        directory that may be host-dependent or shared by now."""
        places = [INVENTORY, OLD_INVENTORY, *(f"{tree}/{OLD_INVENTORY}" for tree in _OLD_TREES)]
        sight = Sight(self._look)
        for file in places:
            if sight(file) is not None:
                return parse_inventory(self._inside.read(file, _INVENTORY_LIMIT), file)
        return None

    def _public(self, inventory: Inventory, path: str) -> str:
        nodes = identities(inventory, self._members)
        node = self._bound() or next(iter(nodes), inventory.layout.default)
        return resolve(inventory, path, node, self._look)

    def _named(self, inventory: Inventory, node: str) -> str:
        """The tree's name of a node that a user names."""
        if node in ("", inventory.layout.default):
            return node
        return identities(inventory, self._members, (node,))[0]  # one for one

    def _compared(self, inventory: Inventory, src: str, winner: str) -> tuple[str, tuple[str, ...]]:
        """Whose copy of ``src`` the others are compared with, and which nodes' are not like it. What is wrong with
        ``src`` itself is for the planner to say."""
        sight = Sight(self._look)
        there = {node: place for node, place in copies(inventory, src).items() if sight(place) is not None}
        if not there:
            return winner, ()
        best = choose(src, there, winner, sight, self._bound())
        return best, differing(self._inside, there, best)

    def _when(self) -> str:
        return f"{self._clock():.2f}"
