# SPDX-License-Identifier: GPL-3.0-or-later
"""com-mkcdsl: types that stick, paths and nodes (spec/cdsl.md 2)."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from osrd.model.cdsl import ChildRepository
from osrd.model.errors import ConflictError
from tests.unit.com.world import Com, com
from tests.unit.fake_root import INVENTORY, FakeRoot

__all__ = ["com"]

Calls = list[tuple[object, ...]]
GRAMMAR: list[tuple[list[str], Calls]] = [
    (["-a", "/var"], [("make", "/var", ())]),
    (["--hostdependent", "/var"], [("make", "/var", ())]),
    (["-s", "/var/lib"], [("share", "/var/lib", "")]),
    (
        ["-a", "/a", "/b", "-s", "/c", "/d"],
        [*(("make", p, ()) for p in ("/a", "/b")), ("share", "/c", ""), ("share", "/d", "")],
    ),
    (["-s", "-a", "/a"], [("make", "/a", ())]),
    (["-a", "-q", "/a", "-b", "-s", "/b"], [("make", "/a", (), "orig"), ("share", "/b", "", "orig")]),
    (["-qa", "/a"], [("make", "/a", ())]),
    (["-a", "/a", "1", "2", "/b", "2"], [("make", "/a", ("1", "2")), ("make", "/b", ("2",))]),
    (["-a", "/a", "node2"], [("make", "/a", ("2",))]),
    (["-s", "/a", "--from", "node1"], [("share", "/a", "1")]),
    (["-a", "--", "-odd", "/x"], [("make", "CWD/-odd", ()), ("make", "/x", ())]),
    (["-a", "/a", "-S", "-u", "-f"], [("make", "/a", ())]),
]


@pytest.mark.parametrize(("words", "calls"), GRAMMAR, ids=[" ".join(words) for words, _ in GRAMMAR])
def test_the_grammar(
    com: Com, words: list[str], calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = com.on_root("com-mkcdsl", *words)
    assert ended.status == 0, ended.err
    assert com.fake.calls == [
        tuple(str(word).replace("CWD", str(tmp_path)) if isinstance(word, str) else word for word in call)
        for call in calls
    ]


def test_without_words_nothing_is_done_and_nothing_said(com: Com) -> None:
    ended = com.on_root("com-mkcdsl")
    assert (ended.status, ended.out, ended.err) == (0, "", "")
    assert com.fake.opened == []


@pytest.mark.parametrize("words", [["/var"], ["/var", "-a"], ["-a"], ["-a", "-s"], ["-x", "/var"]])
def test_usage_errors(com: Com, words: list[str]) -> None:
    ended = com.on_root("com-mkcdsl", *words)
    assert ended.status == 2
    assert "Usage:" in ended.err
    assert com.fake.calls == []


def test_a_typo_is_no_node(com: Com) -> None:
    """Spec/cdsl.md 2.1: the original made a node directory of every word that was no file."""
    ended = com.on_root("com-mkcdsl", "-a", "/var", "3")
    assert ended.status == 1
    assert "3 is neither a path" in ended.err
    assert "nodes are: 1, 2" in ended.err
    assert com.fake.calls == []


def test_a_file_called_like_a_node_is_a_file(com: Com, monkeypatch: pytest.MonkeyPatch) -> None:
    (com.root / "etc/1").touch()
    monkeypatch.chdir(com.root / "etc")
    com.on_root("com-mkcdsl", "-a", "cluster", "1", "2")
    assert com.fake.calls == [("make", "/etc/cluster", ()), ("make", "/etc/1", ("2",))]


def test_some_nodes_cannot_share(com: Com) -> None:
    ended = com.on_root("com-mkcdsl", "-s", "/var/lib", "1")
    assert ended.status == 1
    assert com.fake.calls == []


def test_the_first_failure_ends_the_run(com: Com) -> None:
    com.fake.fails["make /b"] = ConflictError("/b is host-dependent already")
    assert com.on_root("com-mkcdsl", "-a", "/a", "/b", "/c").status == 1
    assert [call[1] for call in com.fake.calls] == ["/a", "/b"]


def test_paths_of_the_host_and_of_the_root(com: Com, monkeypatch: pytest.MonkeyPatch) -> None:
    link = com.root.parent / "link"
    link.symlink_to("root")
    com.on_root("com-mkcdsl", "-a", f"{com.root}/var")
    com("com-mkcdsl", "-r", str(link), "-a", f"{com.root}/var", f"{link}/var")
    monkeypatch.chdir(com.root / "etc")
    com.on_root("com-mkcdsl", "-a", "cluster", "../var")
    com("com-mkcdsl", "-r", str(link), "-a", "./cluster")
    assert [call[1] for call in com.fake.calls] == [
        *("/var", "/var", "/var"),
        *("/etc/cluster", "/etc/../var", "/etc/./cluster"),
    ]


def test_another_file_system_is_asked_itself(com: Com) -> None:
    """Spec/cdsl.md 1.6."""
    (com.root / "mnt/data").mkdir(parents=True)
    com.fake.known = replace(INVENTORY, repositories=(ChildRepository("mnt/data"),))
    com.on_root("com-mkcdsl", "-a", "/mnt/data/app", "/mnt/database")
    assert com.fake.calls == [("make", "/app", ()), ("make", "/mnt/database", ())]
    assert com.fake.opened == [str(com.root), f"{com.root}/mnt/data"]
    com.fake.calls.clear()
    com.fake.known = INVENTORY
    com.on_root("com-mkcdsl", "-m", "/mnt/data/", "-a", "/mnt/data/app", "/app")
    assert com.fake.calls == [("make", "/app", ()), ("make", "/app", ())]


def test_a_symlink_cannot_make_another_directory_a_file_system_of_the_root(com: Com) -> None:
    victim = com.root.parent / "victim"
    (victim / "data").mkdir(parents=True)
    (com.root / "mnt").symlink_to(victim)
    com.fake.known = replace(INVENTORY, repositories=(ChildRepository("mnt/data"),))
    for words in (["-a", "/mnt/data/app"], ["-m", "mnt/data", "-a", "/app"], ["-m", "../victim", "-a", "/app"]):
        ended = com.on_root("com-mkcdsl", *words)
        assert ended.status == 1
        assert "does not lead straight" in ended.err
    assert com.fake.calls == []


def test_a_directory_that_is_exchanged_meanwhile_is_not_worked_on(com: Com) -> None:
    (com.root / "mnt/data").mkdir(parents=True)
    (com.root / "victim").mkdir()

    class Exchanged(FakeRoot):
        @property
        def directory(self) -> os.stat_result:
            return os.stat(com.root / "victim")

    com.fake = Exchanged()
    ended = com.on_root("com-mkcdsl", "-m", "mnt/data", "-a", "/app")
    assert ended.status == 1
    assert com.fake.calls == []
