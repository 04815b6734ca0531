# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node sees of a shared root: its tree is mounted at the link for real, and everything is read by name."""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from osrd.apply.mounts import keep
from osrd.model.cdsl import INVENTORY, WORK, Layout

#: ("directory", mode), ("file", content, mode) or ("link", what is at its end)
Item = tuple[object, ...]
View = dict[str, Item]


def seen_by(root: Path, layout: Layout, node: str, cdsls: Collection[str]) -> View:
    """Public path to item. The links of ``cdsls`` are no items: a node cannot tell them from what they mean."""
    keep(str(root), layout, node)
    try:
        return dict(_walk(root, "", {layout.tree.split("/")[0], layout.link, WORK, INVENTORY}, set(cdsls)))
    finally:
        keep(str(root), layout, "")


def _walk(root: Path, public: str, skip: set[str], cdsls: set[str]) -> Iterator[tuple[str, Item]]:
    directory = root / public
    for name in sorted(os.listdir(directory)):
        path = f"{public}/{name}" if public else name
        if path in skip:
            continue
        place = root / path
        if path in cdsls:
            place = place.parent / os.readlink(place)
        status = place.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            yield path, ("link", _end(place))
        elif stat.S_ISDIR(status.st_mode):
            yield path, ("directory", mode)
            yield from _walk(root, path, set(), cdsls)
        else:
            yield path, ("file", place.read_bytes(), mode)


def _end(link: Path) -> object:
    if not link.exists():
        return None
    return link.read_bytes() if link.is_file() else "directory"
