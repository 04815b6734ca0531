# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes of cluster.conf a shared root has: the rule of the daemon, of osrctl and of the com-* commands."""

from collections import Counter

from osrd.model.cdsl import Members
from osrd.model.cluster import Cluster, Node
from osrd.model.finding import Finding, Severity
from osrd.model.settings import RootSettings, Settings
from osrd.plan.roots import root_of_volume


def members_of(
    cluster: Cluster, settings: Settings | None = None, section: RootSettings | None = None
) -> tuple[Members, tuple[Finding, ...]]:
    """The nodes that use a root, and a warning for each that is left out since it has no name or id of its own.

    ``section`` is what osrd.conf (``settings``) says of the root; without one all nodes use it. What else may be
    wrong with a node counts for booting it, not here: the nodes of the seed's own example share a hardware address,
    and have their trees all the same.
    """
    ids = Counter(node.nodeid for node in cluster.nodes)
    names = Counter(node.name for node in cluster.nodes)
    kept: list[Node] = []
    findings: list[Finding] = []
    for index, node in enumerate(cluster.nodes):
        if settings and section and not uses(node, settings, section):
            continue
        if trouble := _trouble(node, ids, names):
            message = f"{_called(node)} {trouble}, so it has no copies of host-dependent files"
            fix = "give every node a name and a nodeid of its own"
            place = cluster.place(index)
            findings.append(Finding("node-without-identity", Severity.WARNING, message, fix, place, node.name))
        else:
            kept.append(node)
    return Members(tuple(str(node.nodeid) for node in kept), tuple(node.name for node in kept)), tuple(findings)


def uses(node: Node, settings: Settings, section: RootSettings) -> bool:
    """Two sections may speak about one directory (two volumes of one server): the directory counts. A node without
    com_info boots from its own disk."""
    root = root_of_volume(settings, node.root) if node.com_info else None
    return root is not None and root.path == section.path


def _trouble(node: Node, ids: Counter[int | None], names: Counter[str]) -> str:
    if node.nodeid is None:
        return f"has the nodeid {node.nodeid_text!r}" if node.nodeid_text else "has no nodeid"
    if ids[node.nodeid] > 1:
        return f"shares the nodeid {node.nodeid} with another node"
    if not node.name:
        return "has no name"
    if names[node.name] > 1:
        return "shares its name with another node"
    return ""


def _called(node: Node) -> str:
    return f"the node {node.name}" if node.name else f"the node with nodeid {node.nodeid_text or 'unknown'}"
