# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading osrd.conf and its drop-ins from a real directory."""

import os
from pathlib import Path

import pytest

from osrd.model.errors import InvalidConfigError
from osrd.model.settings import Settings
from osrd.observe.configuration import read_settings
from osrd.parse.ini import LARGEST


def codes(path: Path) -> list[str]:
    return [finding.code for finding in read_settings(str(path))[1]]


def test_a_missing_file_means_defaults_unless_it_was_named(tmp_path: Path) -> None:
    path = str(tmp_path / "osrd.conf")
    assert read_settings(path) == (Settings(), ())
    with pytest.raises(InvalidConfigError, match="no such file"):
        read_settings(path, required=True)


def test_drop_ins_in_the_order_of_their_names(tmp_path: Path) -> None:
    main = tmp_path / "osrd.conf"
    main.write_text("[boot]\ntimeout = 1\nappend = main\n")
    drop_ins = tmp_path / "osrd.conf.d"
    drop_ins.mkdir()
    (drop_ins / "20.conf").write_text("[boot]\ntimeout = 20\n")
    (drop_ins / "10.conf").write_text("[boot]\ntimeout = 10\n")
    (drop_ins / ".30.conf").write_text("[boot]\ntimeout = 30\n")
    (drop_ins / "40.conf~").write_text("[boot]\ntimeout = 40\n")
    settings, findings = read_settings(str(main), required=True)
    assert findings == ()
    assert (settings.boot.timeout, settings.boot.append) == (20, "main")
    assert settings.files == (str(main), str(drop_ins / "10.conf"), str(drop_ins / "20.conf"))


def test_drop_ins_without_a_main_file(tmp_path: Path) -> None:
    (tmp_path / "osrd.conf.d").mkdir()
    (tmp_path / "osrd.conf.d" / "a.conf").write_text("[boot]\ntimeout = 9\n")
    assert read_settings(str(tmp_path / "osrd.conf"))[0].boot.timeout == 9


def test_what_is_no_regular_file_is_a_finding_and_never_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "file.conf").write_text("")
    (tmp_path / "file.conf.d").write_text("no directory")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("pipe", "directory", "file.conf", "loop"):
        assert codes(tmp_path / name) == ["conf-unreadable"], name


def test_a_drop_in_with_a_strange_name_is_reported_in_clean_text(tmp_path: Path) -> None:
    (tmp_path / "c.d").mkdir()
    (tmp_path / os.fsdecode(b"c.d/caf\xe9.conf")).write_text("[boot]\ntimeout = 9\n")
    settings, findings = read_settings(str(tmp_path / "c"))
    assert settings == Settings()
    assert [finding.code for finding in findings] == ["conf-encoding"]
    assert str(findings[0]).encode()


def test_the_size_is_bounded(tmp_path: Path) -> None:
    with open(tmp_path / "big", "wb") as stream:
        stream.truncate(LARGEST * 1000)
    assert codes(tmp_path / "big") == ["conf-too-large"]
