# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of the tests that somebody ends takes with it what it has started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.eventually import eventually

_TEST = """
import pytest, signal, pathlib

@pytest.fixture
def mounted():
    (pathlib.Path(__file__).parent / "begun").touch()
    yield
    (pathlib.Path(__file__).parent / "cleaned").touch()

def test_that_takes_long(mounted):
    signal.pause()
"""


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP])
def test_ended_by_a_signal_it_cleans_up(by: signal.Signals, tmp_path: Path) -> None:
    """As `timeout`, a CI system and a closed terminal end it."""
    (tmp_path / "test_long.py").write_text(_TEST)
    # Whoever runs the tests by nohup(1) has them ignore one of the signals, and so would this run.
    argv = [
        "env",
        "--default-signal",
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.conftest",
        tmp_path,
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        argv, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as run:
        try:
            eventually(lambda: (tmp_path / "begun").exists() or run.poll() is not None, "the test runs", 60)
            run.send_signal(by)
            said, _ = run.communicate(timeout=60)
        finally:
            run.kill()
    assert (tmp_path / "cleaned").exists(), said.decode()
    assert run.returncode == pytest.ExitCode.INTERRUPTED
