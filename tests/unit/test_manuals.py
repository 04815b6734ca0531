# SPDX-License-Identifier: GPL-3.0-or-later
"""The manuals: a page for everything that is installed, clean roff, and nothing named that is not there."""

import configparser
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from osrd.cli.main import osrctl
from tests.conftest import REPOSITORY

PAGES = sorted((REPOSITORY / "man").iterdir())
NAMES = {(page.stem, page.suffix[1:]) for page in PAGES}
DOCUMENTS = [*PAGES, *(REPOSITORY / name for name in ("README.md", "SECURITY.md", "HACKING.md"))]
#: pages of ours by their names, whether they exist or not
OURS = re.compile(r"osr.*|com-.*|cluster\.conf\.osr|org\.opensharedroot.*")


def plain(page: Path) -> str:
    """The text without roff: fonts, escapes, and the quotes of arguments that belong together."""
    text = page.read_text()
    if page.suffix == ".md":
        return text.replace("`", "")
    text = re.sub(r"\\f(?:\[\w*\]|\(..|.)", "", text).replace("\\-", "-").replace("\\&", "").replace("\\ ", " ")
    lines = []
    for line in text.splitlines():
        macro, _, rest = line.partition(" ")
        if macro in (".BR", ".RB", ".IR", ".RI", ".BI", ".IB"):
            joined = re.sub(r'"([^"]*)"|(\S+)|\s+', lambda found: found[1] or found[2] or "", rest)
            lines.append(joined)
        elif macro in (".B", ".I", ".SS", ".SH", ".IP"):
            lines.append(rest.replace('"', ""))
        elif not line.startswith((".", "'")):
            lines.append(line)
        else:
            lines.append("")
    return "\n".join(lines)


ALL = "\n".join(map(plain, PAGES))


def test_every_program_has_a_page() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(REPOSITORY / "setup.cfg")
    lines = metadata["options.entry_points"]["console_scripts"].split("\n")
    programs = {line.partition("=")[0].strip() for line in lines if line.strip()}
    assert len(programs) > 5
    assert programs - {stem for stem, section in NAMES if section in ("1", "8")} == set()


def installed() -> Iterator[str]:
    """What of data/ a page must name: files, and of a dracut module its directory."""
    for path in sorted((REPOSITORY / "data").rglob("*")):
        where = path.relative_to(REPOSITORY / "data")
        if where.parts[0] == "dracut":
            if path.is_dir():
                yield path.name
        elif path.is_file() and not path.name.endswith("~"):
            yield path.name.removesuffix(".example")


@pytest.mark.parametrize("name", sorted(set(installed())))
def test_every_file_that_is_installed_is_in_a_page(name: str) -> None:
    assert re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", ALL), f"no page says what {name} is"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.needs("groff", "man")
def test_the_page_is_clean(page: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MANROFFSEQ": ""}
    for argv in (
        ["groff", "-man", "-Tutf8", "-ww", "-z", str(page)],
        ["man", "--warnings", "-E", "UTF-8", "-l", str(page)],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), argv
    title = re.search(r'^\.TH "?([^ "]+)"? (\d)', page.read_text(), re.M)
    assert title, "no title"
    assert (title[1].replace("\\-", "-").lower(), title[2]) == (page.stem.lower(), page.suffix[1:])


def test_every_page_of_ours_that_is_named_exists() -> None:
    wrong = set()
    for document in DOCUMENTS:
        for name, section in re.findall(r"([A-Za-z][\w.-]*) ?\((\d)\)", plain(document)):
            if OURS.fullmatch(name) and (name, section) not in NAMES:
                wrong.add(f"{document.name}: {name}({section})")
    assert wrong == set()


def commands(group: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, (*words, name))


def test_every_command_of_osrctl_that_is_named_exists() -> None:
    known = set(commands(osrctl))
    groups = {words[:1] for words in known if len(words) > 1}
    wrong = set()
    for document in DOCUMENTS:
        for found in re.findall(r"\bosrctl ((?:--json )?[a-z]+(?: [a-z]+)?)", plain(document)):
            words = tuple(word for word in found.split() if word != "--json")
            wanted = words if words[:1] in groups else words[:1]
            if wanted not in known and words[0] not in _PROSE:
                wrong.add(f"{document.name}: osrctl {' '.join(words)}")
    assert wrong == set()


def test_no_group_of_commands_is_called_as_a_command() -> None:
    known = set(commands(osrctl))
    groups = {words for words in known if any(other[: len(words)] == words != other for other in known)}
    wrong = set()
    for document in DOCUMENTS:
        for found in re.findall(r"\bosrctl ([a-z]+(?: [a-z]+)*) [A-Z]", plain(document)):
            if tuple(found.split()) in groups:
                wrong.add(f"{document.name}: osrctl {found}")
    assert wrong == set()


#: words that come after the name of the program in sentences
_PROSE = frozenset(("and", "come", "did", "does", "is", "needs", "waits"))


def test_every_finding_that_troubleshooting_names_exists() -> None:
    text = (REPOSITORY / "man/osr-troubleshooting.7").read_text()
    source = "\n".join(path.read_text() for path in (REPOSITORY / "osrd").rglob("*.py"))
    source += "\n".join(path.read_text() for path in (REPOSITORY / "data/dracut").rglob("*.sh"))
    set_in_bold = re.findall(r"^\.(?:B|RB|BR|SS)\b(.*)$", text, re.M)
    codes = {
        word.replace("\\-", "-")
        for line in set_in_bold
        for word in re.findall(r"(?<![\w\\./-])[a-z]+(?:\\-[a-z]+)+(?![\w\\/.]| \()", line)
    }
    assert {"firewall-blocks", "state-unusable", "dhcp-not-running"} <= codes
    assert {code for code in codes if code not in source} == set()


def test_security_explains_the_capabilities_that_the_units_have() -> None:
    text = (REPOSITORY / "SECURITY.md").read_text()
    for unit in sorted(path.name for path in (REPOSITORY / "data/systemd").glob("*.service")):
        lines = (REPOSITORY / "data/systemd" / unit).read_text().splitlines()
        allowed = [line.partition("=")[2].split() for line in lines if line.startswith("CapabilityBoundingSet=")]
        table = text[text.index(f"| of {unit} |") :].partition("\n\n")[0]
        assert set(re.findall(r"CAP_[A-Z_]+", table)) == {name for names in allowed for name in names}, unit
