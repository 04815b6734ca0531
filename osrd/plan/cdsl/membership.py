# SPDX-License-Identifier: GPL-3.0-or-later
"""Node trees follow the cluster: new nodes get one, those of gone nodes are kept until somebody says what to do."""

from collections.abc import Sequence
from dataclasses import replace

from osrd.model.cdsl import FOR_SOME, MOUNT_POINT, Cdsl, FileKind, Inventory
from osrd.model.errors import ConflictError, InvalidArgsError, NotFoundError
from osrd.model.transaction import Transaction
from osrd.parse.inventory import render_inventory
from osrd.plan.cdsl.builder import NOBODY, Builder
from osrd.plan.cdsl.index import Index, index_of, with_cdsls
from osrd.plan.cdsl.infrastructure import add_infrastructure
from osrd.plan.cdsl.nodes import check_nodes
from osrd.plan.cdsl.restoring import complete, outermost_first, relink
from osrd.plan.cdsl.sight import Look, Names, Sight
from osrd.plan.cdsl.words import command, listed, printable, shown


def orphaned(inventory: Inventory, nodes: Sequence[str], look: Look, names: Names) -> tuple[str, ...]:
    """Trees that belong to none of ``nodes``."""
    layout = inventory.layout
    sight = Sight(look)
    seen = sight(layout.tree)
    if seen is None or seen.kind is not FileKind.DIRECTORY:
        return ()
    known = {*nodes, layout.default, MOUNT_POINT}
    others = (name for name in names(layout.tree) if name not in known)
    return tuple(
        name
        for name in others
        if (there := sight(layout.node_tree(name))) is not None and there.kind is FileKind.DIRECTORY
    )


def add_nodes(inventory: Inventory, nodes: Sequence[str], look: Look, when: str) -> Transaction | None:
    """Trees for ``nodes``, copied from the template, and an entry in every CDSL that is for all nodes.

    One that was made for chosen nodes, or is below such a one, stays theirs. A tree that is there is completed from
    the template; what is in it stays. None when nothing is missing. Raises InvalidArgsError for impossible names.
    """
    index = index_of(inventory)
    check_nodes(inventory, nodes)
    new = set(nodes)
    cdsls = tuple(_with_nodes(cdsl, nodes) if _is_for_all(index, cdsl) else cdsl for cdsl in inventory.cdsls)
    after = with_cdsls(inventory, cdsls)
    builder = Builder(index_of(after), look, when)
    lines = add_infrastructure(builder, nodes)
    for cdsl in outermost_first(after.cdsls):
        lines += complete(builder, cdsl, new)
        lines += relink(builder, cdsl, new)
    entered = [cdsl.src for cdsl in cdsls if index.by_src[cdsl.src].nodes != cdsl.nodes]
    if entered:
        lines.append(f"entered {listed(map(printable, nodes))} for {listed(map(shown, entered))}")
    return builder.done(
        f"add {listed(map(printable, nodes))}", lines=lines, inventory=render_inventory(after) if entered else None
    )


def _is_for_all(index: Index, cdsl: Cdsl) -> bool:
    parent = index.parent(cdsl.src)
    return FOR_SOME not in cdsl.extra and (parent is None or _is_for_all(index, parent))


def _with_nodes(cdsl: Cdsl, nodes: Sequence[str]) -> Cdsl:
    every = tuple(dict.fromkeys((*cdsl.nodes, *nodes)))
    return cdsl if every == cdsl.nodes else replace(cdsl, nodes=every)


def adopt(  # noqa: PLR0917 - everything the plan depends on
    inventory: Inventory, tree: str, node: str, look: Look, when: str, nodes: Sequence[str] = ()
) -> Transaction:
    """The tree of a gone node becomes the tree of ``node``, whose present one is kept as a backup. ``nodes`` are those
    of the cluster. What the adopted tree lacks comes from the template.

    Raises InvalidArgsError, NotFoundError without such a tree, ConflictError when its node is still there.
    """
    check_nodes(inventory, (tree, node))
    layout = inventory.layout
    sight = Sight(look)
    if tree == node:
        raise InvalidArgsError(f"{printable(node)} has its own tree already", "name the tree of another node")
    if tree in nodes:
        raise ConflictError(
            f"{printable(tree)} is a node of this cluster, and its tree is in use",
            "remove that node from cluster.conf first",
        )
    _need_tree(inventory, tree, sight)
    after = with_cdsls(inventory, tuple(_renamed(cdsl, tree, node) for cdsl in inventory.cdsls))
    builder = Builder(index_of(after), look, when)
    source, place = layout.node_tree(tree), layout.node_tree(node)
    kept = builder.backup(f"tree-{node}", node) if sight(place) is not None else ""
    builder.copy(place, source, NOBODY, kept)
    builder.take_away(source)
    lines = [f"gave the tree {shown(source)} to {printable(node)}"]
    if kept:
        lines.append(f"kept the former tree of {printable(node)} as {shown(kept)}")
    for cdsl in outermost_first(after.cdsls):
        if node in cdsl.nodes:
            lines += complete(builder, cdsl, {node})
            lines += relink(builder, cdsl, {node})
    built = builder.done(
        f"give the tree of {printable(tree)} to {printable(node)}",
        lines=lines,
        watched=(source,),
        inventory=None if after == inventory else render_inventory(after),
    )
    assert built is not None
    return built


def _renamed(cdsl: Cdsl, old: str, new: str) -> Cdsl:
    nodes = tuple(dict.fromkeys(new if node == old else node for node in cdsl.nodes))
    return cdsl if nodes == cdsl.nodes else replace(cdsl, nodes=nodes)


def _need_tree(inventory: Inventory, node: str, sight: Sight) -> None:
    path = inventory.layout.node_tree(node)
    seen = sight(path)
    if seen is None or seen.kind is not FileKind.DIRECTORY:
        raise NotFoundError(f"there is no node tree {shown(path)}", f"see {command('check')}")


def archive(inventory: Inventory, node: str, look: Look, when: str) -> Transaction:
    """The tree of ``node`` becomes a backup, and no CDSL lists the node any more. Raises InvalidArgsError, and
    NotFoundError when there is neither."""
    check_nodes(inventory, (node,))
    after = with_cdsls(inventory, tuple(_without(cdsl, node) for cdsl in inventory.cdsls))
    if after == inventory:
        _need_tree(inventory, node, Sight(look))
    builder = Builder(index_of(inventory), look, when)
    tree = inventory.layout.node_tree(node)
    lines = [f"{printable(node)} is no longer listed for any CDSL"] if after != inventory else []
    if builder.now(tree) is not None:
        kept = builder.backup(f"tree-{node}", node)
        builder.take_away(tree, kept)
        lines.append(f"kept the tree of {printable(node)} as {shown(kept)}")
    built = builder.done(
        f"archive {printable(node)}", lines=lines, inventory=None if after == inventory else render_inventory(after)
    )
    assert built is not None
    return built


def _without(cdsl: Cdsl, node: str) -> Cdsl:
    return replace(cdsl, nodes=tuple(each for each in cdsl.nodes if each != node)) if node in cdsl.nodes else cdsl
