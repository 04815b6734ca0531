# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that come and go, older layouts, what the checker tells, and inventories from the disk alone."""

from dataclasses import replace

import pytest

from osrd.model.cdsl import INVENTORY, OLD_INVENTORY, Inventory, Layout, MarkerStyle
from osrd.model.errors import ConflictError, InvalidArgsError, NotFoundError
from osrd.parse.inventory_file import settings
from osrd.plan.cdsl.check import check
from osrd.plan.cdsl.conversion import convert
from osrd.plan.cdsl.infrastructure import infrastructure
from osrd.plan.cdsl.make import make
from osrd.plan.cdsl.membership import add_nodes, adopt, archive, orphaned
from osrd.plan.cdsl.rebuild import rebuild
from osrd.plan.cdsl.repair import repair
from osrd.plan.cdsl.settings import with_setting
from osrd.plan.cdsl.share import share
from tests.unit.cdsl.disk import Directory, Disk, File, Link

NODES = ("1", "2")
GEN3 = Layout(".cluster/cdsl", ".cluster/shared", ".cdsl.local")


def made(layout: Layout | None = None) -> Disk:
    """/var is host-dependent, /var/lib shared, /var/lib/x host-dependent; /opt is for node 2 only."""
    disk = Disk(layout or Layout())
    for path in ("var/log/m", "var/lib/x/y", "var/lib/z", "opt/f"):
        disk.add(path, File(path.encode()))
    inventory = Inventory(disk.layout, maxnodeidnum=2)
    disk.apply(infrastructure(inventory, NODES, disk.look, "0"), inventory)
    disk.apply(make(disk.inventory, "var", NODES, disk.look, "1.00"), disk.inventory)
    disk.apply(share(disk.inventory, "var/lib", "", (), disk.look, "2.00"), disk.inventory)
    disk.apply(make(disk.inventory, "var/lib/x", NODES, disk.look, "3.00"), disk.inventory)
    disk.apply(make(disk.inventory, "opt", ("2",), disk.look, "4.00", some=True), disk.inventory)
    return disk


@pytest.mark.parametrize("name", sorted(settings(Inventory(Layout(style=MarkerStyle.SUFFIX)))))
def test_what_decides_where_everything_is_cannot_be_set(name: str) -> None:
    """By the names that the file has: another value would lose sight of what is on the disk."""
    inventory = made().inventory
    if name in ("maxnodeidnum", "mountpoint"):
        assert with_setting(inventory, name, "3") is not None
        return
    with pytest.raises((ConflictError, InvalidArgsError)):
        with_setting(inventory, name, "suffix")


def test_a_new_node_is_entered_where_all_are() -> None:
    disk = made()
    disk.files["cluster/cdsl/default/var/log/m"] = File(b"template")
    disk.apply(add_nodes(disk.inventory, ("3",), disk.look, "5"), disk.inventory)
    assert {cdsl.src: cdsl.nodes for cdsl in disk.inventory.cdsls} == {
        "var": ("1", "2", "3"),
        "var/lib": ("1", "2", "3"),
        "var/lib/x": ("1", "2", "3"),
        "opt": ("2",),
    }
    assert disk.seen("3", disk.inventory)["var/log/m"] == File(b"template")
    assert add_nodes(disk.inventory, ("3",), disk.look, "6") is None


def test_a_tree_that_is_there_is_completed_and_not_overwritten() -> None:
    disk = made()
    disk.add("cluster/cdsl/3/var/log/m", File(b"old"))
    disk.add("cluster/cdsl/3/var/mine", File(b"mine"))
    disk.apply(add_nodes(disk.inventory, ("3",), disk.look, "5"), disk.inventory)
    seen = disk.seen("3", disk.inventory)
    assert seen["var/log/m"] == File(b"old")
    assert seen["var/mine"] == File(b"mine")
    assert seen["var/lib/x/y"] == File(b"var/lib/x/y")


def test_trees_without_a_node() -> None:
    disk = made()
    disk.add("cluster/cdsl/stray", File())
    assert orphaned(disk.inventory, ("2",), disk.look, disk.names) == ("1",)
    assert orphaned(Inventory(GEN3), ("2",), disk.look, disk.names) == ()


def test_adopting_a_tree() -> None:
    disk = made()
    disk.files["cluster/cdsl/1/var/log/m"] = File(b"one")
    disk.files["cluster/cdsl/2/var/log/m"] = File(b"two")
    transaction = adopt(disk.inventory, "1", "2", disk.look, "5", ("2",))
    disk.apply(transaction, disk.inventory)
    seen = disk.seen("2", disk.inventory)
    assert seen["var/log/m"] == File(b"one")
    assert seen["opt/f"] == File(b"opt/f")  # from the template: node 1 never had it
    assert disk.files[".osrd/backup/tree-2-5/2/var/log/m"] == File(b"two")
    assert "cluster/cdsl/1" not in disk.files
    assert disk.inventory.cdsls[0].nodes == ("2",)


