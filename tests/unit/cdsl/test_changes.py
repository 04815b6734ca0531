# SPDX-License-Identifier: GPL-3.0-or-later
"""Single changes: what is refused, with which words, and what ends up where (spec/cdsl.md 2.7, 2.9, 3.1, 6.1)."""

from dataclasses import replace

import pytest

from osrd.model.cdsl import Cdsl, CdslType, ChildRepository, Inventory, MarkerStyle, Members, Place, Removal, Seen
from osrd.model.errors import ConflictError, InvalidArgsError, NotFoundError, OsrdError, UnsupportedError
from osrd.model.transaction import CopyTree, DropTree, MakeDirectory, MakeLink, Replaces
from osrd.plan.cdsl.infrastructure import infrastructure
from osrd.plan.cdsl.make import make
from osrd.plan.cdsl.nodes import identities
from osrd.plan.cdsl.remove import remove
from osrd.plan.cdsl.share import copies, share
from tests.unit.cdsl.disk import Directory, Disk, File, Link

NODES = ("1", "2")
WHEN = "100.00"


@pytest.fixture
def disk() -> Disk:
    """/var is host-dependent, /var/lib shared, /var/lib/x host-dependent."""
    disk = Disk()
    for path in ("var/log/m", "var/lib/x/y", "var/lib/z", "etc/f"):
        disk.add(path, File(path.encode()))
    disk.add("etc/dangling", Link("nowhere"))
    disk.add("etc/loop", Link("loop"))
    disk.add("etc/alias", Link("f"))
    disk.add("etc/mtab", Link("/proc/mounts"))
    inventory = Inventory(maxnodeidnum=2)
    disk.apply(infrastructure(inventory, NODES, disk.look, "0"), inventory)
    disk.apply(make(disk.inventory, "var", NODES, disk.look, "1.00"), disk.inventory)
    disk.apply(share(disk.inventory, "var/lib", "", (), disk.look, "2.00"), disk.inventory)
    disk.apply(make(disk.inventory, "var/lib/x", NODES, disk.look, "3.00"), disk.inventory)
    return disk


def do_make(disk: Disk, src: str, nodes: tuple[str, ...] = NODES) -> None:
    disk.apply(make(disk.inventory, src, nodes, disk.look, WHEN), disk.inventory)


def do_share(disk: Disk, src: str, winner: str = "", differing: tuple[str, ...] = ()) -> None:
    disk.apply(share(disk.inventory, src, winner, differing, disk.look, WHEN), disk.inventory)


def do_remove(disk: Disk, src: str, removal: Removal = Removal(), differing: tuple[str, ...] = ()) -> None:  # noqa: B008
    disk.apply(remove(disk.inventory, src, removal, "1", differing, disk.look, WHEN, disk.names), disk.inventory)


@pytest.mark.parametrize(
    ("src", "kind", "says"),
    [
        ("", InvalidArgsError, "the root itself"),
        ("a/../b", InvalidArgsError, "component"),
        ("cluster", InvalidArgsError, "/cluster holds /cluster/cdsl"),
        ("cluster/shared", InvalidArgsError, "/cluster/shared is the shared tree"),
        ("cluster/cdsl/1/x", InvalidArgsError, "is inside /cluster/cdsl"),
        ("cdsl.local", InvalidArgsError, "is the link"),
        (".osrd/backup", InvalidArgsError, "osrd's own"),
        ("var", ConflictError, "/var is host-dependent already"),
        ("var/lib", ConflictError, "/var/lib is a shared CDSL"),
        ("var/log", ConflictError, "host-dependent already, as part of /var"),
        ("missing", NotFoundError, "/missing does not exist"),
        ("etc/f/x", NotFoundError, "/etc/f is no directory"),
        ("etc/dangling", NotFoundError, "symlink to nowhere"),
        ("etc/loop", NotFoundError, "symlink to loop"),
        ("mnt/data/x", UnsupportedError, "another file system with CDSLs"),
    ],
)
def test_what_cannot_become_host_dependent(disk: Disk, src: str, kind: type[OsrdError], says: str) -> None:
    inventory = replace(disk.inventory, repositories=(ChildRepository("mnt/data"),))
    with pytest.raises(kind, match=says) as raised:
        make(inventory, src, NODES, disk.look, WHEN)
    assert raised.value.fix


