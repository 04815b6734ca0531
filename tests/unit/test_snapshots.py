# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves to be seen."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osrd.engine.load import Loaded
from osrd.engine.snapshots import Outcome, Viewer, root_views, snapshot
from osrd.model.cluster import Node, node_keys
from osrd.model.finding import Finding, Severity
from osrd.model.settings import BootSettings, BootWay, RootSettings, Settings
from osrd.model.view import NodeView, ServiceState, Snapshot, State
from osrd.parse.clusterconf import nodes_by_source, parse_cluster
from osrd.parse.validation import Validator
from tests.unit.boothost import node_text
from tests.unit.test_load import text

SETTINGS = Settings(roots=(RootSettings("web", volume="10.0.0.254:/srv/web", path="/srv/web"),))
WELL = Outcome(False, False, True, 3, (), ServiceState.RUNNING, ServiceState.ABSENT)


def load(*nodes: int | str, known: Mapping[bytes, Node] | None = None) -> Loaded:
    cluster = parse_cluster(text(*nodes), "cluster.conf", known)
    return Loaded(cluster, node_keys(cluster), Validator().judge(cluster), "digest")


def views(
    now: Loaded, before: Mapping[str, NodeView], *more: Finding, chosen: Settings = SETTINGS
) -> Mapping[str, NodeView]:
    return Viewer().look(now, (*now.verdict.findings, *more), chosen, before)[0]


def error(code: str = "occupied", node: str = "node1") -> Finding:
    return Finding(code, Severity.ERROR, "in the way", "move it away", node=node)


def test_views_tell_the_section_of_the_root_and_how_the_node_boots() -> None:
    way = replace(SETTINGS, boot=BootSettings(way=BootWay.STATIC))
    assert [(view.key, view.root, view.way) for view in views(load(1, 2), {}, chosen=way).values()] == [
        ("1", "web", BootWay.STATIC),
        ("2", "web", BootWay.STATIC),
    ]
    own = replace(SETTINGS, roots=(replace(SETTINGS.roots[0], way=BootWay.STATIC),))
    assert {view.way for view in views(load(1, 2), {}, chosen=own).values()} == {BootWay.STATIC}
    assert {view.root for view in views(load(1), {}, chosen=Settings()).values()} == {""}


def test_nothing_changed_is_the_very_same_mapping() -> None:
    now = load(1, 2)
    before = views(now, {})
    assert views(now, before) is before
    again = load(1, 2, known=nodes_by_source(now.cluster)) if now.cluster else now
    assert views(again, before) is before


def test_unchanged_nodes_keep_their_view() -> None:
    now = load(1, 2, 3)
    before = views(now, {})
    assert now.cluster is not None
    after = views(load(node_text(1, ip="10.0.0.9"), 2, 4, known=nodes_by_source(now.cluster)), before)
    assert list(after) == ["1", "2", "4"]
    assert after["2"] is before["2"]
    assert after["1"] is not before["1"]


def test_another_order_is_another_mapping_of_the_same_views() -> None:
    now = load(1, 2)
    before = views(now, {})
    assert now.cluster is not None
    after = views(load(2, 1, known=nodes_by_source(now.cluster)), before)
    assert list(after) == ["2", "1"]
    assert after["1"] is before["1"]


def test_a_finding_about_a_published_file_belongs_to_its_node_and_does_not_quarantine_it() -> None:
    now = load(1, 2)
    before = views(now, {})
    after = views(now, before, error())
    assert [finding.code for finding in after["1"].findings] == ["occupied"]
    assert not after["1"].quarantined
    assert after["2"] is before["2"]
    assert views(now, after)["1"].findings == ()


def test_quarantine_shows_and_goes() -> None:
    good, bad = load(1, 2), load(node_text(1, mac="nonsense"), 2)
    after = views(bad, views(good, {}))
    assert [view.quarantined for view in after.values()] == [True, False]
    assert after["1"].findings
    assert [view.quarantined for view in views(good, after).values()] == [False, False]