def test_adopting_what_cannot_be() -> None:
    disk = made()
    with pytest.raises(ConflictError, match="1 is a node of this cluster"):
        adopt(disk.inventory, "1", "2", disk.look, "5", NODES)
    with pytest.raises(NotFoundError, match="no node tree /cluster/cdsl/7"):
        adopt(disk.inventory, "7", "2", disk.look, "5", NODES)
    with pytest.raises(InvalidArgsError, match="its own tree already"):
        adopt(disk.inventory, "2", "2", disk.look, "5")
    with pytest.raises(InvalidArgsError, match="the name of the template"):
        adopt(disk.inventory, "default", "2", disk.look, "5")


def test_archiving_a_node() -> None:
    disk = made()
    disk.apply(archive(disk.inventory, "1", disk.look, "5"), disk.inventory)
    assert disk.files[".osrd/backup/tree-1-5/1/var/log/m"] == File(b"var/log/m")
    assert disk.inventory.cdsls[0].nodes == ("2",)
    with pytest.raises(NotFoundError, match="no node tree"):
        archive(disk.inventory, "1", disk.look, "6")


def old_disk(layout: Layout, old_links: dict[str, str]) -> tuple[Disk, Inventory]:
    """The disk as an older generation leaves it: a link directory, links that climb too far, the old inventory."""
    disk = made(layout)
    disk.files[layout.link] = Directory()
    del disk.files[layout.mount_point]
    for path, text in old_links.items():
        assert path in disk.files
        disk.files[path] = Link(text)
    inventory = replace(disk.inventory, file=OLD_INVENTORY)
    del disk.files[INVENTORY]
    return disk, inventory


def findings(disk: Disk, inventory: Inventory, bound: str = "1") -> list[tuple[str, str, str]]:
    mounts = ("x",) if bound else ()
    found = check(inventory, NODES, disk.look, disk.names, mounts, bound)
    assert all(finding.fix and finding.message for finding in found)
    return [(finding.code, finding.node, finding.value) for finding in found]


def test_generation_3_needs_its_link_converted_only() -> None:
    disk, inventory = old_disk(GEN3, {})
    assert findings(disk, inventory) == [
        ("cdsl-old-layout", "", ".cdsl.local"),
        ("cdsl-old-inventory", "", OLD_INVENTORY),
    ]
    assert disk.seen("1", inventory)["var/lib/x/y"] == File(b"var/lib/x/y")
    transaction = convert(inventory, disk.look, "9")
    assert transaction is not None
    assert [exchange.at for exchange in transaction.exchanges] == [".cluster/cdsl/local", ".cdsl.local"]
    disk.apply(transaction, inventory)
    assert disk.files[".cdsl.local"] == Link(".cluster/cdsl/local")
    assert findings(disk, disk.inventory) == []
    assert disk.seen("1", disk.inventory)["var/lib/x/y"] == File(b"var/lib/x/y")
    assert convert(disk.inventory, disk.look, "10") is None


def test_links_that_climb_too_far_are_told_and_converted() -> None:
    disk, inventory = old_disk(
        Layout(style=MarkerStyle.SUFFIX),
        {"var": "../../cdsl.local/var", "cluster/shared/var/lib/x": "/cdsl.local/var.cdsl/lib/x"},
    )
    assert findings(disk, inventory)[2:] == [
        ("cdsl-link-only-at-root", "", "var"),
        ("cdsl-link-only-at-root", "", "cluster/shared/var/lib/x"),
    ]
    assert repair(inventory, NODES, disk.look, "8") is None
    disk.apply(convert(inventory, disk.look, "9"), inventory)
    assert disk.files["var"] == Link("cdsl.local/var")
    assert findings(disk, disk.inventory) == []
    assert disk.inventory.layout.style is MarkerStyle.SUFFIX


def test_a_link_directory_in_use_is_not_converted() -> None:
    disk, inventory = old_disk(GEN3, {})
    with pytest.raises(ConflictError, match="the tree of 1 is mounted there"):
        convert(inventory, disk.look, "9", "1")
    disk.add(".cdsl.local/file", File())
    with pytest.raises(ConflictError, match="it is not empty"):
        convert(inventory, disk.look, "9")


def drop(disk: Disk, path: str) -> None:
    for each in list(disk.below(path)):
        del disk.files[each]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("var", [("cdsl-link-missing", "", "var")]),
        ("cluster/cdsl/2/var/lib", [("cdsl-link-missing", "2", "cluster/cdsl/2/var/lib")]),
        ("cluster/shared/var/lib/x", [("cdsl-link-missing", "", "cluster/shared/var/lib/x")]),
        ("cluster/cdsl/1/var/.cdsl.lib/x", [("cdsl-copy-missing", "1", "cluster/cdsl/1/var/.cdsl.lib/x")]),
        ("cluster/cdsl/default/opt", [("cdsl-template-missing", "default", "cluster/cdsl/default/opt")]),
        ("cluster/cdsl/2", [("cdsl-tree-missing", "2", "cluster/cdsl/2")]),
        ("cdsl.local", [("cdsl-infrastructure", "", "cdsl.local")]),
        ("cluster/cdsl/local", [("cdsl-infrastructure", "", "cluster/cdsl/local")]),
    ],
)
def test_what_is_missing_is_told_and_repaired(damage: str, expected: list[tuple[str, str, str]]) -> None:
    disk = made()
    before = dict(disk.files)
    drop(disk, damage)
    assert findings(disk, disk.inventory) == expected
    disk.apply(repair(disk.inventory, NODES, disk.look, "9"), disk.inventory)
    assert findings(disk, disk.inventory) == []
    assert disk.files == before


