# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging a root and preparing it: reading, deciding, asking the CDSL engine, writing, recording."""

import os
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from osrd import __version__
from osrd.apply.cdsl.lock import locked
from osrd.apply.cdsl.work import BACKUP
from osrd.apply.rootcare.edits import Edits
from osrd.apply.rootcare.fresh import Maker
from osrd.apply.rootcare.record import RECORD, Entry, Run, write_record
from osrd.apply.runner import Runner, SubprocessRunner
from osrd.engine.members import section_of
from osrd.model.cdsl import Changed, Inventory, Layout, Members
from osrd.model.cluster import Cluster
from osrd.model.errors import ConflictError, NotFoundError, OsrdError
from osrd.model.finding import Finding
from osrd.model.rootcare import (
    Change,
    Infrastructure,
    Link,
    MakeDirectory,
    MakeHostDependent,
    MakeShared,
    Permit,
    Remark,
    Renew,
    RenewKey,
    Repair,
    SetAside,
    Write,
)
from osrd.model.settings import Settings
from osrd.observe.inputs import read_input
from osrd.observe.inside import Inside
from osrd.observe.rootcare import InsideReader, read_inventory
from osrd.parse.clusterconf import parse_cluster
from osrd.parse.elements import MAX_SIZE as MAX_CLUSTER
from osrd.parse.inventory import MAX_SIZE, parse_inventory
from osrd.plan.members import members_of
from osrd.plan.rootcare.clusterfile import CLUSTER_CONF
from osrd.plan.rootcare.distribution import family
from osrd.plan.rootcare.preparation import IDENTITY_CODES, Preparation, prepare
from osrd.plan.rootcare.shown import action, headline
from osrd.plan.rootcare.survey import survey
from osrd.plan.rootcare.view import Root, tree_names

Progress = Callable[[float, str], None]


class SharedRoot(Protocol):
    """The part of osrd.engine.sharedroot.SharedRoot that preparing a root needs."""

    def init(self, layout: Layout | None = None, *, maxnodeidnum: int = 0, use_nodeids: bool = True) -> Changed: ...
    def make(self, path: str, nodes: tuple[str, ...] = ()) -> Changed: ...
    def share(self, path: str, winner: str = "") -> Changed: ...


