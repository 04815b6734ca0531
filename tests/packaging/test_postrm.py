# SPDX-License-Identifier: GPL-3.0-or-later
"""What a purge of Debian's package withdraws, by a state database as it may be."""

import re
import shutil
import sqlite3
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from osrd.observe.manifest import SCHEMA
from tests.conftest import REPOSITORY

_STATE = "/var/lib/osrd/state.db"


def test_osrd_was_killed_while_it_wrote_its_database(tmp_path: Path) -> None:
    """And never started again: what that transaction did is rolled back first."""
    text = (REPOSITORY / "packaging/debian/osrd.postrm").read_text()
    (script,) = re.findall(r"(?s)<<'PYTHON'[^\n]*\n(.*?)\nPYTHON\n", text)
    assert _STATE in script
    served = tmp_path / "menu"
    served.write_bytes(b"DEFAULT osr\n")
    state, killed = tmp_path / "state", tmp_path / "killed"
    state.mkdir()
    connection = sqlite3.connect(state / "state.db", isolation_level=None)
    connection.executescript(SCHEMA)
    connection.execute(
        "INSERT INTO output VALUES (?, 1, NULL, 0, 'grub', 1, '', ?, 12, 420, '', '')",
        (bytes(served), sha256(served.read_bytes()).hexdigest()),
    )
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE output SET digest = 'new'")
    rows = ((str(number), b"x" * 9999) for number in range(9))
    connection.executemany("INSERT INTO content (digest, data) VALUES (?, ?)", rows)
    shutil.copytree(state, killed)
    connection.close()
    assert (killed / "state.db-journal").stat().st_size
    argv = [sys.executable, "-I", "-c", script.replace(_STATE, str(killed / "state.db"))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not served.exists()
