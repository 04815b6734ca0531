# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference: ownership, order, and that a carried-out plan leaves no difference."""

from dataclasses import replace
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from osrd.model.output import (
    Desired,
    FileState,
    Found,
    Kind,
    NotAFile,
    Output,
    Published,
    Service,
    Stage,
    text_recipe,
)
from osrd.model.plan import Adopt, Forget, Reason, ReloadService, Remove, Write
from osrd.plan.difference import difference, questionable

STAGES = {Kind.KERNEL: Stage.KERNEL, Kind.PXELINUX: Stage.MENU, Kind.DHCP: Stage.DHCP, Kind.EXPORTS: Stage.EXPORTS}


def wanted(path: str, content: bytes = b"x", kind: Kind = Kind.PXELINUX, mode: int = 0o644, node: str = "") -> Output:
    return Output(path, kind, STAGES[kind], text_recipe(content), node, ("f",), mode)


def row(output: Output) -> Published:
    digest = output.recipe
    return Published(
        output.path, output.kind, output.stage, output.recipe, digest, 1, output.mode, output.node, 1, output.made_from
    )


def state(content: bytes = b"x", mode: int = 0o644) -> FileState:
    return FileState(sha256(content).hexdigest(), len(content), mode)


def desired(*outputs: Output, **options: object) -> Desired:
    return Desired({output.path: output for output in outputs}, **options)  # type: ignore[arg-type]


def manifest(*outputs: Output) -> dict[str, Published]:
    return {output.path: row(output) for output in outputs}


def test_order_of_a_plan() -> None:
    old = [wanted("/k0", kind=Kind.KERNEL), wanted("/m0"), wanted("/d0", kind=Kind.DHCP), wanted("/gone")]
    new = [wanted("/d1", kind=Kind.DHCP), wanted("/m2"), wanted("/m1"), wanted("/k1", kind=Kind.KERNEL), wanted("/a")]
    found: dict[str, Found] = {output.path: state() for output in old}
    found |= {output.path: NotAFile.ABSENT for output in new} | {"/gone": NotAFile.ABSENT, "/a": state()}
    plan = difference(desired(*new), manifest(*old), found, frozenset({Service.NFS}))
    assert [str(action).removesuffix(f" {state().digest}") for action in plan.actions] == [
        "write /k1 (new)",
        "write /m1 (new)",
        "write /m2 (new)",
        "write /d1 (new)",
        "remove /d0 (obsolete)",
        "remove /m0 (obsolete)",
        "remove /k0 (obsolete)",
        "forget /gone",
        "adopt /a",
        "reload dhcp (changed)",
        "reload nfs (owed)",
    ]


def test_metadata_only_differences_are_recorded_without_writing() -> None:
    before, after = wanted("/m", node="old"), wanted("/m", node="new")
    plan = difference(desired(after), manifest(before), {"/m": state()})
    assert plan.actions == (Adopt(after),)
    assert questionable(desired(after), manifest(before)) == {"/m"}


def test_a_file_that_is_in_place_already_is_only_recorded() -> None:
    before, after = wanted("/m", b"1"), wanted("/m", b"2")
    assert difference(desired(after), manifest(before), {"/m": state(b"2")}).actions == (Adopt(after),)
    assert difference(desired(after), manifest(before), {"/m": state(b"1")}).actions == (
        Write(after, Reason.CHANGED, sha256(b"1").hexdigest()),
    )


def test_identical_content_with_another_mode_is_somebody_elses() -> None:
    plan = difference(desired(wanted("/m")), {}, {"/m": state(mode=0o600)})
    assert (plan.actions, [finding.code for finding in plan.findings]) == ((), ["occupied"])


def test_retained_kernels_are_kept_and_other_kinds_are_not() -> None:
    kernel, menu = wanted("/k", kind=Kind.KERNEL), wanted("/m")
    found: dict[str, Found] = {"/k": state(), "/m": state()}
    plan = difference(desired(), manifest(kernel, menu), found, retained=frozenset({"/k", "/m"}))
    assert plan.actions == (Remove(row(menu)),)
    assert plan.kept == ("/k",)


def test_a_frozen_kind_is_neither_changed_nor_removed_but_repaired() -> None:
    frozen = [wanted("/changed", b"1"), wanted("/unwanted", b"1"), wanted("/drift", b"1")]
    found: dict[str, Found] = {"/changed": state(b"1"), "/unwanted": state(b"1"), "/drift": state(b"?")}
    want = desired(wanted("/changed", b"2"), wanted("/drift", b"2"), frozen_kinds=frozenset({Kind.PXELINUX}))
    plan = difference(want, manifest(*frozen), found)
    assert plan.actions == (Write(frozen[2], Reason.DRIFT, sha256(b"?").hexdigest()),)


