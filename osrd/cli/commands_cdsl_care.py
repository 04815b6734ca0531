# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl cdsl``: repairing, converting, taking back; trees of nodes that are gone; backups."""

import click

from osrd.cli.commands_cdsl_change import confirmed, trees_named
from osrd.cli.exits import Exit
from osrd.cli.output import emit_json, emit_lines
from osrd.cli.root_change import Call, Change, look, perform
from osrd.cli.root_option import complete_backup, complete_tree, offline_option, on_root
from osrd.cli.session import Session
from osrd.cli.shared_root import Root, Where
from osrd.cli.text import safe
from osrd.model.cdsl import Members
from osrd.model.settings import NO_LINK


@click.command("repair")
@on_root
@offline_option
def repair(session: Session, where: Where, offline: bool) -> Exit:
    """Make links and trees that are missing or wrong again.

    No content is touched; what cannot be repaired so stays a finding of `check`.
    """
    return perform(session, where, offline, [Change(Call("RepairCdsls"), lambda root: root.repair())])


@click.command("rebuild")
@on_root
@offline_option
def rebuild(session: Session, where: Where, offline: bool) -> Exit:
    """Write the inventory anew, from the disk alone."""
    call = Call("RepairCdsls", options={"rebuild": True})
    return perform(session, where, offline, [Change(call, lambda root: root.rebuild())])


@click.command("convert")
@on_root
@offline_option
def convert(session: Session, where: Where, offline: bool) -> Exit:
    """Bring an older layout to the one whose links resolve everywhere."""
    return perform(session, where, offline, [Change(Call("ConvertLayout"), lambda root: root.convert())])


@click.command("undo")
@on_root
@offline_option
def undo(session: Session, where: Where, offline: bool) -> Exit:
    """Take back the last change of ROOT."""
    return perform(session, where, offline, [Change(Call("Undo"), lambda root: root.undo())])


@click.command("recover")
@on_root
def recover(session: Session, where: Where) -> Exit:
    """Finish or take back what a crash left.

    osrd does this by itself when it starts, and every change does it first.
    """
    return perform(session, where, True, [Change(None, lambda root: root.recover())])


@click.command("set")
@on_root
@click.argument("name")
@click.argument("value")
def set_(session: Session, where: Where, name: str, value: str) -> Exit:
    """Change a setting of the inventory, such as maxnodeidnum.

    New nodes get their trees and copies at once. What decides where everything is cannot be changed.
    """
    return perform(session, where, True, [Change(None, lambda root: root.set(name, value))])


@click.command("bind")
@on_root
@click.argument("node", required=False, default="", shell_complete=complete_tree)
@offline_option
def bind(session: Session, where: Where, offline: bool, node: str) -> Exit:
    """Show ROOT on this host as NODE sees it.

    The tree of NODE is mounted at the link; `none` unmounts it. Without NODE it is what osrd.conf says, else the
    lowest node.
    """
    from osrd.engine.members import section_of

    section = section_of(where.path, where.settings)
    tree = node if node in ("", NO_LINK) else trees_named(session, where, [node])[0]
    link = tree or (section.link if section else "")
    return perform(session, where, offline, [Change(Call("BindLink", "s", (tree,)), lambda root: root.bind(link))])


@click.command("adopt")
@on_root
@click.argument("tree")
@click.argument("node", shell_complete=complete_tree)
@offline_option
def adopt(session: Session, where: Where, offline: bool, tree: str, node: str) -> Exit:
    """Make TREE, of a node that is gone, the tree of NODE."""
    (heir,) = trees_named(session, where, [node])
    call = Call("AdoptTree", "ss", (tree, heir))
    return perform(session, where, offline, [Change(call, lambda root: root.adopt(tree, heir))])


@click.command("archive")
@on_root
@click.argument("node", metavar="TREE")
@offline_option
def archive(session: Session, where: Where, offline: bool, node: str) -> Exit:
    """Move TREE, of a node that is gone, to the backups."""
    call = Call("ArchiveTree", "s", (node,))
    return perform(session, where, offline, [Change(call, lambda root: root.archive(node))])


@click.group("backups")
def backups() -> None:
    """Content that changes replaced or removed."""


@backups.command("list")
@on_root
def list_(session: Session, where: Where) -> Exit:
    """List the backups in ROOT."""

    def show(root: Root, _members: Members) -> Exit:
        names = root.backups()
        if session.json:
            emit_json({"root": where.path, "backups": names})
        else:
            emit_lines(map(safe, names))
        return Exit.OK

    return look(session, where, show)


@backups.command("drop")
@on_root
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_backup)
@offline_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def drop(session: Session, where: Where, offline: bool, names: tuple[str, ...], yes: bool) -> Exit:
    """Delete backups for good."""
    if not confirmed(session, yes, f"Delete {', '.join(map(repr, names))} for good?"):
        return Exit.NEGATIVE

    def change(name: str) -> Change:
        return Change(Call("DropBackup", "s", (name,)), lambda root: root.drop_backup(name))

    return perform(session, where, offline, [change(name) for name in names])
