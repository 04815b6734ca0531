# SPDX-License-Identifier: GPL-3.0-or-later
"""CDSLs found on the disk alone: data in the trees with a link that leads to it.

Only directories that hold data of CDSLs are listed, never what is in the data itself: where the data of a nested CDSL
can be follows from the ones around it. So the work grows with the number of CDSLs, not of files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from osrd.model.cdsl import MOUNT_POINT, Cdsl, CdslType, FileKind, Inventory, Layout, MarkerStyle
from osrd.model.layout import machinery_mistake
from osrd.plan.cdsl.index import Index, index_of, join, parent_path
from osrd.plan.cdsl.judging import Verdict, has_old_link, judge
from osrd.plan.cdsl.restoring import outermost_first
from osrd.plan.cdsl.sight import Look, Names, Sight

#: directory entries looked at in one search; more are no CDSLs but somebody's files
_MOST_ENTRIES = 200_000


def rebuild(look: Look, names: Names, layout: Layout, when: str) -> Inventory:
    """The inventory that the disk tells of. Timestamps are ``when``; the marker style is the one that finds more.

    The disk does not tell ``maxnodeidnum``: it is 0, so that cluster.conf counts. CDSLs whose links are all gone are
    not found.
    """
    sight = Sight(look)
    styles = (layout.style, next(style for style in MarkerStyle if style is not layout.style))
    found = [_rebuilt(sight, names, replace(layout, style=style), when) for style in styles]
    return max(found, key=lambda inventory: len(inventory.cdsls))


def _rebuilt(sight: Sight, names: Names, layout: Layout, when: str) -> Inventory:
    trees = node_trees(layout, sight, names)
    numbered = all(tree.removeprefix(layout.prefix).isdecimal() for tree in trees if tree != layout.default)
    inventory = Inventory(layout, use_nodeids=numbered)
    while found := unregistered(index_of(inventory), trees, sight, names):
        added = tuple(replace(cdsl, timestamp=when) for cdsl in found)
        inventory = replace(inventory, cdsls=(*inventory.cdsls, *added))
    return replace(inventory, cdsls=tuple(outermost_first(inventory.cdsls)))


def node_trees(layout: Layout, sight: Sight, names: Names) -> tuple[str, ...]:
    """All trees that are there, the template among them."""
    if not _is_directory(sight, layout.tree):
        return ()
    return tuple(
        name for name in names(layout.tree) if name != MOUNT_POINT and _is_directory(sight, layout.node_tree(name))
    )


def _is_directory(sight: Sight, path: str) -> bool:
    seen = sight(path)
    return seen is not None and seen.kind is FileKind.DIRECTORY


def unregistered(index: Index, trees: Sequence[str], sight: Sight, names: Names) -> tuple[Cdsl, ...]:
    """CDSLs that the disk has and the inventory has not, whose parents it has, by public path."""
    search = _Search(index, trees, sight, names)
    found = {cdsl.src: cdsl for cdsl in search.everywhere()}
    return tuple(outermost_first(found.values()))


class _Search:
    """One pass over the directories that may hold data of CDSLs."""

    def __init__(self, index: Index, trees: Sequence[str], sight: Sight, names: Names) -> None:
        self._index = index
        self._trees = [tree for tree in trees if tree != index.layout.default]
        self._every = [*trees]
        self._sight = sight
        self._names = names
        self._old_link = has_old_link(index, sight)
        self._left = _MOST_ENTRIES

    def everywhere(self) -> Iterator[Cdsl]:
        yield from self._below(CdslType.HOSTDEPENDENT, "", "")
        for cdsl in self._index.inventory.cdsls:
            # Where the data of its children would be: beside, not in, its own.
            child = Cdsl(join(cdsl.src, MOUNT_POINT), cdsl.type.other)
            yield from self._below(child.type, parent_path(self._index.expanded(child)), cdsl.src)

    def _below(self, kind: CdslType, start: str, src: str) -> Iterator[Cdsl]:
        """CDSLs of this kind with data below ``start`` in the trees, which stands for the public ``src``."""
        pending = [(start, src)]
        while pending and self._left > 0:
            directory, public = pending.pop()
            for name in self._listed(kind, directory):
                self._left -= 1
                path, inner = join(directory, name), join(public, name)
                if self._index.owner(join(self._areas(kind)[-1], path)) not in (None, self._around(kind, start)):
                    continue
                if cdsl := self._linked(kind, path, inner):
                    yield cdsl
                elif any(_is_directory(self._sight, join(area, path)) for area in self._areas(kind)):
                    pending.append((path, inner))

    def _around(self, kind: CdslType, start: str) -> Cdsl | None:
        """The CDSL in whose data the marked directory ``start`` is."""
        return self._index.owner(join(self._areas(kind)[-1], start)) if start else None

    def _areas(self, kind: CdslType) -> list[str]:
        layout = self._index.layout
        if kind is CdslType.SHARED:
            return [layout.shared]
        return [layout.node_tree(tree) for tree in self._every] or [layout.node_tree(layout.default)]

    def _listed(self, kind: CdslType, directory: str) -> list[str]:
        found: dict[str, None] = {}
        for area in self._areas(kind):
            path = join(area, directory)
            if _is_directory(self._sight, path):
                found.update(dict.fromkeys(self._names(path)))
        return sorted(found)

    def _linked(self, kind: CdslType, expanded: str, src: str) -> Cdsl | None:
        """The CDSL at ``src``, if one of the links it would have leads to this data."""
        index = self._index
        parent = index.parent(src)
        if (parent.type if parent else CdslType.SHARED) is kind or machinery_mistake(src, index.layout):
            return None
        if kind is CdslType.SHARED:
            nodes = parent.nodes if parent else ()
        else:
            nodes = tuple(
                tree for tree in self._trees if self._sight(join(index.layout.node_tree(tree), expanded)) is not None
            )
        cdsl = Cdsl(src, kind, nodes)
        target = index.target(cdsl)
        for place in index.places(src).values():
            seen = self._sight(place)
            if seen is not None and seen.kind is FileKind.LINK:
                verdict = judge(index, place, seen.text, target, old_link=self._old_link)
                if verdict is not Verdict.WRONG:
                    return cdsl
        return None
