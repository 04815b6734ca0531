# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd into a root, as long as there is no package."""

import subprocess
from pathlib import Path

from tests.conftest import REPOSITORY


def install_osrd(root: Path) -> None:
    argv = ["make", "--silent", "install", f"DESTDIR={root}", "PREFIX=/usr", "UNITDIR=/lib/systemd/system"]
    done = subprocess.run([*argv, "COMPILE=no"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
