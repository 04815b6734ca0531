# SPDX-License-Identifier: GPL-3.0-or-later
import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from osrd.apply.clusterfile import replace_cluster_conf
from osrd.model.errors import ConflictError, FailedError


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def test_the_file_is_replaced_with_owner_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "cluster.conf"
    path.write_bytes(b"old")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1, 2)
    before = path.stat()
    replace_cluster_conf(str(path), b"new", digest(b"old"))
    after = path.stat()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino, "a reader of the old file keeps it whole"
    assert os.listdir(tmp_path) == ["cluster.conf"]


def test_somebody_elses_change_is_never_lost(tmp_path: Path) -> None:
    path = tmp_path / "cluster.conf"
    path.write_bytes(b"theirs")
    with pytest.raises(ConflictError, match="somebody else"):
        replace_cluster_conf(str(path), b"ours", digest(b"what we read"))
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["cluster.conf"]


def test_a_symlink_stays_one(tmp_path: Path) -> None:
    real = tmp_path / "git" / "cluster.conf"
    real.parent.mkdir()
    real.write_bytes(b"old")
    link = tmp_path / "cluster.conf"
    link.symlink_to("git/cluster.conf")
    replace_cluster_conf(str(link), b"new", digest(b"old"))
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_what_a_killed_edit_left_does_not_stop_the_next(tmp_path: Path) -> None:
    path = tmp_path / "cluster.conf"
    path.write_bytes(b"old")
    (tmp_path / ".cluster.conf.osrd-edit").write_bytes(b"half")
    replace_cluster_conf(str(path), b"new", digest(b"old"))
    assert path.read_bytes() == b"new"


def test_a_directory_that_is_gone_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="cannot be written"):
        replace_cluster_conf(str(tmp_path / "gone/cluster.conf"), b"new", digest(b"old"))
