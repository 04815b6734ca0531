# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared root's CDSLs, as osrctl, the compatible commands and the daemon change and check them (DESIGN 5).

Synchronous. Reading takes no lock and writes nothing; every change is: lock, finish what a crash left, read the
inventory, look, plan, run the transaction. Hosts that share the file system are serialised by the lock on it.
"""

import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType

from osrd.apply.cdsl.backups import backups, drop_backup
from osrd.apply.cdsl.lock import locked
from osrd.apply.cdsl.transaction import Transactions
from osrd.engine.rootcare import Nodes, RootCare
from osrd.model.cdsl import INVENTORY, OLD_INVENTORY, WORK, Changed, Inventory, Layout, Members, Removal
from osrd.model.errors import ConflictError, InvalidConfigError, NotFoundError, OsrdError
from osrd.model.finding import Finding
from osrd.model.mount import Bound
from osrd.model.transaction import Transaction
from osrd.observe.differing import differing
from osrd.observe.inside import Inside
from osrd.observe.mounts import node_at_link, physical_path, read_mounts
from osrd.parse.inventory import parse_inventory, render_inventory
from osrd.plan.bindmounts import bound
from osrd.plan.cdsl.check import check
from osrd.plan.cdsl.conversion import convert
from osrd.plan.cdsl.infrastructure import infrastructure
from osrd.plan.cdsl.make import make
from osrd.plan.cdsl.membership import add_nodes, adopt, archive
from osrd.plan.cdsl.nodes import identities
from osrd.plan.cdsl.paths import rebased, resolve
from osrd.plan.cdsl.rebuild import rebuild
from osrd.plan.cdsl.remove import remove
from osrd.plan.cdsl.repair import repair
from osrd.plan.cdsl.settings import with_setting
from osrd.plan.cdsl.share import choose, copies, share
from osrd.plan.cdsl.sight import Look, Sight

#: ``osrctl cdsl repair ROOT`` in a message.
_COMMAND = re.compile(r"(osrctl (?:[a-z]+ ){1,3})ROOT\b")

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


class SharedRoot:
    """The file system at ``path`` on this host. Use as a context manager; not for two threads at once.

    ``members`` are the nodes of cluster.conf that use it. ``cancelled`` is asked while data is copied; a change that
    is cancelled leaves everything as it was. ``wait``: seconds for another host's or process's change to end. The
    constructor and every method raise OsrdError.
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
    ) -> None:
        self.path = path
        self._members = members
        self._clock = clock
        self._wait = wait
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

    @property
    def bound(self) -> str:
        """The node whose tree is mounted at the link on this host, "" when none is, or nobody can tell."""
        inventory = self._load()
        return node_at_link(self.path, inventory.layout) if inventory is not None else ""

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
            src = self._public(inventory, path)
            return make(inventory, src, chosen, self._look, self._when(), some=bool(nodes))

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
            return remove(inventory, src, wanted, best, differ, self._look, self._when(), names=self._inside.names)

        return self._change(plan)

    def undo(self) -> Changed:
        """Take back the last transaction, where nothing has changed since."""
        with locked(self._inside, self._wait):
            self._transactions.recover()
            return self._transactions.undo()

    def recover(self) -> Changed:
        """Finish or take back what a crash left, of whichever host. A root that osrd never changed stays unwritten."""
        if self._look(WORK) is None:
            return Changed()
        with locked(self._inside, self._wait):
            return self._transactions.recover()

    def follow(self) -> tuple[Changed, tuple[Finding, ...]]:
        """A tree, and an entry in every CDSL that is for all, for nodes that are new in cluster.conf; and what is
        wrong then, the trees of gone nodes among it."""
        inventory = self.inventory
        changed = Changed()
        if self._completed(inventory, identities(inventory, self._members)) is not None:  # else not even locked
            changed = self._change(lambda now: self._completed(now, identities(now, self._members)))
        return changed, self.check()

    def check(self) -> tuple[Finding, ...]:
        """What is wrong on the disk and in the mount table, each with its repair; writes nothing."""
        inventory = self.inventory
        nodes = identities(inventory, self._members)
        now = self._at_link(inventory)
        mounts = tuple(str(mount) for mount in now.stack)
        found = check(inventory, nodes, self._look, self._inside.names, mounts, now.node)
        return tuple(replace(finding, fix=self._addressed(finding.fix)) for finding in found)

    def repair(self) -> Changed:
        """Links, trees and copies that are missing, made again; what is in the place of a link is kept."""
        return self._change(lambda inventory: repair(inventory, *self._nodes_look_when(inventory)))

    def rebuild(self, layout: Layout | None = None) -> Changed:
        """The inventory anew from the disk alone. What a readable one says of names and nodes is kept."""
        with locked(self._inside, self._wait):
            recovered = self._transactions.recover()
            found = self.rebuilt(layout)
            transaction = Transaction(
                "rebuild the inventory",
                (),
                inventory=render_inventory(found),
                lines=(f"the disk has {len(found.cdsls)} CDSLs; they are in the inventory now",),
            )
            done = self._transactions.run(transaction, partial(rebased, found))
            return Changed((*recovered.lines, *done.lines), done.backups)

    def rebuilt(self, layout: Layout | None = None) -> Inventory:
        """The inventory that ``rebuild`` would write."""
        try:
            known = self._load()
        except InvalidConfigError:
            known = None
        names = layout or (known.layout if known else Layout())
        found = rebuild(self._look, self._inside.names, names, self._when())
        if known is None:
            return found
        former = {cdsl.src: cdsl for cdsl in known.cdsls}
        return replace(known, layout=found.layout, cdsls=tuple(former.get(each.src, each) for each in found.cdsls))

    def convert(self) -> Changed:
        """An older layout and inventory to those that resolve everywhere."""

        def plan(inventory: Inventory) -> Transaction | None:
            return convert(inventory, self._look, self._when(), self._at_link(inventory).node)

        return self._change(plan)

    def adopt(self, tree: str, node: str) -> Changed:
        """The tree of a node that is gone becomes the tree of ``node``."""

        def plan(inventory: Inventory) -> Transaction:
            nodes = identities(inventory, self._members)
            return adopt(inventory, tree, self._named(inventory, node), self._look, self._when(), nodes)

        return self._change(plan)

    def archive(self, node: str) -> Changed:
        """The tree of a node that is gone becomes a backup. Raises ConflictError for a node of the cluster."""

        def plan(inventory: Inventory) -> Transaction:
            if node in identities(inventory, self._members):
                raise ConflictError(f"{node} is a node of this root and needs its tree", "remove the node first")
            return archive(inventory, node, self._look, self._when())

        return self._change(plan)

    def backups(self) -> tuple[str, ...]:
        """The names of what was kept because node copies differed, oldest first."""
        return backups(self._inside)

    def drop_backup(self, name: str) -> Changed:
        """Remove a backup for good, by its name or the path that a change told."""
        short = name.removeprefix(f"{WORK}/backup/").split("/")[0]
        with locked(self._inside, self._wait):
            drop_backup(self._inside, short)
        return Changed((f"the backup {short} is gone",))

    def set(self, name: str, value: str) -> Changed:
        """Change a setting of the inventory; new nodes get their trees."""
        changed = self._change(lambda inventory: with_setting(inventory, name, value))
        followed = self._change(lambda inventory: self._completed(inventory, identities(inventory, self._members)))
        return self._provisioned(Changed((*changed.lines, *followed.lines), followed.backups))

    def add_node(self, node: str) -> Changed:
        """The tree of a node, and its copies. Where the nodes are counted, the count becomes ``node``; else it must be
        in cluster.conf."""
        if self._counts(node):
            return self.set("maxnodeidnum", node)

        def plan(inventory: Inventory) -> Transaction | None:
            return self._completed(inventory, identities(inventory, self._members, (node,)))

        return self._provisioned(self._change(plan))

    def delete_node(self, node: str) -> Changed:
        """The node goes from all CDSLs, its tree becomes a backup. Where nodes are counted only the last can go."""
        count = self.inventory.maxnodeidnum
        if count and node.removeprefix(self.inventory.layout.prefix) == str(count):
            self._change(lambda inventory: with_setting(inventory, "maxnodeidnum", str(count - 1)))
        return self.archive(node)

    def _counts(self, node: str) -> bool:
        """Whether nodes are counted here and ``node`` is a number beyond the count."""
        count = self.inventory.maxnodeidnum
        return bool(count) and node.isascii() and node.isdigit() and (len(node) > 9 or int(node) > count)

    def _completed(self, inventory: Inventory, nodes: Sequence[str]) -> Transaction | None:
        return add_nodes(inventory, nodes, self._look, self._when()) if nodes else None

    def _change(self, plan: Plan, default: Inventory | None = None) -> Changed:
        """Lock, recover, plan and run. ``default`` is the inventory of a root that has none."""
        with self._addressing(), locked(self._inside, self._wait):
            recovered = self._transactions.recover()
            inventory = self._load() or default or self.inventory
            transaction = plan(inventory)
            if transaction is None:
                return recovered
            done = self._transactions.run(transaction, partial(rebased, inventory))
            return Changed((*recovered.lines, *done.lines), done.backups)

    def _provisioned(self, changed: Changed) -> Changed:
        """In a prepared root a node that came gets its own machine id and keys: its tree is a copy of the template."""
        if not changed:
            return changed
        with RootCare(self.path, Nodes(self._members), lambda: SharedRoot(self.path, self._members)) as care:
            lines = care.provision_prepared()
        return Changed((*changed.lines, *lines), changed.backups)

    def _at_link(self, inventory: Inventory) -> Bound:
        """What is mounted at the link on this host."""
        return bound(read_mounts(), physical_path(self._inside.fd), inventory.layout)

    def _nodes_look_when(self, inventory: Inventory) -> tuple[Sequence[str], Look, str]:
        return identities(inventory, self._members), self._look, self._when()

    @contextmanager
    def _addressing(self) -> Iterator[None]:
        """The way out that an error tells is a command that can be typed as it is."""
        try:
            yield
        except OsrdError as error:
            error.fix = self._addressed(error.fix)
            raise

    def _addressed(self, fix: str) -> str:
        """The planners know no names of this host: their commands say ROOT."""
        name = shlex.quote(self.path)
        return _COMMAND.sub(lambda found: f"{found[1]}{name}", fix)

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
        node = self.bound or next(iter(nodes), inventory.layout.default)
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
        best = choose(src, there, winner, sight, self.bound)
        return best, differing(self._inside, there, best)

    def _when(self) -> str:
        return f"{self._clock():.2f}"
