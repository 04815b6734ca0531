# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that CDSLs need (spec/cdsl.md 1.1), with the link of DESIGN 5: a symlink to the mount point."""

from collections.abc import Sequence

from osrd.model.cdsl import INVENTORY, FileKind, Inventory
from osrd.model.errors import ConflictError
from osrd.model.transaction import Transaction
from osrd.parse.inventory import render_inventory
from osrd.plan.cdsl.builder import NOBODY, Builder
from osrd.plan.cdsl.index import index_of
from osrd.plan.cdsl.links import link_text
from osrd.plan.cdsl.nodes import check_nodes
from osrd.plan.cdsl.sight import Look
from osrd.plan.cdsl.words import listed, printable, shown


def infrastructure(inventory: Inventory, nodes: Sequence[str], look: Look, when: str) -> Transaction | None:
    """Everything that is missing: shared tree, template, a tree for each of ``nodes``, link and inventory. What is
    there is kept, an older layout's link directory and inventory, too; None when nothing is missing.

    Raises ConflictError when something else has one of the names.
    """
    builder = Builder(index_of(inventory), look, when)
    lines = add_infrastructure(builder, nodes)
    # An inventory that was read from the place of older generations is one, too; converting it is asked for by name.
    new = not inventory.file and builder.now(INVENTORY) is None
    if new:
        lines.append(f"wrote the inventory {shown(INVENTORY)}")
    return builder.done(
        "make the infrastructure of CDSLs", lines=lines, inventory=render_inventory(inventory) if new else None
    )


def add_infrastructure(builder: Builder, nodes: Sequence[str]) -> list[str]:
    """Put what is missing into a transaction; the lines that tell of it."""
    check_nodes(builder.index.inventory, nodes)
    layout = builder.index.layout
    lines = []
    for what, path in (("shared tree", layout.shared), ("template", layout.node_tree(layout.default))):
        if _is_missing(builder, path):
            builder.directory(path)
            lines.append(f"made the {what} {shown(path)}")
    lines += add_link(builder)
    made = [node for node in nodes if _is_missing(builder, layout.node_tree(node))]
    for node in made:
        builder.tree(node)
    if made:
        lines.append(f"made the node {'tree' if len(made) == 1 else 'trees'} {listed(map(printable, made))}")
    return lines


def add_link(builder: Builder) -> list[str]:
    """The link and its mount point, unless there is a link or a link directory."""
    layout = builder.index.layout
    text = link_text(layout.link, layout.mount_point)
    seen = builder.then(layout.link)
    if seen is not None and seen.kind not in (FileKind.DIRECTORY, FileKind.LINK):
        raise ConflictError(f"{shown(layout.link)} is no directory and no symlink", "move it away")
    if (seen is None or seen.kind is FileKind.LINK) and builder.then(layout.mount_point) is None:
        builder.directory(layout.mount_point)
    if seen is not None:
        return []
    builder.link(layout.link, text, NOBODY)
    return [f"made the link {shown(layout.link)} to the mount point {shown(layout.mount_point)}"]


def _is_missing(builder: Builder, path: str) -> bool:
    seen = builder.then(path)
    if seen is not None and seen.kind is not FileKind.DIRECTORY:
        raise ConflictError(f"{shown(path)} is there, but is no directory", "move it away")
    return seen is None
