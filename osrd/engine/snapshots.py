# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves to be seen: the Snapshot, built so that unchanged nodes keep their very object."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from operator import is_
from types import MappingProxyType
from typing import cast

from osrd.engine.load import Loaded
from osrd.model.alike import between
from osrd.model.cluster import Cluster, Node, RootVolume
from osrd.model.finding import Finding, Severity
from osrd.model.settings import BootWay, Settings
from osrd.model.view import NodeView, RootView, ServiceState, Snapshot, State
from osrd.plan.roots import root_of_volume

#: The name of the [root] section of a volume ("" when none matches) and how its nodes boot.
Placed = tuple[str, BootWay]


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


@dataclass(frozen=True, slots=True)
class _Shown:
    """The last views and what they were made from. ``noted`` are the names of nodes about which there was something
    to say."""

    keys: tuple[str, ...]
    nodes: tuple[Node, ...]
    settings: Settings
    noted: frozenset[str]
    views: Mapping[str, NodeView]
    roots: tuple[RootView, ...]

    def differing(self, keys: tuple[str, ...], nodes: tuple[Node, ...]) -> tuple[slice, slice]:
        """The nodes then and now between those that are as they were at both ends of the file."""
        was, now = between(self.nodes, nodes)
        if self.keys[: was.start] == keys[: now.start] and self.keys[was.stop :] == keys[now.stop :]:
            return was, now
        return slice(0, len(self.nodes)), slice(0, len(nodes))


class Viewer:
    """Makes the views of nodes and roots, run after run. With the same settings it looks at the nodes that differ,
    and at those that findings name now or named before."""

    def __init__(self) -> None:
        self._last: _Shown | None = None

    def look(
        self, loaded: Loaded, findings: tuple[Finding, ...], settings: Settings, before: Mapping[str, NodeView]
    ) -> tuple[Mapping[str, NodeView], tuple[RootView, ...]]:
        """One view per node, by key, with those of ``findings`` that name it: mistakes in its element, and files of
        it that could not be published; and the views of all roots. A view of ``before`` that still says the same is
        kept, not copied, and so is all of ``before``: whoever compares looks at identity first."""
        cluster = loaded.cluster
        if cluster is None:
            return {}, ()
        keys, nodes, quarantined = loaded.keys, cluster.nodes, loaded.verdict.quarantined
        was, now = slice(0, len(before)), slice(0, len(nodes))
        last = self._last
        if last is not None and (last.views is not before or last.settings != settings):
            last = None
        if last is not None:
            was, now = last.differing(keys, nodes)
        by_node = _findings_by_node(findings)
        suspects = {*range(now.start, now.stop), *quarantined}
        if names := by_node.keys() | (last.noted if last else ()):
            suspects.update([index for index, node in enumerate(nodes) if node.name in names])

        former = list(before.values())
        rows = [*former[: was.start], *map(before.get, keys[now]), *former[was.stop :]]
        placed: dict[int, Placed] = {}
        noted = set()
        for index in suspects:
            node, old = nodes[index], rows[index]
            root, way = placed.get(id(node.root)) or placed.setdefault(id(node.root), _placed(settings, node.root))
            own = by_node.get(node.name, ())
            view = NodeView(keys[index], node, index in quarantined, way, root, findings=own)
            if old is None or old.node is not node or old != view:
                rows[index] = view
            if view.findings or view.quarantined:
                noted.add(node.name)
        complete = cast(list[NodeView], rows)
        same = len(rows) == len(former) and all(map(is_, rows, former))
        views = before if same else MappingProxyType(dict(zip(keys, complete, strict=True)))
        same_roots = last and [node.root for node in last.nodes[was]] == [node.root for node in nodes[now]]
        roots = last.roots if last and same_roots else root_views(cluster, settings)
        self._last = _Shown(keys, nodes, settings, frozenset(noted), views, roots)
        return views, roots


def _volumes(cluster: Cluster) -> dict[int, RootVolume | None]:
    """The objects that are root volumes of nodes, by id(): a few, which all nodes share."""
    return {id(node.root): node.root for node in cluster.nodes}


def _placed(settings: Settings, volume: RootVolume | None) -> Placed:
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


def snapshot(loaded: Loaded, settings: Settings, outcome: Outcome, before: Snapshot, viewer: Viewer) -> Snapshot:
    """Everything the shells show, consistent in itself."""
    cluster = loaded.cluster
    nodes, roots = viewer.look(loaded, outcome.findings, settings, before.nodes)
    return Snapshot(
        state=_state(outcome),
        in_sync=outcome.in_sync,
        generation=outcome.generation,
        config_version=(cluster.config_version or 0) if cluster else 0,
        cluster_name=cluster.name if cluster else "",
        findings=outcome.findings,
        nodes=nodes,
        roots=roots,
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
