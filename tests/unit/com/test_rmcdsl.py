# SPDX-License-Identifier: GPL-3.0-or-later
"""com-rmcdsl: what it removes, and its exit statuses (spec/cdsl.md 3.1)."""

import pytest

from osrd.model.cdsl import Place, Removal
from osrd.model.errors import ConflictError
from tests.unit.com.world import Com, com

__all__ = ["com"]


@pytest.mark.parametrize(
    ("words", "removal"),
    [
        (["/var/lib"], Removal(others=Place.BESIDE)),
        (["-R", "/var"], Removal(recursive=True, others=Place.BESIDE)),
        (["-F", "/var/lib"], Removal(discard=True, others=Place.BESIDE)),
        (["--from", "node2", "/var/lib", "-f", "-S"], Removal("2", others=Place.BESIDE)),
    ],
)
def test_removal(com: Com, words: list[str], removal: Removal) -> None:
    ended = com.on_root("com-rmcdsl", *words)
    assert ended.status == 0, ended.err
    assert [call[2] for call in com.fake.calls] == [removal]


def test_what_the_caller_sees_stays(com: Com) -> None:
    com.fake.bound = "2"
    com.on_root("com-rmcdsl", "/var/lib")
    com.on_root("com-rmcdsl", "--from", "1", "/var/lib")
    com.on_root("com-rmcdsl", "-F", "/var/lib")
    assert [call[2].winner for call in com.fake.calls] == ["2", "1", ""]


def test_without_words_nothing_is_done(com: Com) -> None:
    ended = com.on_root("com-rmcdsl")
    assert (ended.status, ended.out, ended.err) == (0, "", "")


def test_exit_statuses(com: Com) -> None:
    assert com.on_root("com-rmcdsl", "/etc").status == 1
    children = com.on_root("com-rmcdsl", "/var")
    assert children.status == 1
    assert "/var/lib" in children.err
    assert com.fake.calls == []
    com.fake.fails["remove"] = ConflictError("the copies of 1 and 2 differ")
    assert com.on_root("com-rmcdsl", "/var/lib").status == 2
    com.fake.known = None
    assert com.on_root("com-rmcdsl", "/var/lib").status == 2


def test_the_first_failure_ends_the_run(com: Com) -> None:
    assert com.on_root("com-rmcdsl", "/var/lib", "/gone", "/var").status == 1
    assert [call[1] for call in com.fake.calls] == ["/var/lib"]
