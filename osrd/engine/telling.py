# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine tells: the snapshot that everybody sees, events to subscribers, lines to the journal.

A thing is told when it changes, not each time a run sees it again: a full disk or a vandal must not flood the bus.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from osrd.engine.bootstates import Overlay
from osrd.engine.journal import MessageId, log_event
from osrd.engine.pipeline import Run
from osrd.model.errors import OsrdError
from osrd.model.finding import Finding, Severity
from osrd.model.view import (
    BootProgress,
    BuildView,
    ConfigRejected,
    DriftDetected,
    Event,
    ImageView,
    Reconciled,
    SharedRootView,
    Snapshot,
    SnapshotChanged,
    State,
)

logger = logging.getLogger(__name__)

#: Findings that one run logs at most; the bus has them all.
_LOGGED = 20

_LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}

_EVENTS = {
    "publish-failed": MessageId.PUBLISH_FAILED,
    "run-failed": MessageId.PUBLISH_FAILED,
    "watch-degraded": MessageId.WATCH_DEGRADED,
    "dhcp-reload": MessageId.DHCP_RELOAD_FAILED,
    "reload-failed": MessageId.DHCP_RELOAD_FAILED,
    "root-failed": MessageId.ROOT_TROUBLE,
    "root-stuck": MessageId.ROOT_TROUBLE,
    "initrd-failed": MessageId.BUILD_FAILED,
}


