# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd finds its own files, in a checkout and installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import osrd
from osrd.model.errors import FailedError
from osrd.observe.data import data_file
from tests.conftest import REPOSITORY


def test_in_a_checkout() -> None:
    assert data_file("dbus", "org.opensharedroot.Osrd1.Job.xml") == str(
        REPOSITORY / "data/dbus/org.opensharedroot.Osrd1.Job.xml"
    )
    assert os.path.isdir(data_file("systemd"))


def test_a_missing_file_names_the_places() -> None:
    with pytest.raises(FailedError, match=r"nothing/here is in none of .*/usr/share/osrd"):
        data_file("nothing", "here")


def test_installed_below_a_prefix(tmp_path: Path) -> None:
    """The installed copy uses the files of its own prefix, not those of a checkout beside it."""
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    shutil.copytree(os.path.dirname(osrd.__file__), packages / "osrd")
    share = tmp_path / "share" / "osrd" / "dbus"
    share.mkdir(parents=True)
    (share / "x.xml").write_text("")
    program = "from osrd.observe.data import data_file; print(data_file('dbus', 'x.xml'))"
    result = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(packages)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == str(share / "x.xml")
