# SPDX-License-Identifier: GPL-3.0-or-later
"""Editing cluster.conf through osrd: node add, node set, node remove."""

import click

from osrd.cli.completion import complete_node
from osrd.cli.exits import Exit
from osrd.cli.output import can_ask
from osrd.cli.progress import run_job, show_job
from osrd.cli.session import Session, json_option, pass_session

Attributes = dict[str, str]


def _attributes(_context: click.Context, _parameter: click.Parameter, words: tuple[str, ...]) -> Attributes:
    """``key=value`` words. The daemon knows the keys; a value may be empty and may hold ``=``."""
    attributes: Attributes = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{word!r} is not KEY=VALUE, such as mac=52:54:00:00:00:01")
        if key in attributes:
            raise click.BadParameter(f"{key} is given twice")
        attributes[key] = value
    return attributes


expect_version = click.option(
    "--expect-version",
    type=click.IntRange(1, 2**64 - 1),
    metavar="N",
    help="Fail with a conflict unless config_version is N.",
)


def _options(version: int | None) -> dict[str, object]:
    return {} if version is None else {"expected_version": version}


@click.group()
def node() -> None:
    """Add, change and remove nodes of cluster.conf.

    Comments and formatting of the file stay, config_version is raised by one.

    Keys: nodeid, votes, root, fstype, mountopts, and ip, mac, mask, gateway of the first NIC, or NIC.KEY
    (eth1.ip=10.0.0.7) of another; `node set` also knows name.
    """


@node.command()
@click.argument("name")
@click.argument("attributes", nargs=-1, metavar="[KEY=VALUE]...", callback=_attributes)
@expect_version
@json_option
@pass_session
def add(session: Session, name: str, attributes: Attributes, expect_version: int | None) -> Exit:
    """Add the node NAME.

    What is not said is taken from the last node, the id is the lowest free one.
    """
    return show_job(session, run_job(session, "AddNode", "sa{sv}a{sv}", name, attributes, _options(expect_version)))


@node.command("set")
@click.argument("node", shell_complete=complete_node)
@click.argument("attributes", nargs=-1, required=True, metavar="KEY=VALUE...", callback=_attributes)
@expect_version
@json_option
@pass_session
def set_(session: Session, node: str, attributes: Attributes, expect_version: int | None) -> Exit:
    """Change attributes of NODE (an id or a name). An empty value removes the attribute."""
    return show_job(session, run_job(session, "SetNode", "sa{sv}a{sv}", node, attributes, _options(expect_version)))


@node.command()
@click.argument("node", shell_complete=complete_node)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@expect_version
@json_option
@pass_session
def remove(session: Session, node: str, yes: bool, expect_version: int | None) -> Exit:
    """Remove NODE (an id or a name). Its boot entries go; no data of the node is touched."""
    if not yes:
        if session.json or not can_ask():
            raise click.UsageError("cannot ask without a terminal: add --yes")
        if not click.confirm(f"Remove {node!r} from cluster.conf?", default=False):
            return Exit.NEGATIVE
    return show_job(session, run_job(session, "RemoveNode", "sa{sv}", node, _options(expect_version)))
