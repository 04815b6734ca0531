# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for people: actions and unified diffs."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.output import Kind, Output, Service, Stage
from osrd.model.plan import Plan, Reason, ReloadService, Write
from osrd.plan.explain import FILE_LIMIT, explain, text_difference

WRITE = Write(Output("/m", Kind.GRUB, Stage.MENU, "1", "n1"), Reason.CHANGED)


def test_actions_without_diffs_read_nothing() -> None:
    def fail(path: str) -> bytes:
        raise AssertionError(path)

    plan = Plan((WRITE, ReloadService(Service.DHCP, Reason.OWED)))
    view = explain(plan, fail, fail, diff=False)
    assert view.digest == plan.digest
    assert [(a.action, a.target, a.reason, a.node, a.diff) for a in view.actions] == [
        ("write", "/m", "changed", "n1", ""),
        ("reload", "dhcp", "owed", "", ""),
    ]


def test_a_diff_names_the_path() -> None:
    view = explain(Plan((WRITE,)), lambda path: b"a\nb\n", lambda path: b"a\nc\n", diff=True)
    assert view.actions[0].diff == "--- /m\n+++ /m\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"


def test_one_line_among_many_is_quick_and_has_the_right_numbers() -> None:
    lines = [b"host %d\n" % number for number in range(20_000)]
    new = [*lines[:9999], b"changed\n", *lines[10_000:]]
    diff = text_difference("/hosts", b"".join(lines), b"".join(new))
    assert "@@ -9997,7 +9997,7 @@" in diff
    assert len(diff.splitlines()) == 11


@pytest.mark.parametrize("content", [b"\0binary", b"\xff\xfe"])
def test_no_diff_of_binaries(content: bytes) -> None:
    assert text_difference("/k", b"text\n", content) == ""


def test_diffs_are_capped() -> None:
    old = b"".join(b"old line number %d\n" % number for number in range(3900))
    diff = text_difference("/m", old, b"")
    assert len(diff) < FILE_LIMIT + 200
    assert diff.endswith("more lines]\n")
    assert "too different" in text_difference("/m", old * 3, b"other\n" * 9000)


@pytest.mark.needs("patch")
@given(
    old=st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30),
    new=st.lists(st.sampled_from(["a", "d"]), max_size=9),
)
def test_patch_understands_the_diffs(old: list[str], new: list[str]) -> None:
    before = "".join(f"{line}\n" for line in old)
    after = "".join(f"{line}\n" for line in [*old[: len(old) // 2], *new, *old[len(old) // 2 :]])
    diff = text_difference("/m", before.encode(), after.encode())
    if not diff:
        assert before == after
        return
    file = Path(f"/tmp/osrd-explain-{os.getpid()}")
    file.write_text(before)
    try:
        subprocess.run(["patch", "-s", str(file)], input=diff, text=True, check=True)
        assert file.read_text() == after
    finally:
        file.unlink(missing_ok=True)