def test_frozen_nodes_do_not_freeze_shared_files() -> None:
    node, shared = wanted("/n", node="n1"), wanted("/s")
    found: dict[str, Found] = {"/n": state(), "/s": state()}
    plan = difference(desired(frozen_nodes=frozenset({"n1", ""})), manifest(node, shared), found)
    assert plan.actions == (Remove(row(shared)),)


def test_unreadable_and_odd_files_are_left_alone() -> None:
    found: dict[str, Found] = {"/a": NotAFile.UNREADABLE, "/b": NotAFile.OTHER, "/c": NotAFile.OTHER}
    plan = difference(desired(wanted("/a"), wanted("/b")), manifest(wanted("/a"), wanted("/c")), found)
    assert plan.actions == ()
    assert [finding.code for finding in plan.findings] == ["unreadable", "not-a-file", "not-a-file"]
    assert all(finding.fix and finding.place for finding in plan.findings)


PATHS = st.sampled_from([f"/p{number}" for number in range(5)])
CONTENTS = st.sampled_from([b"1", b"2", b"3"])
OUTPUTS = st.builds(wanted, PATHS, CONTENTS, st.sampled_from(list(STAGES)), st.sampled_from([0o644, 0o600]))
SETS = st.lists(OUTPUTS, max_size=5).map(lambda outputs: {output.path: output for output in outputs})
DISKS = st.dictionaries(PATHS, st.one_of(st.builds(state, CONTENTS), st.sampled_from(list(NotAFile))))


def carried_out(
    rows: dict[str, Published], disk: dict[str, Found], actions: tuple[object, ...]
) -> tuple[dict[str, Published], dict[str, Found]]:
    """What a publisher would leave behind."""
    rows, disk = dict(rows), dict(disk)
    for action in actions:
        match action:
            case Write(output) | Adopt(output):
                rows[output.path] = row(output)
                disk[output.path] = FileState(output.recipe, 1, output.mode)
            case Remove(published):
                del rows[published.path]
                disk[published.path] = NotAFile.ABSENT
            case Forget(published):
                del rows[published.path]
    return rows, disk


@given(old=SETS, new=SETS, disk=DISKS)
def test_a_carried_out_plan_leaves_no_difference(
    old: dict[str, Output], new: dict[str, Output], disk: dict[str, Found]
) -> None:
    rows = manifest(*old.values())
    found: dict[str, Found] = {path: disk.get(path, NotAFile.ABSENT) for path in old.keys() | new.keys()}
    plan = difference(Desired(new), rows, found)
    for action in plan.actions:
        if isinstance(action, Write) and action.output.path not in rows:
            assert found[action.output.path] is NotAFile.ABSENT
        if isinstance(action, Remove):
            assert found[action.published.path] == replace(
                state(), digest=action.published.digest, mode=found[action.published.path].mode
            )
    rows, disk = carried_out(rows, found, plan.actions)
    again = difference(Desired(new), rows, {path: disk[path] for path in rows.keys() | new.keys()})
    assert [action for action in again.actions if not isinstance(action, ReloadService)] == []


@given(old=SETS, new=SETS)
def test_the_quick_pass_finds_what_the_full_pass_finds_when_nothing_drifted(
    old: dict[str, Output], new: dict[str, Output]
) -> None:
    rows = manifest(*old.values())
    disk: dict[str, Found] = {path: FileState(have.digest, 1, have.mode) for path, have in rows.items()}
    everything = {path: disk.get(path, NotAFile.ABSENT) for path in rows.keys() | new.keys()}
    few = {path: everything[path] for path in questionable(Desired(new), rows)}
    assert difference(Desired(new), rows, few) == difference(Desired(new), rows, everything)


def test_after_an_edit_only_outputs_that_are_other_objects_are_looked_at() -> None:
    """What agreed before and is the same object still agrees; everything else is compared as without knowing."""
    same, edited, gone, new = wanted("/same"), wanted("/edited"), wanted("/gone"), wanted("/new")
    published = manifest(same, edited, gone)
    agreed = {output.path: output for output in (same, edited, gone)}
    now = desired(same, replace(edited, recipe=text_recipe(b"y")), new)
    assert questionable(now, published, agreed) == {"/edited", "/gone", "/new"} == questionable(now, published)
    assert questionable(desired(same, replace(edited), gone), published, agreed) == set(), "equal is as good as same"
