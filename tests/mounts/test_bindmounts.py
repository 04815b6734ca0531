# SPDX-License-Identifier: GPL-3.0-or-later
"""What is bound is read from the table alone; what to do about it is decided without touching anything."""

import pytest

from osrd.model.cdsl import FileKind, Layout, Seen
from osrd.model.mount import Holds, Mount, RootSeen
from osrd.parse.mountinfo import parse_mountinfo
from osrd.plan.bindmounts import Bind, Rebind, Unbind, bound, bound_node, link_place, plan_bind
from osrd.plan.mounttable import MountTable, place_in

LAYOUT = Layout()
ROOT = "/mnt/newroot"
LINK = Seen(FileKind.LINK, "cluster/cdsl/local")
DIRECTORY = Seen(FileKind.DIRECTORY)
EMPTY = Seen(FileKind.DIRECTORY, empty=True)
DISK = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
EXPORT = "30 20 8:1 /srv/fc11 /mnt/newroot rw - ext4 /dev/sda1 rw\n"


def mounts(text: str) -> tuple[Mount, ...]:
    return parse_mountinfo(text.encode())


@pytest.mark.parametrize(
    ("table", "node"),
    [
        (DISK, ""),
        # a directory of the root file system
        (DISK + "31 20 8:1 /mnt/newroot/cluster/cdsl/1 /mnt/newroot/cluster/cdsl/local rw - ext4 /dev/sda1 rw\n", "1"),
        # the link itself is the mount point in older layouts
        (DISK + "31 20 8:1 /mnt/newroot/cluster/cdsl/1 /mnt/newroot/cdsl.local rw - ext4 /dev/sda1 rw\n", "1"),
        # a mount of its own
        (
            DISK + "30 20 8:2 / /mnt/newroot rw - xfs /dev/sdb rw\n"
            "31 30 8:2 /cluster/cdsl/node_2 /mnt/newroot/cdsl.local rw - xfs /dev/sdb rw\n",
            "node_2",
        ),
        # a bind mount
        (DISK + EXPORT + "31 30 8:1 /srv/fc11/cluster/cdsl/1 /mnt/newroot/cdsl.local rw - ext4 /dev/sda1 rw\n", "1"),
        # the same names in another directory, or on another file system, are not this root's
        (DISK + EXPORT + "31 30 8:1 /srv/fc12/cluster/cdsl/1 /mnt/newroot/cdsl.local rw - ext4 /dev/sda1 rw\n", ""),
        (DISK + EXPORT + "31 30 8:2 /srv/fc11/cluster/cdsl/1 /mnt/newroot/cdsl.local rw - ext4 /dev/sdb rw\n", ""),
        # the bind is below a mount that was put over the root later
        (
            DISK + "31 20 8:1 /mnt/newroot/cluster/cdsl/1 /mnt/newroot/cdsl.local rw - ext4 /dev/sda1 rw\n"
            "32 20 0:9 / /mnt/newroot rw - tmpfs tmpfs rw\n",
            "",
        ),
        # of two on the same directory the upper one counts, in whatever order the table has them
        (
            DISK + "33 31 8:1 /mnt/newroot/cluster/cdsl/2 /mnt/newroot/cdsl.local rw - ext4 /dev/sda1 rw\n"
            "31 20 8:1 /mnt/newroot/cluster/cdsl/1 /mnt/newroot/cdsl.local rw - ext4 /dev/sda1 rw\n",
            "2",
        ),
        # a btrfs subvolume, node trees being subvolumes, too
        (
            DISK + "30 20 0:40 /@fc11 /mnt/newroot rw - btrfs /dev/sdb rw,subvol=/@fc11\n"
            "31 30 0:40 /@fc11/cluster/cdsl/1 /mnt/newroot/cdsl.local rw - btrfs /dev/sdb rw,subvol=/@fc11\n",
            "1",
        ),
        # NFS says "/" for every directory; the source tells
        (
            DISK + "30 20 0:50 / /mnt/newroot rw - nfs4 10.0.0.1:/osr/fc11 rw,vers=4.2\n"
            "31 30 0:50 / /mnt/newroot/cdsl.local rw - nfs4 10.0.0.1:/osr/fc11/cluster/cdsl/1 rw,vers=4.2\n",
            "1",
        ),
        # the node trees are on a file system of their own
        (
            DISK + "30 20 8:3 / /mnt/newroot/cluster rw - ext4 /dev/sdc rw\n"
            "31 30 8:3 /cdsl/1 /mnt/newroot/cluster/cdsl/local rw - ext4 /dev/sdc rw\n",
            "1",
        ),
        # deleted, and never a node: the mount point itself
        (DISK + "31 20 8:1 /mnt/newroot/cluster/cdsl/1//deleted /mnt/newroot/cdsl.local rw - ext4 /dev/sda1 rw\n", ""),
        (DISK + "31 20 8:1 /mnt/newroot/cluster/cdsl/local /mnt/newroot/cdsl.local rw - ext4 /dev/sda1 rw\n", ""),
        # a directory deeper in a tree is not a tree
        (DISK + "31 20 8:1 /mnt/newroot/cluster/cdsl/1/var /mnt/newroot/cdsl.local rw - ext4 /dev/sda1 rw\n", ""),
    ],
)
def test_bound_node(table: str, node: str) -> None:
    assert bound_node(mounts(table), ROOT, LAYOUT) == node


