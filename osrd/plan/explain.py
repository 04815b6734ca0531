# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as people and scripts read it: one line per action, on demand with unified diffs."""

from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from itertools import islice, takewhile
from typing import Literal

from osrd.model.plan import Action, Adopt, Forget, Plan, ReloadService, Remove, Write
from osrd.model.view import PlannedAction, PlanView

#: Bytes of diff for one file, and for a whole plan: a reply must fit into one bus message whatever changed.
FILE_LIMIT = 64 * 1024
PLAN_LIMIT = 4 * 1024 * 1024
#: Lines between the first and the last difference; difflib is quadratic in the worst case.
_LINES_LIMIT = 4000
_CONTEXT = 3

Opcode = tuple[Literal["replace", "delete", "insert", "equal"], int, int, int, int]
Read = Callable[[str], bytes | None]


def explain(plan: Plan, before: Read, after: Read, *, diff: bool) -> PlanView:
    """``before`` and ``after`` give the content at a path now and then, None where there is none or it is not text
    that osrd holds. Without ``diff`` neither is called."""
    actions = []
    budget = PLAN_LIMIT
    for action in plan.actions:
        text = ""
        if diff and budget > 0 and isinstance(action, Write | Remove):
            text = _difference(action, before, after)
            budget -= len(text)
        actions.append(_planned(action, text))
    return PlanView(plan.digest, tuple(actions))


def _planned(action: Action, diff: str) -> PlannedAction:
    match action:
        case Write(output, reason):
            return PlannedAction("write", output.path, reason, output.node, diff)
        case Adopt(output):
            return PlannedAction("adopt", output.path, "identical content is there already", output.node)
        case Remove(published, reason):
            return PlannedAction("remove", published.path, reason, published.node, diff)
        case Forget(published):
            return PlannedAction("forget", published.path, "gone, or no longer osrd's", published.node)
        case ReloadService(service, reason):
            return PlannedAction("reload", service, reason)


def _difference(action: Write | Remove, before: Read, after: Read) -> str:
    path = action.output.path if isinstance(action, Write) else action.published.path
    old = before(path) or b""
    new = (after(path) or b"") if isinstance(action, Write) else b""
    return text_difference(path, old, new)


def text_difference(path: str, old: bytes, new: bytes) -> str:
    """A unified diff of two contents of ``path``; "" when they are equal or one of them is no text (UTF-8, no NUL).

    Longer than FILE_LIMIT it is cut at a line and says how much is missing.
    """
    if old == new or b"\0" in old or b"\0" in new:
        return ""
    try:
        old_lines, new_lines = old.decode().splitlines(keepends=True), new.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return ""
    head, tail = _common_ends(old_lines, new_lines)
    header = f"--- {path}\n+++ {path}\n"
    if max(len(old_lines), len(new_lines)) - head - tail > _LINES_LIMIT:
        return f"{header}@@ too different to compare: {len(old_lines)} lines become {len(new_lines)} @@\n"
    return header + _cut(list(_hunks(old_lines, new_lines, head, tail)))


def _common_ends(old: list[str], new: list[str]) -> tuple[int, int]:
    """How many lines both lists share at the beginning, and how many of the others at the end: one changed
    reservation among 10,000 must not cost a comparison of all."""
    head = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    rest = min(len(old), len(new)) - head
    pairs = islice(zip(reversed(old), reversed(new), strict=False), rest)
    return head, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


class _Compared(SequenceMatcher[str]):
    """A comparison whose outcome is known: only the grouping into hunks is still to be done."""

    def __init__(self, opcodes: list[Opcode]) -> None:
        super().__init__()
        self._outcome = opcodes

    def get_opcodes(self) -> list[Opcode]:
        return self._outcome


def _hunks(old: list[str], new: list[str], head: int, tail: int) -> Iterator[str]:
    """The lines of a unified diff. Only the middles are compared; the shared ends are put back as what they are before
    hunks are cut out, since patch(1) takes a hunk with little context at its end for the end of the file."""
    matcher = SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False)
    middle: list[Opcode] = [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in matcher.get_opcodes()]
    ends = len(old) - tail, len(old), len(new) - tail, len(new)
    whole = _Compared([("equal", 0, head, 0, head), *middle, ("equal", *ends)])
    for group in whole.get_grouped_opcodes(_CONTEXT):
        yield f"@@ -{_range(group[0][1], group[-1][2])} +{_range(group[0][3], group[-1][4])} @@\n"
        for tag, a, b, c, d in group:
            if tag == "equal":
                yield from (_terminated(f" {line}") for line in old[a:b])
                continue
            yield from (_terminated(f"-{line}") for line in old[a:b])
            yield from (_terminated(f"+{line}") for line in new[c:d])


def _range(start: int, stop: int) -> str:
    """Lines ``start`` to ``stop`` (from 0, exclusive) in a hunk header; an empty range names the line before it."""
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _terminated(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _cut(lines: list[str]) -> str:
    total = 0
    for index, line in enumerate(lines):
        total += len(line)
        if total > FILE_LIMIT:
            return "".join(lines[:index]) + f"[{len(lines) - index} more lines]\n"
    return "".join(lines)