class Teller:
    """Lives on the event loop. ``snapshot`` is what the last run saw and what only the engine knows on top."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self._listeners: list[Callable[[Event], None]] = []
        self._seen = self.snapshot
        self._watch_mode = self.snapshot.watch_mode
        self._extra: tuple[Finding, ...] = ()  # that no run makes
        self._trouble: tuple[Finding, ...] = ()  # why the last run has no result
        self._rejected: tuple[Finding, ...] = ()
        self._drifted: frozenset[str] = frozenset()  # told already, and not repaired yet
        self._seen_roots: Mapping[str, SharedRootView] = {}
        self._builds: Mapping[str, BuildView] = {}
        self._roots: Mapping[str, SharedRootView] = {}  # with what the builder sees of them
        self._images: Mapping[str, ImageView] = {}
        self._boots: Mapping[str, BootProgress] = {}
        self._late: tuple[Finding, ...] = ()  # of nodes that should be up
        self._strangers: tuple[Finding, ...] = ()  # machines that are no nodes
        self._nodes = Overlay()
        self._stopping = False

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[Event], None]) -> None:
        self._listeners.remove(listener)

    def emit(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)

    def finding(self, finding: Finding) -> None:
        """The newest of its family replaces the others: ``watch-restored`` ends ``watch-degraded``."""
        family = finding.code.partition("-")[0]
        others = tuple(known for known in self._extra if known.code.partition("-")[0] != family)
        self._extra = others if finding.severity is Severity.INFO else (*others, finding)
        if finding.severity is Severity.INFO:
            logger.info("%s", finding)
        self._show()

    def watching(self, mode: str) -> None:
        self._watch_mode = mode
        self._show()

    def roots(self, views: Mapping[str, SharedRootView]) -> None:
        """The shared roots, which are looked at beside the runs."""
        self._seen_roots = views
        self._join()

    def builds(self, views: Mapping[str, BuildView]) -> None:
        """Kernels and images of the shared roots, which are looked at beside all that."""
        self._builds = views
        self._join()

    def boots(self, known: Mapping[str, BootProgress]) -> None:
        """How far nodes are with their boots, by name."""
        self._boots = known
        self._late = tuple(progress.late for progress in known.values() if progress.late is not None)
        self._show()

    def strangers(self, findings: tuple[Finding, ...]) -> None:
        """Machines that are no nodes and would like to be answered."""
        self._strangers = findings
        self._show()

    def _join(self) -> None:
        """One view per root; what is as it was keeps its very object."""
        joined = {name: _joined(view, self._builds.get(name)) for name, view in self._seen_roots.items()}
        before = self._roots
        self._roots = MappingProxyType(
            {name: before[name] if before.get(name) == view else view for name, view in joined.items()}
        )
        images = {view.image.id: view for build in self._builds.values() for view in build.images}
        if images != self._images:
            self._images = MappingProxyType(images)
        self._show()

    def stopping(self) -> None:
        self._stopping = True
        self._show()

    def trouble(self, error: OsrdError) -> None:
        """A run ended without a result; that is told until one has a result again."""
        fix = error.fix or "osrd tries again; everything published stays"
        self._trouble = (Finding("run-failed", Severity.ERROR, error.message, fix),)
        self._show()

    def ran(self, run: Run) -> None:
        """What a run did, in the order: state and findings, rejection, drift, result."""
        self._trouble = ()
        self._seen = run.snapshot
        self._show(logged=run.rejected)
        if run.rejected and run.rejected != self._rejected:
            log_event(logger, MessageId.CONFIG_REJECTED, "; ".join(str(finding) for finding in run.rejected[:5]))
            self.emit(ConfigRejected(run.rejected))
        self._rejected = run.rejected
        self._tell_drift(run)
        result = run.result
        if result is not None and (result.written or result.removed):
            logger.info(
                "generation %d: %d files written, %d removed", result.generation, result.written, result.removed
            )
            self.emit(Reconciled(result.generation, result.written, result.removed, len(run.snapshot.findings)))

    def _tell_drift(self, run: Run) -> None:
        """Each drift is told once, also when it takes several runs to repair it."""
        drift = tuple(path for path in run.plan.drift if path not in self._drifted)
        self._drifted = self._drifted.union(drift) & run.outstanding
        if drift:
            end = "not repaired yet" if self._drifted.intersection(drift) else "repaired"
            text = f"changed by somebody else: {', '.join(drift[:5])}{', ...' if len(drift) > 5 else ''}; {end}"
            log_event(logger, MessageId.DRIFT_FOUND, text, paths=len(drift))
            self.emit(DriftDetected(drift))

    def _show(self, logged: tuple[Finding, ...] = ()) -> None:
        """Make the snapshot anew. Findings that are ``logged`` otherwise are not logged here."""
        seen = self._seen
        of_roots = tuple(finding for root in self._roots.values() for finding in root.findings)
        findings = tuple(
            dict.fromkeys((*seen.findings, *self._trouble, *self._extra, *of_roots, *self._late, *self._strangers))
        )
        state, in_sync = seen.state, seen.in_sync
        if self._trouble:
            state, in_sync = (State.INVALID if state is State.INVALID else State.DEGRADED), False
        elif state is State.READY and any(finding.severity is Severity.ERROR for finding in of_roots):
            state = State.DEGRADED
        if self._stopping:
            state = State.STOPPING
        after = replace(
            seen,
            state=state,
            in_sync=in_sync,
            findings=findings,
            nodes=self._nodes.over(seen.nodes, self._boots),
            shared_roots=self._roots,
            images=self._images,
            watch_mode=self._watch_mode,
        )
        before, self.snapshot = self.snapshot, after
        if after != before:
            _log_findings({*before.findings, *logged}, after)
            self.emit(SnapshotChanged(before, after))


def _joined(root: SharedRootView, build: BuildView | None) -> SharedRootView:
    if build is None or not (build.kernels or build.findings):
        return root
    return replace(root, kernels=build.kernels, findings=(*root.findings, *build.findings))


def _log_findings(known: set[Finding], after: Snapshot) -> None:
    fresh = [finding for finding in after.findings if finding not in known]
    quarantined = {view.node.name for view in after.nodes.values() if view.quarantined} if fresh else set()
    for finding in fresh[:_LOGGED]:
        event = _event_of(finding, quarantined)
        if event is None:
            logger.log(_LEVELS[finding.severity], "%s", finding)
        else:
            log_event(logger, event, str(finding), node=finding.node, code=finding.code)
    if len(fresh) > _LOGGED:
        logger.warning("%d more findings, see osrctl status", len(fresh) - _LOGGED)


def _event_of(finding: Finding, quarantined: set[str]) -> MessageId | None:
    """The journal event of a finding that an operator must act on."""
    event = _EVENTS.get(finding.code)
    if event is None and finding.severity is Severity.ERROR:
        if finding.node in quarantined:
            event = MessageId.NODE_QUARANTINED
        elif finding.code.startswith("dhcp-"):
            event = MessageId.DHCP_REJECTED
    return event
