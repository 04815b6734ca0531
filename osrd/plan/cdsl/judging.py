# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the links of CDSLs lead where they should, judged without the bind mount (spec/cdsl.md 2.6, 6.1 no. 28)."""

from enum import StrEnum

from osrd.model.cdsl import FileKind
from osrd.model.layout import within
from osrd.plan.cdsl.index import Index, below, join
from osrd.plan.cdsl.links import aim
from osrd.plan.cdsl.sight import Sight


class Verdict(StrEnum):
    RIGHT = "right"
    AT_ROOT = "right only when the file system is mounted at /"
    WRONG = "wrong"


def has_old_link(index: Index, sight: Sight) -> bool:
    """Whether the link is a directory that the bind mount goes to directly, as older layouts have it."""
    seen = sight(index.layout.link)
    return seen is not None and seen.kind is FileKind.DIRECTORY


def judge(index: Index, place: str, text: str, target: str, *, old_link: bool) -> Verdict:
    """What a symlink at ``place`` is worth that should lead to ``target``.

    Nodes reach what is in their tree through the link, where it may be at another depth than physically; ``..`` at
    ``/`` stays there. Links of older generations live on that, and are wrong under any prefix.
    """
    layout = index.layout
    physically = aim(place, text)
    seen_at = place
    if within(place, layout.tree):
        rest = below(place, layout.tree).partition("/")[2]
        seen_at = join(layout.link if old_link else layout.mount_point, rest)
    if not _same(index, aim(seen_at, text).path, target):
        return Verdict.WRONG
    is_right = _same(index, physically.path, target) and not physically.only_at_root
    return Verdict.RIGHT if is_right else Verdict.AT_ROOT


def _same(index: Index, path: str, target: str) -> bool:
    """The mount point is another name of the link."""
    layout = index.layout
    if within(path, layout.mount_point):
        path = join(layout.link, below(path, layout.mount_point))
    return path == target
