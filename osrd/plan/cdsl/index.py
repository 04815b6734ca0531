# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory prepared for questions: who is whose parent, and where data and links are (spec/cdsl.md 2.3).

A CDSL has *data* (one copy per node in ``tree/NODE/EXPANDED``, or one in ``shared/EXPANDED``) and *links* at its
public path: one, or one per node when its parent is host-dependent. Both have as many components as the public path,
so that each directory on the way corresponds to a public one.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from osrd.model.cdsl import MOUNT_POINT, Cdsl, CdslType, Inventory, MarkerStyle
from osrd.model.layout import within


def components(path: str) -> int:
    return path.count("/") + 1 if path else 0


def prefixes(path: str) -> Iterator[str]:
    """The proper ancestors of ``path`` below the root, nearest first."""
    position = path.rfind("/")
    while position > 0:
        path = path[:position]
        yield path
        position = path.rfind("/")


def parent_path(path: str) -> str:
    return path.rpartition("/")[0]


def join(directory: str, path: str) -> str:
    """Two relative paths in a row; either may be ""."""
    return f"{directory}/{path}" if directory and path else directory or path


def below(path: str, directory: str) -> str:
    """``path``, which is within ``directory``, relative to it."""
    return path[len(directory) + 1 :] if directory else path


class Index:
    """The questions. An Index belongs to one value of the inventory and never changes."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.layout = inventory.layout
        self.by_src = {cdsl.src: cdsl for cdsl in inventory.cdsls}
        self._expanded = {cdsl.src: self._expand(cdsl) for cdsl in inventory.cdsls}
        self._owners = {(cdsl.type, self._expanded[cdsl.src]): cdsl for cdsl in inventory.cdsls}
        self._children: dict[str, list[Cdsl]] = {}
        for cdsl in inventory.cdsls:
            if parent := self.parent(cdsl.src):
                self._children.setdefault(parent.src, []).append(cdsl)

    def parent(self, src: str) -> Cdsl | None:
        """The nearest registered ancestor of the public path."""
        return next((found for path in prefixes(src) if (found := self.by_src.get(path))), None)

    def children(self, src: str) -> tuple[Cdsl, ...]:
        """The registered CDSLs whose parent is the registered one at ``src``, in the order of the inventory."""
        return tuple(self._children.get(src, ()))

    def descendants(self, src: str) -> tuple[Cdsl, ...]:
        """All CDSLs that are registered below the public path, in the order of the inventory."""
        return tuple(cdsl for cdsl in self.inventory.cdsls if cdsl.src != src and within(cdsl.src, src))

    def expanded(self, cdsl: Cdsl) -> str:
        """Where its data is below a node's tree or the shared tree; also of a CDSL that is not registered (yet)."""
        return self._expanded.get(cdsl.src) or self._expand(cdsl)

    def _expand(self, cdsl: Cdsl) -> str:
        parts = cdsl.src.split("/")
        suffixed = self.layout.style is MarkerStyle.SUFFIX
        parent = self.parent(cdsl.src)
        ancestor = parent
        while ancestor:
            above = self.parent(ancestor.src)
            position = components(ancestor.src) - 1
            if suffixed:
                if ancestor.type is CdslType.HOSTDEPENDENT and (
                    cdsl.type is CdslType.HOSTDEPENDENT or ancestor is not parent
                ):
                    parts[position] += self.layout.marker
            elif above and ancestor.type is not cdsl.type:
                parts[position] = f"{self.layout.marker}.{parts[position]}"
            ancestor = above
        return "/".join(parts)

    def area(self, cdsl: Cdsl, node: str) -> str:
        """The directory that holds the data of all CDSLs of its type, as ``node`` sees them."""
        shared = cdsl.type is CdslType.SHARED
        return self.layout.shared if shared else self.layout.node_tree(node)

    def data(self, cdsl: Cdsl, node: str) -> str:
        """The physical path of its content that ``node`` sees."""
        return join(self.area(cdsl, node), self.expanded(cdsl))

    def locate(self, public: str, node: str) -> str:
        """The physical path of what ``node`` sees at the public path."""
        cdsl = self.by_src.get(public) or self.parent(public)
        return join(self.data(cdsl, node), below(public, cdsl.src)) if cdsl else public

    def holders(self, cdsl: Cdsl) -> tuple[str, ...]:
        """The trees that have it: those of its nodes, and the template."""
        return tuple(dict.fromkeys((*cdsl.nodes, self.layout.default)))

    def copies(self, cdsl: Cdsl) -> dict[str, str]:
        """Its data: physical path by node, the template's last; for a shared one the only path under ""."""
        if cdsl.type is CdslType.SHARED:
            return {"": self.data(cdsl, "")}
        return {node: self.data(cdsl, node) for node in self.holders(cdsl)}

    def places(self, src: str) -> dict[str, str]:
        """Where a thing with this public path is as part of its parent: physical path by node; under "" when there
        is only one. The link of a CDSL is at these places."""
        parent = self.parent(src)
        if parent is None or parent.type is CdslType.SHARED:
            return {"": self.beside(src, "")}
        return {node: self.beside(src, node) for node in self.holders(parent)}

    def beside(self, src: str, node: str) -> str:
        """The place of the link of ``src`` that ``node`` sees."""
        parent = self.parent(src)
        return join(self.data(parent, node), below(src, parent.src)) if parent else src

    def target(self, cdsl: Cdsl) -> str:
        """What its links point at."""
        shared = cdsl.type is CdslType.SHARED
        return join(self.layout.shared if shared else self.layout.link, self.expanded(cdsl))

    def split(self, physical: str) -> tuple[CdslType, str, str] | None:
        """A path inside the machinery as (whose data, node or "", rest); None for any other path. The link and the
        mount point stand for the node that looks."""
        layout = self.layout
        for area in (layout.link, layout.mount_point):
            if within(physical, area):
                return CdslType.HOSTDEPENDENT, "", below(physical, area)
        if within(physical, layout.shared):
            return CdslType.SHARED, "", below(physical, layout.shared)
        if within(physical, layout.tree):
            node, _, rest = below(physical, layout.tree).partition("/")
            return CdslType.HOSTDEPENDENT, node, rest
        return None

    def owner(self, physical: str) -> Cdsl | None:
        """The CDSL whose data the path is, or is part of; of nested ones the innermost."""
        inside = self.split(physical)
        if inside is None:
            return None
        kind, _, rest = inside
        return next((found for path in (rest, *prefixes(rest)) if (found := self._owners.get((kind, path)))), None)

    def public_of(self, physical: str) -> str | None:
        """The public path of something physical; None for machinery that belongs to no CDSL."""
        inside = self.split(physical)
        if inside is None:
            return physical
        owner = self.owner(physical)
        return join(owner.src, below(inside[2], self.expanded(owner))) if owner else None

    def linked_at(self, physical: str) -> Cdsl | None:
        """The CDSL whose link belongs at the physical path."""
        public = self.public_of(physical)
        cdsl = self.by_src.get(public) if public is not None else None
        return cdsl if cdsl and self.owner(physical) is not cdsl else None

    def counterpart(self, directory: str, src: str, node: str) -> str:
        """What ``node`` sees at the public directory that corresponds to a physical one on the way to the data or a
        link of ``src``; "" for the machinery's own directories, which correspond to nothing."""
        inside = self.split(directory)
        rest = directory if inside is None else inside[2]
        if not rest:
            return ""
        return self.locate("/".join(src.split("/")[: components(rest)]), node)

    def made_for(self, cdsl: Cdsl) -> int:
        """How many leading components of the expanded path are the user's own directories. The ones after them were
        made only to hold data."""
        expanded = self.expanded(cdsl).split("/")
        public = cdsl.src.split("/")
        around = next(
            (found for path in prefixes(self.expanded(cdsl)) if (found := self._owners.get((cdsl.type, path)))), None
        )
        if around is None:
            return 0
        start = components(around.src)
        return next((k for k in range(start, len(public)) if public[k] != expanded[k]), len(public))

    def collision(self, cdsl: Cdsl) -> Cdsl | None:
        """A registered CDSL whose data or link the data or link of ``cdsl``, which is registered, would mix with
        (a user's name that looks like a marked one, spec/cdsl.md 6.1 no. 20)."""
        for other in self.inventory.cdsls:
            if other.src != cdsl.src and (self._mixes(cdsl, other) or self._mixes(other, cdsl)):
                return other
        return None

    def _mixes(self, one: Cdsl, other: Cdsl) -> bool:
        """Whether data of ``one`` is where ``other`` has data or a link, without being below it publicly."""
        data = self.data(one, MOUNT_POINT)
        link = self.beside(other.src, MOUNT_POINT)
        if within(data, link):
            return True
        if within(data, self.data(other, MOUNT_POINT)):
            return not within(one.src, other.src)
        return within(link, data) and not within(other.src, one.src)


def with_cdsls(inventory: Inventory, cdsls: tuple[Cdsl, ...]) -> Inventory:
    return replace(inventory, cdsls=cdsls)


@lru_cache(maxsize=4)
def index_of(inventory: Inventory) -> Index:
    """The index of an inventory; the last few are kept, since callers ask about the same one again and again."""
    return Index(inventory)
