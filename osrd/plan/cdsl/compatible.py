# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that only the commands of the original tools have: PATH.orig, file systems with CDSLs of their own, and
taking the infrastructure away (spec/cdsl.md 1.6, 2.4, 3.4)."""

from collections.abc import Iterator
from dataclasses import replace

from osrd.model.cdsl import INVENTORY, OLD_INVENTORY, WORK, ChildRepository, FileKind, Inventory
from osrd.model.errors import ConflictError
from osrd.model.transaction import Exchange, Replaces, Transaction
from osrd.parse.inventory import render_inventory
from osrd.plan.cdsl.index import join, parent_path
from osrd.plan.cdsl.sight import Look, Names, Sight
from osrd.plan.cdsl.words import listed, shown

ORIGINAL = ".orig"


def with_originals(transaction: Transaction) -> Transaction:
    """What links take the place of is kept beside them, as PATH.orig; what is kept as a backup already stays so."""
    kept = []
    exchanges = []
    for exchange in transaction.exchanges:
        if exchange.new_link is not None and exchange.replaces is Replaces.SOMETHING and not exchange.keep:
            original = exchange.at + ORIGINAL
            kept.append(f"kept the original {shown(exchange.at)} as {shown(original)}")
            exchanges.append(replace(exchange, keep=original))
        else:
            exchanges.append(exchange)
    return replace(transaction, exchanges=tuple(exchanges), lines=(*transaction.lines, *kept))


def register(inventory: Inventory, mountpoint: str) -> Transaction | None:
    """An entry for the file system mounted at ``mountpoint``, which has an inventory of its own."""
    if any(child.path == mountpoint for child in inventory.repositories):
        return None
    after = replace(inventory, repositories=(*inventory.repositories, ChildRepository(mountpoint)))
    return Transaction(
        f"register the file system at {shown(mountpoint)}",
        (),
        inventory=render_inventory(after),
        lines=(f"registered the file system at {shown(mountpoint)}",),
    )


def dismantle(inventory: Inventory, look: Look, names: Names, bound: str, when: str, *, discard: bool) -> Transaction:
    """Take away the trees, the link and the inventory of a root without CDSLs. Trees with anything in them are kept
    as a backup unless ``discard`` says otherwise.

    Raises ConflictError while there are CDSLs, or while a node's tree is mounted at the link.
    """
    layout = inventory.layout
    if inventory.cdsls:
        still = listed(shown(cdsl.src) for cdsl in inventory.cdsls)
        raise ConflictError(f"the infrastructure is in use: {still}", "remove those CDSLs first")
    if bound:
        raise ConflictError(
            f"the tree of {bound} is mounted at {shown(layout.link)}", f"unmount it first: umount {shown(layout.link)}"
        )
    sight = Sight(look)
    backup = f"{WORK}/backup/infrastructure-{when}"
    exchanges, lines, backups = [], [], []
    for at in (layout.link, *_directories(inventory, sight, names), INVENTORY, OLD_INVENTORY):
        seen = sight(at)
        if seen is None:
            continue
        keep = "" if discard or not _holds_data(at, sight, names) else join(backup, at.replace("/", "-"))
        text = seen.text if seen.kind is FileKind.LINK else None
        exchanges.append(Exchange(at, replaces=Replaces.SOMETHING, old_link=text, keep=keep))
        lines.append(f"removed {shown(at)}" + (f", and kept what is in it as {shown(keep)}" if keep else ""))
        backups += [backup] if keep and backup not in backups else []
    return Transaction(
        "remove the infrastructure of CDSLs", tuple(exchanges), lines=tuple(lines), backups=tuple(backups)
    )


def _directories(inventory: Inventory, sight: Sight, names: Names) -> list[str]:
    """The trees; or the directory that holds both and nothing else."""
    trees = [inventory.layout.tree, inventory.layout.shared]
    above = {parent_path(tree) for tree in trees}
    if len(above) == 1 and (parent := next(iter(above))) and sight(parent):
        if {join(parent, name) for name in names(parent)} <= set(trees):
            return [parent]
    return trees


def _holds_data(at: str, sight: Sight, names: Names) -> bool:
    """Whether there is anything but directories below."""
    return any(kind is not FileKind.DIRECTORY for kind in _kinds(at, sight, names)) if _is_tree(at, sight) else False


def _is_tree(at: str, sight: Sight) -> bool:
    seen = sight(at)
    return seen is not None and seen.kind is FileKind.DIRECTORY


def _kinds(directory: str, sight: Sight, names: Names) -> Iterator[FileKind]:
    """What is in a tree; seldom much, since no CDSL is left in it."""
    todo = [directory]
    while todo:
        above = todo.pop()
        for name in names(above):
            path = join(above, name)
            if seen := sight(path):
                yield seen.kind
                if seen.kind is FileKind.DIRECTORY:
                    todo.append(path)
