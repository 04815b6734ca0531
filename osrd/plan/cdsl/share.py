# SPDX-License-Identifier: GPL-3.0-or-later
"""Sharing a path below a host-dependent one: all nodes get one copy, whose content one node gives (spec 2.5)."""

from collections.abc import Mapping, Sequence

from osrd.model.cdsl import Cdsl, CdslType, Inventory
from osrd.model.errors import NotFoundError
from osrd.model.transaction import Transaction
from osrd.parse.inventory import render_inventory
from osrd.plan.cdsl.builder import Builder, Of
from osrd.plan.cdsl.index import index_of, with_cdsls
from osrd.plan.cdsl.infrastructure import add_infrastructure
from osrd.plan.cdsl.links import link_text
from osrd.plan.cdsl.refusals import (
    check_collision,
    check_destination,
    check_path,
    check_source,
    check_type,
    divergent,
)
from osrd.plan.cdsl.sight import Look, Sight
from osrd.plan.cdsl.words import listed, printable, shown


def copies(inventory: Inventory, src: str, recursive: bool = False) -> Mapping[str, str]:
    """The copies that become one by sharing or removing ``src``, and so must be compared: physical path by node, the
    template under its own name. Whether a copy is there is not known here.

    Of a shared CDSL, nothing: by removing it each node gets what it sees. ``recursive`` changes nothing of that:
    what is shared below is the same for all, and what is host-dependent there is kept node by node.
    """
    del recursive
    index = index_of(inventory)
    if cdsl := index.by_src.get(src):
        return index.copies(cdsl) if cdsl.type is CdslType.HOSTDEPENDENT else {}
    return {node: place for node, place in index.places(src).items() if node}


def share(  # noqa: PLR0917 - everything the plan depends on
    inventory: Inventory, src: str, winner: str, differing: Sequence[str], look: Look, when: str
) -> Transaction:
    """One copy of ``winner``'s content (a node or the template; "": anybody's who has it), and links to it in place
    of all copies. Those of ``differing`` are kept as backups. Nodes that lack the path get the link, too.

    Raises like ``make``, and ConflictError when there are differing copies and no winner.
    """
    index = index_of(inventory)
    check_path(index, src)
    parent = check_type(index, src, CdslType.SHARED)
    assert parent is not None
    if differing and not winner:
        raise divergent(src, differing, "shared")
    cdsl = Cdsl(src, CdslType.SHARED, parent.nodes, when)
    after = with_cdsls(inventory, (*inventory.cdsls, cdsl))
    check_collision(after, cdsl)
    builder = Builder(index, look, when)
    places = index.places(src)
    chosen = choose(src, places, winner, builder.now)
    check_source(index, builder.now, places[chosen], src, chosen)
    lines = add_infrastructure(builder, ())
    data, target = index.data(cdsl, ""), index.target(cdsl)
    check_destination(builder.then, data, src)
    builder.copy(data, places[chosen], Of(src, chosen))
    for node, place in places.items():
        kept = builder.backup(src, node) if node in differing and node != chosen and builder.now(place) else ""
        builder.link(place, link_text(place, target), Of(src, chosen), kept)
        if kept:
            lines.append(f"kept what {printable(node)} had at {shown(src)} as {shown(kept)}")
    lines.append(f"shared {shown(src)} with the content of {printable(chosen)}")
    present = [place for place in places.values() if builder.now(place) is not None]
    built = builder.done(f"share {shown(src)}", lines=lines, watched=present, inventory=render_inventory(after))
    assert built is not None
    return built


def choose(src: str, places: Mapping[str, str], winner: str, sight: Sight, preferred: str = "") -> str:
    """The node whose copy is used: ``winner``, else ``preferred`` if it has one, else the first that has one. Raises
    NotFoundError when the winner has none, or nobody."""
    having = [node for node, place in places.items() if sight(place) is not None]
    if winner and winner not in having:
        others = f"; {listed(map(printable, having))} {'has' if len(having) == 1 else 'have'} it" if having else ""
        known = "has no" if winner in places else "is no node of"
        raise NotFoundError(f"{printable(winner)} {known} {shown(src)}{others}", "name one of those with --from")
    if not having:
        raise NotFoundError(f"{shown(src)} does not exist on any of {listed(map(printable, places))}", "make it first")
    return winner or (preferred if preferred in having else having[0])
