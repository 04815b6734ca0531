# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: load, observe, desire, plan, apply (DESIGN 3). Synchronous; lives in the one writer thread.

There are two scopes. A *full* run compares every file osrd publishes with the disk. A run with *hints* looks only at
what changed in the inputs and at the paths the hints name, so that one edit among 10,000 nodes costs what it changes;
the full run that follows sooner or later makes it true whatever the hints left out (law 7).
"""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256

from osrd.apply.clusterfile import replace_cluster_conf
from osrd.apply.dhcp import dhcp_server
from osrd.apply.nfs import nfs_server
from osrd.apply.publish import Note, Publisher, PublishResult
from osrd.apply.runner import SubprocessRunner
from osrd.apply.store import Store
from osrd.engine.api import AddNode, Edit, RemoveNode, SetNode
from osrd.engine.configuration import Configuration
from osrd.engine.load import ClusterLoader, Freezer, Loaded, Publishable
from osrd.engine.memory import give_back, keep, no_collection
from osrd.engine.outstanding import Outstanding, paths_of
from osrd.engine.places import Places, Watched
from osrd.engine.snapshots import Outcome, Viewer, snapshot
from osrd.engine.state import StateDirectory
from osrd.model.cluster import Cluster, Node
from osrd.model.errors import BusyError, ConflictError, FailedError
from osrd.model.finding import Finding, Severity
from osrd.model.netboot import HostFacts
from osrd.model.output import BuiltBy, Content, CopyOf, Desired, Output, Published, Service
from osrd.model.plan import Adopt, Plan, Write
from osrd.model.settings import Settings
from osrd.model.view import Generation, PlanView, ServiceState, Snapshot
from osrd.observe.facts import FactFinder
from osrd.observe.filecache import FileCache
from osrd.observe.inputs import read_input
from osrd.parse.clusteredit import add_node, remove_node, set_node
from osrd.parse.elements import MAX_SIZE
from osrd.plan.desired import Desirer, Inputs
from osrd.plan.difference import HEAVY_KINDS, difference, questionable
from osrd.plan.explain import explain

Progress = Callable[[float, str], None]

#: Bytes of a published file that a diff reads at most.
_DIFF_LIMIT = 1 << 20
#: Files from which on a run is worth tidying up after.
_MANY = 1000


def _silent(fraction: float, message: str) -> None:
    """Nobody waits for progress."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run looks at on the disk: everything, or changed outputs and ``hints``."""

    full: bool = True
    hints: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Run:
    """What happened: ``result`` is None when there was nothing to do, or when publishing ``failed``. ``cluster`` is
    the usable cluster.conf that it was made from, None when there never was one; ``nodes`` are those that are
    published, quarantined ones as they were. ``outstanding``
    are paths that still are not as they should be. ``watched`` are the directories (and names in them, None for all)
    whose changes should wake the next run. ``idle``: the state cannot be used, and nobody is to do anything."""

    snapshot: Snapshot
    plan: Plan
    result: PublishResult | None
    rejected: tuple[Finding, ...] = ()
    failed: bool = False
    outstanding: frozenset[str] = frozenset()
    watched: Watched = field(default_factory=dict)
    cluster: Cluster | None = None
    nodes: tuple[Node, ...] = ()
    idle: bool = False


@dataclass(frozen=True, slots=True)
class _View:
    """The inputs of one run and what follows from them, before anything is written."""

    loaded: Loaded
    publishable: Publishable
    facts: HostFacts
    desired: Desired
    inputs: str  # digest over everything that decides the outputs
    pinned: bool


