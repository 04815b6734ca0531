# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian that nodes boot: made once in a run, and prepared in each test by osrd's own commands."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.boot.lab import Lab
from tests.boot.roots import make_bootable
from tests.conftest import REPOSITORY
from tests.initrd.conftest import debian  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def logs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the consoles and the logs of this test's lab stay: build/boot, or OSRD_BOOT_LOGS."""
    place = Path(os.environ.get("OSRD_BOOT_LOGS", REPOSITORY / "build/boot"))
    place /= re.sub(r"[^A-Za-z0-9.-]+", "-", request.node.name).strip("-")
    shutil.rmtree(place, ignore_errors=True)  # of another run
    print(f"Consoles and logs: {place}")  # shown of a test that fails
    monkeypatch.setattr(Lab, "logs", place)
    return place


@pytest.fixture(scope="session")
def bootable(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The root of all: not to be written in."""
    return make_bootable(debian, tmp_path_factory.mktemp("debian-boot"))
