# SPDX-License-Identifier: GPL-3.0-or-later
"""com-cdslinvadm: the inventory of a root and what it stands for, as the original does it (spec/cdsl.md 3.4).

A command is a word or an option (``get tree``, ``--get tree``, ``--get=tree``). Other than there: reading never
writes; ``delete`` keeps all content unless -f is given, and succeeds; ``addnode`` raises maxnodeidnum, so that later
CDSLs have the node, too; ``deletenode`` keeps the tree as a backup in the root, not in the current directory, unless
-f is given.
"""

import optparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from osrd.cli.com.infrastructure import add_names, check_number, layout_of
from osrd.cli.com.inventory_text import Listing, listing
from osrd.cli.com.program import Environment, Parser, run, say, tell
from osrd.cli.com.repository import Repositories, Repository
from osrd.cli.com.settings import current_name, setting, settings_of
from osrd.model.cdsl import OLD_INVENTORY, Layout
from osrd.model.errors import NotFoundError, UnsupportedError

PROGRAM = "com-cdslinvadm"


@dataclass(frozen=True, slots=True)
class Run:
    """One command with its arguments."""

    options: optparse.Values
    arguments: Sequence[str]
    repositories: Repositories
    repository: Repository


@dataclass(frozen=True, slots=True)
class Command:
    short: str
    arguments: tuple[str, ...]
    about: str
    work: Callable[[Run], None]


def main() -> None:
    """The console script."""
    sys.exit(run(PROGRAM, administrate))


def administrate(words: list[str], environment: Environment) -> int:
    """Exits with 0, 1 when it failed, 2 when the command line is wrong."""
    parser = _parser()
    options, rest = parser.read(_split(words))
    name, arguments = _chosen(parser, options.commands or [], rest)
    command = COMMANDS[name]
    if len(arguments) != len(command.arguments):
        parser.error(f"{name} takes {' '.join(command.arguments) or 'no argument'}")
    check_number(parser, options)
    _check_source(options)
    repositories = Repositories(options, environment)
    with repositories.open(options.mountpoint) as repository:
        command.work(Run(options, arguments, repositories, repository))
    return 0


def _parser() -> Parser:
    about = "Commands: " + "; ".join(f"{' '.join((n, *c.arguments))}: {c.about}" for n, c in COMMANDS.items())
    parser = Parser(PROGRAM, "COMMAND [ARGUMENT]...", about + ".")
    parser.add_mountpoint()
    for name, command in COMMANDS.items():
        parser.add_option(
            command.short,
            f"--{name}",
            dest="commands",
            action="append_const",
            const=name,
            help=f"the command {name}",
        )
    add_names(parser, Layout())
    parser.add_option("-S", "--sourceinventory", metavar="FILE", help=f"only {OLD_INVENTORY} is possible (migrate)")
    parser.add_option("-X", "--xml", action="store_true", default=False, help="list as XML")
    parser.add_option("-E", "--detailed", action="store_true", default=False, help="list nodes and time stamps, too")
    parser.add_option(
        "-R", "--recursive", action="store_false", default=True, help="do not look into other file systems or parents"
    )
    parser.add_option("-f", "--force", action="store_true", default=False, help="delete content, too")
    parser.add_option("-C", "--onlyinventory", action="store_true", default=False, help="not possible any more")
    return parser


def _split(words: Sequence[str]) -> list[str]:
    """``--get=tree`` as two words: the option is a command, the text its argument."""
    split: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        split += [name, value] if equals and name.startswith("--") and name[2:] in COMMANDS else [word]
    return split


def _chosen(parser: Parser, commands: Sequence[str], rest: Sequence[str]) -> tuple[str, Sequence[str]]:
    if len(commands) > 1:
        parser.error(f"one command at a time, not {' and '.join(commands)}")
    if commands:
        return commands[0], rest
    if not rest or rest[0] not in COMMANDS:
        given = f"{rest[0]} is no command" if rest else "give a command"
        parser.error(f"{given}: {', '.join(COMMANDS)}")
    return rest[0], rest[1:]