class Pipeline:
    """Owns every cache and the store. Not thread safe: all calls come from one thread."""

    def __init__(self, configuration: str, *, required: bool = False) -> None:
        """Read osrd.conf. Raises InvalidConfigError when it was named (``required``) and is not there. A state
        directory that cannot be used is a finding; see check_state()."""
        self._configuration = Configuration(configuration, required=required)
        self._loader = ClusterLoader()
        self._freezer = Freezer()
        self._desirer = Desirer()
        self._facts = FactFinder()
        self._cache = FileCache((self.settings.tftp.root,))
        self._state = StateDirectory(self.settings.paths.state)
        self._services = {Service.DHCP: ServiceState.UNKNOWN, Service.NFS: ServiceState.UNKNOWN}
        self._publisher = self._new_publisher()
        self._outstanding = Outstanding()
        #: outputs that the manifest agrees with, None when that is not known
        self._agreed: Mapping[str, Output] | None = None
        self._places = Places()
        self._viewer = Viewer()
        self._places.remember(self._store.manifest, self.settings)
        self.snapshot = Snapshot()

    @property
    def _store(self) -> Store:
        return self._state.store

    def check_state(self) -> None:
        """Raises FailedError, BusyError or UnsupportedError while the state directory cannot be used."""
        self._try_state()
        self._state.check()

    def _try_state(self) -> bool:
        """Whether the state can be used now and could not before."""
        if not self._state.again():
            return False
        self._publisher, self._agreed = self._new_publisher(), None
        self._places.remember(self._store.manifest, self.settings)
        return True

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._configuration.settings

    def close(self) -> None:
        self._store.close()

    def _new_publisher(self) -> Publisher:
        runner = SubprocessRunner()
        work = os.path.join(self.settings.paths.runtime, "candidates")
        servers = {
            Service.DHCP: dhcp_server(self.settings, runner, work),
            Service.NFS: nfs_server(self.settings, runner),
        }
        return Publisher(self._store, self._cache, runner, servers, keep=self.settings.boot.keep_generations)

    def reload(self) -> tuple[Finding, ...]:
        """Read osrd.conf again; with errors in it, which are returned, the settings in use stay."""
        if self._configuration.reload():
            # Former TFTP roots stay bases, since what osrd has below them is still to be removed.
            self._cache = FileCache(dict.fromkeys((self.settings.tftp.root, *self._cache.bases)))
            self._publisher = self._new_publisher()
        return self._configuration.rejected

    def run(
        self, scope: Scope, reason: str, progress: Progress = _silent, *, unpin: bool = False, retry: bool = False
    ) -> Run:
        """Make it true. Raises nothing for content: what is wrong with the inputs is in the snapshot's findings.

        ``unpin`` ends a rollback's hold; ``retry``: somebody asked, so files that a server refused are tried again.
        """
        return self._collected(partial(self._run, scope, reason, progress, unpin=unpin, retry=retry))

    def apply(self, digest: str, progress: Progress = _silent) -> Run:
        """A full run that ends a hold, if its plan is the one that plan_view() showed as ``digest`` ("": any). Raises
        ConflictError when it is not, InvalidConfigError while osrd.conf is unusable; nothing is changed then."""
        self._check()
        run = partial(self._run, Scope(), "applied", progress, unpin=True, retry=True, digest=digest)
        return self._collected(run)

    def _collected(self, work: Callable[[], Run]) -> Run:
        """Do ``work`` with the garbage collector where it does not disturb, and tidy up after much of it: after every
        run, for the heap is where the shells' long replies were, too."""
        with no_collection():
            run = work()
            if run.result is not None and run.result.written > _MANY:
                keep()  # before the collector, which would walk all of it
        if len(self._store.manifest) > _MANY:
            give_back()
        return run

    def _run(
        self, scope: Scope, reason: str, progress: Progress, *, unpin: bool, retry: bool, digest: str = ""
    ) -> Run:
        progress(0.0, "comparing")
        if self._try_state():
            scope = Scope()
        if self._state.refused is not None:
            return replace(self._finish(self._view(unpin=False), Plan(), None, failed=True), idle=True)
        try:
            self._recover()
        except (FailedError, BusyError) as error:
            return self._failed(self._view(unpin=unpin), Plan(), error)
        view = self._view(unpin=unpin, glance=not scope.full)
        if not self._configuration.usable:
            return self._finish(view, Plan(), None)
        looked_at, plan = self._plan(view, scope)
        if digest and plan.digest != digest:
            raise ConflictError(f"the plan is {plan.digest} now, not {digest}", "look at the new plan and apply that")
        self._outstanding.planned(plan, looked_at, full=scope.full)
        if not plan.actions and not self._note_differs(view):
            self._outstanding.nothing_to_do(looked_at, full=scope.full)
            self._agreed = view.desired.outputs if not plan.findings else None
            return self._finish(view, plan, None)
        try:
            return self._publish(view, plan, self._note(view, reason, retry=retry), progress)
        except (FailedError, BusyError) as error:
            return self._failed(view, plan, error)

    def _publish(self, view: _View, plan: Plan, note: Note, progress: Progress) -> Run:
        self._agreed = None  # until it is known how this ends
        result = self._publisher.publish(plan, view.desired, note, self._desirer.content_of, progress)
        if not result.findings and not plan.findings:
            self._agreed = view.desired.outputs
        self._services.update(result.services)
        self._outstanding.published(result)
        return self._finish(view, plan, result)

    def _failed(self, view: _View, plan: Plan, error: FailedError | BusyError) -> Run:
        self._outstanding.failed(plan, error)
        return self._finish(view, plan, None, failed=True)

    def _recover(self) -> None:
        """Settle what a killed run left, before anything is compared. Raises FailedError or BusyError, like a
        publication: a disk that is full when osrd starts is no reason not to start."""
        if self._configuration.usable:
            self._outstanding.recovered(self._publisher.recover())

    def plan_view(self, *, diff: bool) -> PlanView:
        """What Apply would do now: a full run, a hold ended. Raises what check_state() raises."""
        self.check_state()
        view = self._view(unpin=True)
        plan = self._plan(view, Scope())[1] if self._configuration.usable else Plan()
        return explain(plan, lambda path: self._cache.read(path, _DIFF_LIMIT), self._after(view), diff=diff)

    def verify(self, progress: Progress = _silent) -> tuple[str, ...]:
        """Hash every input and every published file anew; the paths that are not as they should be. Writes nothing.
        Raises what check_state() raises."""
        self.check_state()
        progress(0.0, "hashing")
        view = self._view(unpin=False, rehash=True)
        paths = view.desired.outputs.keys() | self._store.manifest.keys()
        found = self._cache.find(paths, rehash=True)
        plan = difference(view.desired, self._store.manifest, found, self._store.owed, self._retained())
        blocked = [finding.value for finding in plan.findings if finding.severity is Severity.ERROR]
        damaged = [finding.value for finding in view.desired.findings if finding.code == "image-damaged"]
        return tuple(dict.fromkeys((*paths_of(plan), *blocked, *damaged)))

    def pin(self, generation: int, progress: Progress = _silent) -> Run:
        """Publish generation ``generation`` again and hold it. Raises NotFoundError, ConflictError when files of it
        are gone that osrd cannot make again, InvalidConfigError while osrd.conf is unusable, FailedError."""
        self._check()
        self._recover()
        outputs = self._store.outputs_of(generation)
        view = self._view(unpin=True)
        pinned = replace(view, desired=_as_published(outputs, view.desired.contents), pinned=True)
        looked_at, plan = self._plan(pinned, Scope())
        if gone := _irretrievable(plan, pinned.desired.contents):
            raise ConflictError(
                f"generation {generation} needs {', '.join(gone[:3])}, which is gone and cannot be made again",
                "put back the file it was made from, or choose another generation",
            )
        note = self._note(pinned, f"rollback to {generation}", retry=True)
        self._outstanding.planned(plan, looked_at, full=True)
        return self._publish(pinned, plan, replace(note, pin=generation, pin_inputs=view.inputs), progress)

    def edit(self, request: Edit) -> tuple[str, str]:
        """Change cluster.conf; the sha256 of it before and after. Raises what osrd.parse.clusteredit raises, and
        ConflictError when somebody else writes the file at the same time, InvalidConfigError while osrd.conf is
        unusable (it may name another cluster.conf)."""
        self._check()
        path = self.settings.cluster_conf
        read = read_input(path, MAX_SIZE)
        known, validator = self._loader.known, self._loader.validator
        match request:
            case AddNode(name, attributes, version):
                data = add_node(read.data, path, name, attributes, version, known=known, validator=validator)
            case SetNode(node, attributes, version):
                data = set_node(read.data, path, node, attributes, version, known=known, validator=validator)
            case RemoveNode(node, version):
                data = remove_node(read.data, path, node, version, known=known, validator=validator)
        if data != read.data:
            replace_cluster_conf(path, data, read.digest)
        return read.digest, sha256(data).hexdigest()

    def generations(self) -> tuple[Generation, ...]:
        """Raises what check_state() raises."""
        self.check_state()
        return self._store.generations()

    def _check(self) -> None:
        self._configuration.check_usable()
        self.check_state()

    def _view(self, *, unpin: bool, rehash: bool = False, glance: bool = False) -> _View:
        loaded = self._loader.load(self.settings.cluster_conf, fresh=not self._store.manifest)
        publishable = self._freezer.publishable(loaded, self._store.good_nodes())
        facts = self._facts.find(self.settings, self._store.pairs(), rehash=rehash, glance=glance)
        inputs = _inputs_digest(self.settings, loaded, facts)
        pinned = bool(self._store.pin) and self._store.pin_inputs == inputs and not unpin
        contents: Mapping[str, Content] = {}
        if loaded.cluster is not None and self._configuration.usable:
            desired = self._desirer.desire(
                Inputs(self.settings, loaded.cluster, publishable.nodes, publishable.frozen, facts)
            )
            contents = desired.contents  # a hold needs them too: a deleted kernel is copied again
        else:
            desired = _as_published(self._current())
        if pinned:
            desired = _as_published(self._store.outputs_of(self._store.pin), contents)
        return _View(loaded, publishable, facts, desired, inputs, pinned)

    def _current(self) -> dict[str, Published]:
        """What is published now, without what is kept on the disk for a rollback only."""
        return {path: row for path, row in self._store.manifest.items() if path not in self._store.kept}

    def _plan(self, view: _View, scope: Scope) -> tuple[Collection[str], Plan]:
        """The plan, and the paths it was made from."""
        manifest = self._store.manifest
        paths: Collection[str]
        if scope.full:
            paths = view.desired.outputs.keys() | manifest.keys()
        else:
            known = self._outstanding.paths | scope.hints
            paths = questionable(view.desired, manifest, self._agreed)
            paths |= {path for path in known if path in view.desired.outputs or path in manifest}
        found = self._cache.find(paths)
        if scope.full:
            self._store.share(view.desired.outputs, found, self._good_nodes(view))
        return paths, difference(view.desired, manifest, found, self._store.owed, self._retained())

    def _retained(self) -> frozenset[str]:
        return self._store.retained()

    def _after(self, view: _View) -> Callable[[str], bytes | None]:
        def content(path: str) -> bytes | None:
            output = view.desired.outputs.get(path)
            known = view.desired.contents.get(output.recipe) if output else None
            if isinstance(known, bytes):
                return known
            stored = self._store.content(output.recipe) if output else None
            return stored if stored is not None else self._desirer.content_of(path)

        return content

    def _note(self, view: _View, reason: str, *, retry: bool = False) -> Note:
        cluster = view.loaded.cluster
        version = (cluster.config_version or 0) if cluster else 0
        if view.pinned or cluster is None:
            # What is published is not what the inputs say, so what is known of their last good state stays.
            good, pin, pin_inputs = self._store.good_nodes(), self._store.pin, self._store.pin_inputs
            return Note(reason, version, good, {}, pin, pin_inputs, retry)
        return Note(reason, version, self._good_nodes(view), self._desirer.current_pairs(), retry=retry)

    def _good_nodes(self, view: _View) -> Mapping[str, bytes]:
        """Last good sources: today's for valid nodes, yesterday's for quarantined ones, none for removed ones."""
        before = self._store.good_nodes()
        kept = {name: before[name] for name in view.publishable.frozen if name in before}
        return {**view.publishable.good, **kept}

    def _note_differs(self, view: _View) -> bool:
        """Whether something must be recorded although no file changes (an edit that no output depends on)."""
        if view.pinned or view.loaded.cluster is None:
            return False
        return self._store.pin != 0 or self._good_nodes(view) != self._store.good_nodes()

    def _finish(self, view: _View, plan: Plan, result: PublishResult | None, *, failed: bool = False) -> Run:
        loaded = view.loaded
        findings = (
            *self._state.findings,
            *self._configuration.findings,
            *loaded.rejected,
            *loaded.verdict.findings,
            *view.desired.findings,
            *self._outstanding.findings,
        )
        rejected = (*self._configuration.rejected, *loaded.rejected)
        outstanding = self._outstanding.paths
        complete = self._configuration.usable and not failed and not outstanding
        outcome = Outcome(
            invalid=bool(rejected),
            pinned=view.pinned,
            in_sync=complete and not _unresolved(view.desired),
            generation=self._store.generation,
            findings=tuple(dict.fromkeys(findings)),
            dhcp=self._services[Service.DHCP],
            nfs=self._services[Service.NFS],
        )
        self.snapshot = snapshot(loaded, self.settings, outcome, self.snapshot, self._viewer)
        self._places.remember(paths_of(plan), self.settings)
        adopted = (action.output.path for action in plan.actions if isinstance(action, Adopt))
        self._places.remember(adopted, self.settings)
        watched = self._places.watched(self.settings, self._facts.watched(self.settings))
        nodes = view.publishable.nodes
        return Run(self.snapshot, plan, result, rejected, failed, outstanding, watched, loaded.cluster, nodes)


