# SPDX-License-Identifier: GPL-3.0-or-later
"""Single edits inside a root, with and without a file system that can let two files change places."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from osrd.apply.rootcare import edits
from osrd.apply.rootcare.edits import Edits
from osrd.model.errors import ConflictError, FailedError, OsrdError
from osrd.observe.inside import Inside
from tests.cdsl.rootcare_world import write


@pytest.fixture(params=["exchange", "plain renames"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param != "exchange":

        def refuse(*_: object) -> None:
            raise OSError(errno.EINVAL, "as NFS says")

        monkeypatch.setattr(edits, "renameat2", refuse)
    made = tmp_path / "root"
    write(made, "etc/file", "old\n", 0o640)
    os.utime(made / "etc/file", (5, 5))
    write(made, "etc/dir/inner", "x")
    (made / "etc/link").symlink_to("file")
    return made


@pytest.fixture
def inside(root: Path) -> Iterator[Inside]:
    with Inside.open(str(root)) as opened:
        yield opened


BACKUP = ".osrd/backup/run/etc"


def names(root: Path) -> list[str]:
    return sorted(os.listdir(root / "etc"))


def test_replace(root: Path, inside: Inside) -> None:
    os.setxattr(root / "etc/file", "user.label", b"l")
    kept = Edits(inside, "run").replace("etc/file", b"old\n", b"new\n")
    assert kept == f"{BACKUP}/file"
    for path, text in (("etc/file", "new\n"), (kept, "old\n")):
        assert (root / path).read_text() == text
        assert stat.S_IMODE((root / path).stat().st_mode) == 0o640
        assert os.getxattr(root / path, "user.label") == b"l"
        assert (root / path).stat().st_nlink == 1
    assert names(root) == ["dir", "file", "link"]


@pytest.mark.parametrize("path", ["etc/dir", "etc/link", "etc/none", "etc/../etc/file", "../victim", "etc/link/x", ""])
def test_what_is_no_file_is_refused(root: Path, inside: Inside, path: str) -> None:
    write(root.parent, "victim", "old\n")
    with pytest.raises(OsrdError):
        Edits(inside, "run").replace(path, None, b"new\n")
    assert (root / "etc/file").read_text() == "old\n"
    assert (root.parent / "victim").read_text() == "old\n"


def test_replace_of_something_else(root: Path, inside: Inside) -> None:
    with pytest.raises(ConflictError, match="not any more"):
        Edits(inside, "run").replace("etc/file", b"other\n", b"new\n")
    os.link(root / "etc/file", root / "etc/second")
    with pytest.raises(ConflictError, match="2 names"):
        Edits(inside, "run").replace("etc/file", b"old\n", b"new\n")
    assert (root / "etc/second").read_text() == "old\n"


def test_create(root: Path, inside: Inside) -> None:
    work = Edits(inside, "run")
    assert work.create("etc/new", b"x", 0o604) == ""
    assert stat.S_IMODE((root / "etc/new").stat().st_mode) == 0o604
    with pytest.raises(ConflictError):
        work.create("etc/file", b"x", 0o644)
    with pytest.raises(ConflictError):
        work.create("etc/none/new", b"x", 0o644)
    with pytest.raises(ConflictError):
        work.create("etc/link/new", b"x", 0o644)
    assert names(root) == ["dir", "file", "link", "new"]


@pytest.mark.parametrize("path", ["etc/file", "etc/dir", "etc/link", "etc/none"])
def test_link(root: Path, inside: Inside, path: str) -> None:
    there = os.path.lexists(root / path)
    kept = Edits(inside, "run").link(path, "/target")
    assert (root / path).readlink() == Path("/target")
    assert bool(kept) is there
    assert not there or os.path.lexists(root / kept)


def test_set_aside(root: Path, inside: Inside) -> None:
    work = Edits(inside, "run")
    assert work.set_aside("etc/dir") == f"{BACKUP}/dir"
    assert (root / BACKUP / "dir/inner").read_text() == "x"
    assert work.set_aside("etc/link") == f"{BACKUP}/link"
    assert (root / BACKUP / "link").readlink() == Path("file")
    with pytest.raises(ConflictError):
        work.set_aside("etc/none")
    assert names(root) == ["file"]
    assert stat.S_IMODE((root / ".osrd/backup/run").stat().st_mode) == 0o700


def test_directory_and_mode(root: Path, inside: Inside) -> None:
    work = Edits(inside, "run")
    work.make_directory("tmp", 0o1777)
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    work.permit("etc/file", 0o600)
    assert stat.S_IMODE((root / "etc/file").stat().st_mode) == 0o600
    with pytest.raises(ConflictError):
        work.permit("etc/link", 0o600)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_trouble_of_the_file_system_changes_nothing(
    root: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    work = Edits(inside, "run")
    for name in ("write_temp", "renameat2", "_make_like"):
        with monkeypatch.context() as patched:
            patched.setattr(edits, name, fail)
            with pytest.raises(FailedError):
                work.replace("etc/file", b"old\n", b"new\n")
        assert (root / "etc/file").read_text() == "old\n"
        assert names(root) == ["dir", "file", "link"]
    assert work.replace("etc/file", b"old\n", b"new\n"), "and the same succeeds afterwards"


def test_a_file_put_in_place_between_look_and_swap_gets_its_place_back(
    root: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = edits._make_like

    def meanwhile(old: int, directory: int, name: str) -> None:
        real(old, directory, name)
        write(root, "etc/theirs", "theirs\n").rename(root / "etc/file")

    monkeypatch.setattr(edits, "_make_like", meanwhile)
    with pytest.raises(ConflictError):
        Edits(inside, "run").replace("etc/file", b"old\n", b"new\n")
    assert (root / "etc/file").read_text() == "theirs\n"
