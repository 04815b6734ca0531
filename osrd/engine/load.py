# SPDX-License-Identifier: GPL-3.0-or-later
"""From the bytes of cluster.conf to the nodes that are published: load, judge, and freeze what is quarantined.

Level-triggered like everything else: the file is read on every run and parsed only when its bytes changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from osrd.model.cluster import Cluster, Node, node_keys
from osrd.model.errors import InvalidConfigError, NotFoundError
from osrd.model.finding import Finding, Place, Severity
from osrd.observe.inputs import InputFile, read_input
from osrd.parse.clusterconf import nodes_by_source, parse_cluster
from osrd.parse.clusternode import parse_node
from osrd.parse.elements import MAX_SIZE
from osrd.parse.validation import Validator, Verdict

#: the finding about a file that is not there
NO_CLUSTER_CONF = "no-cluster-conf"


@dataclass(frozen=True, slots=True)
class Loaded:
    """cluster.conf as far as it can be used. ``cluster`` is None when it never could; ``rejected`` holds the one
    finding that says why the bytes on the disk are not the ones in use. ``keys`` are the nodes' (see node_keys)."""

    cluster: Cluster | None = None
    keys: tuple[str, ...] = ()
    verdict: Verdict = field(default_factory=lambda: Verdict((), frozenset()))
    digest: str = ""
    rejected: tuple[Finding, ...] = ()


class ClusterLoader:
    """Remembers the last usable cluster, so that a broken edit changes nothing but the findings."""

    def __init__(self) -> None:
        self._validator = Validator()
        self._good = Loaded()
        self._known: Mapping[bytes, Node] | None = None
        self._refused_digest = ""
        self._refusal: tuple[Finding, ...] = ()

    @property
    def validator(self) -> Validator:
        """The validator with all it remembers of unchanged nodes."""
        return self._validator

    @property
    def known(self) -> Mapping[bytes, Node]:
        """The nodes in use by their source, so that nobody parses them again."""
        if self._known is None:
            self._known = nodes_by_source(self._good.cluster) if self._good.cluster else {}
        return self._known

    def load(self, path: str, *, fresh: bool = False) -> Loaded:
        """What ``path`` says, or the last usable cluster and why the file is not.

        ``fresh``: nothing was ever published, so that a missing file is a new installation and no loss: a warning
        says what to do, and nothing is rejected.
        """
        try:
            read = read_input(path, MAX_SIZE)
        except NotFoundError as error:
            if fresh and self._good.cluster is None:
                return Loaded(verdict=Verdict((_missing(path, error, Severity.WARNING),), frozenset()))
            return self._refuse("", (_missing(path, error, Severity.ERROR),))
        except InvalidConfigError as error:
            return self._refuse("", (_unreadable(path, error),))
        if self._good.cluster is not None and read.digest == self._good.digest and self._good.cluster.file == path:
            self._refused_digest = ""
            return self._good
        if read.digest == self._refused_digest:
            return self._refuse(read.digest, self._refusal)
        return self._parse(path, read)

    def _parse(self, path: str, read: InputFile) -> Loaded:
        try:
            cluster = parse_cluster(read.data, path, self.known)
        except InvalidConfigError as error:
            return self._refuse(read.digest, (_malformed(path, error),))
        self._refused_digest = ""
        self._known = None
        self._good = Loaded(cluster, node_keys(cluster), self._validator.judge(cluster), read.digest)
        return self._good

    def _refuse(self, digest: str, findings: tuple[Finding, ...]) -> Loaded:
        self._refused_digest, self._refusal = digest, findings
        return replace(self._good, rejected=findings)


def _missing(path: str, error: NotFoundError, severity: Severity) -> Finding:
    return Finding(
        NO_CLUSTER_CONF,
        severity,
        error.message.removeprefix(f"{path}: "),
        "create it (cluster.conf.osr(5) has an example); it is picked up at once",
        Place(path),
    )


def _unreadable(path: str, error: InvalidConfigError) -> Finding:
    return Finding(
        "unreadable-cluster-conf",
        Severity.ERROR,
        error.message.removeprefix(f"{path}: "),
        error.fix or "make it a readable regular file",
        Place(path),
    )


def _malformed(path: str, error: InvalidConfigError) -> Finding:
    prefix, _, rest = error.message.partition(": ")
    line = prefix.rpartition(":")[2]
    return Finding(
        "malformed-cluster-conf",
        Severity.ERROR,
        rest or error.message,
        error.fix or "correct the line; until then the last good configuration stays in use",
        Place(path, int(line) if line.isdigit() else 0),
    )


