# SPDX-License-Identifier: GPL-3.0-or-later
"""Running com-queryclusterconf in this process, away from the machine's own files."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from osrd.cli.com import options
from osrd.cli.com.queryclusterconf import PROGRAM, queryclusterconf
from tests.conftest import REPOSITORY

FIXTURES = REPOSITORY / "tests/fixtures"
_VARIABLES = ("CLUSTERCONF", "QUERYMAPFILE", "COMOONICS_CLUSTER_CFG", "FORCE_COLOR")


def ask(*words: str, file: str | Path = "full.conf", text: str | None = None) -> Result:
    """Ask a fixture, or any other file by its absolute path."""
    return plain("-f", str(FIXTURES / file), *words, text=text)


def plain(*words: str, text: str | None = None) -> Result:
    """Run the command with nothing but these words."""
    result = CliRunner().invoke(queryclusterconf, list(words), prog_name=PROGRAM, input=text)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def isolate(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(directory / "home"))
    monkeypatch.setattr(options, "SYSTEM", str(directory / "etc"))
