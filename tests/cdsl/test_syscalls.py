# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that Python lacks, against the real kernel, in a child with its own mount namespace."""

import errno
import os
from pathlib import Path

import pytest

from osrd.apply import syscalls
from tests.apply.faults import in_child


def test_exchange_swaps_and_noreplace_refuses(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    fd = os.open(tmp_path, os.O_RDONLY)
    syscalls.renameat2(fd, "a", fd, "b", syscalls.RENAME_EXCHANGE)
    assert (tmp_path / "a").read_text() == "b"
    with pytest.raises(FileExistsError) as caught:
        syscalls.renameat2(fd, "a", fd, "b", syscalls.RENAME_NOREPLACE)
    assert caught.value.filename == "b"
    syscalls.syncfs(fd)
    os.close(fd)


def test_errors_carry_errno_and_name() -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        syscalls.open_tree(-7, "x")
    assert (caught.value.errno, caught.value.filename) == (errno.EBADF, "x")


@pytest.mark.root
def test_mounts_by_descriptor(tmp_path: Path) -> None:
    """A tmpfs and a read-only bind in a private namespace; nothing of it is seen outside."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("x")
    (tmp_path / "place").mkdir()

    def action() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount_setattr(syscalls.AT_FDCWD, "/", propagation=syscalls.MS_PRIVATE, recursive=True)
        memory = syscalls.new_mount("tmpfs", syscalls.MOUNT_ATTR_NODEV, size="64k", mode="0700")
        syscalls.move_mount(memory, syscalls.AT_FDCWD, str(tmp_path / "place"))
        os.mkdir(tmp_path / "place" / "bind")
        source = os.open(tmp_path / "source", os.O_PATH)
        clone = syscalls.open_tree(source)
        syscalls.mount_setattr(clone, set_=syscalls.MOUNT_ATTR_RDONLY)
        syscalls.move_mount(clone, memory, "bind")
        assert (tmp_path / "place" / "bind" / "file").read_text() == "x"
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "place" / "bind" / "file").write_text("y")
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "place" / "big").write_bytes(bytes(100_000))
        syscalls.umount2(str(tmp_path / "place"), syscalls.MNT_DETACH)
        assert not list((tmp_path / "place").iterdir())

    assert in_child(action) == 0
    assert not list((tmp_path / "place").iterdir())
