# SPDX-License-Identifier: GPL-3.0-or-later
"""com-mkcdslinfrastructure: prepare a root for CDSLs, as generations 1 and 2 do it (spec/cdsl.md 1.1).

``--get NAME`` and ``--list`` ask for settings, as old initrds do. Options that meant something else in generation 1:
``-m NUMBER`` is taken as the number of nodes it was then, ``-i`` takes the file it took since.
"""

import sys

from osrd.cli.com.infrastructure import add_names, check_number, layout_of
from osrd.cli.com.program import Environment, Parser, run, say, tell
from osrd.cli.com.repository import Repositories
from osrd.cli.com.settings import setting, settings_of
from osrd.model.cdsl import Layout
from osrd.model.errors import UnsupportedError

PROGRAM = "com-mkcdslinfrastructure"


def main() -> None:
    """The console script."""
    sys.exit(run(PROGRAM, make_infrastructure))


def make_infrastructure(words: list[str], environment: Environment) -> int:
    """Make what is missing; what is there stays, and what the inventory says counts."""
    parser = _parser()
    options, rest = parser.read(words)
    if rest:
        parser.error(f"this takes no {rest[0]}")
    if options.mountpoint.isdecimal():
        options.maxnodeidnum, options.mountpoint = int(options.mountpoint), ""
    check_number(parser, options)
    if options.createInventory:
        raise UnsupportedError(
            "an inventory without its trees is of no use", "leave out -C: what is there already is kept"
        )
    with Repositories(options, environment).open(options.mountpoint) as repository:
        root = repository.root
        if options.list:
            say(f"{name}: {value}" for name, value in settings_of(root.inventory))
        elif options.get:
            say([setting(root.inventory, options.get)])
        else:
            tell(
                options,
                root.init(layout_of(options), maxnodeidnum=options.maxnodeidnum, use_nodeids=not options.use_names),
            )
    return 0


def _parser() -> Parser:
    parser = Parser(PROGRAM, "", "Make the directories, the link and the inventory that CDSLs need.")
    parser.add_mountpoint()
    parser.add_old_inventory()
    add_names(parser, Layout(), ("-p", "--node_prefix", "--nodePrefix"))
    parser.add_option("-g", "--get", metavar="NAME", help="print a setting of the inventory")
    parser.add_option("--list", action="store_true", default=False, help="print all settings of the inventory")
    parser.add_option("-C", "--createInventory", action="store_true", default=False, help="not possible any more")
    parser.add_option("-V", "--defaultvalues", action="store_true", help="does nothing, for old scripts")
    parser.add_option("--useNodeids", action="store_false", dest="use_names", help="trees have the nodes' ids")
    return parser
