# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds that fail because of this host: they say so, and are not written down as failures of what goes into the
image, so that the next look wants the image again."""

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from osrd.apply.initrd import copying, store
from osrd.engine import initrdbuild
from osrd.engine.rootwork import QUIET, Control
from osrd.model.errors import FailedError, UnsupportedError
from osrd.model.finding import Finding, Severity
from tests.initrd.miniroot import children, cmdline
from tests.initrd.test_unsure import KERNEL, Round, round_

__all__ = ["round_"]

pytestmark = [pytest.mark.root, pytest.mark.needs("busybox", "ldd")]


def trouble(round_: Round, says: str, control: Control = QUIET) -> None:
    """The build fails, of which nothing stays."""
    with pytest.raises(FailedError, match=says) as caught:
        round_.build(control)
    assert type(caught.value) is FailedError, "what a job's property Error is made of"
    assert caught.value.passing
    assert ".staged/log" not in caught.value.fix, "it is gone"
    assert (round_.look().images.failures, round_.look().wanted) == ((), (KERNEL,))


def test_a_full_state_directory(round_: Round, monkeypatch: pytest.MonkeyPatch) -> None:
    full = (Finding("initrd-no-room", Severity.ERROR, "there are 3 MiB free", "make room"),)
    monkeypatch.setattr(initrdbuild, "room", lambda *_: full)
    trouble(round_, "3 MiB free")


def test_no_room_for_what_an_image_may_need(round_: Round) -> None:
    round_.build()
    (round_.root / "usr/lib/libroot.so").write_text("second\n")
    build = replace(round_.aim.settings.build, size=1 << 40)
    round_.aim = replace(round_.aim, settings=replace(round_.aim.settings, build=build))
    trouble(round_, "a build needs")


def test_the_disk_is_full_when_the_image_is_stored(round_: Round, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str) -> tuple[str, int]:
        raise OSError(errno.ENOSPC, "No space left on device", target)

    assert store.take is copying.take
    monkeypatch.setattr(store, "take", full)
    trouble(round_, "the image store cannot be changed.*No space")


def test_nobody_builds_there(round_: Round, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSRD_BUILD_SOCKET", str(tmp_path / "socket"))
    with pytest.raises(UnsupportedError, match="nobody builds initrds"):
        round_.build()
    assert (round_.look().images.failures, round_.look().wanted) == ((), (KERNEL,))


def test_the_guard_is_killed(round_: Round) -> None:
    """By the kernel, when memory runs out; or as a unit, by whoever stops that."""

    def kill(_fraction: float, message: str) -> None:
        for guard in [pid for pid in children() if "guard.py" in cmdline(pid)]:
            os.kill(guard, signal.SIGKILL)

    trouble(round_, "was ended", Control(kill, QUIET.cancelled))


def test_dracut_is_killed(round_: Round) -> None:
    dracut(round_, "kill -9 $$")
    trouble(round_, "killed by signal 9")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda round_: (round_.root / "etc/broken").write_text("the moon"), "the moon"),
        (lambda round_: dracut(round_, "for image; do :; done; echo nonsense > $image"), "begins no archive"),
    ],
)
def test_what_dracut_does_is_written_down(round_: Round, break_it: Callable[[Round], None], says: str) -> None:
    break_it(round_)
    with pytest.raises(FailedError, match=says) as caught:
        round_.build()
    assert not caught.value.passing
    (failure,) = round_.look().images.failures
    assert failure.log in caught.value.fix
    assert round_.look().wanted == ()


def dracut(round_: Round, script: str) -> None:
    (round_.root / "usr/bin/dracut").write_text(f"#!/bin/sh\n{script}\n")
