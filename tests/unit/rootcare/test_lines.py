# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits by lines keep every byte that they are not about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.plan.rootcare.lines import assigned, assignment, commented, edited, lines

odd = st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"\r", b"#", b"=", b" ", b"\0", b"\x0c", b"\xff"])).map(b"".join)


@given(odd)
def test_lines_are_all_of_the_file(data: bytes) -> None:
    assert b"".join(lines(data)) == data
    assert edited(data, lambda line: line) == data
    assert commented(data, []) == data


@given(odd, st.sets(st.integers(1, 12)))
def test_only_the_chosen_lines_change(data: bytes, chosen: set[int]) -> None:
    before, after = lines(data), lines(commented(data, chosen))
    assert len(before) == len(after)
    for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
        assert new == (b"# " + old if number in chosen else old)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"KEY=value", ("KEY", "value")),
        (b'  KEY = "a b" # note', ("KEY", "a b")),
        (b"KEY='x'", ("KEY", "x")),
        (b"KEY=a#b # c", ("KEY", "a#b")),
        (b"KEY=", ("KEY", "")),
        (b"#KEY=x", ("", "")),
        (b"no assignment", ("", "")),
        (b'KEY="open', ("KEY", "open")),
    ],
)
def test_assignments(line: bytes, expected: tuple[str, str]) -> None:
    assert assignment(line) == expected


def test_the_last_assignment_counts_and_has_its_line() -> None:
    assert assigned(b"A=1\n\nA=2\r\nB=3") == {"A": ("2", 3), "B": ("3", 4)}
