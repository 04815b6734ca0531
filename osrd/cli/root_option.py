# SPDX-License-Identifier: GPL-3.0-or-later
"""ROOT and what belongs to it on the command line, and its completion in a shell."""

import functools
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from osrd.cli.session import Session, completing, json_option, pass_session
from osrd.cli.shared_root import Where, Work, find_root, read_configuration
from osrd.model.errors import OsrdError

Command = Callable[..., int]


def on_root(command: Command) -> Command:
    """Give a command the argument ROOT and ``-c``, as ``session`` and ``where``."""

    def with_root(session: Session, /, root: str, clusterconf: str, **others: Any) -> int:
        where = find_root(root, read_configuration(session.configuration), clusterconf)
        return command(session=session, where=where, **others)

    # Also takes over the parameters that the command has been given so far.
    functools.update_wrapper(with_root, command)
    wrapped: Command = json_option(pass_session(with_root))
    wrapped = click.option(
        "-c", "--clusterconf", metavar="FILE", default="", help="Take the nodes from this cluster.conf."
    )(wrapped)
    return click.argument("root", metavar="ROOT", shell_complete=complete_root)(wrapped)


#: For commands that change something.
offline_option = click.option("--offline", is_flag=True, help="Do it in this process, even when osrd runs.")


def complete_root(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names from osrd.conf, and directories by the shell itself."""
    session = completing(context)
    try:
        roots = read_configuration(session.configuration).roots
    except (OsrdError, OSError):
        roots = ()
    names = [CompletionItem(root.name) for root in roots if root.path and root.name.startswith(incomplete)]
    return [*names, CompletionItem(incomplete, type="dir")]


def complete_tree(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Node ids (or names, where trees have those) of the root that was typed."""

    def trees(session: Session, where: Where) -> list[str]:
        with session.open_root(where.path, where.members().members, Work()) as root:
            return list(root.nodes)

    return _completed(context, incomplete, trees)


def complete_cdsl(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The CDSLs of the root that was typed, as absolute paths."""

    def cdsls(session: Session, where: Where) -> list[str]:
        with session.open_root(where.path, where.members().members, Work()) as root:
            return [f"/{cdsl.src}" for cdsl in root.inventory.cdsls]

    return _completed(context, incomplete, cdsls)


def complete_backup(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    def backups(session: Session, where: Where) -> list[str]:
        with session.open_root(where.path, where.members().members, Work()) as root:
            return list(root.backups())

    return _completed(context, incomplete, backups)


def _completed(
    context: click.Context, incomplete: str, words: Callable[[Session, Where], list[str]]
) -> list[CompletionItem]:
    """A shell has no place for errors: whatever goes wrong completes nothing."""
    session = completing(context)
    # An option whose value is being typed keeps click from telling arguments apart; then ROOT is the first of them.
    root = context.params.get("root") or next(iter(context.args), None)
    if not root:
        return []
    try:
        clusterconf = context.params.get("clusterconf") or ""
        where = find_root(root, read_configuration(session.configuration), clusterconf)
        return [
            CompletionItem(word)
            for word in words(session, where)
            if word.startswith(incomplete) and word.isprintable()
        ]
    except (OsrdError, OSError):
        return []
