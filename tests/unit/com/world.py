# SPDX-License-Identifier: GPL-3.0-or-later
"""A com-* command run in this process on a fake root, as a script would see it: output, errors, exit status."""

import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import pytest

from osrd.cli.com import options
from osrd.cli.com.program import Environment, run
from tests.conftest import REPOSITORY
from tests.unit.fake_root import FakeRoot

MAINS = {
    "com-mkcdsl": ("mkcdsl", "make_cdsls", 1),
    "com-rmcdsl": ("rmcdsl", "remove_cdsls", 2),
    "com-cdslinvadm": ("cdslinvadm", "administrate", 1),
    "com-cdslinvchk": ("cdslinvchk", "check_inventory", 255),
    "com-searchcdsls": ("searchcdsls", "search", 1),
    "com-mkcdslinfrastructure": ("mkcdslinfrastructure", "make_infrastructure", 1),
}


@dataclass
class Ended:
    status: int
    out: str
    err: str


@dataclass
class Com:
    """The root has the seed's cluster.conf, so nodes 1 and 2."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    fake: FakeRoot = field(default_factory=FakeRoot)

    def __call__(self, program: str, *words: str) -> Ended:
        module, name, failed = MAINS[program]
        main = getattr(import_module(f"osrd.cli.com.{module}"), name)
        self.monkeypatch.setattr(sys, "argv", [program, *words])
        environment = Environment(self.fake.open, str(self.root / "no-osrd.conf"))
        self.capsys.readouterr()
        try:
            status = run(program, main, failed, environment)
        except SystemExit as ended:  # optparse
            status = int(ended.code or 0)
        captured = self.capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    def on_root(self, program: str, *words: str) -> Ended:
        return self(program, "-r", str(self.root), *words)


@pytest.fixture
def com(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Com:
    monkeypatch.setattr(options, "SYSTEM", str(tmp_path / "comoonics"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COMOONICS_CDSL_CFG", raising=False)
    root = tmp_path / "root"
    (root / "etc/cluster").mkdir(parents=True)
    (root / "etc/cluster/cluster.conf").write_bytes((REPOSITORY / "tests/fixtures/seed.conf").read_bytes())
    return Com(root, monkeypatch, capsys)
