# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian that nodes boot: made once in a run, and prepared in each test by osrd's own commands."""

import os
import re
from pathlib import Path

import pytest

from tests.boot import agent
from tests.boot.lab import Lab
from tests.conftest import REPOSITORY
from tests.debian import BOOKWORM, copy, install, kept
from tests.initrd.conftest import PACKAGES, debian  # noqa: F401 - a fixture

_MORE = ("openssh-server",)


@pytest.fixture(autouse=True)
def logs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the consoles and the logs of this test's lab stay: build/boot, or OSRD_BOOT_LOGS."""
    place = Path(os.environ.get("OSRD_BOOT_LOGS", REPOSITORY / "build/boot"))
    place /= re.sub(r"[^A-Za-z0-9.-]+", "-", request.node.name).strip("-")
    monkeypatch.setattr(Lab, "logs", place)
    return place


@pytest.fixture(scope="session")
def bootable(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A Debian with an SSH server that obeys its second serial line: not to be written in."""

    def make(root: Path) -> None:
        copy(debian, root)
        install(root, _MORE)
        agent.install(root)

    key = [BOOKWORM, *PACKAGES, *_MORE, Path(agent.__file__).read_text()]
    return kept("boot", key, make, tmp_path_factory.mktemp("debian-boot"))