@dataclass(frozen=True, slots=True)
class Publishable:
    """``nodes`` in file order: valid ones as they are, quarantined ones as they were last published.

    Each stands where its element stands, so that freezing one changes no file that lists all. ``frozen`` names the
    quarantined ones; ``good`` maps each valid node's name to its source, for the next freeze.
    """

    nodes: tuple[Node, ...]
    frozen: frozenset[str]
    good: Mapping[str, bytes]


class Freezer:
    """Replaces quarantined nodes by their last good value (DESIGN 2, quarantined node)."""

    def __init__(self) -> None:
        self._parsed: dict[bytes, Node] = {}
        self._last: tuple[Loaded, Mapping[str, bytes], Publishable] | None = None

    def publishable(self, loaded: Loaded, last_good: Mapping[str, bytes]) -> Publishable:
        """``last_good`` is what was published: node name to source.

        A frozen value never wins against a valid node: when a quarantined node's former MAC, address, id or name
        now belongs to a valid one, the former is dropped, since two entries for one machine are worse than none.
        """
        if self._last is not None and self._last[0] is loaded and self._last[1] is last_good:
            return self._last[2]
        result = self._decide(loaded, last_good)
        self._last = (loaded, last_good, result)
        return result

    def _decide(self, loaded: Loaded, last_good: Mapping[str, bytes]) -> Publishable:
        cluster = loaded.cluster
        if cluster is None:
            return Publishable((), frozenset(), {})
        quarantined = loaded.verdict.quarantined
        if not quarantined:
            self._parsed.clear()
            return Publishable(cluster.nodes, frozenset(), {node.name: node.source for node in cluster.nodes})
        valid = [node for index, node in enumerate(cluster.nodes) if index not in quarantined]
        sources = _stand_ins(cluster, quarantined, last_good, self._known)
        self._parsed = {source: self._known(source) for source in sources.values()}
        frozen = _without_conflicts({index: self._parsed[source] for index, source in sources.items()}, valid)
        nodes = (frozen.get(index) if index in quarantined else node for index, node in enumerate(cluster.nodes))
        return Publishable(
            tuple(node for node in nodes if node is not None),
            frozenset(node.name for node in frozen.values()),
            {node.name: node.source for node in valid},
        )

    def _known(self, source: bytes) -> Node:
        node = self._parsed.get(source)
        if node is None:
            node = self._parsed[source] = parse_node(source)
        return node


def _stand_ins(
    cluster: Cluster, quarantined: frozenset[int], last_good: Mapping[str, bytes], parse: Callable[[bytes], Node]
) -> dict[int, bytes]:
    """The last good source for each quarantined node that has one, by its index.

    It is found by name, or else by id among the names that the file has no more: a node that was renamed in the edit
    that broke it is quarantined, not removed.
    """
    found: dict[int, bytes] = {}
    nameless: dict[int, int] = {}
    for index in sorted(quarantined):
        node = cluster.nodes[index]
        if source := last_good.get(node.name):
            found.setdefault(index, source)
        elif node.nodeid is not None:
            nameless.setdefault(node.nodeid, index)
    if nameless:
        for name in sorted(last_good.keys() - {node.name for node in cluster.nodes}):
            nodeid = parse(last_good[name]).nodeid
            if nodeid in nameless:
                found.setdefault(nameless[nodeid], last_good[name])
    return found


def _claims(node: Node) -> set[str]:
    """Everything of a node that only one machine can have."""
    claims = {f"name {node.name}", f"id {node.nodeid}"}
    claims.update(f"mac {nic.mac}" for nic in node.nics if nic.mac)
    claims.update(f"ip {nic.address}" for nic in node.nics if nic.address)
    return claims


def _without_conflicts(candidates: Mapping[int, Node], valid: list[Node]) -> dict[int, Node]:
    """Those that claim nothing that a valid node, or one before them, has."""
    if not candidates:
        return {}
    taken: set[str] = set()
    for node in valid:
        taken |= _claims(node)
    kept = {}
    for index, node in sorted(candidates.items(), key=lambda item: (item[1].nodeid or 0, item[1].name, item[0])):
        claims = _claims(node)
        if not claims & taken:
            taken |= claims
            kept[index] = node
    return kept
