# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as people and scripts read it: one line per action, on demand with unified diffs."""

from collections.abc import Callable
from difflib import unified_diff
from itertools import islice, takewhile

from osrd.model.plan import Action, Adopt, Forget, Plan, ReloadService, Remove, Write
from osrd.model.view import PlannedAction, PlanView

#: Bytes of diff for one file, and for a whole plan: a reply must fit into one bus message whatever changed.
FILE_LIMIT = 64 * 1024
PLAN_LIMIT = 4 * 1024 * 1024
#: Lines between the first and the last difference; difflib is quadratic in the worst case.
_LINES_LIMIT = 4000
_CONTEXT = 3

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
    shift, old_lines, new_lines = _without_common_ends(old_lines, new_lines)
    header = f"--- {path}\n+++ {path}\n"
    if max(len(old_lines), len(new_lines)) > _LINES_LIMIT:
        return f"{header}@@ too different to compare: {len(old_lines)} lines become {len(new_lines)} @@\n"
    body = [_terminated(line) for line in islice(unified_diff(old_lines, new_lines, n=_CONTEXT), 2, None)]
    body = [_shifted(line, shift) if line.startswith("@@") else line for line in body]
    return header + _cut(body)


def _without_common_ends(old: list[str], new: list[str]) -> tuple[int, list[str], list[str]]:
    """Both lists without the lines they share at either end, except for the context of a diff, and how many lines
    went at the beginning: one changed reservation among 10,000 must not cost a comparison of all."""
    shortest = min(len(old), len(new))
    head = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    tail = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reversed(old), reversed(new), strict=False)))
    tail = max(0, min(tail, shortest - head) - _CONTEXT)
    head = max(0, head - _CONTEXT)
    return head, old[head : len(old) - tail], new[head : len(new) - tail]


def _shifted(hunk: str, lines: int) -> str:
    """The hunk header ``@@ -1,3 +1,4 @@`` with both line numbers raised by ``lines``."""
    if not lines:
        return hunk
    _, old, new, _ = hunk.split(" ", 3)
    return f"@@ {_raised(old, lines)} {_raised(new, lines)} @@\n"


def _raised(part: str, lines: int) -> str:
    start, comma, count = part[1:].partition(",")
    return f"{part[0]}{int(start) + lines}{comma}{count}"


def _terminated(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _cut(lines: list[str]) -> str:
    total = 0
    for index, line in enumerate(lines):
        total += len(line)
        if total > FILE_LIMIT:
            return "".join(lines[:index]) + f"[{len(lines) - index} more lines]\n"
    return "".join(lines)
