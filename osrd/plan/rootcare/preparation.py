# SPDX-License-Identifier: GPL-3.0-or-later
"""From findings to an ordered list of changes: what is edited first, what becomes a CDSL, what then differs."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from osrd.model.rootcare import (
    Change,
    CommentOut,
    Fresh,
    Infrastructure,
    MakeDirectory,
    MakeHostDependent,
    MakeShared,
    Remark,
    Renew,
    RenewKey,
    Repair,
    Write,
)
from osrd.plan.rootcare.identity import word
from osrd.plan.rootcare.lines import commented
from osrd.plan.rootcare.services import keep_network_manager
from osrd.plan.rootcare.view import Root, upwards

#: the findings about what each node must have of its own
IDENTITY_CODES = frozenset({"root-hostname", "root-sysconfig-network", "root-ssh-key", "root-stale-state"}) | {
    f"root-{word(fresh)}" for fresh in Fresh
}


@dataclass(frozen=True, slots=True)
class Preparation:
    """Three stages: edits while each file still has the copies that it has now, so that all later copies are made of
    the right content; CDSLs, parents before what is below them; content that is each node's own."""

    edits: tuple[Change, ...] = ()
    cdsls: tuple[Change, ...] = ()
    contents: tuple[Change, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        return (*self.edits, *self.cdsls, *self.contents)


def prepare(
    root: Root, remarks: Iterable[Remark], only: Collection[str] = (), *, keep_networkmanager: bool = False
) -> Preparation:
    """What to do about ``remarks``; with ``only`` about the findings of these codes."""
    changes: dict[object, Change] = {}
    for each in remarks:
        code = each.finding.code
        if only and code not in only:
            continue
        repairs = each.repairs
        if code == "root-networkmanager" and keep_networkmanager:
            repairs = keep_network_manager(root) or repairs
        for repair in repairs:
            for missing in _missing_directories(root, repair):
                _add(changes, code, missing)
            _add(changes, code, repair)
    finished = [Change(change.codes, _as_write(change.repair)) for change in changes.values()]
    cdsls = sorted((change for change in finished if _is_cdsl(change.repair)), key=_depth)
    others = [change for change in finished if not _is_cdsl(change.repair)]
    contents = tuple(change for change in others if _comes_last(root, change.repair))
    edits = sorted(
        (change for change in others if not _comes_last(root, change.repair)),
        key=lambda change: not isinstance(change.repair, MakeDirectory),
    )
    return Preparation(tuple(edits), tuple(cdsls), contents)


def _missing_directories(root: Root, repair: Repair) -> list[MakeDirectory]:
    """Those above a new file, the topmost first."""
    if not isinstance(repair, Write) or repair.was is not None or _comes_last(root, repair):
        return []
    above = list(upwards(repair.path))[1:]
    return [MakeDirectory(path, node=repair.node) for path in reversed(above) if not root.has(path)]


def _add(changes: dict[object, Change], code: str, repair: Repair) -> None:
    """Lines of one file that several findings are about are one edit; a repair that two want is one, too."""
    key: object = (repair.path, repair.node) if isinstance(repair, CommentOut) else repair
    known = changes.get(key)
    if known is None:
        changes[key] = Change((code,), repair)
        return
    codes = known.codes if code in known.codes else (*known.codes, code)
    both = known.repair
    if isinstance(repair, CommentOut) and isinstance(both, CommentOut):
        lines = tuple(sorted({*both.lines, *repair.lines}))
        changes[key] = Change(codes, CommentOut(repair.path, repair.was, lines, repair.node))
    else:
        changes[key] = Change(codes, both)


def _as_write(repair: Repair) -> Repair:
    if not isinstance(repair, CommentOut):
        return repair
    return Write(repair.path, repair.was, commented(repair.was, repair.lines), node=repair.node)


def _is_cdsl(repair: Repair) -> bool:
    return isinstance(repair, Infrastructure | MakeHostDependent | MakeShared)


def _depth(change: Change) -> int:
    repair = change.repair
    return repair.path.count("/") if isinstance(repair, MakeHostDependent | MakeShared) else -1


def _comes_last(root: Root, repair: Repair) -> bool:
    """Whether it needs a copy that only exists once its path is a CDSL, or makes content that no copy may have."""
    if isinstance(repair, Renew | RenewKey):
        return True
    node = getattr(repair, "node", "")
    return bool(node) and not root.is_host_dependent(getattr(repair, "path", ""))
