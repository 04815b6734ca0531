# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for every test: what a test needs is named, CI skips nothing, nothing is left behind."""

import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import hypothesis
import pytest

from tests.debian import BOOKWORM, debootstrap, kept
from tests.packages import build_debs, build_rpms

REPOSITORY = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI") == "true"


def pytest_configure(config: pytest.Config) -> None:
    # Servers live in sbin, which is not in every user's PATH.
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    # How long an example takes says something about the machine's other users, not about the code.
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("osrd", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("osrd")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup(1) ignores one of them
            signal.signal(number, _end)


def _end(by: int, _frame: FrameType | None) -> None:
    """As Ctrl-C does it: machines, containers, mounts and network namespaces of the running test end with it."""
    signal.signal(by, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(by).name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here, with the reason; in CI the same is a failure."""
    missing = [tool for mark in item.iter_markers("needs") for tool in mark.args if shutil.which(tool) is None]
    if missing:
        refuse(f"not installed: {', '.join(missing)}")
    if item.get_closest_marker("root") and os.geteuid() != 0:
        refuse("needs to be root")


def refuse(reason: str) -> None:
    if IN_CI:
        pytest.fail(f"{reason}: CI must provide it")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def debian_minbase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest Debian that debootstrap makes, for tests to copy: not to be written in."""
    return kept("minbase", [BOOKWORM], debootstrap, tmp_path_factory.mktemp("debian-minbase"))


@pytest.fixture(scope="session")
def built_debs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """This checkout's Debian packages by name. Tests say that they need dpkg-buildpackage and dh."""
    return build_debs(tmp_path_factory.mktemp("debs"))


@pytest.fixture(scope="session")
def built_rpms(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """This checkout's RPM packages by name. Tests say that they need rpmbuild."""
    return build_rpms(tmp_path_factory.mktemp("rpms"))