def test_lost_data_is_told_and_its_entry_kept() -> None:
    disk = made()
    drop(disk, "cluster/shared/var/lib")
    assert ("cdsl-data-missing", "", "cluster/shared/var/lib") in findings(disk, disk.inventory)
    before = dict(disk.files)
    disk.apply(repair(disk.inventory, NODES, disk.look, "9"), disk.inventory)
    assert disk.files == before
    del disk.files["cluster/cdsl/1/var/lib"]
    assert repair(disk.inventory, NODES, disk.look, "10") is None


def test_data_comes_back_from_where_the_link_should_be() -> None:
    """Somebody restored /opt from a backup as a plain directory, and the copies are gone."""
    disk = made()
    for tree in ("1", "2", "default"):
        drop(disk, f"cluster/cdsl/{tree}/opt")
    drop(disk, "opt")
    disk.add("opt/f", File(b"restored"))
    disk.apply(repair(disk.inventory, NODES, disk.look, "9"), disk.inventory)
    assert disk.seen("2", disk.inventory)["opt/f"] == File(b"restored")
    assert disk.files[".osrd/backup/opt-9/link/f"] == File(b"restored")


@pytest.mark.parametrize(
    ("place", "code"),
    [("var", "cdsl-link-wrong"), ("cluster/cdsl/1/var/lib", "cdsl-link-wrong"), ("cdsl.local", "cdsl-link-elsewhere")],
)
def test_links_that_lead_elsewhere(place: str, code: str) -> None:
    disk = made()
    disk.files[place] = Link("cluster/cdsl/1/var")
    assert [(found[0], found[2]) for found in findings(disk, disk.inventory)] == [(code, place)]


def test_orphans_leftovers_and_what_is_not_registered() -> None:
    disk = made()
    disk.add("cluster/cdsl/9/var", Directory())
    disk.add(".osrd/tx/4/new/0", File())
    disk.add(".osrd/tx/3/old/0", File())
    inventory = disk.inventory
    forgotten = replace(inventory, cdsls=tuple(each for each in inventory.cdsls if each.src in ("var", "var/lib")))
    assert findings(disk, forgotten) == [
        ("cdsl-orphaned-tree", "9", "cluster/cdsl/9"),
        ("cdsl-unregistered", "", "opt"),
        ("cdsl-unregistered", "", "cluster/shared/var/lib/x"),
        ("cdsl-leftover", "", ".osrd/tx/4/new"),
    ]


def test_the_mount_is_judged_apart_from_the_structure() -> None:
    disk = made()
    point = "cluster/cdsl/local"
    assert findings(disk, disk.inventory, "") == [("cdsl-not-mounted", "", point)]
    assert findings(disk, disk.inventory, "7") == [("cdsl-mounted-orphan", "7", point)]
    foreign = check(disk.inventory, NODES, disk.look, disk.names, ("tmpfs",), "")
    assert [(each.code, "tmpfs" in each.message) for each in foreign] == [("cdsl-foreign-mount", True)]
    assert findings(disk, disk.inventory, "2") == []


@pytest.mark.parametrize("style", list(MarkerStyle))
def test_the_disk_tells_its_marker_style(style: MarkerStyle) -> None:
    disk = made(Layout(style=style))
    found = rebuild(disk.look, disk.names, Layout(), "9")
    assert found.layout.style is style
    assert {(cdsl.src, cdsl.type, cdsl.nodes) for cdsl in found.cdsls} == {
        (cdsl.src, cdsl.type, cdsl.nodes) for cdsl in disk.inventory.cdsls
    }
    assert {cdsl.timestamp for cdsl in found.cdsls} == {"9"}
    assert found.use_nodeids


def test_machinery_is_never_found() -> None:
    disk = made()
    disk.add("cluster/shared/x", Link("../../cdsl.local/cluster/shared/x"))
    disk.add("cluster/cdsl/1/cluster/shared/x", File())
    assert {cdsl.src for cdsl in rebuild(disk.look, disk.names, Layout(), "9").cdsls} == {
        *("var", "var/lib", "var/lib/x", "opt")
    }


def test_an_empty_disk_has_no_cdsls() -> None:
    disk = Disk()
    disk.add("etc/x", Link("../cdsl.local/etc/x"))
    assert rebuild(disk.look, disk.names, Layout(), "9").cdsls == ()