@pytest.mark.parametrize(
    ("src", "kind", "says"),
    [
        ("etc", ConflictError, "shared already: it is not inside"),
        ("var/lib", ConflictError, "/var/lib is shared already"),
        ("var/lib/z", ConflictError, "shared already, as part of /var/lib"),
        ("var", ConflictError, "is a host-dependent CDSL"),
        ("var/missing", NotFoundError, "does not exist on any of 1, 2 and default"),
    ],
)
def test_what_cannot_be_shared(disk: Disk, src: str, kind: type[OsrdError], says: str) -> None:
    with pytest.raises(kind, match=says):
        share(disk.inventory, src, "", (), disk.look, WHEN)


def test_an_ancestor_of_a_cdsl_is_refused(disk: Disk) -> None:
    do_make(disk, "etc/f")
    with pytest.raises(ConflictError, match="below it /etc/f is registered already"):
        make(disk.inventory, "etc", NODES, disk.look, WHEN)


def test_without_nodes_nothing_becomes_host_dependent(disk: Disk) -> None:
    with pytest.raises(NotFoundError, match="no node is known"):
        make(disk.inventory, "etc/f", (), disk.look, WHEN)


@pytest.mark.parametrize("node", ["local", "default", "a/b", "..", ""])
def test_impossible_nodes(disk: Disk, node: str) -> None:
    with pytest.raises(InvalidArgsError, match="no node can be called"):
        make(disk.inventory, "etc/f", ("1", node), disk.look, WHEN)


def test_another_file_system_is_refused(disk: Disk) -> None:
    def look(path: str) -> Seen | None:
        seen = disk.look(path)
        return replace(seen, device=7) if seen and path == "etc/f" else seen

    with pytest.raises(UnsupportedError, match="/etc/f is on another file system"):
        make(disk.inventory, "etc/f", NODES, look, WHEN)


def test_a_leftover_copy_is_refused_by_name(disk: Disk) -> None:
    disk.add("cluster/cdsl/2/etc/f", File(b"left"))
    with pytest.raises(ConflictError, match="/cluster/cdsl/2/etc/f exists already"):
        make(disk.inventory, "etc/f", NODES, disk.look, WHEN)


def test_a_file_on_the_way_is_refused_by_name(disk: Disk) -> None:
    disk.add("cluster/cdsl/2/etc", File(b"left"))
    with pytest.raises(ConflictError, match="/cluster/cdsl/2/etc is in the way"):
        make(disk.inventory, "etc/f", NODES, disk.look, WHEN)


def test_private_parents_stay_private(disk: Disk) -> None:
    disk.add("root", Directory("0700"))
    disk.add("root/deep", Directory("0711"))
    disk.add("root/deep/secret", File(b"s"))
    transaction = make(disk.inventory, "root/deep/secret", NODES, disk.look, WHEN)
    assert transaction.exchanges[0].build == (
        MakeDirectory("", "root"),
        MakeDirectory("deep", "root/deep"),
        CopyTree("root/deep/secret", "deep/secret", "cluster/cdsl/1/root/deep/secret"),
    )
    assert transaction.exchanges[0].at == "cluster/cdsl/1/root"
    assert transaction.exchanges[-1].at == "root/deep/secret"
    assert transaction.exchanges[-1].replaces is Replaces.SOMETHING


def test_symlinks_become_symlinks_of_each_node(disk: Disk) -> None:
    do_make(disk, "etc/alias")
    do_make(disk, "etc/mtab")
    assert disk.files["cluster/cdsl/1/etc/alias"] == Link("../../../../etc/f")
    assert disk.files["cluster/cdsl/default/etc/mtab"] == Link("/proc/mounts")
    assert disk.resolve("etc/alias/.", "2") == "etc/f"


def test_a_missing_tree_is_made_from_the_template_with_what_is_new(disk: Disk) -> None:
    transaction = make(disk.inventory, "etc/f", ("1", "2", "3"), disk.look, WHEN)
    assert transaction.exchanges[0].at == "cluster/cdsl/3"
    assert transaction.exchanges[0].build == (
        CopyTree("cluster/cdsl/default", "", "cluster/cdsl/3"),
        MakeDirectory("etc", "etc"),
        CopyTree("etc/f", "etc/f", "cluster/cdsl/3/etc/f"),
    )


def test_explicit_nodes_hold_below(disk: Disk) -> None:
    disk.add("opt/s/h", File(b"h"))
    do_make(disk, "opt", ("2",))
    do_share(disk, "opt/s")
    do_make(disk, "opt/s/h")
    assert [cdsl.nodes for cdsl in disk.inventory.cdsls[-3:]] == [("2",)] * 3
    assert not any(path.startswith("cluster/cdsl/1/opt") for path in disk.files)


