# SPDX-License-Identifier: GPL-3.0-or-later
"""The bind mount of a shared root is made, kept, changed and taken away, for real, and nothing else ever is."""

import os
import subprocess
from pathlib import Path

import pytest

from osrd.apply.mounts import bind, keep, release
from osrd.apply.syscalls import AT_FDCWD, CLONE_NEWNS, MS_SLAVE, mount_setattr, unshare
from osrd.model.cdsl import Layout
from osrd.model.errors import BusyError, ConflictError, NotFoundError
from osrd.observe.inside import Inside
from osrd.observe.mounts import node_at_link, read_mounts
from osrd.plan.bindmounts import Bind, Rebind, Unbind, bound_node
from tests.mounts.namespace import private_mounts
from tests.mounts.roots import LAYOUT, OLD, make_root, run, table, who

pytestmark = pytest.mark.root
MS_SHARED = 1 << 20


def codes(root: Path, node: str = "1", layout: Layout = LAYOUT) -> list[str]:
    plan = keep(str(root), layout, node)
    assert plan.action is None
    return [finding.code for finding in plan.findings]


@pytest.mark.parametrize(("layout", "old"), [(LAYOUT, False), (LAYOUT, True), (OLD, True), (OLD, False)])
def test_bound_kept_changed_and_taken_away(tmp_path: Path, layout: Layout, old: bool) -> None:
    @private_mounts
    def body() -> None:
        root = make_root(tmp_path / "a b\\c\udcff", layout, old=old)
        before = table()
        assert isinstance(keep(str(root), layout, "1").action, Bind)
        assert who(root, layout) == "1"
        assert node_at_link(str(root), layout) == "1"
        bound = table()
        assert keep(str(root), layout, "1").action is None
        assert table() == bound  # law 1: nothing to do, nothing done
        assert isinstance(keep(str(root), layout, "2").action, Rebind)
        assert who(root, layout) == "2"
        assert isinstance(keep(str(root), layout, "").action, Unbind)
        assert who(root, layout) == ""
        assert table() == before

    body()


