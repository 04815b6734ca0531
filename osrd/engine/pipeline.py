# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: load, observe, desire, plan, apply (DESIGN 3). Synchronous; lives in the one writer thread.

There are two scopes. A *full* run compares every file osrd publishes with the disk. A run with *hints* looks only at
what changed in the inputs and at the paths the hints name, so that one edit among 10,000 nodes costs what it changes;
the full run that follows sooner or later makes it true whatever the hints left out (law 7).
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from osrd.apply.clusterfile import replace_cluster_conf
from osrd.apply.dhcp import dhcp_server
from osrd.apply.nfs import nfs_server
from osrd.apply.publish import Note, Publisher, PublishResult
from osrd.apply.runner import SubprocessRunner
from osrd.apply.store import Store
from osrd.engine.api import AddNode, Edit, RemoveNode, SetNode
from osrd.engine.load import ClusterLoader, Freezer, Loaded, Publishable
from osrd.engine.snapshots import Outcome, snapshot
from osrd.model.errors import BusyError, FailedError, OsrdError
from osrd.model.finding import Finding, Severity
from osrd.model.netboot import HostFacts
from osrd.model.output import Desired, Output, Published, Service
from osrd.model.plan import Plan, Remove, Write
from osrd.model.settings import Settings
from osrd.model.view import Generation, PlanView, ServiceState, Snapshot
from osrd.observe.configuration import read_settings
from osrd.observe.facts import FactFinder
from osrd.observe.filecache import FileCache
from osrd.observe.inputs import read_input
from osrd.parse.clusteredit import add_node, remove_node, set_node
from osrd.parse.elements import MAX_SIZE
from osrd.plan.desired import Desirer, Inputs
from osrd.plan.difference import difference, questionable
from osrd.plan.explain import explain

Progress = Callable[[float, str], None]

#: Bytes of a published file that a diff reads at most.
_DIFF_LIMIT = 1 << 20