def test_sharing_keeps_what_differs_and_nothing_else(disk: Disk) -> None:
    disk.files["cluster/cdsl/2/var/log/m"] = File(b"two")
    with pytest.raises(ConflictError, match=r"/var/log cannot be shared: what node 2 has there differs.*--from NODE"):
        share(disk.inventory, "var/log", "", ("2",), disk.look, WHEN)
    transaction = share(disk.inventory, "var/log", "1", ("2",), disk.look, WHEN)
    assert transaction.backups == (".osrd/backup/var-log-100.00",)
    disk.apply(transaction, disk.inventory)
    assert disk.files[".osrd/backup/var-log-100.00/2/m"] == File(b"two")
    assert not any(path.startswith(".osrd/backup/var-log-100.00/1") for path in disk.files)
    assert disk.seen("2", disk.inventory)["var/log/m"] == File(b"var/log/m")


def test_a_backup_never_gets_the_name_of_another(disk: Disk) -> None:
    disk.add(".osrd/backup/var-log-100.00/2", File())
    transaction = share(disk.inventory, "var/log", "1", ("2",), disk.look, WHEN)
    assert transaction.backups == (".osrd/backup/var-log-100.00-2",)


def test_only_losers_are_kept(disk: Disk) -> None:
    for path in list(disk.below("cluster/cdsl/2/var/log")):
        del disk.files[path]
    assert share(disk.inventory, "var/log", "1", ("1", "2"), disk.look, WHEN).backups == ()


def test_sharing_where_a_tree_is_missing(disk: Disk) -> None:
    for path in list(disk.below("cluster/cdsl/2")):
        del disk.files[path]
    transaction = share(disk.inventory, "var/log", "", (), disk.look, WHEN)
    tree = next(exchange for exchange in transaction.exchanges if exchange.at == "cluster/cdsl/2")
    text = "../../../../cluster/shared/var/log"
    assert tree.build == (
        CopyTree("cluster/cdsl/default", "", "cluster/cdsl/2"),
        DropTree("var/log"),
        MakeLink("var/log", text),
    )
    disk.apply(transaction, disk.inventory)
    do_remove(disk, "var/log")
    assert disk.seen("2", disk.inventory) == disk.seen("1", disk.inventory)


def test_nodes_that_lack_a_path_get_the_link_too(disk: Disk) -> None:
    disk.add("cluster/cdsl/2/var/only/here", File(b"two"))
    disk.files["cluster/cdsl/2/var/only"] = Directory("0750")
    do_share(disk, "var/only/here")
    assert disk.seen("1", disk.inventory)["var/only/here"] == File(b"two")
    assert disk.files["cluster/cdsl/1/var/only"] == Directory("0750")
    with pytest.raises(NotFoundError, match="3 is no node of /var/log; 1, 2 and default have it"):
        share(disk.inventory, "var/log", "3", (), disk.look, WHEN)


def test_what_is_compared(disk: Disk) -> None:
    assert copies(disk.inventory, "var/log") == {
        node: f"cluster/cdsl/{node}/var/log" for node in ("1", "2", "default")
    }
    assert copies(disk.inventory, "var/lib/x")["2"] == "cluster/cdsl/2/var/.cdsl.lib/x"
    assert copies(disk.inventory, "var/lib") == {}
    assert copies(disk.inventory, "etc/f") == {}


def test_removing_refuses_children_strangers_and_differences(disk: Disk) -> None:
    with pytest.raises(ConflictError, match=r"below it /var/lib and /var/lib/x are CDSLs, too; .*--recursive /var"):
        do_remove(disk, "var")
    with pytest.raises(NotFoundError, match=r"/var/log is not a registered CDSL, but part of /var"):
        do_remove(disk, "var/log")
    with pytest.raises(ConflictError, match=r"/var/lib/x cannot be removed: what node 2 has there differs"):
        do_remove(disk, "var/lib/x", differing=("2",))
    del disk.files["cluster/shared/var/lib/x"]
    disk.add("cluster/shared/var/lib/x", File(b"mine"))
    with pytest.raises(ConflictError, match="is not the link of the CDSL /var/lib/x"):
        do_remove(disk, "var/lib/x")


@pytest.mark.parametrize(
    ("place", "kept"),
    [(Place.BACKUP, ".osrd/backup/var-lib-x-100.00/2"), (Place.BESIDE, "cluster/shared/var/lib/x.2")],
)
def test_losing_copies_are_kept(disk: Disk, place: Place, kept: str) -> None:
    disk.files["cluster/cdsl/2/var/.cdsl.lib/x/y"] = File(b"two")
    do_remove(disk, "var/lib/x", Removal("1", others=place), ("2",))
    assert disk.files[f"{kept}/y"] == File(b"two")
    assert disk.files["cluster/shared/var/lib/x/y"] == File(b"var/lib/x/y")
    assert not any(".cdsl." in path for path in disk.files if "backup" not in path and path != ".cdsl_inventory.xml")


