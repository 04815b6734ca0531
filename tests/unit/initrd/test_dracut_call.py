# SPDX-License-Identifier: GPL-3.0-or-later
"""How dracut is called, and what is made of its output."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.apply.initrd import buildlog
from osrd.apply.initrd.buildlog import BuildLog
from osrd.model.image import BuildOrder, Kernel
from osrd.model.settings import BootWay
from osrd.plan.initrd.dracut import Progress, dracut_argv, shown


@pytest.mark.parametrize(("way", "modules"), [(BootWay.STATIC, "osr"), (BootWay.FULL, "osr osr-cluster")])
def test_the_call(way: BootWay, modules: str) -> None:
    kernel = Kernel("6.1.0-9-amd64", "boot/vmlinuz-6.1.0-9-amd64", "0" * 64, 1)
    argv = dracut_argv(BuildOrder("web", "/srv/web", kernel, way, "f", {}, {}), "/run/out", "/run/tmp")
    assert argv == (
        *("dracut", "--force", "--no-hostonly", "--no-hostonly-cmdline", "--reproducible", "--stdlog", "4"),
        *("--tmpdir", "/run/tmp", "--kver", "6.1.0-9-amd64", "--add", modules, "/run/out"),
    )


def test_progress_of_dracut_059_and_111() -> None:
    progress = Progress()
    assert progress.heard(["dracut: Executing: /usr/bin/dracut --force"]) is None
    assert progress.heard([]) is None
    first = progress.heard(["dracut: *** Including module: bash ***"])
    assert first is not None
    assert first[1] == "module bash"
    second = progress.heard(["dracut[I]: *** Including module: osr ***", "dracut[I]: noise"])
    assert second is not None
    assert 0 < first[0] < second[0] < 0.5
    assert progress.heard(["dracut: *** Including modules done ***"]) == (0.5, "Including modules done")
    assert progress.heard(["dracut[I]: *** Creating image file '/x' ***"]) == (0.75, "Creating image file '/x'")
    done = "dracut: *** Creating initramfs image file '/x' done ***"
    assert progress.heard([done]) == (0.98, "Creating initramfs image file '/x' done")
    assert progress.heard(["dracut: *** Including module: again ***"]) == (0.98, "module again")


@given(st.lists(st.text()))
def test_progress_of_any_text(lines: list[str]) -> None:
    progress = Progress()
    last = 0.0
    for line in lines:
        for each in (line, f"*** Including module: {line} ***"):
            if told := progress.heard([each]):
                assert last <= told[0] < 1
                last = told[0]


@given(st.text())
def test_what_is_shown_does_nothing_to_a_terminal(text: str) -> None:
    assert all(character not in shown(text) for character in map(chr, (*range(32), *range(0x7F, 0xA0), 0x202E)))


def test_colours_go_whole() -> None:
    assert shown("\x1b[1;31mno space\x1b[0m\tleft \x07") == "no space left"


def written(directory: Path, *parts: bytes) -> tuple[BuildLog, bytes]:
    fd = os.open(directory, os.O_RDONLY)
    with BuildLog(fd, "log") as log:
        for part in parts:
            log.hear(part)
        log.say("over")
    os.close(fd)
    return log, (directory / "log").read_bytes()


def test_a_log_is_what_was_printed(tmp_path: Path) -> None:
    log, data = written(tmp_path, b"one\ntw", b"o\n\n", b"three")
    assert data == b"one\ntwo\n\nthree\nosrd: over\n"
    assert log.last == ("one", "two", "three")
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_long_log_keeps_its_beginning_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buildlog, "_BEGINNING", 10)
    monkeypatch.setattr(buildlog, "_END", 10)
    log, data = written(tmp_path, *[f"{number:03}\n".encode() for number in range(100)])
    beginning, middle, end = data.partition(b"\n[378 bytes are left out here]\n")
    assert (beginning, middle) == (b"000\n001\n00", b"\n[378 bytes are left out here]\n")
    assert end == b"097\n098\n099\nosrd: over\n"
    assert len(log.last) == 20
    assert log.size == 400


def test_a_log_takes_nobody_elses_file(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        written(tmp_path)
    assert not (tmp_path / "victim").exists()
