# SPDX-License-Identifier: GPL-3.0-or-later
"""An older layout to one that resolves everywhere (DESIGN 5): the link becomes a symlink to a mount point at the depth
of the node trees, and links that are right at ``/`` only are made anew. Names and markers stay as they are."""

from osrd.model.cdsl import INVENTORY, FileKind, Inventory
from osrd.model.errors import ConflictError
from osrd.model.transaction import Transaction
from osrd.parse.inventory import render_inventory
from osrd.plan.cdsl.builder import NOBODY, Builder, Of
from osrd.plan.cdsl.index import index_of
from osrd.plan.cdsl.judging import Verdict, has_old_link, judge
from osrd.plan.cdsl.links import link_text
from osrd.plan.cdsl.sight import Look
from osrd.plan.cdsl.words import printable, shown


def convert(inventory: Inventory, look: Look, when: str, bound: str = "") -> Transaction | None:
    """None when everything is as osrd makes it. ``bound`` is the node whose tree is mounted at the link.

    Raises ConflictError when the link directory is in use: something is mounted there or in it.
    """
    index = index_of(inventory)
    builder = Builder(index, look, when)
    old_link = has_old_link(index, builder.now)
    lines = _convert_link(builder, bound) if old_link else []
    remade = 0
    for cdsl in inventory.cdsls:
        target = index.target(cdsl)
        for node, place in index.places(cdsl.src).items():
            seen = builder.now(place)
            if seen is None or seen.kind is not FileKind.LINK:
                continue  # repair's business
            if judge(index, place, seen.text, target, old_link=old_link) is Verdict.AT_ROOT:
                builder.link(place, link_text(place, target), Of(cdsl.src, node))
                remade += 1
    if remade:
        lines.append(f"made {remade} links anew that were right at / only")
    elsewhere = inventory.file not in ("", INVENTORY)
    if elsewhere:
        lines.append(f"wrote the inventory {shown(INVENTORY)}; {shown(inventory.file)} is no longer read")
    return builder.done(
        "convert the layout of CDSLs", lines=lines, inventory=render_inventory(inventory) if elsewhere else None
    )


def _convert_link(builder: Builder, bound: str) -> list[str]:
    layout = builder.index.layout
    seen, root = builder.now(layout.link), builder.now("")
    mounted = seen is not None and root is not None and seen.device != root.device
    if bound or mounted:
        what = f"the tree of {printable(bound)}" if bound else "a file system"
        raise ConflictError(
            f"{shown(layout.link)} cannot be converted: {what} is mounted there",
            "unmount it, on this host and on every node that uses the root",
        )
    if seen is None or not seen.empty:
        raise ConflictError(
            f"{shown(layout.link)} cannot be converted: it is not empty, or something is mounted there",
            "unmount what is mounted there, or move away what is in it",
        )
    builder.directory(layout.mount_point)
    builder.link(layout.link, link_text(layout.link, layout.mount_point), NOBODY)
    return [f"made {shown(layout.link)} a symlink to the new mount point {shown(layout.mount_point)}"]
