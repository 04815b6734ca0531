# SPDX-License-Identifier: GPL-3.0-or-later
import os
from hashlib import sha256
from pathlib import Path

import pytest

from osrd.model.errors import InvalidConfigError, NotFoundError
from osrd.observe.inputs import read_input


def test_the_bytes_and_their_digest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)
    read = read_input(str(path), 3_000_000)
    assert read.data == b"x" * 3_000_000
    assert read.digest == sha256(read.data).hexdigest()


def test_what_is_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvalidConfigError, match=f"{1 << 40} bytes"):
        read_input(str(path), 1000)


def test_a_fifo_does_not_hang_the_daemon(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    with pytest.raises(InvalidConfigError, match="not a regular file"):
        read_input(str(tmp_path / "file"), 1000)


def test_missing_and_directory(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        read_input(str(tmp_path / "gone"), 1000)
    with pytest.raises(InvalidConfigError, match="not a regular file"):
        read_input(str(tmp_path), 1000)
