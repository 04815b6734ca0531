# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring and comparing trees: right, deep, and in memory that does not grow with the files."""

import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from osrd.apply import syscalls
from osrd.model.errors import ConflictError, NotFoundError
from osrd.observe.copies import differing, measure
from osrd.observe.inside import Inside
from tests.apply.faults import in_child
from tests.apply.world import quick_directory
from tests.conftest import refuse
from tests.eventually import eventually


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root with a copy of the same for node 1 and 2."""
    one = tmp_path / "1"
    (one / "d/e").mkdir(parents=True)
    (one / "d/file").write_text("content")
    (one / "d/other").write_text("x" * 10_000)
    (one / "d/link").symlink_to("file")
    (one / "-odd\n\udcff").write_text("")
    os.setxattr(one / "d/file", "user.osrd", b"1")
    shutil.copytree(one, tmp_path / "2", symlinks=True)
    return tmp_path


def signature(root: Path, path: str = "1") -> str:
    with Inside.open(str(root)) as inside:
        return measure(inside, path).signature


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda copy: (copy / "d/file").write_text("Content"),
    "size": lambda copy: (copy / "d/file").write_text("longer content"),
    "mode": lambda copy: (copy / "d/file").chmod(0o600),
    "mode of directory": lambda copy: (copy / "d/e").chmod(0o700),
    "mode of top": lambda copy: copy.chmod(0o700),
    "more": lambda copy: (copy / "d/e/new").write_text(""),
    "fewer": lambda copy: (copy / "-odd\n\udcff").unlink(),
    "link": lambda copy: ((copy / "d/link").unlink(), (copy / "d/link").symlink_to("elif")),
    "kind": lambda copy: ((copy / "d/link").unlink(), (copy / "d/link").write_text("file")),
    "attribute": lambda copy: os.setxattr(copy / "d/file", "user.osrd", b"2"),
    "gone": shutil.rmtree,
    "owner": lambda copy: os.chown(copy / "d/file", 7, -1),
    "device": lambda copy: os.mknod(copy / "d/null", 0o20666, os.makedev(1, 3)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_difference_is_seen(tree: Path, change: str) -> None:
    if change in ("owner", "device") and os.geteuid() != 0:
        refuse("needs to be root")
    copies = {"1": "1", "2": "2", "default": "1"}
    with Inside.open(str(tree)) as inside:
        assert differing(inside, copies, "1") == ()
        CHANGES[change](tree / "2")
        assert differing(inside, copies, "1") == ("2",)
        if change == "gone":
            with pytest.raises(NotFoundError, match="'2' has no copy"):
                differing(inside, copies, "2")
        else:
            assert differing(inside, copies, "2") == ("1", "default")
        with pytest.raises(NotFoundError, match="'9' has no copy"):
            differing(inside, copies, "9")


def test_times_alone_are_no_difference_and_equal_times_are_not_read(tree: Path) -> None:
    with Inside.open(str(tree)) as inside:
        for path in (tree / "2").rglob("*"):
            os.utime(path, (1, 1), follow_symlinks=False)
        assert differing(inside, {"1": "1", "2": "2"}, "1") == ()
        (tree / "2/d/file").write_text("Content")
        assert differing(inside, {"1": "1", "2": "2"}, "1") == ("2",)
        for node in "12":
            os.utime(tree / node / "d/file", (1, 1))
        assert differing(inside, {"1": "1", "2": "2"}, "1") == ()


def test_single_files_and_links_are_copies_too(tree: Path) -> None:
    with Inside.open(str(tree)) as inside:
        assert differing(inside, {"1": "1/d/file", "2": "2/d/file"}, "1") == ()
        assert differing(inside, {"1": "1/d/link", "2": "2/d/link"}, "1") == ()
        assert differing(inside, {"1": "1/d/link", "2": "2/d/file"}, "1") == ("2",)


@pytest.mark.parametrize("change", [change for change in CHANGES if change != "gone"])
def test_every_change_changes_the_signature(tree: Path, change: str) -> None:
    before = signature(tree)
    assert signature(tree) == before
    if change in ("owner", "device") and os.geteuid() != 0:
        refuse("needs to be root")
    CHANGES[change](tree / "1")
    assert signature(tree) != before


def test_a_move_within_the_tree_changes_the_signature(tree: Path) -> None:
    before = signature(tree)
    (tree / "1/d/e").rename(tree / "1/e")
    assert signature(tree) != before


def test_what_is_measured(tree: Path) -> None:
    top = tree / "3"
    top.mkdir()
    with open(top / "sparse", "wb") as file:
        file.truncate(1 << 30)
    (top / "data").write_bytes(bytes(1 << 20))
    os.link(top / "data", top / "again")
    with Inside.open(str(tree)) as inside:
        found = measure(inside, "3")
        assert 1 << 20 <= found.bytes < 3 << 20
        assert found.inodes == 3
        assert measure(inside, "3/data").bytes >= 1 << 20
        with pytest.raises(NotFoundError, match="/4"):
            measure(inside, "4")


def test_links_that_leave(tree: Path) -> None:
    top = tree / "3"
    (top / "a/b").mkdir(parents=True)
    for place, text in {
        "stays": "a/b",
        "a/stays": "../a/b/../..",
        "a/b/stays": "../..",
        "absolute": "/etc",
        "leaves": "..",
        "a/leaves": "../../x",
        "a/b/leaves": "b/c/../../../../../3",
    }.items():
        (top / place).symlink_to(text)
    with Inside.open(str(tree)) as inside:
        assert sorted(measure(inside, "3").leaving) == ["a/b/leaves", "a/leaves", "leaves"]
        assert measure(inside, "3/stays").leaving == ("",)
        assert measure(inside, "3/absolute").leaving == ()


def test_the_newest_change_is_named(tree: Path) -> None:
    with Inside.open(str(tree)) as inside:

        def named() -> bool:
            (tree / "1/d/e").chmod(0o711)  # again, since a file system's clock may stand still for some milliseconds
            return measure(inside, "1").newest == "d/e"

        eventually(named, "the change is named")


def test_deep_trees(tmp_path: Path) -> None:
    """Deeper than Python recurses, than a path is long, than files may be open."""
    depth = 3000
    for copy in ("1", "2"):
        (tmp_path / copy).mkdir()
        fd = os.open(tmp_path / copy, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("directory", dir_fd=fd)
            below = os.open("directory", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        os.close(fd)
    assert depth > sys.getrecursionlimit()
    try:
        with Inside.open(str(tmp_path)) as inside:
            assert measure(inside, "1").inodes == depth + 1
            assert differing(inside, {"1": "1", "2": "2"}, "1") == ()
    finally:
        for copy in ("1", "2"):  # pytest's own clean-up recurses
            subprocess.run(["rm", "-rf", str(tmp_path / copy)], check=True)


def test_twenty_thousand_files_quickly_and_memory_is_flat() -> None:
    with quick_directory() as directory:
        peaks = []
        for name, count in (("few", 2000), ("many", 20_000)):
            for number in range(count):
                if number % 200 == 0:
                    parent = Path(directory, name, str(number))
                    parent.mkdir(parents=True)
                (parent / str(number)).touch()
        with Inside.open(directory) as inside:
            seconds = []
            for _ in range(3):
                started = time.thread_time()
                assert measure(inside, "many").inodes == 20_101
                seconds.append(time.thread_time() - started)
            for name in ("few", "many"):
                tracemalloc.start()
                measure(inside, name)
                assert differing(inside, {"1": name, "2": name}, "1") == ()
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
        assert min(seconds) < 1
        assert peaks[1] < peaks[0] + 100_000


@pytest.mark.root
def test_mounts_below_are_refused_by_name(tree: Path) -> None:
    def action() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount_setattr(syscalls.AT_FDCWD, "/", propagation=syscalls.MS_PRIVATE, recursive=True)
        syscalls.move_mount(
            syscalls.open_tree(syscalls.AT_FDCWD, str(tree / "2")), syscalls.AT_FDCWD, str(tree / "1/d/e")
        )
        with Inside.open(str(tree)) as inside:
            with pytest.raises(ConflictError, match=r"1/d/e is a mount point.*unmount it first"):
                measure(inside, "1")
            memory = syscalls.new_mount("tmpfs")
            syscalls.move_mount(memory, syscalls.AT_FDCWD, str(tree / "2/d/e"))
            with pytest.raises(ConflictError, match="2/d/e is a mount point"):
                measure(inside, "2")

    assert in_child(action) == 0