def test_in_a_chroot_that_is_only_a_directory() -> None:
    """The mount that holds "/" is not in the table there, nor is where in its file system the chroot is."""
    proc = "40 20 0:3 / /proc rw - proc proc rw\n"
    here = proc + "31 20 8:1 /mnt/newroot/cluster/cdsl/1 /cdsl.local rw - ext4 /dev/sda1 rw\n"
    assert bound_node(mounts(here), "/", LAYOUT) == "1"
    assert bound_node(mounts(proc + "31 20 8:1 /home /cdsl.local rw - ext4 /dev/sda1 rw\n"), "/", LAYOUT) == ""


def test_the_root_of_this_host() -> None:
    table = DISK + "31 20 8:1 /cluster/cdsl/1 /cluster/cdsl/local rw - ext4 /dev/sda1 rw\n"
    assert bound_node(mounts(table), "/", LAYOUT) == "1"


def test_a_table_with_an_initramfs_below() -> None:
    table = MountTable(mounts("1 1 0:2 / / rw - rootfs none rw\n20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"))
    holder = table.holding("/mnt")
    assert holder is not None
    assert holder.id == 20
    assert place_in(holder, "/mnt/a") == "/mnt/a"


@pytest.mark.parametrize(
    ("link", "place"),
    [
        (DIRECTORY, "cdsl.local"),
        (LINK, "cluster/cdsl/local"),
        (Seen(FileKind.LINK, "./cluster//cdsl/local/"), "cluster/cdsl/local"),
        (Seen(FileKind.LINK, "/cluster/cdsl/local"), None),
        (Seen(FileKind.LINK, "cluster/cdsl/1"), None),
        (Seen(FileKind.LINK, "../cluster/cdsl/local"), None),
        (Seen(FileKind.FILE), None),
        (None, None),
    ],
)
def test_where_the_link_wants_its_mount(link: Seen | None, place: str | None) -> None:
    assert link_place(LAYOUT, link) == place


def test_a_link_that_is_not_at_the_top() -> None:
    layout = Layout(tree="a/b/cdsl", link="x/y/here")
    assert link_place(layout, Seen(FileKind.LINK, "../../a/b/cdsl/local")) == "a/b/cdsl/local"


def seen(point: Seen | None = EMPTY, tree: Seen | None = DIRECTORY, link: Seen | None = LINK) -> RootSeen:
    return RootSeen(ROOT, LAYOUT, link, point, tree)


NODE_1 = "31 20 8:1 /mnt/newroot/cluster/cdsl/1 /mnt/newroot/cluster/cdsl/local rw - ext4 /dev/sda1 rw\n"
FOREIGN_OVER_1 = NODE_1 + "32 31 0:9 / /mnt/newroot/cluster/cdsl/local rw - tmpfs x rw\n"
FOREIGN = "31 20 0:9 / /mnt/newroot/cluster/cdsl/local rw - tmpfs x rw\n"
TWO_OVER_FOREIGN = FOREIGN + (
    "32 31 8:1 /mnt/newroot/cluster/cdsl/2 /mnt/newroot/cluster/cdsl/local rw - ext4 /dev/sda1 rw\n"
)
TWO_OVER_ONE = NODE_1 + (
    "32 31 8:1 /mnt/newroot/cluster/cdsl/2 /mnt/newroot/cluster/cdsl/local rw - ext4 /dev/sda1 rw\n"
)


