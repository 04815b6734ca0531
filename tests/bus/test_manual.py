# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual page of the bus is generated; the committed one is the current one, complete, and clean roff."""

import os
import re
import subprocess
import sys

import pytest

from osrd.bus import contract, image, manager, names, sharedroot
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "man/org.opensharedroot.Osrd1.5"


def test_the_committed_page_is_current() -> None:
    generator = [sys.executable, str(REPOSITORY / "packaging/bus_manual.py")]
    made = subprocess.run(generator, capture_output=True, text=True, check=True).stdout
    assert PAGE.read_text() == made, "run: python3 packaging/bus_manual.py > man/org.opensharedroot.Osrd1.5"


def test_every_member_is_explained() -> None:
    page = PAGE.read_text()
    for interface in contract.load().values():
        for name in (*interface.methods, *interface.properties, *interface.signals):
            _, found, rest = page.partition(rf"\fB{name}\fR")
            assert found, name
            text = rest.split("\n", 2)[1]
            assert not text.startswith("."), f"{interface.name}.{name} has no comment in its XML file"


def test_every_limited_method_that_only_reads_is_named() -> None:
    page = PAGE.read_text()
    limits = page[page.index(".SH AUTHORISATION") : page.index(".SH ERRORS")]
    actions = {name: method.action for each in contract.load().values() for name, method in each.methods.items()}
    limited = {
        name
        for methods in (manager.METHODS, sharedroot.METHODS, image.METHODS)
        for name, implementation in methods.items()
        if actions[name] == names.READ_ACTION and (implementation.charged or implementation.costly)
    }
    assert {"Plan", "ListImages", "GetLog"} <= limited
    assert {name for name in limited if not re.search(rf"\b{name}\b", limits)} == set()


@pytest.mark.needs("groff")
def test_the_page_is_clean() -> None:
    ran = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", str(PAGE)],
        env=os.environ | {"LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
