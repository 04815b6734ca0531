# SPDX-License-Identifier: GPL-3.0-or-later
"""com-rmcdsl: make CDSLs ordinary paths again, as the original does it (spec/cdsl.md 3.1).

Other than there: PATH itself comes back, on every node, and only content that differs from what is there then is put
beside it as PATH.NODE. A path without a CDSL is never touched, and nothing that is not registered is removed.
"""

import optparse
import sys

from osrd.cli.com.program import FAILED, USAGE, Environment, Parser, report, run, tell
from osrd.cli.com.repository import Repositories, Repository
from osrd.cli.shared_root import known_trees
from osrd.model.cdsl import Place, Removal
from osrd.model.errors import ConflictError, NotFoundError

PROGRAM = "com-rmcdsl"


class _NotRegisteredError(NotFoundError):
    """The path is no CDSL."""


class _HasChildrenError(ConflictError):
    """There are CDSLs below it."""


def main() -> None:
    """The console script."""
    sys.exit(run(PROGRAM, remove_cdsls, failed=USAGE))


def remove_cdsls(words: list[str], environment: Environment) -> int:
    """Remove them in order. Exit statuses of the original: 1 when a path is no CDSL or has others below it, 2 for
    everything else; the first that fails ends the run."""
    parser = _parser()
    options, paths = parser.read(words)
    if not paths:
        return 0  # silently, like the original
    repositories = Repositories(options, environment)
    try:
        with repositories.open(options.mountpoint) as outer:
            for word in paths:
                with repositories.home(outer, repositories.place_of(word)) as (home, place):
                    _remove(options, home, place)
    except (_NotRegisteredError, _HasChildrenError) as error:
        report(PROGRAM, words, error)
        return FAILED
    return 0


def _parser() -> Parser:
    parser = Parser(PROGRAM, "PATH...", "Make each PATH, which is a CDSL, an ordinary path again.")
    parser.add_mountpoint()
    parser.add_option("-R", "--recursive", action="store_true", default=False, help="also the CDSLs below PATH")
    parser.add_option(
        "-F", "--reallyforce", action="store_true", default=False, help="delete the content on all nodes, too"
    )
    parser.add_option("--from", dest="winner", metavar="NODE", default="", help="NODE's content is everybody's")
    parser.add_option("-f", "--force", action="store_true", help="does nothing, for old scripts")
    parser.add_option("-S", "--resolved", action="store_true", help="does nothing, for old scripts")
    return parser


def _remove(options: optparse.Values, repository: Repository, place: str) -> None:
    root = repository.root
    _check(options, repository, place)
    trees = known_trees(root, repository.members)
    # What the caller sees at PATH stays there, as far as that can be known.
    winner = trees.get(options.winner, options.winner) or root.bound
    if options.reallyforce:
        winner = ""
    tell(options, root.remove(place, Removal(winner, options.recursive, options.reallyforce, Place.BESIDE)))


def _check(options: optparse.Values, repository: Repository, place: str) -> None:
    """Raises _NotRegisteredError and _HasChildrenError, which have an exit status of their own."""
    from osrd.plan.cdsl.paths import children_of

    inventory = repository.root.inventory
    src = repository.root.public(place)
    if inventory.get(src) is None:
        raise _NotRegisteredError(f"/{src} is not in the inventory", "see what is: com-cdslinvadm listcdsls")
    children = children_of(inventory, src)
    if children and not options.recursive:
        named = ", ".join(f"/{child.src}" for child in children)
        raise _HasChildrenError(f"/{src} has CDSLs below it: {named}", "remove them first, or all together with -R")