def test_the_action() -> None:
    tree, point = "cluster/cdsl/1", "cluster/cdsl/local"
    bind = plan_bind(mounts(DISK), seen(), "1").action
    assert bind == Bind(ROOT, tree, point, "nothing is bound there")
    assert str(bind) == "bind cluster/cdsl/1 at /mnt/newroot/cluster/cdsl/local (nothing is bound there)"
    assert plan_bind(mounts(DISK + NODE_1), seen(), "1").action is None
    other = plan_bind(mounts(DISK + NODE_1), seen(), "2").action
    assert isinstance(other, Rebind)
    assert (other.mounts, other.reason) == ((31,), "the tree of node 1 is bound there")
    none = plan_bind(mounts(DISK + NODE_1), seen(), "").action
    assert isinstance(none, Unbind)
    assert none.mounts == (31,)
    assert plan_bind(mounts(DISK), seen(), "").action is None
    covered = plan_bind(mounts(DISK + TWO_OVER_ONE), seen(), "1").action
    assert isinstance(covered, Unbind)
    assert covered.mounts == (32,)
    third = plan_bind(mounts(DISK + TWO_OVER_ONE), seen(), "3").action
    assert isinstance(third, Rebind)
    assert third.mounts == (32, 31)


@pytest.mark.parametrize("table", [FOREIGN, FOREIGN_OVER_1, TWO_OVER_FOREIGN])
def test_nothing_is_done_where_something_else_is_mounted(table: str) -> None:
    plan = plan_bind(mounts(DISK + table), seen(), "1")
    assert plan.action is None
    assert [(finding.code, finding.other) for finding in plan.findings] == [("bind-foreign-mount", "tmpfs of x")]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (seen(link=None), "bind-no-link"),
        (seen(link=Seen(FileKind.FILE)), "bind-no-link"),
        (seen(tree=None), "bind-no-tree"),
        (seen(tree=Seen(FileKind.LINK, "/etc")), "bind-no-tree"),
        (seen(point=None), "bind-no-mount-point"),
        (seen(point=Seen(FileKind.LINK, "/etc")), "bind-no-mount-point"),
        (seen(point=DIRECTORY), "bind-not-empty"),
    ],
)
def test_why_not(state: RootSeen, code: str) -> None:
    plan = plan_bind(mounts(DISK), state, "1")
    assert plan.action is None
    assert [finding.code for finding in plan.findings] == [code]
    assert all(finding.fix and ROOT in finding.message for finding in plan.findings)


def test_a_moved_tree_is_stale_and_a_strange_one_is_not() -> None:
    moved = "31 20 8:1 /mnt/newroot/.osrd/backup/x/1 /mnt/newroot/cluster/cdsl/local rw - ext4 /dev/sda1 rw\n"
    assert bound(mounts(DISK + moved), ROOT, LAYOUT).holds is Holds.STALE
    home = "31 20 8:1 /mnt/newroot/home /mnt/newroot/cluster/cdsl/local rw - ext4 /dev/sda1 rw\n"
    assert bound(mounts(DISK + home), ROOT, LAYOUT).holds is Holds.FOREIGN


def test_a_slave_mount_does_not_reach_the_host() -> None:
    table = "20 1 8:1 / / rw shared:9 master:1 - ext4 /dev/sda1 rw\n" + NODE_1
    plan = plan_bind(mounts(table), seen(), "1")
    assert plan.action is None
    assert [finding.code for finding in plan.findings] == ["bind-unseen"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("1 0 0:1 / /x rw - tmpfs tmpfs rw", "tmpfs"),
        ("1 0 0:1 / /x rw - ext4 /dev/sda1 rw", "ext4 of /dev/sda1"),
        ("1 0 0:1 /home /x rw - ext4 /dev/sda1 rw", "directory /home of /dev/sda1 (ext4)"),
        ("1 0 0:1 / /x rw - tmpfs  rw", "tmpfs"),
    ],
)
def test_a_mount_for_people(line: str, text: str) -> None:
    assert str(mounts(line + "\n")[0]) == text