def _has_error(findings: tuple[Finding, ...]) -> bool:
    return any(finding.severity is Severity.ERROR for finding in findings)


def _unresolved(desired: Desired) -> bool:
    """Whether outputs are frozen since what should replace them is unknown."""
    return bool(desired.frozen_kinds or desired.frozen_nodes) and _has_error(desired.findings)


def _as_published(outputs: Mapping[str, Published], contents: Mapping[str, Content] | None = None) -> Desired:
    """A set of outputs that was published before, as what is wanted now. Texts come from the store; ``contents`` tell
    how files that are not stored there are made."""
    wanted = {
        path: Output(path, row.kind, row.stage, row.recipe, row.node, row.made_from, row.mode)
        for path, row in outputs.items()
    }
    return Desired(wanted, contents or {})


def _irretrievable(plan: Plan, contents: Mapping[str, Content]) -> list[str]:
    """Files that ``plan`` writes, that are not stored, and that nothing can be copied or built from any more."""
    return [
        action.output.path
        for action in plan.actions
        if isinstance(action, Write)
        and action.output.kind in HEAVY_KINDS
        and not isinstance(contents.get(action.output.recipe), CopyOf | BuiltBy)
    ]


def _inputs_digest(settings: Settings, loaded: Loaded, facts: HostFacts) -> str:
    parts = [repr(settings), loaded.digest]
    parts += [f"{path} {state.digest}" for path, state in sorted(facts.files.items())]
    parts += [f"{name} {sha256(source.text.encode()).hexdigest()}" for name, source in sorted(facts.templates.items())]
    parts += [f"{name} {digest}" for name, digest in sorted(facts.modules.items())]
    # Another current image ends a hold like any other change; one that is only there, or a node that falls back, does
    # not: what is held is held for all.
    parts += [f"{name} {images.choice.current}" for name, images in sorted(facts.images.items())]
    return sha256("\n".join(parts).encode()).hexdigest()
