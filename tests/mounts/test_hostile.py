# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's root plays with the names while osrd binds: nothing is ever mounted from or to outside the root."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from osrd.apply.mounts import keep, release
from osrd.apply.syscalls import AT_FDCWD, RENAME_EXCHANGE, renameat2
from osrd.model.errors import ConflictError, OsrdError
from osrd.observe.mounts import read_mounts
from tests.mounts.namespace import private_mounts
from tests.mounts.roots import LAYOUT, OLD, make_root, run, table

pytestmark = pytest.mark.root


@contextlib.contextmanager
def swapping(one: Path, other: Path) -> Iterator[list[int]]:
    """Another thread exchanges the two names as fast as it can; the list counts how often."""
    stop = threading.Event()
    swaps = [0]

    def swap() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):  # EBUSY while one of them is mounted on
                renameat2(AT_FDCWD, str(one), AT_FDCWD, str(other), RENAME_EXCHANGE)
                swaps[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield swaps
    finally:
        stop.set()
        thread.join()


def outside(root: Path) -> list[str]:
    """Mounts that osrd could have made and that are not of the root's own directories."""
    before = {"/", "/proc", "/sys", "/dev"}
    return [
        f"{mount.root} on {mount.point}"
        for mount in read_mounts()
        if str(root.parent) in mount.point + mount.root
        and (not mount.point.startswith(f"{root}/") or not mount.root.startswith(f"{root}/"))
        and mount.point not in before
    ]


@pytest.mark.parametrize("victim", ["point", "tree", "trees", "link"])
def test_swapped_names_lead_nowhere(tmp_path: Path, victim: str) -> None:
    @private_mounts
    def body() -> None:
        old = victim == "link"
        layout = OLD if old else LAYOUT
        root = make_root(tmp_path / "root", layout, old=old)
        secret = make_root(tmp_path / "outside", layout, old=old)
        attacked = {
            "point": layout.mount_point,
            "tree": layout.node_tree("1"),
            "trees": layout.tree,
            "link": layout.link,
        }[victim]
        decoy = root / "decoy"
        decoy.symlink_to(secret / attacked)
        outcomes = {"bound": 0, "refused": 0}
        with swapping(root / attacked, decoy) as swaps:
            for _round in range(4000):
                if min(outcomes.values()) >= 15 and swaps[0] > 200:
                    break
                try:
                    plan = keep(str(root), layout, "1", lazy=True)
                    outcomes["bound" if plan.action else "refused"] += 1
                except OsrdError:
                    outcomes["refused"] += 1
                assert outside(root) == []
                with contextlib.suppress(OsrdError):
                    release(str(root), layout, lazy=True)
        assert min(outcomes.values()) > 0, outcomes
        assert sorted(os.listdir(secret / layout.tree)) == sorted(["1", "2", "default", *([] if old else ["local"])])

    body()


@private_mounts
def test_symlinks_in_every_place_are_refused(tmp_path: Path) -> None:
    victim = make_root(tmp_path / "victim")
    before = table()
    for name in ("cluster", "cluster/cdsl"):
        root = make_root(tmp_path / f"root-{name.replace('/', '-')}")
        (root / name).rename(root / "elsewhere")
        (root / name).symlink_to(victim / name)
        with pytest.raises(ConflictError, match="symlink"):
            keep(str(root), LAYOUT, "1")
    root = make_root(tmp_path / "root-tree")
    (root / LAYOUT.node_tree("1")).rename(root / "elsewhere")
    (root / LAYOUT.node_tree("1")).symlink_to(victim)
    assert [finding.code for finding in keep(str(root), LAYOUT, "1").findings] == ["bind-no-tree"]
    root = make_root(tmp_path / "root-point")
    (root / LAYOUT.mount_point).rmdir()
    (root / LAYOUT.mount_point).symlink_to(victim / "cluster/cdsl/local")
    assert [finding.code for finding in keep(str(root), LAYOUT, "1").findings] == ["bind-no-mount-point"]
    root = make_root(tmp_path / "root-link")
    (root / LAYOUT.link).unlink()
    (root / LAYOUT.link).symlink_to(victim / "cluster/cdsl/local")
    assert [finding.code for finding in keep(str(root), LAYOUT, "1").findings] == ["bind-no-link"]
    (root / LAYOUT.link).unlink()
    (root / LAYOUT.link).symlink_to("../victim/cluster/cdsl/local")
    assert [finding.code for finding in keep(str(root), LAYOUT, "1").findings] == ["bind-no-link"]
    assert table() == before


@private_mounts
def test_a_mount_on_a_node_tree_is_not_bound(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    run("mount", "-t", "tmpfs", "tmpfs", root / LAYOUT.node_tree("1"))
    before = table()
    with pytest.raises(ConflictError, match="mounted in the way"):
        keep(str(root), LAYOUT, "1")
    assert table() == before
