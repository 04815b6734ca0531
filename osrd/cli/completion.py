# SPDX-License-Identifier: GPL-3.0-or-later
"""Shell completion: click's own scripts, and node names from the running osrd."""

import click
from click.shell_completion import CompletionItem, get_completion_class

from osrd.bus.names import MANAGER
from osrd.cli.session import Bus, completing
from osrd.model.errors import OsrdError

PROGRAM = "osrctl"
VARIABLE = "_OSRCTL_COMPLETE"


def complete_node(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of the nodes that begin so; none when osrd cannot be asked, since a shell has no place for errors."""

    async def work(bus: Bus) -> list[CompletionItem]:
        (rows,) = await bus.call(MANAGER, "ListNodes", "a{sv}", {})
        return [CompletionItem(row[2]) for row in rows if row[2].startswith(incomplete) and row[2].isprintable()]

    try:
        return completing(context).run(work)
    except (OsrdError, OSError):
        return []


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    To have it in this shell at once: eval "$(osrctl completion bash)"
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.BadParameter(f"click knows no shell {shell}", param_hint="SHELL")
    click.echo(script(context.find_root().command, {}, PROGRAM, VARIABLE).source())
