# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo-boot` that does not get far: what it says, and that nothing of it is left. (All of it is a quarter of an
hour, and shows itself.)"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.eventually import eventually

pytestmark = [pytest.mark.root, pytest.mark.needs("unshare")]

_HANGS = 'mkdir -p "$3/proc"\nmount -t tmpfs none "$3/proc"\ntouch "$0.begun"\nexec sleep infinity\n'


@contextmanager
def demo(directory: Path, debootstrap: str) -> "Iterator[subprocess.Popen[str]]":
    """The demo, with a debootstrap of the test's own."""
    for name in ("bin", "tmp"):
        (directory / name).mkdir(exist_ok=True)
    program = directory / "bin/debootstrap"
    program.write_text(f"#!/bin/sh\n{debootstrap}")
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{directory}/bin:{os.environ['PATH']}",
        "TMPDIR": str(directory / "tmp"),
        "OSRD_TEST_DEBIAN": str(directory / "debian"),
        "OSRD_BOOT_LOGS": str(directory / "logs"),
    }
    argv = [sys.executable, "-m", "tests.boot.demo"]
    with (
        (directory / "errors").open("w") as errors,
        subprocess.Popen(
            argv,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as run,
    ):
        try:
            yield run
        finally:
            run.kill()


def ended(run: "subprocess.Popen[str]", directory: Path) -> str:
    """What it has said, in the end."""
    return run.communicate(timeout=60)[0] + (directory / "errors").read_text()


def mounted_below(directory: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_and_can_be_tried_again(by: signal.Signals, tmp_path: Path) -> None:
    with demo(tmp_path, _HANGS) as run:
        eventually(lambda: (tmp_path / "bin/debootstrap.begun").exists() or run.poll() is not None, "it begins", 60)
        run.send_signal(by)
        said = ended(run, tmp_path)
    assert run.returncode == 128 + by, said
    assert "interrupted: ending all that was started" in said
    assert "interrupted at: a Debian system from packages" in said
    assert mounted_below(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    with demo(tmp_path, "echo E: no mirror >&2\nexit 1\n") as again:
        said = ended(again, tmp_path)
    assert "no mirror" in said


def test_what_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "logs/demo-boot").mkdir(parents=True)
    (tmp_path / "logs/demo-boot/console-node1.log").write_text("of another run")
    with demo(tmp_path, "echo E: no mirror >&2\nexit 1\n") as run:
        said = ended(run, tmp_path)
    assert run.returncode == 1
    assert "FAILED: a Debian system from packages" in said
    assert "debootstrap --variant=minbase bookworm" in said
    assert "E: no mirror" in said
    assert "Traceback" not in said
    assert "Consoles and logs" not in said, "there are none"


def test_nobody_reads_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    with demo(tmp_path, f'read go <"{tmp_path}/go"\nexit 1\n') as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.stdout.close()
        (tmp_path / "go").write_text("\n")
        assert run.wait(60) == 1
    assert (tmp_path / "errors").read_text() == ""
