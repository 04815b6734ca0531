# SPDX-License-Identifier: GPL-3.0-or-later
"""packaging/packages.sh, with builders of the test's own."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

BUILDERS = {
    "deb": (
        "dpkg-buildpackage",
        "cd .. && touch osrd_1_all.deb osrd_1.dsc osrd_1.tar.xz osrd_1_amd64.buildinfo osrd_1_amd64.changes",
    ),
    "rpm": (
        "rpmbuild",
        "mkdir -p rpmbuild/RPMS/noarch rpmbuild/SRPMS && touch rpmbuild/RPMS/noarch/osrd-1-1.noarch.rpm"
        " rpmbuild/SRPMS/osrd-1-1.src.rpm",
    ),
}
MADE = {
    "deb": {"osrd_1.dsc", "osrd_1.tar.xz", "osrd_1_all.deb", "osrd_1_amd64.buildinfo", "osrd_1_amd64.changes"},
    "rpm": {"osrd-1-1.noarch.rpm", "osrd-1-1.src.rpm"},
}


@pytest.mark.parametrize("kind", BUILDERS)
def test_it_takes_away_the_packages_before_and_nothing_else(kind: str, tmp_path: Path) -> None:
    """Whatever directory somebody names."""
    (tmp_path / "bin").mkdir()
    name, work = BUILDERS[kind]
    program = tmp_path / "bin" / name
    program.write_text(f"#!/bin/sh\n{work}\n")
    program.chmod(0o755)
    out = tmp_path / "out"
    out.mkdir()
    mine = {"letter.txt", "linux-image.deb", "linux.rpm"}
    for each in (*mine, "osr-cdsl-tools_0_all.deb", "osrd_0.dsc", "osr-cdsl-tools-0-1.noarch.rpm", "osrd-0-1.src.rpm"):
        (out / each).touch()
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    subprocess.run([REPOSITORY / "packaging/packages.sh", kind, out], env=environment, check=True, capture_output=True)
    left = {path.name for path in out.iterdir()}
    assert mine | MADE[kind] <= left
    suffixes = {"deb": (".deb", ".dsc"), "rpm": (".rpm",)}[kind]
    assert {name for name in left if name.endswith(suffixes)} <= mine | MADE[kind]
