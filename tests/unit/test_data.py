# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd finds its own files, in a checkout and installed."""

import configparser
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


@pytest.mark.parametrize("name", ["dracut", "dracut.conf.d", "kernel-hooks", "kernel-install"])
def test_what_goes_into_roots_is_packaged(name: str) -> None:
    """Each directory with files is one that setup.cfg installs where data_file() looks."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    installed = dict(config["options.data_files"])
    files = [path.relative_to(REPOSITORY / "data") for path in (REPOSITORY / "data" / name).rglob("[!.]*")]
    directories = {path.parent for path in files if (REPOSITORY / "data" / path).is_file()}
    assert directories
    for directory in directories:
        assert installed.get(f"share/osrd/{directory}") == f"data/{directory}/*"


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
