# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl shell``: a shell or a command in a shared root, which looks as it does on one of the nodes."""

from collections.abc import Sequence

import click

from osrd.cli.exits import Exit
from osrd.cli.root_change import look
from osrd.cli.root_option import complete_tree, on_root
from osrd.cli.session import Session
from osrd.cli.shared_root import Root, Where, known_trees
from osrd.model.cdsl import Layout, Members


class _Shell(click.Command):
    """Takes options before ROOT and directly after it; from the first word of COMMAND on everything is COMMAND's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        before, rest = self._options(ctx, args)
        after, words = self._options(ctx, rest[1:])
        return super().parse_args(ctx, [*before, *after, "--", *rest[:1], *words] if rest else args)

    def _options(self, ctx: click.Context, args: list[str]) -> tuple[list[str], list[str]]:
        """The options that ``args`` begins with, and what follows them."""
        found, rest, _ = self.make_parser(ctx).parse_args(list(args))
        root, command = found.get("root"), found.get("command")
        words = [*([root] if isinstance(root, str) else []), *(command if isinstance(command, tuple) else ()), *rest]
        options = args[: len(args) - len(words)]
        return (options[:-1] if options[-1:] == ["--"] else options), words


@click.command(cls=_Shell, context_settings={"allow_interspersed_args": False})
@on_root
@click.option("--node", metavar="NODE", shell_complete=complete_tree, help="See the root as NODE does.")
@click.argument("command", metavar="[COMMAND [ARGUMENT]...]", nargs=-1, type=click.UNPROCESSED)
def shell(session: Session, where: Where, node: str | None, command: Sequence[str]) -> int:
    """Run a shell, or COMMAND, in ROOT as NODE sees it.

    Mounts are private and gone when the command ends; /proc, /sys and /dev are there.
    Without --node it is the node whose tree is mounted at the link on this host, else the first one. The exit status
    is that of the command, 128 and the signal's number when one ended it.
    """
    tree, layout = "", Layout()

    def choose(root: Root, members: Members) -> Exit:
        nonlocal tree, layout
        layout = root.inventory.layout
        # The tree of a node that is gone, or the template, may be looked at as well.
        tree = known_trees(root, members).get(node, node) if node else ""
        return Exit.OK

    look(session, where, choose)
    return session.run_shell(where.path, tree, tuple(command), layout)
