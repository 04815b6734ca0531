# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests' machine itself, when it does not come up again."""

import subprocess
from pathlib import Path

import pytest

from tests.host import container
from tests.host.container import Container


def test_pulling_the_plug_hits_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reboot that hangs: the number of the first system's PID 1 may be anybody's by then."""
    (tmp_path / "systemd-nspawn").write_text("#!/bin/sh\nexec sleep infinity\n")
    (tmp_path / "systemd-nspawn").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def hangs(*_: object) -> None:
        raise AssertionError("not within 60 s")

    monkeypatch.setattr(container, "eventually", hangs)
    machine = Container(tmp_path, tmp_path / "console")
    with subprocess.Popen(["sleep", "infinity"]) as anybody:
        try:
            machine.pid = anybody.pid
            with pytest.raises(AssertionError, match="not within"):
                machine.start()
            hung = machine._nspawn
            assert hung is not None
            try:
                machine.stop()
            finally:
                hung.kill()
            assert anybody.poll() is None
        finally:
            anybody.kill()
    assert hung.wait() is not None


def test_what_the_console_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "systemd-nspawn").write_text("#!/bin/sh\necho Failed to mount cgroups\nexit 1\n")
    (tmp_path / "systemd-nspawn").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    machine = Container(tmp_path, tmp_path / "console")
    with pytest.raises(AssertionError, match=r"systemd-nspawn has ended(?s:.*)Failed to mount cgroups"):
        machine.start()
    monkeypatch.setattr(machine, "_first_process", lambda: 1)
    with pytest.raises(AssertionError, match=r"systemd-nspawn has ended(?s:.*)Failed to mount cgroups"):
        machine.start()
