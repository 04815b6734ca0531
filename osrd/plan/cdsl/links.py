# SPDX-License-Identifier: GPL-3.0-or-later
"""Arithmetic of symlink texts, purely lexical: where a text leads from a place, and which text leads somewhere."""

from dataclasses import dataclass

from osrd.model.cdsl import CdslType
from osrd.model.layout import within
from osrd.plan.cdsl.index import Index, below, components, join, parent_path


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a link leads. ``only_at_root``: that depends on the file system being mounted at ``/``, since the text is
    absolute or climbs more directories than there are (at ``/``, ``..`` stays there)."""

    path: str
    only_at_root: bool = False


def link_text(location: str, destination: str) -> str:
    """The text of a symlink at ``location`` to ``destination``, both physical and relative to the root."""
    return "../" * (components(location) - 1) + destination


def aim(location: str, text: str) -> Aim:
    """Where a symlink with this text at ``location`` leads, inside the root."""
    parts = [] if text.startswith("/") else parent_path(location).split("/") if "/" in location else []
    only_at_root = text.startswith("/")
    for part in text.split("/"):
        if part == "..":
            only_at_root = only_at_root or not parts
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return Aim("/".join(parts), only_at_root)


def moved(index: Index, text: str, old_place: str, new_place: str, copied_from: str) -> str | None:
    """The text that a relative symlink needs after a copy of ``copied_from`` has taken it from ``old_place`` to
    ``new_place``, so that it means the same to every node; None when it can stay.

    What it means is a public path wherever possible: that one outlives later changes of what is a CDSL.
    """
    if text.startswith("/"):
        return None
    target = aim(old_place, text).path
    if within(target, copied_from):
        depth = components(old_place) - components(copied_from)
        root = new_place if depth == 0 else "/".join(new_place.split("/")[:-depth])
        wanted = join(root, below(target, copied_from)) if target != copied_from else root
        if aim(new_place, text).path == wanted:
            return None
        return (
            "../" * (depth - 1) + below(target, copied_from)
            if depth and target != copied_from
            else link_text(new_place, wanted)
        )
    wanted = _meaning(index, old_place, target)
    # Fewer directories above the new place than the text climbs: right at / only, and in no root under a prefix.
    now = aim(new_place, text)
    stays = now.path == wanted and (not now.only_at_root or aim(old_place, text).only_at_root)
    return None if stays else link_text(new_place, wanted) or "."


def _meaning(index: Index, place: str, target: str) -> str:
    """The path that stands for ``target`` on every node."""
    public = index.public_of(target)
    # The link of a CDSL itself leads from its public path to its data; the public path would lead back to the link.
    if public is not None and index.linked_at(place) is None:
        return public
    inside = index.split(target)
    if inside is None or inside[0] is CdslType.SHARED or not inside[1]:
        return target
    return join(index.layout.link, inside[2])
