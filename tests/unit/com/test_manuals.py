# SPDX-License-Identifier: GPL-3.0-or-later
"""Every com-* command has a manual page that names every option of its --help."""

import configparser
import re
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


def scripts() -> dict[str, str]:
    """Program -> module:function, as installed."""
    metadata = configparser.ConfigParser()
    metadata.read(REPOSITORY / "setup.cfg")
    lines = metadata["options.entry_points"]["console_scripts"].split("\n")
    pairs = (line.replace(" ", "").split("=") for line in lines if line)
    return {name: place for name, place in pairs if name.startswith("com-")}


def test_the_list_is_not_empty() -> None:
    assert "com-queryclusterconf" in scripts()


@pytest.mark.parametrize(("program", "place"), scripts().items())
def test_the_manual_names_every_option(program: str, place: str) -> None:
    module, function = place.split(":")
    code = f"import sys; from {module} import {function}; sys.argv = [{program!r}, '--help']; {function}()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    options = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", done.stdout)) - {f"-{program}"}
    assert {"-h", "--help", "-v" if "query" in program else "-r"} <= options
    page = (REPOSITORY / "man" / f"{program}.1").read_text().replace("\\-", "-")
    listed = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", re.sub(r"\\f[BIR]", " ", page)))
    assert options - listed == set()
