# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl shell: whose view, which command, and its exit status."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from osrd.cli.exits import Exit
from osrd.cli.main import osrctl
from osrd.cli.session import Session
from osrd.model.cdsl import Layout
from tests.conftest import REPOSITORY
from tests.unit.fake_root import INVENTORY, FakeRoot

Ran = list[tuple[str, str, tuple[str, ...]]]


class Shells:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "etc/cluster").mkdir(parents=True)
        (root / "etc/cluster/cluster.conf").write_bytes((REPOSITORY / "tests/fixtures/seed.conf").read_bytes())
        self.fake = FakeRoot()
        self.ran: Ran = []
        self.status = 0

    def run(self, path: str, node: str, command: Sequence[str], layout: Layout) -> int:
        assert layout == INVENTORY.layout
        assert self.fake.closed, "the root stays busy while the shell runs"
        self.ran.append((path, node, tuple(command)))
        return self.status

    def __call__(self, *words: str) -> Result:
        session = Session(open_root=self.fake.open, run_shell=self.run, configuration="/nonexistent/osrd.conf")
        result = CliRunner().invoke(osrctl, ["shell", *words], obj=session, prog_name="osrctl")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result


@pytest.fixture
def shells(tmp_path: Path) -> Shells:
    return Shells(tmp_path)


ROOT = "ROOT"
GRAMMAR: list[tuple[list[str], str, tuple[str, ...]]] = [
    ([ROOT], "", ()),
    ([ROOT, "--node", "2"], "2", ()),
    (["--node", "node2", ROOT], "2", ()),
    ([ROOT, "--node=2", "ls", "-l", "--node", "1"], "2", ("ls", "-l", "--node", "1")),
    ([ROOT, "ls", "--json"], "", ("ls", "--json")),
    (["--node", "2", ROOT, "--", "-odd", "--", "x"], "2", ("-odd", "--", "x")),
    ([ROOT, "--node", "default", "ls"], "default", ("ls",)),
    (["--", ROOT, "ls"], "", ("ls",)),
]


@pytest.mark.parametrize(("words", "node", "command"), GRAMMAR)
def test_options_end_where_the_command_begins(
    shells: Shells, words: list[str], node: str, command: tuple[str, ...]
) -> None:
    result = shells(*[str(shells.root) if word == ROOT else word for word in words])
    assert result.exit_code == 0, result.output
    assert shells.ran == [(str(shells.root), node, command)]


def test_the_exit_status_is_the_command_s(shells: Shells) -> None:
    shells.status = 42
    assert shells(str(shells.root), "false").exit_code == 42


def test_a_root_without_infrastructure_has_no_nodes(shells: Shells) -> None:
    shells.fake.known = None
    assert shells(str(shells.root)).exit_code == Exit.NOT_FOUND
    assert shells.ran == []


def test_a_root_is_needed(shells: Shells) -> None:
    assert shells().exit_code == Exit.USAGE
    assert shells("--node", "1").exit_code == Exit.USAGE
