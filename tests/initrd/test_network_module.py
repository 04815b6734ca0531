# SPDX-License-Identifier: GPL-3.0-or-later
"""The module osr-network, which decides in dracut up to 107 which network provider there is: its answers to dracut."""

import subprocess

import pytest

from tests.initrd.initramfs import SOURCES

_ASK = """
there=" $1 " dracutmodules=$2 add_dracutmodules=$3 force_add_dracutmodules=$4
require_binaries() { for name; do [[ $there == *" $name "* ]] || return 1; done; }
require_any_binary() { for name; do [[ $there != *" $name "* ]] || return 0; done; return 1; }
dfatal() { echo "$*"; }
. "$0"
check
echo "$? $(depends)"
"""
ALL = "dhclient arping"


def ask(there: str, *modules: str) -> list[str]:
    """What it says, and the status of check() with what it depends on."""
    argv = ["bash", "-c", _ASK, str(SOURCES / "osr-network/module-setup.sh"), there, *modules]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.parametrize(
    "modules",
    [
        ("osr", "", ""),
        ("base osr nfs", "", ""),
        ("auto", "osr", ""),
        ("auto", "", "osr osr-cluster"),
        ("auto", "", "osr"),
        ("auto", "osr-cluster", ""),
        ("auto", "crypt osr-gfs2", ""),
    ],
)
def test_it_comes_where_osr_is_asked_for(modules: tuple[str, str, str]) -> None:
    assert ask(ALL, *modules) == ["0 network-legacy"]


@pytest.mark.parametrize("modules", [("auto", "", ""), ("base nfs", "nosr", "osrx nosr-gfs2"), ("", "", "")])
def test_it_does_not_come_by_itself(modules: tuple[str, str, str]) -> None:
    """Nor does it complain of what the host's own initrd does not need."""
    assert ask("", *modules) == ["255 network-legacy"]


@pytest.mark.parametrize("there", ["", "dhclient", "arping", "arping2 arping"])
def test_it_says_what_the_provider_lacks(there: str) -> None:
    """network-legacy would be left out without a word."""
    (said, answer) = ask(there, "osr", "", "")
    assert answer.split()[0] == "1"
    assert "isc-dhcp-client, iputils-arping" in said


def test_either_arping_will_do() -> None:
    assert ask("dhclient arping2", "osr", "", "") == ["0 network-legacy"]
