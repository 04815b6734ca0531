# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a path host-dependent: every node gets its own copy (spec/cdsl.md 2.4)."""

from collections.abc import Sequence

from osrd.model.cdsl import FOR_SOME, Cdsl, CdslType, FileKind, Inventory
from osrd.model.errors import NotFoundError
from osrd.model.transaction import Transaction
from osrd.parse.inventory import render_inventory
from osrd.plan.cdsl.builder import Builder, Of
from osrd.plan.cdsl.index import Index, index_of, with_cdsls
from osrd.plan.cdsl.infrastructure import add_infrastructure
from osrd.plan.cdsl.links import link_text
from osrd.plan.cdsl.refusals import check_collision, check_destination, check_path, check_source, check_type
from osrd.plan.cdsl.sight import Look
from osrd.plan.cdsl.words import command, listed, printable, shown


def make(
    inventory: Inventory, src: str, nodes: Sequence[str], look: Look, when: str, *, some: bool = False
) -> Transaction:
    """Copies of ``src`` for each of ``nodes`` and the template, then the link in its place. Infrastructure that is
    missing is made with it. ``some``: these nodes were chosen, and others that come later do not get a copy.

    Below a host-dependent path that only some nodes have, only those of ``nodes`` count. Raises InvalidArgsError,
    ConflictError, NotFoundError or UnsupportedError for everything of spec/cdsl.md 2.7.
    """
    index = index_of(inventory)
    check_path(index, src)
    parent = check_type(index, src, CdslType.HOSTDEPENDENT)
    chosen = _nodes(index, parent, nodes)
    if not chosen:
        raise NotFoundError(
            f"{shown(src)} cannot become host-dependent: no node is known",
            f"name the nodes in cluster.conf, or {command('set')} maxnodeidnum NUMBER",
        )
    cdsl = Cdsl(src, CdslType.HOSTDEPENDENT, chosen, when, (FOR_SOME,) if some else ())
    after = with_cdsls(inventory, (*inventory.cdsls, cdsl))
    check_collision(after, cdsl)
    builder = Builder(index, look, when)
    place = index.beside(src, "")
    seen = check_source(index, builder.now, place, src, chosen[0])
    lines = add_infrastructure(builder, chosen)
    for node, copy in index.copies(cdsl).items():
        check_destination(builder.then, copy, src)
        builder.copy(copy, place, Of(src, node))
    builder.link(place, link_text(place, index.target(cdsl)), Of(src, ""))
    what = "directory" if seen.kind is FileKind.DIRECTORY else "symlink" if seen.kind is FileKind.LINK else "file"
    lines.append(f"made the {what} {shown(src)} host-dependent on {listed(map(printable, chosen))}")
    built = builder.done(
        f"make {shown(src)} host-dependent", lines=lines, watched=(place,), inventory=render_inventory(after)
    )
    assert built is not None
    return built


def _nodes(index: Index, parent: Cdsl | None, nodes: Sequence[str]) -> tuple[str, ...]:
    """Those of ``nodes`` that have the nearest host-dependent path above, if there is one."""
    above = index.parent(parent.src) if parent else None
    return tuple(dict.fromkeys(node for node in nodes if above is None or node in above.nodes))
