# SPDX-License-Identifier: GPL-3.0-or-later
"""com-mkcdslinfrastructure: options of generations 1 and 2 (spec/cdsl.md 0, 1.1)."""

import pytest

from osrd.model.cdsl import Layout
from tests.unit.com.world import Com, com

__all__ = ["com"]


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ([], ("init", Layout(), 0, True)),
        (["-V", "-q"], ("init", Layout(), 0, True)),
        (["-M", "2"], ("init", Layout(), 2, True)),
        (["--maxnodeidnum=2"], ("init", Layout(), 2, True)),
        (["-m", "2"], ("init", Layout(), 2, True)),  # generation 1
        (["-N"], ("init", Layout(), 0, False)),
        (["-t", ".t", "-s", ".s", "-L", "/.l", "-p", "n"], ("init", Layout(".t", ".s", ".l", prefix="n"), 0, True)),
        (
            ["--cdsltree", ".t", "--cdsltreeShared", ".s", "--cdslLink", ".l", "--nodePrefix", "n"],
            ("init", Layout(".t", ".s", ".l", prefix="n"), 0, True),
        ),
        (["-l", ".cdsl_inventory.xml"], ("init", Layout(), 0, True)),
    ],
)
def test_creation(com: Com, words: list[str], call: tuple[object, ...]) -> None:
    ended = com.on_root("com-mkcdslinfrastructure", *words)
    assert (ended.status, ended.out) == (0, ""), ended.err
    assert com.fake.calls == [call]


def test_a_cluster_conf_that_was_named(com: Com) -> None:
    file = com.root / "other.conf"
    file.write_text(
        "<cluster name='x' config_version='1'>"
        "<clusternodes><clusternode name='n' nodeid='7'/></clusternodes></cluster>"
    )
    com.on_root("com-mkcdslinfrastructure", "-c", str(file))
    assert com.fake.members.ids == ("7",)
    assert com.on_root("com-mkcdslinfrastructure", "-c", "/nonexistent").status == 1


def test_settings_are_told(com: Com) -> None:
    """Initrds of generation 2 ask here."""
    for words in (["--get", "tree"], ["--get=tree"], ["--get", "cdsltree"]):
        assert com.on_root("com-mkcdslinfrastructure", *words).out == "cluster/cdsl\n"
    assert "link: cdsl.local\n" in com.on_root("com-mkcdslinfrastructure", "--list").out
    assert com.fake.calls == []


def test_an_inventory_alone_is_refused(com: Com) -> None:
    assert com.on_root("com-mkcdslinfrastructure", "-C").status == 1
    assert com.fake.calls == []


@pytest.mark.parametrize("words", [["word"], ["-M", "-1"], ["-M", "100000"]])
def test_usage_errors(com: Com, words: list[str]) -> None:
    assert com.on_root("com-mkcdslinfrastructure", *words).status == 2
