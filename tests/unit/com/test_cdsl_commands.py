# SPDX-License-Identifier: GPL-3.0-or-later
"""What all com-* commands for CDSLs have in common: their border, their options, their defaults files."""

import os
from configparser import RawConfigParser
from pathlib import Path

import pytest

from osrd.model.cdsl import Changed
from osrd.model.errors import FailedError
from tests.conftest import REPOSITORY
from tests.unit.com.world import MAINS, Com, com

__all__ = ["com"]

#: words with which each does something
DOING = {
    "com-mkcdsl": ["-a", "/var"],
    "com-rmcdsl": ["/var/lib"],
    "com-cdslinvadm": ["migrate"],
    "com-cdslinvchk": ["-f", "-U"],
    "com-searchcdsls": [],
    "com-mkcdslinfrastructure": [],
}
METHOD = {"com-mkcdsl": "make", "com-rmcdsl": "remove", "com-cdslinvadm": "convert"}
METHOD |= {"com-cdslinvchk": "rebuild", "com-searchcdsls": "rebuild", "com-mkcdslinfrastructure": "init"}


@pytest.fixture(autouse=True)
def something_to_find(com: Com) -> None:
    from dataclasses import replace

    from tests.unit.fake_root import INVENTORY, VAR

    com.fake.disk = replace(INVENTORY, cdsls=(VAR,))


def test_every_command_is_installed() -> None:
    parser = RawConfigParser()
    parser.read(REPOSITORY / "setup.cfg")
    scripts = parser["options.entry_points"]["console_scripts"]
    for program, (module, _, _) in MAINS.items():
        assert f"{program} = osrd.cli.com.{module}:main" in scripts


@pytest.mark.parametrize("program", MAINS)
def test_help_and_usage(com: Com, program: str) -> None:
    told = com(program, "--help")
    assert told.status == 0
    assert f"Usage: {program}" in told.out
    for option in ("--root=", "--clusterconf=", "--mountpoint=", "--noexecute", "--quiet", "--verbose"):
        assert option in told.out
    for words in (["--nonsense"], ["-r"]):
        wrong = com(program, *words)
        assert (wrong.status, wrong.out) == (2, "")
        assert "Traceback" not in wrong.err
    assert com(program, "--version").out.startswith(f"{program} (osrd) ")


@pytest.mark.parametrize("program", MAINS)
def test_it_works_on_the_root_that_is_named(com: Com, program: str) -> None:
    ended = com.on_root(program, *DOING[program])
    assert ended.status == 0, ended.err
    assert [call[0] for call in com.fake.calls] == [METHOD[program]]
    assert set(com.fake.opened) == {str(com.root)}
    assert com.fake.members.ids == ("1", "2")
    assert com.fake.closed


@pytest.mark.parametrize("program", MAINS)
def test_a_failure_is_two_lines(com: Com, program: str) -> None:
    com.fake.fails[METHOD[program]] = FailedError("no space left: 3 MiB are needed", "make room")
    ended = com.on_root(program, *DOING[program])
    assert ended.status == MAINS[program][2]
    assert ended.err.splitlines() == [
        " ".join([program, "-r", str(com.root), *DOING[program]]),
        "no space left: 3 MiB are needed; make room",
    ]


@pytest.mark.parametrize("program", MAINS)
def test_a_root_that_is_not_there(com: Com, program: str) -> None:
    ended = com(program, "-r", "/nonexistent/root", *DOING[program])
    assert ended.status == MAINS[program][2]
    assert "/nonexistent/root: there is no such directory" in ended.err
    assert com.fake.opened == []


@pytest.mark.parametrize("program", MAINS)
def test_ctrl_c(com: Com, program: str) -> None:
    def during(_work: object) -> None:
        raise KeyboardInterrupt

    com.fake.during = during
    ended = com.on_root(program, *DOING[program])
    assert (ended.status, ended.err) == (130, "")


@pytest.mark.parametrize("program", MAINS)
def test_simulating_is_asked_of_the_engine_and_told(com: Com, program: str) -> None:
    com.fake.changed = Changed(("made /var host-dependent",))
    told = com.on_root(program, "-n", *DOING[program])
    assert told.status == 0
    assert "made /var host-dependent" in told.out
    assert com.fake.work.simulate
    com.on_root(program, *DOING[program])
    assert not com.fake.work.simulate


@pytest.mark.parametrize("program", MAINS)
def test_only_one_inventory_counts(com: Com, program: str) -> None:
    for file in (".cdsl_inventory.xml", "/var/lib/cdsl/cdsl_inventory.xml"):
        assert com.on_root(program, "-i", file, *DOING[program]).status == 0
    ended = com.on_root(program, "-i", "other.xml", *DOING[program])
    assert ended.status == MAINS[program][2]
    assert ".cdsl_inventory.xml" in ended.err


def test_the_defaults_file_counts_and_the_command_line_more(com: Com, tmp_path: Path) -> None:
    (tmp_path / "comoonics").mkdir()
    (tmp_path / "comoonics/cdsl.cfg").write_text(
        f"[com-mkcdsl]\nroot = {com.root}\nbackup = yes\nunknown = 1\n[com-rmcdsl]\nroot = /nonexistent\n"
    )
    com("com-mkcdsl", "-a", "/var")
    assert com.fake.calls == [("make", "/var", (), "orig")]
    other = tmp_path / "other"
    other.mkdir()
    com("com-mkcdsl", "-a", "/var", "-r", str(other))
    assert com.fake.opened[-1] == str(other)
    (tmp_path / "comoonics/cdsl.cfg").write_text("[com-mkcdsl]\nbackup = perhaps\n")
    ended = com("com-mkcdsl", "-a", "/var")
    assert ended.status == 1
    assert "backup in [com-mkcdsl]" in ended.err
    (tmp_path / "comoonics/cdsl.cfg").write_text("[com-mkcdslinfrastructure]\nmaxnodeidnum = 3\ntree = .t\n")
    com.on_root("com-mkcdslinfrastructure")
    assert com.fake.calls[-1][2] == 3
    assert com.fake.calls[-1][1].tree == ".t"


def test_where_content_is_kept_is_told(com: Com) -> None:
    com.fake.changed = Changed(("shared",), (".osrd/backup/1/2",))
    assert com.on_root("com-mkcdsl", "-s", "/var/lib").out == "kept: .osrd/backup/1/2\n"
    assert com.on_root("com-mkcdsl", "-q", "-s", "/var/lib").out == ""


def test_nothing_is_said_without_being_asked(com: Com) -> None:
    assert com.on_root("com-mkcdsl", "-a", "/var").out == ""
    assert com.on_root("com-mkcdsl", "-d", "-a", "/var").out == "made /var host-dependent\n"


def test_nodes_that_are_left_out_are_told(com: Com) -> None:
    file = com.root / "etc/cluster/cluster.conf"
    file.write_bytes(file.read_bytes().replace(b'nodeid="2"', b'nodeid="1"'))
    assert "shares the nodeid 1" in com.on_root("com-mkcdsl", "-a", "/var").err
    assert com.on_root("com-mkcdsl", "-q", "-a", "/var").err == ""


def test_bytes_go_through(com: Com) -> None:
    name = os.fsdecode(b"/caf\xe9 $(x)")
    com.on_root("com-mkcdsl", "-a", name)
    assert com.fake.calls == [("make", name, ())]