OpenSharedRoot = Callable[[], AbstractContextManager[SharedRoot]]


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes that will run from a root, from this host's cluster.conf. ``data`` is what that ``file`` holds;
    ``maxnodeidnum`` > 0 makes nodes 1..N where there is no inventory yet."""

    members: Members = field(default_factory=Members)
    nics: frozenset[str] = frozenset()
    macs: frozenset[str] = frozenset()
    data: bytes | None = None
    maxnodeidnum: int = 0
    file: str = "/etc/cluster/cluster.conf"


def nodes_of(cluster: Cluster, members: Members, data: bytes) -> Nodes:
    """Their NICs are those that the initrd configures."""
    nics = [nic for node in cluster.nodes if node.name in members.names for nic in node.nics]
    names = frozenset(nic.name for nic in nics if nic.name)
    macs = frozenset(nic.mac.lower() for nic in nics if nic.mac)
    return Nodes(members, names, macs, data)


def find_nodes(root: str, settings: Settings, named: str = "", maxnodeidnum: int = 0) -> Nodes:
    """From the cluster.conf ``named``, else this host's, else the root's own. Raises NotFoundError for a file that was
    named, InvalidConfigError."""
    try:
        file = named or settings.cluster_conf
        data = read_input(file, MAX_CLUSTER).data
    except NotFoundError:
        if named:
            raise
        return replace(_nodes_inside(root, settings), data=None, maxnodeidnum=maxnodeidnum)
    nodes = _nodes_in(data, file, root, settings)
    return replace(nodes, maxnodeidnum=maxnodeidnum, file=os.path.abspath(file))


def _nodes_inside(root: str, settings: Settings) -> Nodes:
    try:
        with Inside.open(root) as inside:
            return _nodes_in(inside.read(CLUSTER_CONF, MAX_CLUSTER), inside.name(CLUSTER_CONF), root, settings)
    except (NotFoundError, ConflictError):
        return Nodes()  # what is odd about the file is a rule's business


def _nodes_in(data: bytes, file: str, root: str, settings: Settings) -> Nodes:
    cluster = parse_cluster(data, file)
    return nodes_of(cluster, members_of(cluster, settings, section_of(root, settings))[0], data)


@dataclass(slots=True)
class Prepared:
    """What a run did. ``backup`` is the directory of what was there before, ``record`` the file that lists it all,
    both inside the root and "" when nothing was done."""

    entries: list[Entry] = field(default_factory=list)
    backup: str = ""
    record: str = ""

    @property
    def failed(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.state == "failed"]


class RootCare:
    """One root. Use as a context manager. ``shared_root`` opens the CDSL engine on the same root."""

    def __init__(
        self,
        path: str,
        nodes: Nodes,
        shared_root: OpenSharedRoot,
        *,
        progress: Progress = lambda fraction, message: None,
        runner: Runner | None = None,
        clock: Callable[[], float] = time.time,
        wait: float = 60.0,
    ) -> None:
        """Raises NotFoundError when there is no directory ``path``."""
        self._inside = Inside.open(path)
        self._nodes = nodes
        self._shared_root = shared_root
        self._progress = progress
        self._maker = Maker(runner or SubprocessRunner())
        self._clock = clock
        self._wait = wait

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.close()

    def root(self) -> Root:
        """The root as it is now. Raises InvalidConfigError when its inventory is none."""
        reader = InsideReader(self._inside)
        found = read_inventory(self._inside, MAX_SIZE)
        inventory = parse_inventory(found[0], self._inside.name(found[1])) if found else None
        nodes = self._nodes
        known = inventory or Inventory(maxnodeidnum=nodes.maxnodeidnum)
        hosts = tree_names(known, nodes.members)
        told = (nodes.nics, nodes.macs, nodes.data, nodes.file)
        return Root(self._inside.path, reader, family(reader), inventory, hosts, *told)

    def check(self) -> tuple[Finding, ...]:
        return tuple(each.finding for each in self.remarks(self.root()))

    def remarks(self, root: Root) -> tuple[Remark, ...]:
        return survey(root)

    def plan(self, only: Collection[str] = (), *, keep_networkmanager: bool = False) -> Preparation:
        """What ``perform`` would do now."""
        root = self.root()
        return prepare(root, self.remarks(root), only, keep_networkmanager=keep_networkmanager)

    def provision(self) -> Prepared:
        """Give nodes that were added since what is their own: their trees are copies of the template. Nothing else of
        the root is touched."""
        return self.perform(self.plan(IDENTITY_CODES))

    def provision_prepared(self) -> tuple[str, ...]:
        """Provision if the root was prepared at all; lines that say what was done, and what could not be."""
        if self._inside.status(RECORD) is None:
            return ()
        done = self.provision()
        return tuple(f"{each.text}: {each.error}" if each.error else each.text for each in done.entries)

    def perform(self, preparation: Preparation) -> Prepared:
        """Do it, record it. A change that fails does not stop the others; the record and the result say so."""
        if not preparation.changes:
            return Prepared()
        when = self._clock()
        run = Run(f"prepare-{when:.2f}", when, __version__)
        run.entries = [_entry(change) for change in preparation.changes]
        edits = Edits(self._inside, run.name)
        pairs = dict(zip(preparation.changes, run.entries, strict=True))
        # The engine takes the root's lock itself.
        with locked(self._inside, self._wait):
            write_record(self._inside, run)
            self._edit(run, preparation.edits, pairs, edits)
        for change in preparation.cdsls:
            self._attempt(run, pairs[change], partial(self._cdsl, change.repair))
        with locked(self._inside, self._wait):
            self._edit(run, preparation.contents, pairs, edits)
            run.state = "failed" if any(entry.state == "failed" for entry in run.entries) else "done"
            write_record(self._inside, run)
        backup = f"{BACKUP}/{run.name}" if any(entry.backup for entry in run.entries) else ""
        return Prepared(run.entries, backup, RECORD)

    def _edit(self, run: Run, changes: Iterable[Change], pairs: dict[Change, Entry], edits: Edits) -> None:
        root = self.root()
        for change in changes:
            self._attempt(run, pairs[change], partial(self._write, root, edits, change.repair))

    def _attempt(self, run: Run, entry: Entry, work: Callable[[Entry], None]) -> None:
        ended = sum(each.state != "planned" for each in run.entries)
        self._progress(ended / len(run.entries), entry.text)
        try:
            work(entry)
        except OsrdError as error:
            entry.state, entry.error = "failed", str(error)
        else:
            entry.state = "done"

    def _cdsl(self, repair: Repair, entry: Entry) -> None:
        with self._shared_root() as engine:
            if isinstance(repair, MakeHostDependent):
                changed = engine.make(repair.path)
            elif isinstance(repair, MakeShared):
                changed = engine.share(repair.path)
            else:
                changed = engine.init(maxnodeidnum=self._nodes.maxnodeidnum)
        entry.backup = " ".join(changed.backups)

    def _write(self, root: Root, edits: Edits, repair: Repair, entry: Entry) -> None:
        """Perform a repair that is no CDSL."""
        assert not isinstance(repair, Infrastructure | MakeHostDependent | MakeShared)
        place = _physical(root, repair.path, repair.node)
        entry.physical = place
        match repair:
            case MakeDirectory():
                edits.make_directory(place, repair.mode)
            case Write(was=None):
                edits.create(place, repair.data, repair.mode)
            case Write():
                entry.backup = edits.replace(place, repair.was, repair.data)
            case Link():
                entry.backup = edits.link(place, repair.text)
            case SetAside():
                entry.backup = edits.set_aside(place)
            case Permit():
                entry.old = f"{root.reader.mode(place) or 0:04o}"
                edits.permit(place, repair.mode)
            case Renew():
                data = self._maker.fresh(repair.fresh, repair.node, repair.like)
                entry.backup = self._put(root, edits, place, data, repair.mode)
            case RenewKey():
                self._key(root, repair, entry, edits)

    def _key(self, root: Root, repair: RenewKey, entry: Entry, edits: Edits) -> None:
        private, public = self._maker.key(repair)
        # The public one first: a private key without it works, the other way round does not.
        if root.is_host_dependent(f"{repair.path}.pub"):
            place = _physical(root, f"{repair.path}.pub", repair.node)
            self._put(root, edits, place, public, 0o644)
        entry.backup = self._put(root, edits, entry.physical, private, 0o600)

    def _put(self, root: Root, edits: Edits, place: str, data: bytes, mode: int) -> str:
        if root.reader.look(place) is None:
            return edits.create(place, data, mode)
        return edits.replace(place, None, data)


def _physical(root: Root, path: str, node: str) -> str:
    """Where a change goes. Raises ConflictError where one copy is meant and there is another number of them."""
    if bool(node) == root.is_host_dependent(path):
        return root.physical(path, node)
    if node:
        raise ConflictError(
            f"/{path} is not host-dependent, so {node} cannot have content of its own there",
            f"osrctl cdsl make {root.path} /{path}",
        )
    raise ConflictError(f"/{path} has become host-dependent", "look again and try again")


def _entry(change: Change) -> Entry:
    repair = change.repair
    path, node = getattr(repair, "path", ""), getattr(repair, "node", "")
    return Entry(change.codes, action(repair), path, node, headline(repair))
