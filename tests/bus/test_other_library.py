# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything again on the other D-Bus library, which Python 3.15 will need; nothing but one import may differ."""

import os
import subprocess
import sys

import pytest

from osrd.bus.wire import LIBRARIES, chosen_library
from tests.conftest import REPOSITORY

FILES = (
    "test_assembly.py",
    "test_calls.py",
    "test_connection.py",
    "test_introspection.py",
    "test_signals.py",
    "test_load.py",
)


@pytest.mark.skipif("OSRD_DBUS_LIB" in os.environ, reason="this is the other library")
def test_with_the_other_library() -> None:
    (other,) = set(LIBRARIES) - {chosen_library()}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(f"tests/bus/{name}" for name in FILES)],
        cwd=REPOSITORY,
        env=os.environ | {"OSRD_DBUS_LIB": other},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
