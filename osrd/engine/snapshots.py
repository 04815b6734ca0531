# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves to be seen: the Snapshot, built so that unchanged nodes keep their very object."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from osrd.engine.load import Loaded
from osrd.model.cluster import Cluster, RootVolume
from osrd.model.finding import Finding, Severity
from osrd.model.settings import BootWay, Settings
from osrd.model.view import NodeView, RootView, ServiceState, Snapshot, State
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
    loaded: Loaded, findings: tuple[Finding, ...], settings: Settings, before: Mapping[str, NodeView]
) -> Mapping[str, NodeView]:
    """One view per node, by key, with those of ``findings`` that name it: mistakes in its element, and files of it
    that could not be published. A view of ``before`` that still says the same is kept, not copied, and so is all of
    ``before``: the loop below runs for every node after every edit, and whoever compares looks at identity first."""
    cluster = loaded.cluster
    if cluster is None:
        return {}
    by_node = _findings_by_node(findings)
    quarantined = loaded.verdict.quarantined
    placed = {number: _placed(settings, volume) for number, volume in _volumes(cluster).items()}
    kept = 0
    views: dict[str, NodeView] = {}
    for index, (key, node) in enumerate(zip(loaded.keys, cluster.nodes, strict=True)):
        root, way = placed[id(node.root)]
        own = by_node.get(node.name, ()) if by_node else ()
        old = before.get(key)
        if (
            old is not None
            and old.node is node
            and old.way is way
            and old.root == root
            and old.quarantined is (index in quarantined)
            and old.findings == own
        ):
            views[key] = old
            kept += 1
        else:
            views[key] = NodeView(key, node, index in quarantined, way, root, findings=own)
    same = kept == len(views) == len(before) and list(views) == list(before)
    return before if same else MappingProxyType(views)


def _volumes(cluster: Cluster) -> dict[int, RootVolume | None]:
    """The objects that are root volumes of nodes, by id(): a few, which all nodes share."""
    return {id(node.root): node.root for node in cluster.nodes}


def _placed(settings: Settings, volume: RootVolume | None) -> tuple[str, BootWay]:
    """The name of the [root] section of a volume ("" when none matches) and how its nodes boot."""
    root = root_of_volume(settings, volume) if volume else None
    return (root.name if root else "", (root.way if root else None) or settings.boot.way)


def _findings_by_node(findings: tuple[Finding, ...]) -> dict[str, tuple[Finding, ...]]:
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.node:
            grouped.setdefault(finding.node, []).append(finding)
    return {name: tuple(own) for name, own in grouped.items()}


def root_views(cluster: Cluster, settings: Settings) -> tuple[RootView, ...]:
    """The distinct root volumes of the cluster, in file order, with the section that knows each."""
    volumes = _volumes(cluster)
    counts: Counter[str] = Counter()
    first: dict[str, RootVolume] = {}
    for number, count in Counter([id(node.root) for node in cluster.nodes]).items():
        volume = volumes[number]
        if volume is not None:
            counts[volume.name] += count
            first.setdefault(volume.name, volume)
    views = []
    for name, volume in first.items():
        section = root_of_volume(settings, volume)
        views.append(
            RootView(
                section.name if section else "",
                name,
                volume.fstype,
                section.path if section else "",
                counts[name],
            )
        )
    return tuple(views)


def snapshot(loaded: Loaded, settings: Settings, outcome: Outcome, before: Snapshot) -> Snapshot:
    """Everything the shells show, consistent in itself."""
    cluster = loaded.cluster
    return Snapshot(
        state=_state(outcome),
        in_sync=outcome.in_sync,
        generation=outcome.generation,
        config_version=(cluster.config_version or 0) if cluster else 0,
        cluster_name=cluster.name if cluster else "",
        findings=outcome.findings,
        nodes=node_views(loaded, outcome.findings, settings, before.nodes),
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
