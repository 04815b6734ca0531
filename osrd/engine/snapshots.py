# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves to be seen: the Snapshot, built so that unchanged nodes keep their very object."""

from collections.abc import Mapping
from dataclasses import dataclass

from osrd.model.cluster import Cluster, RootVolume, node_keys
from osrd.model.finding import Finding, Severity
from osrd.model.settings import RootSettings, Settings
from osrd.model.view import NodeView, RootView, ServiceState, Snapshot, State
from osrd.parse.validation import Verdict
from osrd.plan.roots import root_of_volume


@dataclass(frozen=True, slots=True)
class Outcome:
    """The facts of a run that decide the state."""

    invalid: bool
    pinned: bool
    in_sync: bool
    generation: int
    findings: tuple[Finding, ...]
    dhcp: ServiceState
    nfs: ServiceState
    watch_mode: str = ""


def node_views(
    cluster: Cluster, verdict: Verdict, settings: Settings, before: Mapping[str, NodeView]
) -> dict[str, NodeView]:
    """One view per node, by key. A view of ``before`` that still says the same is kept, not copied."""
    by_node = _findings_by_node(verdict)
    roots: dict[RootVolume | None, RootSettings | None] = {}
    views: dict[str, NodeView] = {}
    quarantined = verdict.quarantined
    for index, (key, node) in enumerate(zip(node_keys(cluster), cluster.nodes, strict=True)):
        volume = node.root
        if volume not in roots:
            roots[volume] = root_of_volume(settings, volume) if volume else None
        root = roots[volume]
        section = root.name if root else ""
        way = (root.way if root else None) or settings.boot.way
        findings = by_node.get(node.name, ())
        line = cluster.lines[index]
        old = before.get(key)
        if (
            old is not None
            and old.node is node
            and old.line == line
            and old.quarantined is (index in quarantined)
            and old.way is way
            and old.root == section
            and old.findings == findings
        ):
            views[key] = old
        else:
            views[key] = NodeView(key, node, line, index in quarantined, way, section, findings=findings)
    return views


def _findings_by_node(verdict: Verdict) -> dict[str, tuple[Finding, ...]]:
    grouped: dict[str, list[Finding]] = {}
    for finding in verdict.findings:
        if finding.node:
            grouped.setdefault(finding.node, []).append(finding)
    return {name: tuple(findings) for name, findings in grouped.items()}


def root_views(cluster: Cluster, settings: Settings) -> tuple[RootView, ...]:
    """The distinct root volumes of the cluster, in file order, with the section that knows each."""
    counts: dict[RootVolume, int] = {}
    for node in cluster.nodes:
        if node.root is not None:
            counts[node.root] = counts.get(node.root, 0) + 1
    merged: dict[str, RootView] = {}
    for volume, count in counts.items():
        section = root_of_volume(settings, volume)
        known = merged.get(volume.name)
        merged[volume.name] = RootView(
            section.name if section else "",
            volume.name,
            volume.fstype,
            section.path if section else "",
            count + (known.nodes if known else 0),
        )
    return tuple(merged.values())


def snapshot(
    cluster: Cluster | None,
    verdict: Verdict,
    settings: Settings,
    outcome: Outcome,
    before: Snapshot,
) -> Snapshot:
    """Everything the shells show, consistent in itself."""
    return Snapshot(
        state=_state(outcome),
        in_sync=outcome.in_sync,
        generation=outcome.generation,
        config_version=(cluster.config_version or 0) if cluster else 0,
        cluster_name=cluster.name if cluster else "",
        findings=outcome.findings,
        nodes=node_views(cluster, verdict, settings, before.nodes) if cluster else {},
        roots=root_views(cluster, settings) if cluster else (),
        dhcp=outcome.dhcp,
        nfs=outcome.nfs,
        watch_mode=outcome.watch_mode or before.watch_mode,
    )


def _state(outcome: Outcome) -> State:
    if outcome.invalid:
        return State.INVALID
    if outcome.pinned:
        return State.PINNED
    if not outcome.in_sync or any(finding.severity is Severity.ERROR for finding in outcome.findings):
        return State.DEGRADED
    return State.READY
