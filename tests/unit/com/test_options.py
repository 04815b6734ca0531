# SPDX-License-Identifier: GPL-3.0-or-later
"""Option defaults of the com-* commands: which file wins, and what happens to files that are none."""

from pathlib import Path

import pytest

from osrd.cli.com import options
from osrd.cli.com.options import defaults
from osrd.model.errors import InvalidConfigError
from osrd.parse.classicini import LARGEST, read_classic_ini


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither the machine's nor the user's real files."""
    monkeypatch.setattr(options, "SYSTEM", str(tmp_path / "etc"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("COMOONICS_CDSL_CFG", "COMOONICS_CLUSTER_CFG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "etc").mkdir()
    (tmp_path / "home/.comoonics").mkdir(parents=True)
    return tmp_path


def test_without_files_there_are_no_defaults() -> None:
    assert defaults("com-mkcdsl", "cdsl") == {}


def test_the_later_file_wins(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (places / "etc/cdsl.cfg").write_text("[com-mkcdsl]\nroot = /1\nmountpoint = /1\nbackup = yes\n")
    (places / "home/.comoonics/cdsl.cfg").write_text("[com-mkcdsl]\nroot = /2\nmountpoint = /2\n")
    (places / "named").write_text("[com-mkcdsl]\nroot = /3\n")
    monkeypatch.setenv("COMOONICS_CDSL_CFG", str(places / "named"))
    assert defaults("com-mkcdsl", "cdsl") == {"root": "/3", "mountpoint": "/2", "backup": "yes"}


def test_families_and_programs_are_apart(places: Path) -> None:
    (places / "etc/cdsl.cfg").write_text("[com-mkcdsl]\nroot = /1\n[com-rmcdsl]\nroot = /2\n")
    (places / "etc/cluster.cfg").write_text("[com-queryclusterconf]\nclusterconf: /c\n")
    assert defaults("com-rmcdsl", "cdsl") == {"root": "/2"}
    assert defaults("com-rmcdsl", "cluster") == {}
    assert defaults("com-queryclusterconf", "cluster") == {"clusterconf": "/c"}


def test_the_users_file_may_be_below_no_directory(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (places / "file").touch()
    monkeypatch.setenv("HOME", str(places / "file"))
    assert defaults("com-mkcdsl", "cdsl") == {}


def test_a_file_that_was_named_must_be_there(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMOONICS_CDSL_CFG", str(places / "gone"))
    with pytest.raises(InvalidConfigError, match=r"gone, named by \$COMOONICS_CDSL_CFG: cannot be read: No such file"):
        defaults("com-mkcdsl", "cdsl")


def test_a_directory_is_no_file(places: Path) -> None:
    (places / "etc/cdsl.cfg").mkdir()
    with pytest.raises(InvalidConfigError, match=r"etc/cdsl.cfg: cannot be read: Is a directory"):
        defaults("com-mkcdsl", "cdsl")


def test_dashes_are_underscores_as_in_names_of_options(places: Path) -> None:
    (places / "etc/cdsl.cfg").write_text("[com-mkcdsl]\nInventory-File = x\n")
    assert defaults("com-mkcdsl", "cdsl") == {"inventory_file": "x"}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"[a]\nx = 1\ny: 2\n", {"x": "1", "y": "2"}),
        (b"[a]\nx = 1 ; why\n", {"x": "1"}),
        (b"[a]\nx = 1;2#3 %(param0)s\n", {"x": "1;2#3 %(param0)s"}),
        (b'[a]\nx = ""\n', {"x": ""}),
        (b"[a]\nx =\n", {"x": ""}),
        (b"[a]\nx = 1\n  2\n", {"x": "1\n2"}),
        (b"[a]\nX = 1\nx = 2\n", {"x": "2"}),
        (b"[a]\nx = 1\n[b]\nx = 3\n[a]\nx = 2\n", {"x": "2"}),
        (b"[DEFAULT]\nx = 1\n[a]\ny = 2\n", {"x": "1", "y": "2"}),
        (b"\xef\xbb\xbf# c\r\n; c\r\n[a]\r\nx = 1\r\n", {"x": "1"}),
        (b"[a]\nx = \xff\n", {"x": "\udcff"}),
    ],
)
def test_the_grammar(text: bytes, values: dict[str, str]) -> None:
    assert read_classic_ini(text, "f")["a"] == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"# c\nx = 1\n", "f:2: this stands before the first section"),
        (b"[a]\nx = 1\nnothing\n", "f:3: this is no key = value"),
        (b"[a]\n= 1\n", "f:2: this is no key = value"),
        (b"\x7fELF\0\0\0", "f:1: this stands before the first section"),
        (b"[a]\n" + b"#" * LARGEST, f"f:1: the file has more than {LARGEST} bytes"),
    ],
)
def test_what_is_no_ini_file(text: bytes, message: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        read_classic_ini(text, "f")
    assert caught.value.message == message
    assert caught.value.fix
