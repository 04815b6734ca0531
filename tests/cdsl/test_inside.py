# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that a node plants in its root leads out of it, blocks, or is taken for what it is not."""

import ctypes
import errno
import os
from pathlib import Path

import pytest

from osrd.apply import syscalls
from osrd.model.cdsl import FileKind, Seen
from osrd.model.errors import ConflictError, NotFoundError, UnsupportedError
from osrd.observe import inside as module
from osrd.observe.inside import Inside
from tests.apply.faults import in_child


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root beside a victim, with the ways out that nodes try."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/secret").write_text("secret")
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/file").write_text("content")
    (root / "out").symlink_to("../victim")
    (root / "absolute").symlink_to(tmp_path / "victim")
    (root / "proc").symlink_to("/proc/self/root")
    (root / "within").symlink_to("a")
    os.mkfifo(root / "fifo")
    return root


def test_what_is_seen(root: Path) -> None:
    device = root.stat().st_dev
    with Inside.open(str(root)) as inside:
        assert inside.look("") == Seen(FileKind.DIRECTORY, device=device)
        assert inside.look("a/b") == Seen(FileKind.DIRECTORY, device=device, empty=True)
        assert inside.look("a/file") == Seen(FileKind.FILE, device=device)
        assert inside.look("out") == Seen(FileKind.LINK, "../victim", device)
        assert inside.look("fifo") == Seen(FileKind.OTHER, device=device)
        assert inside.look("a/none") is None
        assert inside.look("a/file/none") is None
        assert inside.look("none/none") is None
        assert inside.names("a") == ["b", "file"]
        assert inside.read("a/file", 7) == b"content"
        assert inside.link("within") == "a"
        assert inside.link("a") is None


@pytest.mark.parametrize("way", ["out", "absolute", "proc", "within"])
def test_a_symlink_on_the_way_is_refused_by_name(root: Path, way: str) -> None:
    with Inside.open(str(root)) as inside:
        for call in (inside.look, inside.status, inside.link, inside.names, inside.directory):
            with pytest.raises(ConflictError, match=f"root/{way}: a symlink is in the way"):
                call(f"{way}/secret/x")
        for path in (way, f"{way}/secret"):
            with pytest.raises(ConflictError, match=f"root/{way}.*symlink"):
                inside.names(path)
            with pytest.raises(ConflictError, match=f"root/{way}"):
                inside.read(path, 100)


@pytest.mark.parametrize(
    "path", ["..", "../victim", "a/../../victim/secret", "/etc/passwd", "a//b", "a/", "./a", "a\0b"]
)
def test_only_plain_paths_are_paths(root: Path, path: str) -> None:
    with Inside.open(str(root)) as inside:
        for call in (inside.look, inside.names):
            with pytest.raises(ConflictError, match="is not a path"):
                call(path)
        with pytest.raises(ConflictError, match="is not a path"):
            inside.read(path, 100)


def test_only_regular_files_are_read_and_only_so_much(root: Path) -> None:
    with Inside.open(str(root)) as inside:
        for path in ("fifo", "a"):
            with pytest.raises(ConflictError, match="no regular file"):
                inside.read(path, 100)
        with pytest.raises(ConflictError, match="more than 6 bytes"):
            inside.read("a/file", 6)
        with pytest.raises(NotFoundError, match="root/none"):
            inside.read("none", 6)


def test_any_bytes_are_a_name(root: Path) -> None:
    names = [b"-rf", b"new\nline", b"$(touch x)", b"\xff\xfe", b"'\"", b" ", b"a" * 255]
    for name in names:
        (root / "a/b" / os.fsdecode(name)).mkdir()
        (root / "a/b" / os.fsdecode(name) / "file").write_bytes(name)
    with Inside.open(str(root)) as inside:
        assert sorted(map(os.fsencode, inside.names("a/b"))) == sorted(names)
        for name in names:
            assert inside.read(f"a/b/{os.fsdecode(name)}/file", 300) == name


def test_paths_longer_than_the_kernel_takes(root: Path) -> None:
    parts = ["d" * 200] * 40
    fd = os.open(root, os.O_RDONLY)
    for part in parts:
        os.mkdir(part, dir_fd=fd)
        below = os.open(part, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.symlink("..", "up", dir_fd=fd)
    os.close(fd)
    with Inside.open(str(root)) as inside:
        assert inside.names("/".join(parts)) == ["up"]
        assert inside.link("/".join([*parts, "up"])) == ".."
        with pytest.raises(ConflictError, match="symlink"):
            inside.names("/".join([*parts, "up", "x"]))
    assert len(os.listdir("/proc/self/fd")) < 50


def test_without_the_kernels_help_nothing_is_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def old_kernel(*arguments: object) -> int:
        ctypes.set_errno(errno.ENOSYS)
        return -1

    monkeypatch.setattr(module, "_syscall", old_kernel)
    with Inside.open(str(root)) as inside, pytest.raises(UnsupportedError, match=r"openat2.*5\.6"):
        inside.look("a")


def test_no_root(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("none", "file"):
        with pytest.raises(NotFoundError, match=name):
            Inside.open(str(tmp_path / name))


@pytest.mark.root
def test_another_mount_is_refused_by_name(root: Path) -> None:
    def action() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount_setattr(syscalls.AT_FDCWD, "/", propagation=syscalls.MS_PRIVATE, recursive=True)
        # even the same file system: a bind of a directory beside it
        clone = syscalls.open_tree(syscalls.AT_FDCWD, str(root.parent / "victim"))
        syscalls.move_mount(clone, syscalls.AT_FDCWD, str(root / "a/b"))
        assert (root / "a/b/secret").exists()
        with Inside.open(str(root)) as inside:
            for call in (inside.look, inside.status, inside.names):
                with pytest.raises(ConflictError, match=r"root/a/b: .*mounted"):
                    call("a/b/secret")
            assert inside.look("a/b") == Seen(FileKind.DIRECTORY, device=root.stat().st_dev)

    assert in_child(action) == 0
