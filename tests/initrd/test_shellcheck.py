# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell scripts of the dracut modules: what runs in an initrd is for dash and busybox sh."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.initrd.initramfs import RIG, SOURCES

SCRIPTS = sorted(SOURCES.glob("osr*/*.sh"))
IN_THE_IMAGE = [path for path in SCRIPTS if path.name != "module-setup.sh"]


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.needs("shellcheck")
def test_shellcheck() -> None:
    argv = ["shellcheck", "-x", *map(str, SCRIPTS), *map(str, sorted(RIG.glob("*.sh")))]
    done = subprocess.run(argv, cwd=SOURCES.parents[1], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", IN_THE_IMAGE, ids=name)
def test_what_is_in_the_image(path: Path) -> None:
    """Read as dash's language, by two shells, and executable: osrd and make install keep modes."""
    text = path.read_text()
    assert text.startswith("#!/bin/sh\n")
    assert "\n# shellcheck shell=dash" in text
    assert path.stat().st_mode & 0o111
    for shell in (["dash"], ["busybox", "sh"]):
        assert subprocess.run([*shell, "-n", str(path)], check=False).returncode == 0


@pytest.mark.parametrize("path", IN_THE_IMAGE, ids=name)
def test_every_variable_of_a_function_is_local(path: Path) -> None:
    """Hooks are sourced by dracut's shell: what is not local would be a variable of its."""
    ours = re.compile(r"^(osr_\w+|IFS|root|netroot|rootok|rflags|main_loop|NEWROOT|PATH)$")
    for body in re.findall(r"^osr_\w+\(\) \{\n(.*?)^\}", path.read_text(), re.MULTILINE | re.DOTALL):
        known = {word.split("=")[0] for line in re.findall(r"\blocal (.*)", body) for word in line.split()}
        known |= {match for match in re.findall(r"\bfor (\w+) in", body) if f"local {match}" in body}
        for variable in re.findall(r"^\s+(?:if |while |until )?(\w+)=(?!\*)", body, re.MULTILINE):
            assert variable in known or ours.match(variable), f"{variable} in\n{body}"