def _silent(fraction: float, message: str) -> None:
    """Nobody waits for progress."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run looks at on the disk: everything, or changed outputs and ``hints``."""

    full: bool = True
    hints: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Run:
    """What happened: ``result`` is None when there was nothing to do, or when publishing ``failed``. ``watched`` are
    the directories (and names in them, None for all) whose changes should wake the next run."""

    snapshot: Snapshot
    plan: Plan
    result: PublishResult | None
    rejected: tuple[Finding, ...] = ()
    failed: bool = False
    watched: Mapping[str, frozenset[str] | None] = field(default_factory=dict)


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
        """Read osrd.conf. Raises InvalidConfigError when it was named (``required``) and is not there, FailedError
        or UnsupportedError when the state directory cannot be used."""
        self._configuration = configuration
        self.settings, self.settings_findings = read_settings(configuration, required=required)
        self.settings_usable = not _has_error(self.settings_findings)
        self._loader = ClusterLoader()
        self._freezer = Freezer()
        self._desirer = Desirer()
        self._facts = FactFinder()
        self._cache = FileCache((self.settings.tftp.root,))
        self._store = Store.open(self.settings.paths.state)
        self._services = {Service.DHCP: ServiceState.UNKNOWN, Service.NFS: ServiceState.UNKNOWN}
        self._publisher = self._new_publisher()
        self._recovered = self._publisher.recover()
        self._lasting: dict[str, tuple[Finding, ...]] = {}
        self._out_of_sync: frozenset[str] = frozenset()
        self._owned_directories: set[str] = set()
        self._single_files: set[str] = set()
        self._remember_places(self._store.manifest)
        self.snapshot = Snapshot()

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

    def reload(self) -> None:
        """Read osrd.conf again. With errors in it the settings in use stay (and the findings say so)."""
        settings, findings = read_settings(self._configuration)
        self.settings_findings = findings
        usable = not _has_error(findings)
        if usable and settings.paths != self.settings.paths and self.settings_usable:
            self.settings_findings = (*findings, _moved_paths(self._configuration))
            settings = replace(settings, paths=self.settings.paths)
        if usable:
            if settings.tftp.root != self.settings.tftp.root:
                self._cache = FileCache((settings.tftp.root,))
            self.settings, self.settings_usable = settings, True
            self._publisher = self._new_publisher()

    def _watched(self) -> Mapping[str, frozenset[str] | None]:
        """Input files, the directories osrd owns, and its single files in other directories."""
        watched: dict[str, frozenset[str] | None] = dict(self._facts.watched(self.settings))
        for path in (self.settings.cluster_conf, *self._single_files):
            directory, name = os.path.split(path)
            names = watched.get(directory, frozenset())
            if names is not None:
                watched[directory] = names | {name}
        watched.update(dict.fromkeys(self._owned_directories))
        return watched

    def _remember_places(self, paths: Iterable[str]) -> None:
        """Sort published paths into directories that are all osrd's and single files elsewhere; they only add up."""
        owned = self.settings.tftp.directory + "/"
        for path in paths:
            if path.startswith(owned):
                self._owned_directories.add(path.rpartition("/")[0])
            else:
                self._single_files.add(path)

    def run(
        self, scope: Scope, reason: str, progress: Progress = _silent, *, unpin: bool = False, retry: bool = False
    ) -> Run:
        """Make it true. Raises nothing for content: what is wrong with the inputs is in the snapshot's findings.

        ``unpin`` ends a rollback's hold; ``retry``: somebody asked, so files that a server refused are tried again.
        """
        progress(0.0, "comparing")
        view = self._view(unpin=unpin)
        if not self.settings_usable:
            return self._finish(view, Plan(), None)
        plan = self._plan(view, scope)
        result = None
        if plan.actions or self._note_differs(view):
            try:
                result = self._publisher.publish(
                    plan, view.desired, self._note(view, reason, retry=retry), self._desirer.content_of, progress
                )
            except (FailedError, BusyError) as error:
                self._keep_lasting("publish", (_failed(error),))
                self._out_of_sync = frozenset(_paths(plan))
                return self._finish(view, plan, None, failed=True)
            self._services.update(result.services)
            self._out_of_sync = frozenset(result.kept_back)
            self._keep_lasting("publish", result.findings)
        elif scope.full:
            self._out_of_sync = frozenset()
            self._keep_lasting("publish", ())
        self._keep_lasting("plan", plan.findings, replace_all=scope.full)
        return self._finish(view, plan, result)

    def plan_view(self, *, diff: bool) -> PlanView:
        """What Apply would do now: a full run, a hold ended."""
        view = self._view(unpin=True)
        plan = self._plan(view, Scope()) if self.settings_usable else Plan()
        return explain(plan, lambda path: self._cache.read(path, _DIFF_LIMIT), self._after(view), diff=diff)

    def plan_digest(self) -> str:
        """The digest that plan_view() would show, without its text."""
        view = self._view(unpin=True)
        return self._plan(view, Scope()).digest if self.settings_usable else Plan().digest

    def verify(self, progress: Progress = _silent) -> tuple[str, ...]:
        """Hash every input and every published file anew; the paths that are not as they should be. Writes nothing."""
        progress(0.0, "hashing")
        view = self._view(unpin=False, rehash=True)
        paths = view.desired.outputs.keys() | self._store.manifest.keys()
        found = self._cache.find(paths, rehash=True)
        plan = difference(view.desired, self._store.manifest, found, self._store.owed, self._retained())
        return tuple(dict.fromkeys(_paths(plan)))

    def pin(self, generation: int, progress: Progress = _silent) -> Run:
        """Publish generation ``generation`` again and hold it. Raises NotFoundError, ConflictError when files of it
        are gone that osrd cannot make again."""
        outputs = self._store.outputs_of(generation)
        view = self._view(unpin=True)
        pinned = replace(view, desired=_as_published(outputs), pinned=True)
        plan = self._plan(pinned, Scope())
        note = replace(self._note(pinned, f"rollback to {generation}"), pin=generation, pin_inputs=view.inputs)
        result = self._publisher.publish(plan, pinned.desired, note, self._desirer.content_of, progress)
        self._services.update(result.services)
        self._out_of_sync = frozenset(result.kept_back)
        self._keep_lasting("publish", result.findings)
        return self._finish(pinned, plan, result)

    def edit(self, request: Edit) -> tuple[str, str]:
        """Change cluster.conf; the sha256 of it before and after. Raises what osrd.parse.clusteredit raises, and
        ConflictError when somebody else writes the file at the same time."""
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
        return self._store.generations()

    def _view(self, *, unpin: bool, rehash: bool = False) -> _View:
        loaded = self._loader.load(self.settings.cluster_conf)
        publishable = self._freezer.publishable(loaded, self._store.good_nodes())
        facts = self._facts.find(self.settings, self._store.pairs(), rehash=rehash)
        inputs = _inputs_digest(self.settings, loaded, facts)
        pinned = bool(self._store.pin) and not unpin and self._store.pin_inputs == inputs
        if pinned:
            desired = _as_published(self._store.outputs_of(self._store.pin))
        elif loaded.cluster is None:
            desired = _as_published(self._store.manifest)
        else:
            desired = self._desirer.desire(
                Inputs(self.settings, loaded.cluster, publishable.nodes, publishable.frozen, facts)
            )
        return _View(loaded, publishable, facts, desired, inputs, pinned)

    def _plan(self, view: _View, scope: Scope) -> Plan:
        manifest = self._store.manifest
        if scope.full:
            paths = view.desired.outputs.keys() | manifest.keys()
        else:
            paths = questionable(view.desired, manifest)
            paths |= self._out_of_sync
            paths |= {path for path in scope.hints if path in view.desired.outputs or path in manifest}
        found = self._cache.find(paths)
        return difference(view.desired, manifest, found, self._store.owed, self._retained())

    def _retained(self) -> frozenset[str]:
        return self._store.retained()

    def _after(self, view: _View) -> Callable[[str], bytes | None]:
        def content(path: str) -> bytes | None:
            output = view.desired.outputs.get(path)
            known = view.desired.contents.get(output.recipe) if output else None
            if isinstance(known, bytes):
                return known
            stored = self._store.content(output.recipe.removeprefix("sha256:")) if output else None
            return stored if stored is not None else self._desirer.content_of(path)

        return content

    def _note(self, view: _View, reason: str, *, retry: bool = False) -> Note:
        version = view.loaded.cluster.config_version if view.loaded.cluster else None
        pin = self._store.pin if view.pinned else 0
        good = self._store.good_nodes() if view.pinned else self._good_nodes(view)
        return Note(
            reason,
            version or 0,
            good,
            self._desirer.current_pairs() if not view.pinned else {},
            pin,
            view.inputs if view.pinned else "",
            retry,
        )

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

    def _keep_lasting(self, source: str, findings: tuple[Finding, ...], *, replace_all: bool = True) -> None:
        """Findings of publishing stay until a run that looked at the same again says otherwise."""
        if replace_all or findings:
            self._lasting[source] = findings

    def _finish(self, view: _View, plan: Plan, result: PublishResult | None, *, failed: bool = False) -> Run:
        loaded = view.loaded
        lasting = tuple(finding for group in self._lasting.values() for finding in group)
        findings = (
            *self.settings_findings,
            *loaded.rejected,
            *loaded.verdict.findings,
            *view.desired.findings,
            *self._recovered,
            *lasting,
        )
        outcome = Outcome(
            invalid=not self.settings_usable or bool(loaded.rejected),
            pinned=view.pinned,
            in_sync=self.settings_usable and not self._out_of_sync and not _unresolved(view.desired),
            generation=self._store.generation,
            findings=tuple(dict.fromkeys(findings)),
            dhcp=self._services[Service.DHCP],
            nfs=self._services[Service.NFS],
        )
        self.snapshot = snapshot(loaded, self.settings, outcome, self.snapshot)
        rejected = loaded.rejected or (() if self.settings_usable else self.settings_findings)
        self._remember_places(_paths(plan))
        return Run(self.snapshot, plan, result, rejected, failed, self._watched())