def test_nodes_without_an_id_of_their_own_have_other_keys() -> None:
    now = load(node_text(1, nodeid="7"), node_text(2, nodeid="7"), node_text(3, nodeid=""), node_text(4))
    assert list(views(now, {})) == ["name:node1", "name:node2", "name:node3", "4"]


def test_roots_are_the_distinct_volumes_in_the_order_of_the_file() -> None:
    other = node_text(3).replace("/srv/web", "/srv/other")
    cluster = load(1, other, 2).cluster
    assert cluster is not None
    assert [(view.name, view.volume, view.path, view.nodes) for view in root_views(cluster, SETTINGS)] == [
        ("web", "10.0.0.254:/srv/web", "/srv/web", 2),
        ("", "10.0.0.254:/srv/other", "", 1),
    ]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (WELL, State.READY),
        (replace(WELL, in_sync=False), State.DEGRADED),
        (replace(WELL, findings=(error(),)), State.DEGRADED),
        (replace(WELL, findings=(replace(error(), severity=Severity.WARNING),)), State.READY),
        (replace(WELL, pinned=True), State.PINNED),
        (replace(WELL, invalid=True, pinned=True, findings=(error(),)), State.INVALID),
    ],
)
def test_the_state_is_the_worst_that_is_so(outcome: Outcome, state: State) -> None:
    assert snapshot(load(1), SETTINGS, outcome, Snapshot(), Viewer()).state is state


def test_a_snapshot_is_consistent_and_cannot_be_changed() -> None:
    made = snapshot(load(1, 2), SETTINGS, WELL, Snapshot(), Viewer())
    assert (made.cluster_name, made.config_version, made.generation, len(made.nodes)) == ("test", 1, 3, 2)
    assert (made.dhcp, made.nfs, made.in_sync) == (ServiceState.RUNNING, ServiceState.ABSENT, True)
    with pytest.raises(FrozenInstanceError):
        made.generation = 9  # type: ignore[misc]
    with pytest.raises(TypeError):
        made.nodes["9"] = made.nodes["1"]  # type: ignore[index]


def test_without_a_cluster_there_is_little_to_see() -> None:
    made = snapshot(Loaded(), SETTINGS, replace(WELL, invalid=True), Snapshot(), Viewer())
    assert (made.state, made.nodes, made.roots, made.cluster_name) == (State.INVALID, {}, (), "")


_POOL = (
    *(node_text(number) for number in (1, 2, 3, 4)),
    node_text(2, ip="10.0.0.200"),
    node_text(3).replace("/srv/web", "/srv/other"),
    node_text(4, nodeid="3"),
    node_text(5, nodeid=""),
    node_text(6, name=" "),
)
_STEPS = st.tuples(
    st.lists(st.sampled_from(_POOL), max_size=6),
    st.sampled_from(((), (error(),), (error(node="node3"), error("other", "node1")))),
    st.sampled_from((SETTINGS, SETTINGS, Settings())),
)


@given(st.lists(_STEPS, max_size=6))
@settings(deadline=None)
def test_what_was_shown_before_makes_no_difference(
    steps: list[tuple[list[str], tuple[Finding, ...], Settings]],
) -> None:
    """One and the same Viewer, edit after edit, shows what a new one shows, and keeps what can be kept."""
    viewer, known = Viewer(), dict[bytes, Node]()
    before: Mapping[str, NodeView] = {}
    for nodes, more, chosen in steps:
        now = load(*nodes, known=known)
        assert now.cluster is not None
        known |= nodes_by_source(now.cluster)
        findings = (*now.verdict.findings, *more)
        shown, roots = viewer.look(now, findings, chosen, before)
        afresh, _ = Viewer().look(now, findings, chosen, before)
        assert list(shown.items()) == list(afresh.items())
        assert (shown is before) is (afresh is before)
        assert all((view is before.get(key)) is (afresh[key] is before.get(key)) for key, view in shown.items())
        assert roots == root_views(now.cluster, chosen)
        before = shown
