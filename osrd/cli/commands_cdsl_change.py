# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl cdsl init, make, share, remove``: making, sharing and removing host-dependent paths of a shared root."""

import os
from collections.abc import Sequence

import click

from osrd.cli.exits import Exit
from osrd.cli.output import can_ask
from osrd.cli.root_change import Call, Change, perform
from osrd.cli.root_option import complete_cdsl, complete_tree, offline_option, on_root
from osrd.cli.session import Session
from osrd.cli.shared_root import Root, Where, Work, path_in_root, tree_of
from osrd.model.cdsl import Changed, Layout, Place, Removal

_paths = click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())


@click.command("init")
@on_root
@offline_option
@click.option("--maxnodeidnum", type=click.IntRange(1, 99999), metavar="N", help="The nodes are 1 to N.")
@click.option("--names", is_flag=True, help="Name trees after node names, not node ids.")
@click.option("--prefix", default="", metavar="TEXT", help="Put TEXT before every node id.")
@click.option("--tree", metavar="PATH", help="Where the node trees are (cluster/cdsl).")
@click.option("--shared", metavar="PATH", help="Where shared copies are (cluster/shared).")
@click.option("--link", metavar="PATH", help="The link to a node's own tree (cdsl.local).")
def init(
    session: Session,
    where: Where,
    *,
    offline: bool,
    maxnodeidnum: int | None,
    names: bool,
    prefix: str,
    tree: str | None,
    shared: str | None,
    link: str | None,
) -> Exit:
    """Prepare ROOT for host-dependent files.

    Makes a tree for every node of cluster.conf, the template tree, the shared tree, the link and the inventory. What
    is there stays as it is.
    """
    usual = Layout()
    layout = Layout(
        tree.strip("/") if tree else usual.tree,
        shared.strip("/") if shared else usual.shared,
        link.strip("/") if link else usual.link,
        prefix=prefix,
    )
    options: dict[str, object] = {"tree": layout.tree, "shared": layout.shared, "link": layout.link}
    options |= {"prefix": prefix, "use_nodeids": not names}
    if maxnodeidnum:
        options["maxnodeidnum"] = maxnodeidnum

    def direct(root: Root) -> Changed:
        return root.init(layout, maxnodeidnum=maxnodeidnum or 0, use_nodeids=not names)

    call = Call("CreateInfrastructure", options=options)
    return perform(session, where, offline, [Change(call, direct)])


@click.command("make")
@on_root
@_paths
@offline_option
@click.option(
    "--node", "nodes", multiple=True, metavar="NODE", shell_complete=complete_tree, help="Only for NODE; repeatable."
)
def make(session: Session, where: Where, offline: bool, paths: Sequence[str], nodes: Sequence[str]) -> Exit:
    """Make PATH host-dependent: every node gets a copy of its own."""
    trees = trees_named(session, where, nodes)

    def change(path: str) -> Change:
        call = Call("MakeHostDependent", "ayas", (os.fsencode(path), [*trees]))
        return Change(call, lambda root: root.make(path, trees))

    return perform(session, where, offline, [change(path) for path in _inside(where, paths)])


@click.command("share")
@on_root
@_paths
@offline_option
@click.option("--from", "winner", metavar="NODE", shell_complete=complete_tree, help="NODE's content is everybody's.")
def share(session: Session, where: Where, offline: bool, paths: Sequence[str], winner: str | None) -> Exit:
    """Share PATH, below a host-dependent one, between all nodes.

    When the nodes' copies differ nothing is done, and the exit status is 7, unless --from says whose counts. The
    others' content is kept as a backup.
    """
    (tree,) = trees_named(session, where, [winner] if winner else []) or ("",)

    def change(path: str) -> Change:
        return Change(Call("MakeShared", "ays", (os.fsencode(path), tree)), lambda root: root.share(path, tree))

    return perform(session, where, offline, [change(path) for path in _inside(where, paths)])


@click.command("remove")
@on_root
@click.argument("paths", metavar="PATH...", shell_complete=complete_cdsl, nargs=-1, required=True)
@offline_option
@click.option("--from", "winner", metavar="NODE", shell_complete=complete_tree, help="NODE's content is everybody's.")
@click.option("--recursive", is_flag=True, help="Also what is host-dependent or shared below PATH.")
@click.option("--beside", is_flag=True, help="Put the other nodes' content beside PATH, as PATH.NODE.")
@click.option(
    "--discard", is_flag=True, help="Delete the content on all nodes; until the next change undo brings it back."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(
    session: Session,
    where: Where,
    *,
    offline: bool,
    paths: Sequence[str],
    winner: str | None,
    recursive: bool,
    beside: bool,
    discard: bool,
    yes: bool,
) -> Exit:
    """Make PATH an ordinary path again.

    When the nodes' copies differ nothing is done, and the exit status is 7, unless --from says whose stays. The
    others' content is kept as a backup.
    """
    if discard and winner:
        raise click.UsageError("--discard leaves nobody's content: leave out --from")
    if discard and not confirmed(session, yes, f"Delete {', '.join(map(repr, paths))} of all nodes for good?"):
        return Exit.NEGATIVE
    (tree,) = trees_named(session, where, [winner] if winner else []) or ("",)
    removal = Removal(tree, recursive, discard, Place.BESIDE if beside else Place.BACKUP)
    options: dict[str, object] = {"from": tree, "recursive": recursive, "others": removal.others.value}
    if discard:
        options["discard"] = True

    def change(path: str) -> Change:
        return Change(Call("RemoveCdsl", "ay", (os.fsencode(path),), options), lambda root: root.remove(path, removal))

    return perform(session, where, offline, [change(path) for path in _inside(where, paths)])


def confirmed(session: Session, yes: bool, question: str) -> bool:
    """Whether the user wants it. Raises click.UsageError when nobody can be asked."""
    if yes:
        return True
    if session.json or not can_ask():
        raise click.UsageError("cannot ask without a terminal: add --yes")
    return click.confirm(question, default=False)


def trees_named(session: Session, where: Where, words: Sequence[str]) -> tuple[str, ...]:
    """The trees of the nodes that the user named. Raises NotFoundError for one that is none."""
    if not words:
        return ()
    members = where.members().members
    with session.open_root(where.path, members, Work()) as root:
        return tuple(tree_of(word, root, members) for word in words)


def _inside(where: Where, paths: Sequence[str]) -> list[str]:
    """Each PATH as an absolute one of the root."""
    return ["/" + path_in_root(where.path, path) for path in paths]