def _check_source(options: optparse.Values) -> None:
    if options.onlyinventory:
        raise UnsupportedError("an inventory without its trees is of no use", "leave out -C: what is there is kept")
    if options.sourceinventory and options.sourceinventory.lstrip("/") != OLD_INVENTORY:
        raise UnsupportedError(
            f"{options.sourceinventory} cannot be migrated: only {OLD_INVENTORY} of the root", "move it there"
        )


def _create(call: Run) -> None:
    options, inner = call.options, call.repository
    names = layout_of(options)
    tell(options, inner.root.init(names, maxnodeidnum=options.maxnodeidnum, use_nodeids=not options.use_names))
    if inner.mountpoint and not options.noexecute:
        tell(options, inner.root.set("mountpoint", inner.mountpoint))
        with call.repositories.open() as outer:
            tell(options, outer.root.register(inner.mountpoint))


def _delete(call: Run) -> None:
    tell(call.options, call.repository.root.dismantle(discard=call.options.force))


def _get(call: Run) -> None:
    say([setting(call.repository.root.inventory, call.arguments[0])])


def _set(call: Run) -> None:
    name, value = call.arguments
    tell(call.options, call.repository.root.set(current_name(name), value))


def _list(call: Run) -> None:
    say(f"{name}: {value}" for name, value in settings_of(call.repository.root.inventory))


def _list_cdsls(call: Run) -> None:
    options = call.options
    kind = Listing.XML if options.xml else Listing.DETAILED if options.detailed else Listing.PLAIN
    inventory = call.repository.root.inventory
    if kind is not Listing.XML:
        say([f"root: {call.repositories.top}"])
    say(listing(f"/{call.repository.mountpoint}", inventory.cdsls, kind))
    if options.recursive and not call.repository.mountpoint:
        for child in inventory.repositories:
            with call.repositories.open(child.path) as inner:
                say(listing(f"/{child.path}", inner.root.inventory.cdsls, kind))


def _get_cdsl(call: Run) -> None:
    """The nearest CDSL: its name alone when the path is one, else after the path."""
    from osrd.plan.cdsl.paths import parent_of

    (word,) = call.arguments
    with call.repositories.home(call.repository, call.repositories.place_of(word)) as (home, place):
        inventory = home.root.inventory
        src = home.root.public(place)
        # Without a parent's help for -R, which turns it off.
        parent = parent_of(inventory, src) if call.options.recursive else None
        if inventory.get(src):
            say([src])
        elif parent:
            say([f"{src} {parent.src}"])
        else:
            raise NotFoundError(f"/{src} is no CDSL, nor in one", "see what is: com-cdslinvadm listcdsls")


def _add_node(call: Run) -> None:
    tell(call.options, call.repository.root.add_node(call.arguments[0]))


def _delete_node(call: Run) -> None:
    root = call.repository.root
    changed = root.delete_node(call.arguments[0])
    tell(call.options, changed)
    if call.options.force:
        for backup in changed.backups:
            tell(call.options, root.drop_backup(backup))


def _migrate(call: Run) -> None:
    tell(call.options, call.repository.root.convert())


COMMANDS = {
    "create": Command("-e", (), "make the infrastructure", _create),
    "delete": Command("-x", (), "remove all CDSLs and the infrastructure", _delete),
    "get": Command("-p", ("NAME",), "print a setting", _get),
    "set": Command("-T", ("NAME", "VALUE"), "change a setting", _set),
    "list": Command("-l", (), "print all settings", _list),
    "listcdsls": Command("-I", (), "print all CDSLs", _list_cdsls),
    "getcdsl": Command("-G", ("PATH",), "print the CDSL that PATH is or is in", _get_cdsl),
    "addnode": Command("-o", ("ID",), "make the tree of a node and its copies", _add_node),
    "deletenode": Command("-O", ("ID",), "take a node out of all CDSLs", _delete_node),
    "migrate": Command("-g", (), "bring an older infrastructure to today's", _migrate),
}
