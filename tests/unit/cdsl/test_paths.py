# SPDX-License-Identifier: GPL-3.0-or-later
"""Where data is: the tables and trees of the original programs (spec/cdsl.md 2.3, 2.8)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.cdsl import Cdsl, CdslType, Inventory, Layout, MarkerStyle
from osrd.model.errors import ConflictError, InvalidArgsError
from osrd.plan.cdsl.infrastructure import infrastructure
from osrd.plan.cdsl.links import aim
from osrd.plan.cdsl.make import make
from osrd.plan.cdsl.paths import expanded, link_text, locate, public_of, rebased, resolve
from osrd.plan.cdsl.share import share
from tests.unit.cdsl.disk import Disk, File, Link

HOST, SHARED = CdslType.HOSTDEPENDENT, CdslType.SHARED
GEN3 = Layout(".cluster/cdsl", ".cluster/shared", ".cdsl.local")
GEN2 = Layout(style=MarkerStyle.SUFFIX)


def chain(layout: Layout, *paths: str) -> Inventory:
    """CDSLs at ``paths``, from the outermost, alternating."""
    kinds = (HOST, SHARED)
    return Inventory(layout, tuple(Cdsl(path, kinds[k % 2], ("1", "2")) for k, path in enumerate(paths)))


ONE, ALL = "cluster/cdsl/1", "cluster/shared"
LEVELS = ("h", "h/s", "h/s/h", "h/s/h/s", "h/s/h/s/h")
PLAIN = ("t/h", "t/h/t/s", "t/h/t/s/t/h", "t/h/t/s/t/h/t/s")


@pytest.mark.parametrize(
    ("layout", "paths", "data"),
    [
        (GEN3, LEVELS[:1], ".cluster/cdsl/1/h"),
        (GEN3, LEVELS[:2], ".cluster/shared/h/s"),
        (GEN3, LEVELS[:3], ".cluster/cdsl/1/h/.cdsl.s/h"),
        (GEN3, LEVELS[:4], ".cluster/shared/h/s/.cdsl.h/s"),
        (GEN3, LEVELS, ".cluster/cdsl/1/h/.cdsl.s/h/.cdsl.s/h"),
        (GEN3, PLAIN[:3], ".cluster/cdsl/1/t/h/t/.cdsl.s/t/h"),
        (GEN3, PLAIN, ".cluster/shared/t/h/t/s/t/.cdsl.h/t/s"),
        (GEN2, LEVELS[:2], "cluster/shared/h/s"),
        (GEN2, LEVELS[:3], "cluster/cdsl/1/h.cdsl/s/h"),
        (GEN2, LEVELS[:4], "cluster/shared/h.cdsl/s/h/s"),
        (GEN2, LEVELS, "cluster/cdsl/1/h.cdsl/s/h.cdsl/s/h"),
    ],
)
def test_data_is_where_the_original_puts_it(layout: Layout, paths: tuple[str, ...], data: str) -> None:
    inventory = chain(layout, *paths)
    assert data.endswith(expanded(inventory, inventory.cdsls[-1]))
    assert locate(inventory, paths[-1], "1") == data
    assert locate(inventory, f"{paths[-1]}/x/y", "1") == f"{data}/x/y"
    assert public_of(inventory, f"{data}/x/y") == f"{paths[-1]}/x/y"


def test_five_levels_on_the_disk() -> None:
    """The tree of spec/cdsl.md 2.8, byte for byte of its link texts."""
    disk, _ = built(GEN3)
    expected = {
        "d": ".cdsl.local/d",
        ".cluster/cdsl/1/d/s": "../../../../.cluster/shared/d/s",
        ".cluster/shared/d/s/h": "../../../../.cdsl.local/d/.cdsl.s/h",
        ".cluster/cdsl/1/d/.cdsl.s/h/s": "../../../../../../.cluster/shared/d/s/.cdsl.h/s",
        ".cluster/shared/d/s/.cdsl.h/s/h": "../../../../../../.cdsl.local/d/.cdsl.s/h/.cdsl.s/h",
    }
    assert {path: disk.files[path] for path in expected} == {path: Link(text) for path, text in expected.items()}
    for path, data in {
        "cdsl/1/d/top": b"1",
        "shared/d/s/x": b"2",
        "cdsl/2/d/.cdsl.s/h/y": b"3",
        "shared/d/s/.cdsl.h/s/z": b"4",
        "cdsl/default/d/.cdsl.s/h/.cdsl.s/h/f": b"5",
    }.items():
        assert disk.files[f".cluster/{path}"] == File(data)


def test_five_levels_with_the_old_marker() -> None:
    disk, _ = built(GEN2)
    assert disk.files["cluster/cdsl/2/d.cdsl/s/h.cdsl/s/h/f"] == File(b"5")
    assert disk.files["cluster/shared/d.cdsl/s/h/s/z"] == File(b"4")
    assert disk.files["cluster/shared/d.cdsl/s/h/s/h"] == Link("../../../../../../cdsl.local/d.cdsl/s/h.cdsl/s/h")


def built(layout: Layout) -> tuple[Disk, Inventory]:
    disk = Disk(layout)
    for path, data in {"d/top": b"1", "d/s/x": b"2", "d/s/h/y": b"3", "d/s/h/s/z": b"4", "d/s/h/s/h/f": b"5"}.items():
        disk.add(path, File(data))
    inventory = Inventory(layout, maxnodeidnum=2)
    disk.apply(infrastructure(inventory, ("1", "2"), disk.look, "0"), inventory)
    before = disk.seen("1", disk.inventory)
    for level, path in enumerate(("d", "d/s", "d/s/h", "d/s/h/s", "d/s/h/s/h")):
        now = disk.inventory
        change = share(now, path, "", (), disk.look, "0") if level % 2 else make(now, path, "12", disk.look, "0")
        disk.apply(change, now)
    assert disk.seen("1", disk.inventory) == disk.seen("2", disk.inventory) == before
    return disk, disk.inventory


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("/var/log", "var/log"),
        ("//var/./log/", "var/log"),
        ("var/lib/../log", "var/log"),
        ("/../../var", "var"),
        ("/", ""),
        ("/var/lib/..", "var"),
        ("/etc/init.d/foo", "etc/rc.d/init.d/foo"),
        ("/etc/init.d", "etc/init.d"),
        ("/absolute/lib/x", "var/lib/x"),
        ("/etc/up/var/log", "var/log"),
        ("/cdsl.local/var/lib", "var/lib"),
        ("/cluster/cdsl/local/var/log/x", "var/log/x"),
        ("/cluster/shared/var/lib/rpm", "var/lib/rpm"),
        ("/cluster/cdsl/2/var/log", "var/log"),
        ("/cluster/cdsl/2/var/lib/rpm", "var/lib/rpm"),
        ("/var/lib/deep/x/y", "var/lib/deep/x/y"),
        ("/cluster/cdsl/1/var/.cdsl.lib/deep/x", "var/lib/deep/x"),
        ("/var/.cdsl.lib/other", "var/.cdsl.lib/other"),
        ("/cluster/cdsl/1", "cluster/cdsl/1"),
        ("/cluster/shared/nothing", "cluster/shared/nothing"),
        ("/missing/../etc", "etc"),
        ("/var/log/current/x", "var/log/two/x"),
        ("/cluster/cdsl/1/var/log/current/x", "var/log/one/x"),
    ],
)
def test_what_a_user_means_by_a_path(path: str, public: str) -> None:
    disk, inventory = with_links()
    assert resolve(inventory, path, "2", disk.look) == public


def test_a_loop_is_an_error() -> None:
    disk, inventory = with_links()
    with pytest.raises(InvalidArgsError, match="/etc/loop: too many symlinks"):
        resolve(inventory, "etc/loop/x", "1", disk.look)


def test_links_of_cdsls_that_are_gone_do_not_matter() -> None:
    disk, inventory = with_links()
    del disk.files["var"], disk.files["cdsl.local"]
    assert resolve(inventory, "/absolute/lib/x", "1", disk.look) == "var/lib/x"


def with_links() -> tuple[Disk, Inventory]:
    """/var, /var/lib and /var/lib/deep are CDSLs; ordinary symlinks lead here and there; nothing is mounted."""
    disk = Disk()
    disk.add("etc/rc.d/init.d/foo", File())
    disk.add("etc/init.d", Link("rc.d/./init.d"))
    disk.add("etc/up", Link("../../../etc/.."))
    disk.add("etc/loop", Link("loop"))
    disk.add("absolute", Link("/var"))
    for path in ("var/log/x", "var/lib/rpm/x", "var/lib/deep/x/y"):
        disk.add(path, File())
    inventory = Inventory()
    disk.apply(make(inventory, "var", ("1", "2"), disk.look, "0"), inventory)
    disk.apply(share(disk.inventory, "var/lib", "", (), disk.look, "0"), disk.inventory)
    disk.apply(make(disk.inventory, "var/lib/deep", ("1", "2"), disk.look, "0"), disk.inventory)
    disk.add("cluster/cdsl/1/var/log/current", Link("one"))
    disk.add("cluster/cdsl/2/var/log/current", Link("./two"))
    return disk, disk.inventory


def test_data_that_is_a_symlink_is_followed() -> None:
    disk = Disk()
    disk.add("etc/real/x", File())
    disk.add("etc/alias", Link("real"))
    inventory = Inventory()
    disk.apply(make(inventory, "etc/alias", ("1",), disk.look, "0"), inventory)
    assert resolve(disk.inventory, "etc/alias/x", "1", disk.look) == "etc/real/x"


NAME = st.sampled_from(["a", "b", "c.d"])
PLACE = st.lists(NAME, min_size=1, max_size=5).map("/".join)


@given(PLACE, PLACE)
def test_a_link_text_leads_to_its_destination_and_needs_no_root(location: str, destination: str) -> None:
    found = aim(location, link_text(location, destination))
    assert (found.path, found.only_at_root) == (destination, False)


@given(st.sampled_from([GEN3, GEN2, Layout()]), PLACE, PLACE)
def test_links_in_node_trees_lead_to_the_same_place_through_the_mount(layout: Layout, rest: str, data: str) -> None:
    text = link_text(f"{layout.tree}/1/{rest}", f"{layout.shared}/{data}")
    seen_through_it = aim(f"{layout.mount_point}/{rest}", text)
    assert seen_through_it == aim(f"{layout.tree}/1/{rest}", text)
    assert not seen_through_it.only_at_root


@pytest.mark.parametrize(
    ("text", "old", "new", "copied", "expected"),
    [
        ("/abs", "etc/x", "cluster/cdsl/1/etc/x", "etc", None),
        ("y", "etc/x", "cluster/cdsl/1/etc/x", "etc", None),
        ("../etc/y", "etc/x", "cluster/cdsl/1/etc/x", "etc", None),
        ("../usr/y", "etc/x", "cluster/cdsl/1/etc/x", "etc", "../../../../usr/y"),
        ("../../../usr", "etc/x", "cluster/cdsl/1/etc/x", "etc", "../../../../usr"),
        (".", "x", "cluster/cdsl/1/x", "x", "../../../"),
        # a node's own file, seen from the shared copy: by its public path, which is every node's own
        ("../log/m", f"{ONE}/var/lib/x", f"{ALL}/var/lib/x", f"{ONE}/var/lib", "../../../../var/log/m"),
        (
            "../../../../var/log/m",
            f"{ALL}/var/lib/x",
            f"{ONE}/var/lib/x",
            f"{ALL}/var/lib",
            "../../../../../var/log/m",
        ),
        # something in a node's tree that belongs to no CDSL: that of the node which looks
        ("../../etc/y", f"{ONE}/var/log/x", f"{ALL}/var/log/x", f"{ONE}/var/log", "../../../../cdsl.local/etc/y"),
        # the link of a CDSL itself stays what it is
        (f"../../../../{ALL}/var/lib", f"{ONE}/var/lib", "cluster/cdsl/3/var/lib", ONE, None),
    ],
)
def test_symlinks_mean_the_same_after_a_copy(text: str, old: str, new: str, copied: str, expected: str | None) -> None:
    inventory = Inventory(cdsls=(Cdsl("var", HOST, ("1", "2")), Cdsl("var/lib", SHARED, ("1", "2"))))
    assert rebased(inventory, text, old, new, copied) == expected


@pytest.mark.parametrize("src", ["etc/.cdsl.foo", ".cdsl.localx/z", "a.cdsl/b", "x.cdsl.y"])
@pytest.mark.parametrize("layout", [GEN3, GEN2, Layout()])
def test_users_may_have_the_marker_in_names(src: str, layout: Layout) -> None:
    disk = Disk(layout)
    disk.add(src, File(b"x"))
    inventory = Inventory(layout)
    disk.apply(make(inventory, src, ("1",), disk.look, "0"), inventory)
    assert resolve(disk.inventory, src, "1", disk.look) == src
    assert disk.inventory.cdsls[0].src == src
    assert public_of(disk.inventory, f"{layout.tree}/1/{src}") == src
    assert disk.seen("1", disk.inventory)[src] == File(b"x")


@pytest.mark.parametrize(
    ("layout", "rival"),
    [(GEN3, "h/.cdsl.s"), (GEN3, "h/.cdsl.s/h"), (GEN2, "h.cdsl"), (GEN2, "h.cdsl/s/h")],
)
def test_a_real_collision_is_refused_by_name(layout: Layout, rival: str) -> None:
    disk = Disk(layout)
    disk.add("h/s/h/f", File(b"x"))
    disk.add(f"{rival}/g", File(b"y"))
    inventory = Inventory(layout)
    disk.apply(make(inventory, "h", ("1",), disk.look, "0"), inventory)
    disk.apply(share(disk.inventory, "h/s", "", (), disk.look, "0"), disk.inventory)

    def rival_one() -> None:
        now = disk.inventory
        if layout is GEN3:
            disk.apply(share(now, rival, "", (), disk.look, "0"), now)
        else:
            disk.apply(make(now, rival, ("1",), disk.look, "0"), now)

    rival_one()
    before = dict(disk.files)
    with pytest.raises(ConflictError, match=rf"/h/s/h .*/{re.escape(rival)}"):
        make(disk.inventory, "h/s/h", ("1",), disk.look, "0")
    assert disk.files == before


def test_a_part_of_nested_data_is_no_part_of_what_is_around_it() -> None:
    disk, inventory = built(GEN3)
    with pytest.raises(ConflictError, match=r"/d/.cdsl.s/h/y .*/d/s/h has its own"):
        share(inventory, "d/.cdsl.s/h/y", "", (), disk.look, "0")


def test_marked_names_can_become_too_long() -> None:
    disk = Disk()
    disk.add(f"h/{'s' * 252}/h", File())
    inventory = Inventory()
    disk.apply(make(inventory, "h", ("1",), disk.look, "0"), inventory)
    disk.apply(share(disk.inventory, f"h/{'s' * 252}", "", (), disk.look, "0"), disk.inventory)
    with pytest.raises(InvalidArgsError, match="more than 255 bytes"):
        make(disk.inventory, f"h/{'s' * 252}/h", ("1",), disk.look, "0")
