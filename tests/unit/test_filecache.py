# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found at paths, and when a file is read again."""

import os
import time
from hashlib import sha256
from pathlib import Path

import pytest

from osrd.model.output import FileState, NotAFile
from osrd.observe.filecache import FileCache


@pytest.fixture
def rested(tmp_path: Path) -> Path:
    """A file that has not changed for long. Its ctime cannot be set, so it is waited for through the cache itself."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    cache = FileCache()
    while str(path) not in cache.remembered:
        cache.find([str(path)])
    return path


def test_kinds_of_things(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "linked").symlink_to("directory")
    os.mkfifo(tmp_path / "fifo")
    names = ["file", "directory", "link", "fifo", "absent", "directory/absent", "no/where", "linked/x", "file/x"]
    found = FileCache().find(str(tmp_path / name) for name in names)
    assert [found[str(tmp_path / name)] for name in names] == [
        FileState(sha256(b"x").hexdigest(), 1, 0o644),
        *[NotAFile.OTHER] * 3,
        *[NotAFile.ABSENT] * 3,
        *[NotAFile.OTHER] * 2,
    ]


def test_only_bases_may_be_reached_through_symlinks(tmp_path: Path) -> None:
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "real/sub/file").write_bytes(b"x")
    (tmp_path / "base").symlink_to("real")
    (tmp_path / "real/link").symlink_to("sub")
    (tmp_path / "real/deep").symlink_to(tmp_path / "real")
    base = str(tmp_path / "base")
    paths = [f"{base}/sub/file", f"{base}/link/file", f"{base}/deep/sub/file"]
    found = FileCache([base]).find(paths)
    assert isinstance(found[paths[0]], FileState)
    assert [found[path] for path in paths[1:]] == [NotAFile.OTHER] * 2


def test_known_files_are_not_read_again(rested: Path) -> None:
    cache = FileCache()
    path = str(rested)
    first = cache.find([path])[path]
    assert cache.find([path])[path] is first
    assert cache.find([path], rehash=True)[path] is not first


def test_a_change_that_keeps_size_and_mtime_is_seen(rested: Path) -> None:
    cache = FileCache()
    path = str(rested)
    cache.find([path])
    before = rested.stat()
    rested.write_bytes(b"c0ntent")
    os.utime(rested, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cache.find([path])[path] == FileState(sha256(b"c0ntent").hexdigest(), 7, 0o644)


def test_a_file_that_just_changed_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "file"
    cache = FileCache()
    for number in range(50):
        path.write_bytes(b"%04d" % number)
        assert cache.find([str(path)])[str(path)] == FileState(sha256(b"%04d" % number).hexdigest(), 4, 0o644)


def test_what_is_known_is_believed_only_while_it_is_old_enough(rested: Path) -> None:
    cache = FileCache()
    path = str(rested)
    claimed = FileState("f" * 64, 7, 0o644)
    cache.record({path: claimed}, time.time_ns())
    assert cache.find([path])[path] is claimed
    cache.record({path: FileState("e" * 64, 7, 0o644)}, written=1)
    assert cache.find([path])[path] == FileState(sha256(b"content").hexdigest(), 7, 0o644)


@pytest.mark.parametrize("claimed", [FileState("f" * 64, 8, 0o644), FileState("f" * 64, 7, 0o600)])
def test_nothing_is_known_of_a_file_that_is_not_as_it_was_written(rested: Path, claimed: FileState) -> None:
    cache = FileCache()
    path = str(rested)
    cache.record({path: claimed}, time.time_ns())
    assert cache.find([path])[path] == FileState(sha256(b"content").hexdigest(), 7, 0o644)


def test_read_has_a_limit(rested: Path) -> None:
    cache = FileCache()
    assert cache.read(str(rested), 7) == b"content"
    assert cache.read(str(rested), 6) is None
    assert cache.read(str(rested.parent), 6) is None
    assert cache.read("/nowhere/at/all", 6) is None
