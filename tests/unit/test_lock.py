# SPDX-License-Identifier: GPL-3.0-or-later
import os
from pathlib import Path

import pytest

from osrd.apply.lock import exclusive
from osrd.model.errors import BusyError, FailedError


def test_the_second_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    directory = str(tmp_path / "run")
    with exclusive(directory), pytest.raises(BusyError, match=f"process {os.getpid()}"), exclusive(directory):
        pass


def test_it_is_free_again_afterwards_and_nothing_is_written_twice(tmp_path: Path) -> None:
    with exclusive(str(tmp_path)):
        pass
    before = (tmp_path / "lock").stat()
    with exclusive(str(tmp_path)):
        pass
    after = (tmp_path / "lock").stat()
    assert (before.st_ino, before.st_mtime_ns, after.st_size) == (after.st_ino, after.st_mtime_ns, 0)


def test_a_planted_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("/dev/null")
    with pytest.raises(FailedError), exclusive(str(tmp_path)):
        pass