def test_what_is_not_registered_stays(disk: Disk) -> None:
    """Bugs 1 and 2: a removal took everything beside it along."""
    do_make(disk, "etc/f")
    disk.add("cluster/cdsl/2/etc/mine", File(b"mine"))
    disk.add("cluster/cdsl/1/var/.cdsl.lib/mine", File(b"mine"))
    do_remove(disk, "etc/f")
    do_remove(disk, "var/lib/x")
    assert disk.files["cluster/cdsl/2/etc/mine"] == File(b"mine")
    assert disk.files["cluster/cdsl/1/var/.cdsl.lib/mine"] == File(b"mine")
    assert "cluster/cdsl/1/etc" not in disk.files
    assert "cluster/cdsl/2/var/.cdsl.lib" not in disk.files


def test_without_a_listing_empty_directories_stay(disk: Disk) -> None:
    inventory = disk.inventory
    disk.apply(remove(inventory, "var/lib/x", Removal(), "", (), disk.look, WHEN), inventory)
    assert disk.files["cluster/cdsl/2/var/.cdsl.lib"] == Directory()
    assert "cluster/cdsl/2/var/.cdsl.lib/x" not in disk.files


def test_recursion_in_the_old_marker_style_keeps_what_nobody_compared() -> None:
    disk = Disk(replace(Disk().layout, style=MarkerStyle.SUFFIX))
    disk.add("h/s/h", File(b"h"))
    inventory = Inventory(disk.layout)
    disk.apply(make(inventory, "h", NODES, disk.look, "0"), inventory)
    do_share(disk, "h/s")
    do_make(disk, "h/s/h")
    disk.files["cluster/cdsl/2/h.cdsl/s/h"] = File(b"two")
    do_remove(disk, "h", Removal(recursive=True))
    assert disk.files["h/s/h"] == File(b"h")
    assert disk.files[".osrd/backup/h-s-h-100.00/2"] == File(b"two")


def test_discarding_takes_the_path_away(disk: Disk) -> None:
    do_remove(disk, "var", Removal(recursive=True, discard=True))
    assert not any("var" in path.split("/") for path in disk.files)
    assert disk.inventory.cdsls == ()


def test_data_that_is_lost_is_not_given_back(disk: Disk) -> None:
    for path in list(disk.below("cluster/shared/var/lib")):
        del disk.files[path]
    with pytest.raises(NotFoundError, match=r"the shared data of /var/lib is missing.*--discard"):
        do_remove(disk, "var/lib", Removal(recursive=True))


def test_links_say_what_they_were_and_will_be(disk: Disk) -> None:
    transaction = make(disk.inventory, "etc/alias", NODES, disk.look, WHEN)
    last = transaction.exchanges[-1]
    assert (last.old_link, last.new_link) == ("f", "../cdsl.local/etc/alias")
    assert last.build == (MakeLink("", "../cdsl.local/etc/alias"),)


MEMBERS = Members(("1", "5"), ("a", "b"))


@pytest.mark.parametrize(
    ("inventory", "explicit", "nodes"),
    [
        (Inventory(), (), ("1", "5")),
        (Inventory(maxnodeidnum=3), (), ("1", "2", "3")),
        (Inventory(maxnodeidnum=2, use_nodeids=False), (), ("1", "2")),
        (Inventory(use_nodeids=False), (), ("a", "b")),
        (Inventory(), ("5", "5"), ("5",)),
        (Inventory(cdsls=(Cdsl("x", CdslType.HOSTDEPENDENT, ("9",)),)), ("9",), ("9",)),
    ],
)
def test_identities(inventory: Inventory, explicit: tuple[str, ...], nodes: tuple[str, ...]) -> None:
    assert identities(inventory, MEMBERS, explicit) == nodes


def test_identities_with_a_prefix() -> None:
    layout = replace(Inventory().layout, prefix="node_")
    inventory = Inventory(layout)
    assert identities(inventory, MEMBERS) == ("node_1", "node_5")
    assert identities(inventory, MEMBERS, ("5", "node_1")) == ("node_5", "node_1")
    with pytest.raises(InvalidArgsError, match="needs node ids"):
        identities(replace(inventory, use_nodeids=False), MEMBERS)


def test_a_typo_is_no_node() -> None:
    with pytest.raises(NotFoundError, match="no node is called 6; known are 1 and 5"):
        identities(Inventory(), MEMBERS, ("6",))
    with pytest.raises(NotFoundError, match="known are none"):
        identities(Inventory(), Members(), ("1",))
    assert identities(Inventory(), Members()) == ()
