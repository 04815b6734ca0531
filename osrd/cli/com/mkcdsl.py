# SPDX-License-Identifier: GPL-3.0-or-later
"""com-mkcdsl: make paths host-dependent (-a) or shared (-s), as the original does it (spec/cdsl.md 2).

Other than there: a word after a PATH is a node only when there is such a node; parents that are symlinks are always
resolved, inside the root (-S made links that lead nowhere); the inventory is always updated, so that -u does nothing;
node copies that differ are not shared until --from says whose content counts.
"""

import optparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from osrd.cli.com.program import Environment, Parser, run, tell
from osrd.cli.com.repository import Repositories, Repository
from osrd.cli.shared_root import known_trees
from osrd.model.cdsl import CdslType
from osrd.model.errors import InvalidArgsError, NotFoundError

PROGRAM = "com-mkcdsl"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A PATH of the command line, with the words after it that are nodes."""

    type: CdslType
    path: str
    nodes: tuple[str, ...] = ()


def main() -> None:
    """The console script."""
    sys.exit(run(PROGRAM, make_cdsls))


def make_cdsls(words: list[str], environment: Environment) -> int:
    """Make them in order. The first that fails ends the run, those before it stay."""
    parser = _parser()
    options, rest = parser.read(words)
    if not rest:
        return 0  # silently, like the original
    if isinstance(rest[0], str):
        parser.error("say before PATH what it is to be: -a (host-dependent) or -s (shared)")
    runs = _runs(rest)
    if not any(paths for _, paths in runs):
        parser.error("no PATH is given")
    repositories = Repositories(options, environment)
    with repositories.open(options.mountpoint) as repository:
        wanted = _wanted(runs, repositories, repository)
        for one in wanted:
            _make(options, repositories, repository, one)
    return 0


def _parser() -> Parser:
    parser = Parser(
        PROGRAM,
        "{-a|-s} PATH [NODE]... [{-a|-s} PATH [NODE]...]...",
        "Make each PATH host-dependent, one copy per node (of the NODEs only, if any are named), or shared again.",
    )
    parser.add_mountpoint()
    parser.add_old_inventory()
    for short, long, kind in (("-a", "--hostdependent", CdslType.HOSTDEPENDENT), ("-s", "--shared", CdslType.SHARED)):
        about = f"what follows becomes {'host-dependent' if short == '-a' else 'shared'}, until said otherwise"
        parser.add_option(short, long, action="callback", callback=_remember, callback_args=(kind,), help=about)
    parser.add_option("--from", dest="winner", metavar="NODE", default="", help="NODE's content is everybody's (-s)")
    parser.add_option("-b", "--backup", action="store_true", default=False, help="keep PATH.orig")
    for short, long in (("-S", "--resolved"), ("-u", "--updateinventory"), ("-f", "--force")):
        parser.add_option(short, long, action="store_true", help="does nothing, for old scripts")
    return parser


def _remember(
    _option: optparse.Option, _text: str, _value: object, parser: optparse.OptionParser, kind: CdslType
) -> None:
    """Put the type among the words, since it counts for those that follow."""
    assert parser.largs is not None
    parser.largs.append(_Sticky(kind))  # type: ignore[arg-type] # words are looked at by _runs() only


class _Sticky:
    """-a or -s among the words."""

    def __init__(self, kind: CdslType) -> None:
        self.type = kind


def _runs(rest: Sequence[object]) -> list[tuple[CdslType, list[str]]]:
    """The words after each -a and -s; where both stand before a word the last one counts."""
    runs: list[tuple[CdslType, list[str]]] = []
    for word in rest:
        if isinstance(word, _Sticky):
            runs.append((word.type, []))
        else:
            runs[-1][1].append(str(word))
    return runs


def _wanted(
    runs: Sequence[tuple[CdslType, Sequence[str]]], repositories: Repositories, repository: Repository
) -> list[Wanted]:
    """Paths and their nodes. Raises NotFoundError for a word that is neither: a typo must not become a node."""
    wanted: list[Wanted] = []
    for kind, words in runs:
        first = True
        for word in words:
            if first or _is_path(repositories, word):
                wanted.append(Wanted(kind, repositories.place_of(word)))
                first = False
                continue
            trees = known_trees(repository.root, repository.members)
            if word not in trees:
                known = ", ".join(dict.fromkeys(trees.values())) or "none"
                raise NotFoundError(
                    f"{word} is neither a path in {repositories.top} nor a node", f"nodes are: {known}"
                )
            last = wanted.pop()
            wanted.append(Wanted(kind, last.path, (*last.nodes, trees[word])))
    return wanted


def _is_path(repositories: Repositories, word: str) -> bool:
    return "/" in word or os.path.lexists(repositories.top + repositories.place_of(word))


def _make(options: optparse.Values, repositories: Repositories, outer: Repository, wanted: Wanted) -> None:
    """One CDSL, in the file system that has the path."""
    with repositories.home(outer, wanted.path) as (home, place):
        _make_in(options, home, Wanted(wanted.type, place, wanted.nodes))


def _make_in(options: optparse.Values, repository: Repository, wanted: Wanted) -> None:
    root = repository.root
    if wanted.type is CdslType.HOSTDEPENDENT:
        tell(options, root.make(wanted.path, wanted.nodes, orig=options.backup))
        return
    if wanted.nodes:
        raise InvalidArgsError(
            f"{wanted.path} cannot be shared between some nodes only: {', '.join(wanted.nodes)}",
            "leave out the nodes; all that have the host-dependent path above share it",
        )
    trees = known_trees(root, repository.members)
    winner = options.winner and trees.get(options.winner, options.winner)
    tell(options, root.share(wanted.path, winner, orig=options.backup))
