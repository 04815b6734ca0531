# SPDX-License-Identifier: GPL-3.0-or-later
"""The desired state as a whole: incremental, deterministic, and one bad thing never stops the others (law 4)."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from osrd.model.cluster import Node, RootVolume
from osrd.model.finding import Place, Severity
from osrd.model.netboot import HostFacts, StoredPair, TemplateSource
from osrd.model.output import CopyOf, Desired, FileState, Kind, Stage, text_recipe
from osrd.model.settings import DhcpBackend, DhcpSettings, HostsSettings, NfsSettings, RootSettings
from osrd.plan.desired import Desirer, Inputs
from osrd.plan.menus import MENU_KINDS
from tests.unit.planning import DIRECTORY, INITRD, KERNEL, ROOT, cluster, eth, facts, inputs, node, settings

MENUS = frozenset(MENU_KINDS)


def rendered(desired: Desired, *kinds: Kind) -> set[str]:
    """The paths of these kinds whose content was made in this call."""
    wanted = kinds or tuple(MENUS)
    return {
        path
        for path, output in desired.outputs.items()
        if output.kind in wanted and output.node and output.recipe in desired.contents
    }


def override(name: str, text: str) -> HostFacts:
    made = facts()
    return replace(made, templates={**made.templates, name: TemplateSource(text, f"/etc/osrd/templates/{name}")})


def edited(made: Inputs, *nodes: Node) -> Inputs:
    return replace(made, nodes=nodes, cluster=replace(cluster(*nodes), config_version=2))


def test_the_first_call_has_all_contents() -> None:
    desired = Desirer().desire(inputs(*(node(number) for number in range(1, 6))))
    assert {output.recipe for output in desired.outputs.values()} == set(desired.contents)
    for output in desired.outputs.values():
        content = desired.contents[output.recipe]
        if isinstance(content, bytes):
            assert output.recipe == text_recipe(content)


def test_nothing_is_rendered_twice() -> None:
    desirer, made = Desirer(), inputs(node(1), node(2))
    first = desirer.desire(made)
    again = desirer.desire(replace(made, cluster=replace(made.cluster, config_version=7)))
    assert again == replace(first, contents=again.contents)
    assert not any(isinstance(content, bytes) for content in again.contents.values())
    assert any(isinstance(content, CopyOf) for content in again.contents.values())


def test_an_edit_renders_the_edited_node_only() -> None:
    desirer, nodes = Desirer(), [node(number) for number in range(1, 30)]
    first = desirer.desire(inputs(*nodes))
    changed = node(7, nics=(eth(700),))
    second = desirer.desire(inputs(*(changed if each.nodeid == 7 else each for each in nodes)))
    assert len(rendered(second)) == 3
    assert {second.outputs[path].node for path in rendered(second)} == {"node7"}
    differing = {
        path
        for path in first.outputs.keys() | second.outputs.keys()
        if first.outputs.get(path) != second.outputs.get(path)
    }
    others = {path for path in differing if "00-0c-29" not in path}
    assert {(second.outputs[path].kind) for path in others} == {Kind.EXPORTS, Kind.HOSTS, Kind.DHCP}
    assert len(differing - others) == 6


@pytest.mark.parametrize("position", [0, 3, 5])
def test_adding_and_removing_a_node_leaves_the_others_alone(position: int) -> None:
    desirer, nodes = Desirer(), [node(number) for number in range(1, 6)]
    first = desirer.desire(inputs(*nodes))
    more = desirer.desire(inputs(*nodes[:position], node(99), *nodes[position:]))
    assert {more.outputs[path].node for path in rendered(more)} == {"node99"}
    less = desirer.desire(inputs(*nodes))
    assert rendered(less) == set()
    assert less.outputs == first.outputs


def test_moving_lines_render_nothing() -> None:
    desirer, made = Desirer(), inputs(node(1), node(2))
    desirer.desire(made)
    moved = replace(made.cluster, lines=(30, 40))
    assert rendered(desirer.desire(replace(made, cluster=moved))) == set()


def test_what_all_nodes_depend_on_renders_all() -> None:
    desirer, made = Desirer(), inputs(node(1), node(2))
    desirer.desire(made)
    assert len(rendered(desirer.desire(replace(made, settings=settings(timeout=9))))) == 6
    assert len(rendered(desirer.desire(replace(made, cluster=replace(made.cluster, name="other"))))) == 6
    newer = facts()
    newer = replace(newer, files={**newer.files, "/boot/vmlinuz": FileState("c" * 64, 1, 0o644)})
    assert len(rendered(desirer.desire(replace(made, facts=newer)))) == 6


def test_a_new_kernel_concerns_its_own_root_only() -> None:
    other = RootVolume("192.168.122.1:/srv/b", "nfs4", "192.168.122.1", "/srv/b")
    roots = (ROOT, RootSettings("b", volume=other.name, kernel="/boot/b"))
    chosen = replace(settings(), roots=roots)

    def known(digest: str) -> HostFacts:
        made = facts()
        return replace(made, files={**made.files, "/boot/b": FileState(digest * 64, 5, 0o644)})

    desirer, made = Desirer(), inputs(node(1), node(2, root=other), settings=chosen, facts=known("c"))
    desirer.desire(made)
    assert desirer.current_pairs() == {"web": StoredPair(KERNEL, INITRD), "b": StoredPair("c" * 64, "")}
    again = desirer.desire(replace(made, facts=known("d")))
    assert {again.outputs[path].node for path in rendered(again)} == {"node2"}


def test_a_kernel_that_is_previous_here_and_current_there_can_be_copied() -> None:
    """Root b only knows it as published before; root web has the file. Whoever comes last, the file must win."""
    other = RootVolume("192.168.122.1:/srv/b", "nfs4", "192.168.122.1", "/srv/b")
    for name in ("a", "z"):
        roots = (ROOT, RootSettings(name, volume=other.name, kernel="/boot/b"))
        known = facts(pairs={name: (StoredPair(KERNEL, ""),)})
        known = replace(known, files={**known.files, "/boot/b": FileState("c" * 64, 5, 0o644)})
        made = inputs(node(1), node(2, root=other), settings=replace(settings(), roots=roots), facts=known)
        content = Desirer().desire(made).contents[KERNEL]
        assert content == CopyOf("/boot/vmlinuz", KERNEL, 100)


def test_without_a_kernel_nodes_are_frozen_and_the_other_root_goes_on() -> None:
    other = RootVolume("192.168.122.1:/srv/b", "nfs4", "192.168.122.1", "/srv/b")
    chosen = replace(settings(), roots=(ROOT, RootSettings("b", volume=other.name, kernel="/gone")))
    desired = Desirer().desire(inputs(node(1), node(2, root=other), settings=chosen))
    assert desired.frozen_nodes == {"node2"}
    assert {Kind.KERNEL, Kind.INITRD} <= desired.frozen_kinds
    assert {output.node for output in desired.outputs.values()} == {"", "node1"}
    assert [(finding.code, finding.severity) for finding in desired.findings] == [("kernel-missing", Severity.ERROR)]
    hosts = desired.contents[desired.outputs["/var/lib/osrd/hosts"].recipe]
    assert isinstance(hosts, bytes)
    assert b"node2" in hosts


def test_without_any_root_section_there_is_one_warning_per_volume() -> None:
    chosen = replace(settings(), roots=())
    desired = Desirer().desire(inputs(node(1), node(2), settings=chosen))
    assert [(finding.code, finding.severity) for finding in desired.findings] == [
        ("no-root-section", Severity.WARNING)
    ]
    assert desired.frozen_nodes == {"node1", "node2"}


def test_a_machine_that_osr_does_not_boot_gets_no_menu_and_no_complaint() -> None:
    desired = Desirer().desire(inputs(node(1), node(2, com_info=False, root=None)))
    assert desired.frozen_nodes == frozenset()
    assert {output.node for output in desired.outputs.values()} == {"", "node1"}
    assert desired.findings == ()


@pytest.mark.parametrize(
    ("name", "text", "kind", "line"),
    [
        ("grub.j2", "\n{% if %}", Kind.GRUB, 2),
        ("pxelinux.j2", "\n\n{{ nope }}", Kind.PXELINUX, 3),
        ("ipxe-boot.j2", "{{ 1 // 0 }}", Kind.IPXE, 1),
        ("grub-default.j2", "{{ node }}", Kind.GRUB, 1),
    ],
)
def test_a_broken_template_freezes_its_kind_and_nothing_else(name: str, text: str, kind: Kind, line: int) -> None:
    desired = Desirer().desire(inputs(node(1), node(2), facts=override(name, text)))
    assert desired.frozen_kinds == {kind, Kind.KERNEL, Kind.INITRD}
    assert {output.kind for output in desired.outputs.values()} & MENUS == MENUS - {kind}
    (finding,) = desired.findings
    assert (finding.code, finding.place) == ("template-broken", Place(f"/etc/osrd/templates/{name}", line))


def test_a_template_that_fails_on_one_node_gives_up_its_kind_until_that_node_changes() -> None:
    strange = override("grub.j2", "{{ 1 // (nodeid - 3) }}\n")
    desirer, nodes = Desirer(), [node(number) for number in range(1, 6)]
    first = desirer.desire(inputs(*nodes, facts=strange))
    assert Kind.GRUB in first.frozen_kinds
    assert not any(output.kind is Kind.GRUB for output in first.outputs.values())
    assert {output.recipe for output in first.outputs.values()} <= set(first.contents)
    second = desirer.desire(inputs(*nodes[:4], node(6), facts=strange))
    assert Kind.GRUB in second.frozen_kinds
    assert {second.outputs[path].node for path in rendered(second)} == {"node6"}
    third = desirer.desire(inputs(*nodes[:2], *nodes[3:], facts=strange))
    assert Kind.GRUB not in third.frozen_kinds
    assert third.findings == ()
    assert len(rendered(third, Kind.GRUB)) == 4


def test_a_mended_template_is_used() -> None:
    desirer, made = Desirer(), inputs(node(1), facts=override("grub.j2", "{{ nope }}"))
    desirer.desire(made)
    mended = desirer.desire(replace(made, facts=override("grub.j2", "{{ node }}\n")))
    assert mended.frozen_kinds == frozenset()
    path = f"{DIRECTORY}/grub/grub.cfg-01-00-0c-29-00-00-01"
    assert mended.contents[mended.outputs[path].recipe] == b"node1\n"


def test_a_misspelt_override_is_a_warning_only() -> None:
    desired = Desirer().desire(inputs(node(1), facts=override("grubb.j2", "{% broken")))
    assert [(finding.code, finding.severity) for finding in desired.findings] == [
        ("template-unknown", Severity.WARNING)
    ]
    assert desired.frozen_kinds == frozenset()


def test_contents_can_be_made_again() -> None:
    desirer = Desirer()
    made = inputs(node(1), node(2))
    first = desirer.desire(made)
    desirer.desire(made)
    for path, output in first.outputs.items():
        content = first.contents[output.recipe]
        assert desirer.content_of(path) == (content if isinstance(content, bytes) else None)
    assert desirer.content_of("/nowhere") is None
    assert Desirer().content_of("/nowhere") is None


def test_the_files_of_all_nodes_can_be_switched_off() -> None:
    chosen = replace(settings(), nfs=NfsSettings(""), hosts=HostsSettings(""), dhcp=DhcpSettings(DhcpBackend.NONE))
    desired = Desirer().desire(inputs(node(1), settings=chosen))
    assert not {output.kind for output in desired.outputs.values()} & {Kind.EXPORTS, Kind.HOSTS, Kind.DHCP}
    assert desired.frozen_kinds == frozenset()


def test_an_empty_cluster_is_no_error() -> None:
    made = inputs()
    desired = Desirer().desire(
        replace(made, settings=replace(made.settings, boot=replace(made.settings.boot, server=None)))
    )
    assert not [finding for finding in desired.findings if finding.severity is Severity.ERROR]
    assert Kind.DHCP in desired.frozen_kinds
    assert f"{DIRECTORY}/pxelinux.cfg/default" in desired.outputs


def test_stages_put_what_is_named_before_what_names_it() -> None:
    desired = Desirer().desire(inputs(node(1)))
    stages = {output.kind: output.stage for output in desired.outputs.values()}
    assert stages[Kind.LOADER] == Stage.LOADER
    assert stages[Kind.KERNEL] == stages[Kind.INITRD] == Stage.KERNEL
    assert {stages[kind] for kind in MENUS} == {Stage.MENU}
    assert stages[Kind.DHCP] == Stage.DHCP


_numbers = st.lists(st.integers(1, 500), unique=True, min_size=1, max_size=8)


@given(_numbers, st.randoms())
@hypothesis_settings(max_examples=30, deadline=None)
def test_deterministic_and_independent_of_history_and_order(numbers: list[int], random: Random) -> None:
    nodes = [node(number) for number in numbers]
    fresh = Desirer().desire(inputs(*nodes))
    used = Desirer()
    used.desire(inputs(*nodes[: len(nodes) // 2], node(501)))
    assert used.desire(inputs(*nodes)).outputs == fresh.outputs
    random.shuffle(nodes)
    shuffled = Desirer().desire(inputs(*nodes))
    ordered = (Kind.DHCP,)  # reservations are in the order of cluster.conf
    assert {path: output for path, output in shuffled.outputs.items() if output.kind not in ordered} == {
        path: output for path, output in fresh.outputs.items() if output.kind not in ordered
    }


@given(_numbers)
@hypothesis_settings(max_examples=30, deadline=None)
def test_menus_stay_inside_the_owned_directory(numbers: list[int]) -> None:
    desired = Desirer().desire(inputs(*(node(number) for number in numbers)))
    outside = {path for path in desired.outputs if not path.startswith(f"{DIRECTORY}/")}
    assert {desired.outputs[path].kind for path in outside} == {Kind.HOSTS, Kind.EXPORTS, Kind.DHCP}


_ELSEWHERE = RootVolume("10.9.9.9:/other", "nfs", "10.9.9.9", "/other")
_POOL = (
    *(node(number) for number in range(1, 5)),
    node(2, nics=(eth(20),)),  # another MAC and another address for node2
    node(2, nics=(eth(2, mac=eth(21).mac),)),  # another MAC only
    node(3, nics=(eth(1, ip="10.0.0.3"),)),  # the MAC of node1
    node(5, root=_ELSEWHERE),  # nothing speaks about its root
    node(6, com_info=False, root=None),
    node(7, nics=(eth(7, ip="dhcp"),)),  # with no subnet to get an address from
    node(8, name="no word"),
    node(9, name="a\nb"),
)
_CLUSTERS = st.lists(st.sampled_from(_POOL), unique_by=lambda each: each.name, max_size=8)


@given(st.lists(_CLUSTERS, min_size=2, max_size=6), st.sampled_from((None, "{{ 1 // (nodeid - 2) }}")))
@hypothesis_settings(max_examples=100, deadline=None)
def test_what_was_desired_before_makes_no_difference(clusters: list[list[Node]], template: str | None) -> None:
    """One and the same Desirer, edit after edit, says what a new one says; and of what changed it says enough."""
    desirer = Desirer()
    on_host = override("grub.j2", template) if template else facts()
    before = Desired({})
    for nodes in clusters:
        made = inputs(*nodes, facts=on_host)
        desired, fresh = desirer.desire(made), Desirer().desire(made)
        assert replace(desired, contents={}) == replace(fresh, contents={})
        for path in desired.outputs:
            content = fresh.contents[fresh.outputs[path].recipe]
            assert desirer.content_of(path) == (content if isinstance(content, bytes) else None)
        if desired.changed is not None:
            assert desired.changed[0] is before.outputs
            paths = desired.outputs.keys() | before.outputs.keys()
            differing = {path for path in paths if desired.outputs.get(path) != before.outputs.get(path)}
            assert differing <= desired.changed[1]
        before = desired