def _has_error(findings: tuple[Finding, ...]) -> bool:
    return any(finding.severity is Severity.ERROR for finding in findings)


def _unresolved(desired: Desired) -> bool:
    """Whether outputs are frozen since what should replace them is unknown."""
    return bool(desired.frozen_kinds or desired.frozen_nodes) and _has_error(desired.findings)


def _paths(plan: Plan) -> list[str]:
    return [
        action.output.path if isinstance(action, Write) else action.published.path
        for action in plan.actions
        if isinstance(action, Write | Remove)
    ]


def _as_published(outputs: Mapping[str, Published]) -> Desired:
    """A set of outputs that was published before, as what is wanted now; contents come from the store."""
    return Desired(
        {
            path: Output(path, row.kind, row.stage, row.recipe, row.node, row.made_from, row.mode)
            for path, row in outputs.items()
        }
    )


def _inputs_digest(settings: Settings, loaded: Loaded, facts: HostFacts) -> str:
    parts = [repr(settings), loaded.digest]
    parts += [f"{path} {state.digest}" for path, state in sorted(facts.files.items())]
    parts += [f"{name} {sha256(source.text.encode()).hexdigest()}" for name, source in sorted(facts.templates.items())]
    parts += [f"{name} {digest}" for name, digest in sorted(facts.modules.items())]
    return sha256("\n".join(parts).encode()).hexdigest()


def _moved_paths(file: str) -> Finding:
    return Finding(
        "paths-need-restart",
        Severity.WARNING,
        f"[paths] of {file} changed while osrd runs; the former directories stay in use",
        "restart osrd",
    )


def _failed(error: OsrdError) -> Finding:
    return Finding(
        "publish-failed", Severity.ERROR, error.message, error.fix or "osrd tries again; nothing published was harmed"
    )
