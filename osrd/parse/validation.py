# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is wrong with a cluster, at once: each node by itself, nodes with each other, the rest.

An ERROR finding that names a node quarantines that node and no other; nothing else does.
"""

from dataclasses import dataclass

from osrd.model.cluster import Cluster
from osrd.model.finding import Finding, Severity
from osrd.parse.validation_cluster import judge_cluster
from osrd.parse.validation_node import Facts, judge_node
from osrd.parse.validation_pairs import judge_pairs


@dataclass(frozen=True, slots=True)
class Verdict:
    """``findings`` in the order of the file; ``quarantined`` are indices into ``Cluster.nodes``."""

    findings: tuple[Finding, ...]
    quarantined: frozenset[int]


class Validator:
    """Judges one cluster after another and remembers what it found in each node's text, so that judging a changed
    file costs the changed nodes and one pass over the rest. The memory is that of the last cluster only."""

    def __init__(self) -> None:
        self._known: dict[bytes, Facts] = {}

    def judge(self, cluster: Cluster) -> Verdict:
        """All findings, in the order of the file and always the same for the same file."""
        facts = self._facts(cluster)
        findings = judge_cluster(cluster, facts)
        quarantined = set()
        for index, fact in enumerate(facts):
            if fact.drafts:
                findings += [draft.finding(cluster, index) for draft in fact.drafts]
                if fact.fatal:
                    quarantined.add(index)
        for index, finding in judge_pairs(cluster, facts):
            findings.append(finding)
            if finding.severity is Severity.ERROR:
                quarantined.add(index)
        findings.sort(key=_line)
        return Verdict(tuple(findings), frozenset(quarantined))

    def _facts(self, cluster: Cluster) -> list[Facts]:
        known = self._known.get
        facts = []
        fresh: dict[bytes, Facts] = {}
        for node in cluster.nodes:
            source = node.source
            # A node that was made without a text (not by the parser) has no identity to remember it by.
            fact = known(source) if source else None
            if fact is None:
                fact = judge_node(node)
            fresh[source] = fact
            facts.append(fact)
        fresh.pop(b"", None)
        self._known = fresh
        return facts


def _line(finding: Finding) -> int:
    return finding.place.line if finding.place else 0
