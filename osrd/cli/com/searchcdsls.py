# SPDX-License-Identifier: GPL-3.0-or-later
"""com-searchcdsls: put what the disk has into the inventory, as generation 1 does it (spec/cdsl.md 3.3); the same as
com-cdslinvchk -f -U."""

import sys

from osrd.cli.com.cdslinvchk import rebuild
from osrd.cli.com.program import Environment, Parser, run
from osrd.cli.com.repository import Repositories

PROGRAM = "com-searchcdsls"


def main() -> None:
    """The console script."""
    sys.exit(run(PROGRAM, search))


def search(words: list[str], environment: Environment) -> int:
    """0, or 1 when it failed."""
    parser = Parser(PROGRAM, "", "Add the CDSLs that the disk has to the inventory.")
    parser.add_mountpoint()
    parser.add_old_inventory()
    parser.add_option("-V", "--defaultvalues", action="store_true", help="does nothing, for old scripts")
    options, rest = parser.read(words)
    if rest:
        parser.error(f"this takes no {rest[0]}")
    options.update = True
    with Repositories(options, environment).open(options.mountpoint) as repository:
        _ = repository.root.inventory  # it must be there, as ever; com-cdslinvchk -f -U makes a new one
        return rebuild(options, repository)
