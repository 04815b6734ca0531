# SPDX-License-Identifier: GPL-3.0-or-later
"""A change as text, before it is done and in the record of it."""

import difflib
from collections.abc import Iterator

from osrd.model.rootcare import (
    Change,
    CommentOut,
    Infrastructure,
    Link,
    MakeDirectory,
    MakeHostDependent,
    MakeShared,
    Permit,
    Renew,
    RenewKey,
    Repair,
    SetAside,
    Write,
)
from osrd.plan.rootcare.clusterfile import SECRET
from osrd.plan.rootcare.lines import LARGEST


def headline(repair: Repair) -> str:
    """One line: what happens to what."""
    if isinstance(repair, Infrastructure):
        return "make the CDSL infrastructure: inventory, trees of the nodes, link"
    if isinstance(repair, MakeHostDependent | MakeShared):
        return f"make /{repair.path} {'shared' if isinstance(repair, MakeShared) else 'host-dependent'}"
    what = f"/{repair.path}{_of(repair.node)}"
    if isinstance(repair, Write):
        verb = "write" if repair.was is None else "edit" if repair.data else "empty"
        return f"{verb} {what}"
    return _other(repair, what)


def _other(repair: MakeDirectory | CommentOut | Link | SetAside | Permit | Renew | RenewKey, what: str) -> str:
    text = ""
    match repair:
        case MakeDirectory():
            text = f"make the directory {what} (mode {repair.mode:04o})"
        case CommentOut():
            text = f"edit {what}"
        case Link():
            text = f"link {what} to {repair.text}"
        case SetAside():
            text = f"move {what} away (to the backup)"
        case Permit():
            text = f"set the mode of {what} to {repair.mode:04o}"
        case Renew():
            text = f"write a new {repair.fresh} into {what}"
        case RenewKey():
            text = f"make a new {repair.algorithm} host key {what}"
    return text


def _of(node: str) -> str:
    return f" of {node}" if node else ""


def difference(repair: Repair) -> str:
    """The unified diff of an edit, "" for what has none. Passwords are not shown."""
    if not isinstance(repair, Write) or repair.secret or not (repair.was or repair.data):
        return ""
    name = f"{repair.path}{_of(repair.node)}"
    before, after = _text(repair.was or b""), _text(repair.data)
    parts = difflib.unified_diff(before, after, f"a/{name}" if repair.was is not None else "/dev/null", f"b/{name}")
    return "".join(_ended(parts))


def _text(data: bytes) -> list[str]:
    hidden = SECRET.sub(rb'\1"..."', data[:LARGEST])
    return hidden.decode(errors="surrogateescape").splitlines(keepends=True)


def _ended(parts: Iterator[str]) -> Iterator[str]:
    for part in parts:
        yield part if part.endswith("\n") else f"{part}\n\\ No newline at end of file\n"


def as_mapping(change: Change) -> dict[str, object]:
    """For scripts."""
    repair = change.repair
    return {
        "codes": change.codes,
        "action": _ACTIONS[type(repair)],
        "path": getattr(repair, "path", ""),
        "node": getattr(repair, "node", ""),
        "text": headline(repair),
        "diff": difference(repair),
    }


def action(repair: Repair) -> str:
    """The stable word for scripts and for the record."""
    return _ACTIONS[type(repair)]


_ACTIONS: dict[type, str] = {
    MakeDirectory: "make-directory",
    Write: "write",
    CommentOut: "write",
    Link: "link",
    SetAside: "set-aside",
    Permit: "permit",
    Infrastructure: "infrastructure",
    MakeHostDependent: "make-host-dependent",
    MakeShared: "make-shared",
    Renew: "renew",
    RenewKey: "renew-key",
}
