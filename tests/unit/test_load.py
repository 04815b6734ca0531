# SPDX-License-Identifier: GPL-3.0-or-later
"""The last usable cluster, and what stands in for quarantined nodes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.engine.load import ClusterLoader, Freezer, Loaded
from osrd.model.cluster import Cluster, node_keys
from osrd.model.finding import Finding, Severity
from osrd.parse.clusterconf import parse_cluster
from osrd.parse.validation import Validator
from tests.unit.boothost import node_text


def text(*nodes: int | str, version: int = 1) -> bytes:
    body = "".join(node if isinstance(node, str) else node_text(node) for node in nodes)
    return (
        f'<?xml version="1.0"?>\n<cluster config_version="{version}" name="test">\n  <clusternodes>\n{body}'
        "  </clusternodes>\n</cluster>\n"
    ).encode()


def loaded(*nodes: int | str) -> Loaded:
    cluster = parse_cluster(text(*nodes), "cluster.conf")
    return Loaded(cluster, node_keys(cluster), Validator().judge(cluster), "digest")


def good(*nodes: int | str) -> dict[str, bytes]:
    cluster = parse_cluster(text(*nodes), "cluster.conf")
    return {node.name: node.source for node in cluster.nodes}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.conf"
    path.write_bytes(text(1, 2))
    return path


# the loader


def test_a_file_that_did_not_change_is_the_very_same_value(file: Path) -> None:
    loader = ClusterLoader()
    first = loader.load(str(file))
    assert loader.load(str(file)) is first
    file.write_bytes(file.read_bytes())
    assert loader.load(str(file)) is first


def test_nodes_that_did_not_change_are_the_same_objects_after_an_edit(file: Path) -> None:
    loader = ClusterLoader()
    before = loader.load(str(file)).cluster
    file.write_bytes(text(3, 1, 2, version=2))
    after = loader.load(str(file)).cluster
    assert isinstance(before, Cluster)
    assert isinstance(after, Cluster)
    assert after.nodes[1] is before.nodes[0]
    assert after.nodes[2] is before.nodes[1]


def test_a_broken_edit_keeps_the_last_cluster_and_its_reason_is_found_once(file: Path) -> None:
    loader = ClusterLoader()
    first = loader.load(str(file))
    broken = text(1, 2).replace(b"</clusternodes>", b"")
    file.write_bytes(broken)
    refused = loader.load(str(file))
    assert refused.cluster is first.cluster
    (finding,) = refused.rejected
    assert (finding.code, finding.severity) == ("malformed-cluster-conf", Severity.ERROR)
    assert finding.place is not None
    assert (finding.place.file, finding.place.line > 0) == (str(file), True)
    assert loader.load(str(file)).rejected == refused.rejected
    file.write_bytes(text(1, 2))
    assert loader.load(str(file)) is first, "the same bytes again need no second look"
    file.write_bytes(broken)
    assert loader.load(str(file)).rejected == refused.rejected


def test_without_any_usable_file_there_is_no_cluster(file: Path) -> None:
    file.write_bytes(b"<cluster")
    result = ClusterLoader().load(str(file))
    assert result.cluster is None
    assert len(result.rejected) == 1


@pytest.mark.parametrize(("fresh", "severity"), [(True, Severity.WARNING), (False, Severity.ERROR)])
def test_a_missing_file_is_a_loss_only_where_something_was_published(
    tmp_path: Path, fresh: bool, severity: Severity
) -> None:
    result = ClusterLoader().load(str(tmp_path / "none"), fresh=fresh)
    said = (*result.rejected, *result.verdict.findings)
    assert [(finding.code, finding.severity) for finding in said] == [("no-cluster-conf", severity)]
    assert bool(result.rejected) is not fresh


def test_a_file_that_was_there_and_vanished_is_a_loss_even_before_anything_was_published(file: Path) -> None:
    loader = ClusterLoader()
    cluster = loader.load(str(file), fresh=True).cluster
    file.unlink()
    result = loader.load(str(file), fresh=True)
    assert result.cluster is cluster
    assert result.rejected


def test_another_file_of_the_same_bytes_is_another_place(file: Path, tmp_path: Path) -> None:
    loader = ClusterLoader()
    loader.load(str(file))
    other = tmp_path / "other.conf"
    other.write_bytes(file.read_bytes())
    cluster = loader.load(str(other)).cluster
    assert cluster is not None
    assert cluster.file == str(other)


# the freezer


def names(freezer: Freezer, now: Loaded, before: dict[str, bytes]) -> list[str]:
    return [node.name for node in freezer.publishable(now, before).nodes]


def test_valid_nodes_are_published_as_they_are_and_remembered() -> None:
    now = loaded(1, 2)
    result = Freezer().publishable(now, {})
    assert now.cluster is not None
    assert result.nodes == now.cluster.nodes
    assert (result.frozen, dict(result.good)) == (frozenset(), good(1, 2))


def test_a_stand_in_has_the_place_of_its_node() -> None:
    result = Freezer().publishable(loaded(1, node_text(2, mac="nonsense"), 3), good(1, 2, 3))
    assert [(node.name, bool(node.nics[0].mac)) for node in result.nodes] == [
        ("node1", True),
        ("node2", True),
        ("node3", True),
    ]
    assert result.frozen == {"node2"}
    assert set(result.good) == {"node1", "node3"}


def test_the_name_finds_a_node_first_then_the_id() -> None:
    bad = node_text(2, name="other", mac="nonsense")
    assert names(Freezer(), loaded(1, bad), good(1, 2)) == ["node1", "node2"]
    swapped = node_text(2, name="node1", mac="nonsense"), node_text(1, name="node2", mac="nonsense")
    assert names(Freezer(), loaded(*swapped), good(1, 2)) == ["node1", "node2"], "by name, in the place of the name"


def test_an_id_does_not_find_a_node_that_is_still_there_under_its_name() -> None:
    assert names(Freezer(), loaded(1, node_text(2, name="other", nodeid="1")), good(1)) == ["node1"]


def test_a_node_without_name_and_id_has_no_stand_in() -> None:
    bad = node_text(2, nodeid="").replace('name="node2"', 'name=""')
    assert names(Freezer(), loaded(1, bad), good(1, 2)) == ["node1"]


@pytest.mark.parametrize(
    "thief",
    [
        node_text(3, mac="02:00:00:00:00:02"),
        node_text(3, ip="10.0.0.2"),
        node_text(3, nodeid="2"),
    ],
)
def test_a_stand_in_gives_way_to_a_valid_node(thief: str) -> None:
    bad = node_text(2, mac="nonsense", ip="10.0.0.99", nodeid="99")
    assert names(Freezer(), loaded(1, bad, thief), good(1, 2)) == ["node1", "node3"]


def test_two_stand_ins_for_one_machine_are_one() -> None:
    """Both broke; before, they had the same MAC one after the other."""
    before = {**good(1), **good(node_text(2, mac="02:00:00:00:00:01"))}
    bad = [node_text(number, mac="nonsense") for number in (1, 2)]
    assert names(Freezer(), loaded(*bad), before) == ["node1"]


def test_the_same_question_has_the_very_same_answer() -> None:
    freezer, now, before = Freezer(), loaded(1, node_text(2, mac="nonsense")), good(1, 2)
    assert freezer.publishable(now, before) is freezer.publishable(now, before)
    assert freezer.publishable(now, dict(before)) is not None


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.booleans()), max_size=6),
    st.lists(st.integers(1, 4), unique=True),
)
def test_no_two_published_nodes_ever_claim_the_same(
    nodes: list[tuple[int, int, int, bool]], before: list[int]
) -> None:
    elements = [
        node_text(name, nodeid=str(nodeid), ip=f"10.0.0.{mac}", mac="bad" if bad else f"02:00:00:00:00:0{mac}")
        for name, nodeid, mac, bad in nodes
    ]
    now = loaded(*elements)
    result = Freezer().publishable(now, good(*before))
    macs = [nic.mac for node in result.nodes for nic in node.nics]
    for claims in (macs, [node.name for node in result.nodes], [node.nodeid for node in result.nodes]):
        assert len(set(claims)) == len(claims)
    assert all(macs)
    assert {node.name for node in result.nodes} == set(result.good) | result.frozen
    assert not [f for f in now.verdict.findings if not isinstance(f, Finding)]
