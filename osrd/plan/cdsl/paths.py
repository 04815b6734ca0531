# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about paths of a shared root, for everybody who has an inventory and no index (spec/cdsl.md 2)."""

from osrd.model.cdsl import Cdsl, Inventory
from osrd.plan.cdsl.index import index_of
from osrd.plan.cdsl.links import link_text, moved
from osrd.plan.cdsl.sight import Look, Names, Sight, Walk

__all__ = [
    "Look",
    "Names",
    "children_of",
    "expanded",
    "link_text",
    "locate",
    "parent_of",
    "public_of",
    "rebased",
    "resolve",
]


def expanded(inventory: Inventory, cdsl: Cdsl) -> str:
    """Where the data of the CDSL is below a node's tree or the shared tree (spec/cdsl.md 2.3)."""
    return index_of(inventory).expanded(cdsl)


def locate(inventory: Inventory, public: str, node: str) -> str:
    """The physical path of what ``node`` sees at a public path; of a CDSL, its data."""
    return index_of(inventory).locate(public, node)


def public_of(inventory: Inventory, physical: str) -> str | None:
    """The public path of a physical one; None for machinery that belongs to no CDSL."""
    return index_of(inventory).public_of(physical)


def parent_of(inventory: Inventory, src: str) -> Cdsl | None:
    """The nearest registered ancestor."""
    return index_of(inventory).parent(src)


def children_of(inventory: Inventory, src: str) -> tuple[Cdsl, ...]:
    """Everything that is registered below ``src``, at any depth."""
    return index_of(inventory).descendants(src)


def rebased(inventory: Inventory, text: str, old_place: str, new_place: str, copied_from: str) -> str | None:
    """The text that a symlink needs when a copy of the tree ``copied_from`` takes it from ``old_place`` to
    ``new_place``, all physical, so that it leads to the same thing; None: the text can stay."""
    return moved(index_of(inventory), text, old_place, new_place, copied_from)


def resolve(inventory: Inventory, path: str, node: str, look: Look) -> str:
    """The public path that ``node`` means by ``path``, absolute or relative to the root (spec/cdsl.md 2.2).

    Symlinked parents are followed inside the root, paths into the machinery become the public ones. It is right
    without the bind mount, and while links of CDSLs are missing. Machinery that belongs to no CDSL is returned as it
    is. Raises InvalidArgsError for loops.
    """
    return Walk(index_of(inventory), node, Sight(look)).public(path)