@private_mounts
def test_a_vanished_mount_is_made_again(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    keep(str(root), LAYOUT, "1")
    run("umount", root / LAYOUT.mount_point)
    assert who(root) == ""
    keep(str(root), LAYOUT, "1")
    assert who(root) == "1"


@private_mounts
def test_what_the_administrator_bound_is_taken_over(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", old=True)
    run("mount", "--bind", root / "cluster/cdsl/1", root / "cdsl.local")
    assert keep(str(root), LAYOUT, "1").action is None
    assert len(release(str(root), LAYOUT)) == 1
    assert who(root) == ""


@private_mounts
def test_the_root_may_be_reached_through_a_symlink_and_be_anything(tmp_path: Path) -> None:
    """A mount, a bind mount, a directory of one, under another mount: the same answer."""
    (tmp_path / "disk").mkdir()
    run("mount", "-t", "tmpfs", "disk", tmp_path / "disk")
    inner = make_root(tmp_path / "disk/roots/fc11")
    (tmp_path / "bind").mkdir()
    run("mount", "--bind", inner, tmp_path / "bind")
    (tmp_path / "over").mkdir()
    run("mount", "-t", "tmpfs", "first", tmp_path / "over")
    run("mount", "--bind", inner.parent, tmp_path / "over")
    (tmp_path / "name").symlink_to("bind")
    for root in (inner, tmp_path / "bind", tmp_path / "over/fc11", tmp_path / "name"):
        assert node_at_link(str(root), LAYOUT) == ""
        keep(str(root), LAYOUT, "2")
        assert who(root) == "2"
        assert node_at_link(str(root), LAYOUT) == "2"
        assert len(release(str(root), LAYOUT)) == 1
    # A mount over the whole root hides the bind below it.
    keep(str(inner), LAYOUT, "1")
    run("mount", "-t", "tmpfs", "cover", inner.parent)
    (inner).mkdir()
    assert node_at_link(str(inner), LAYOUT) == ""


@private_mounts
def test_a_full_mount_point_is_refused(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    (root / LAYOUT.mount_point / "file").write_text("x")
    before = table()
    assert codes(root) == ["bind-not-empty"]
    with Inside.open(str(root)) as inside, pytest.raises(ConflictError, match="not empty"):
        bind(inside, LAYOUT, LAYOUT.node_tree("1"), LAYOUT.mount_point)
    assert table() == before


@private_mounts
def test_what_is_missing_is_named(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    assert codes(root, "3") == ["bind-no-tree"]
    (root / LAYOUT.mount_point).rmdir()
    assert codes(root) == ["bind-no-mount-point"]
    (root / LAYOUT.mount_point).write_text("")
    assert codes(root) == ["bind-no-mount-point"]
    (root / LAYOUT.link).unlink()
    assert codes(root) == ["bind-no-link"]
    (root / LAYOUT.link).symlink_to("cluster/cdsl/1")
    assert codes(root) == ["bind-no-link"]
    (root / LAYOUT.link).unlink()
    (root / LAYOUT.link).write_text("")
    assert codes(root) == ["bind-no-link"]
    with pytest.raises(NotFoundError):
        keep(str(root / "nowhere"), LAYOUT, "1")
    assert release(str(root / "nowhere"), LAYOUT) == ()


@private_mounts
def test_something_else_there_is_left_alone(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    run("mount", "-t", "tmpfs", "somebody", root / LAYOUT.mount_point)
    before = table()
    plan = keep(str(root), LAYOUT, "1")
    assert plan.action is None
    assert [(each.code, each.other) for each in plan.findings] == [("bind-foreign-mount", "tmpfs of somebody")]
    assert keep(str(root), LAYOUT, "").action is None
    assert release(str(root), LAYOUT) == ()
    assert table() == before


@private_mounts
def test_ours_below_something_else_is_told_at_removal(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    keep(str(root), LAYOUT, "1")
    run("mount", "-t", "tmpfs", "somebody", root / LAYOUT.mount_point)
    with pytest.raises(ConflictError, match="somebody"):
        release(str(root), LAYOUT)


@private_mounts
def test_binds_on_binds_are_all_released(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    before = table()
    for node in ("1", "2", "1"):
        run("mount", "--bind", root / LAYOUT.node_tree(node), root / LAYOUT.mount_point)
    assert len(release(str(root), LAYOUT)) == 3
    assert table() == before


@private_mounts
def test_another_one_over_the_right_one_goes(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    keep(str(root), LAYOUT, "1")
    first = table()
    run("mount", "--bind", root / LAYOUT.node_tree("2"), root / LAYOUT.mount_point)
    assert isinstance(keep(str(root), LAYOUT, "1").action, Unbind)
    assert table() == first


@pytest.mark.parametrize("how", ["deleted", "archived"])
def test_a_tree_that_went_from_under_its_mount(tmp_path: Path, how: str) -> None:
    @private_mounts
    def body() -> None:
        root = make_root(tmp_path / "root")
        keep(str(root), LAYOUT, "1")
        tree = root / LAYOUT.node_tree("1")
        if how == "deleted":
            (tree / "who").unlink()
            tree.rmdir()
        else:
            (root / ".osrd/backup").mkdir(parents=True)
            tree.rename(root / ".osrd/backup/1")
        assert node_at_link(str(root), LAYOUT) == ""
        assert isinstance(keep(str(root), LAYOUT, "2").action, Rebind)
        assert who(root) == "2"

    body()


@private_mounts
def test_a_mount_in_use_says_by_whom_and_lazy_detaches(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    keep(str(root), LAYOUT, "1")
    user = subprocess.Popen(["sleep", "60"], cwd=root / LAYOUT.mount_point)
    try:
        with pytest.raises(BusyError, match=rf"sleep \(process {user.pid}, "):
            release(str(root), LAYOUT)
        with pytest.raises(BusyError):
            keep(str(root), LAYOUT, "2")
        assert who(root) == "1"
        keep(str(root), LAYOUT, "2", lazy=True)
        assert who(root) == "2"
    finally:
        user.kill()
        user.wait()


@private_mounts
def test_a_mount_with_a_mount_in_it_is_busy(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    (root / "cluster/cdsl/1/sub").mkdir()
    keep(str(root), LAYOUT, "1")
    run("mount", "-t", "tmpfs", "tmpfs", root / LAYOUT.mount_point / "sub")
    with pytest.raises(BusyError, match="/local/sub is mounted in it"):
        release(str(root), LAYOUT)


@private_mounts
def test_other_namespaces_see_it_where_mounts_are_shared(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    run("mount", "-t", "tmpfs", "disk", tmp_path / "disk")
    root = make_root(tmp_path / "disk/root")
    mount_setattr(AT_FDCWD, str(tmp_path / "disk"), propagation=MS_SHARED)
    # The other namespace stands for the host's: it exists before osrd mounts.
    other = subprocess.Popen(
        ["unshare", "-m", "--propagation", "unchanged", "sh", "-c", "echo; read _; cat $0/who", root / LAYOUT.link],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "\n"
    plan = keep(str(root), LAYOUT, "1")
    assert [finding.code for finding in plan.findings] == []  # a shared mount reaches the host
    assert other.communicate("go\n")[0] == "1"


@private_mounts
def test_a_namespace_of_osrds_own_is_told(tmp_path: Path) -> None:
    """As systemd makes one for PrivateTmp= and the like: the host's mounts come in, osrd's do not get out."""
    (tmp_path / "disk").mkdir()
    run("mount", "-t", "tmpfs", "disk", tmp_path / "disk")
    root = make_root(tmp_path / "disk/root")
    mount_setattr(AT_FDCWD, str(tmp_path / "disk"), propagation=MS_SHARED)
    hosts = os.open("/proc/self/ns/mnt", os.O_RDONLY)  # the host's namespace goes on living
    unshare(CLONE_NEWNS)
    mount_setattr(AT_FDCWD, "/", propagation=MS_SLAVE, recursive=True)
    mount_setattr(AT_FDCWD, "/", propagation=MS_SHARED, recursive=True)
    assert [finding.code for finding in keep(str(root), LAYOUT, "1").findings] == ["bind-unseen"]
    os.close(hosts)


@private_mounts
def test_inside_a_chroot_the_hidden_mount_does_not_matter(tmp_path: Path) -> None:
    """The seed's way: bind by hand, then chroot; the mount that holds the root is not in the table then."""
    root = make_root(tmp_path / "root")
    (root / "proc").mkdir()
    run("mount", "-t", "proc", "proc", root / "proc")
    run("mount", "--bind", root / "cluster/cdsl/2", root / LAYOUT.mount_point)
    os.chroot(root)
    os.chdir("/")
    assert bound_node(read_mounts(), "/", LAYOUT) == "2"


@pytest.mark.needs("mkfs.btrfs", "btrfs")
@private_mounts
def test_btrfs_subvolumes(tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    with open(tmp_path / "image", "wb") as image:
        image.truncate(200 << 20)
    run("mkfs.btrfs", "-q", tmp_path / "image")
    run("mount", "-o", "loop", tmp_path / "image", tmp_path / "mnt")
    run("btrfs", "-q", "subvolume", "create", tmp_path / "mnt/@root")
    run("umount", tmp_path / "mnt")
    run("mount", "-o", "loop,subvol=@root", tmp_path / "image", tmp_path / "mnt")
    root = tmp_path / "mnt/fc11"
    (root / "cluster/cdsl").mkdir(parents=True)
    run("btrfs", "-q", "subvolume", "create", root / "cluster/cdsl/1")
    (root / "cluster/cdsl/1/who").write_text("1")
    (root / LAYOUT.mount_point).mkdir()
    (root / LAYOUT.link).symlink_to(LAYOUT.mount_point)
    keep(str(root), LAYOUT, "1")
    assert who(root) == "1"
    assert node_at_link(str(root), LAYOUT) == "1"
    release(str(root), LAYOUT)
    run("umount", tmp_path / "mnt")
