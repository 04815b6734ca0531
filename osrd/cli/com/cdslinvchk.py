# SPDX-License-Identifier: GPL-3.0-or-later
"""com-cdslinvchk: compare a root's inventory with its disk, as the original does it (spec/cdsl.md 3.2).

Other than there: -U repairs the disk and never forgets a CDSL whose data is there; without the mount at the link it
judges as well; a check writes nothing; an error is exit status 255, not 0.
"""

import optparse
import os
import sys
from collections.abc import Iterator, Sequence

from osrd.cli.com.infrastructure import add_names, layout_of
from osrd.cli.com.program import Environment, Parser, complain, run, say, tell
from osrd.cli.com.repository import Repositories, Repository
from osrd.model.cdsl import Cdsl, Layout
from osrd.model.errors import InvalidConfigError, NotFoundError, OsrdError
from osrd.model.finding import Finding, Severity

PROGRAM = "com-cdslinvchk"
FAILED = 255
#: Findings about the mount at the link: not what the original looks at, and no node has to run for a check.
_MOUNTS = ("cdsl-not-mounted", "cdsl-foreign-mount", "cdsl-mounted-orphan")
#: A count of more could be taken for FAILED, or wrap to 0.
MOST = 250


def main() -> None:
    """The console script."""
    sys.exit(run(PROGRAM, check_inventory, failed=FAILED))


def check_inventory(words: list[str], environment: Environment) -> int:
    """0 when all is well or -U was given, else how much is not (at most 250), 255 for an error."""
    parser = _parser()
    options, rest = parser.read(words)
    if rest:
        parser.error(f"{rest[0]} is no option: give paths with -C PATH, or where to begin with -p PATH")
    repositories = Repositories(options, environment)
    with repositories.open(options.mountpoint) as repository:
        if options.filesystem:
            return rebuild(options, repository, layout_of(options))
        return _check(options, repositories, repository)


def _parser() -> Parser:
    parser = Parser(PROGRAM, "", "Compare the inventory of CDSLs with the disk.")
    parser.add_mountpoint()
    add_names(parser, Layout())
    parser.add_option("-U", "--update", action="store_true", default=False, help="repair what is found")
    parser.add_option(
        "-f",
        "--filesystem",
        action="store_true",
        default=False,
        help="look for what the inventory lacks",
    )
    parser.add_option("-p", "--path", metavar="PATH", help="only what is at PATH and below")
    parser.add_option("-R", "--norecursive", action="store_true", default=False, help="with -p: not further below")
    parser.add_option("-C", "--cdsl", metavar="PATH", action="append", help="only this CDSL; repeatable")
    for short, long in (("-u", "--updateinventory"), ("-V", "--defaultvalues")):
        parser.add_option(short, long, action="store_true", help="does nothing, for old scripts")
    return parser


def _check(options: optparse.Values, repositories: Repositories, repository: Repository) -> int:
    root = repository.root
    _ = root.inventory  # without one there is nothing to compare, which is an error
    wanted = _wanted(options, repositories, repository)
    found = [each for each in root.check() if each.severity is not Severity.INFO and wanted(each.value)]
    found = [each for each in found if each.code not in _MOUNTS]
    if not options.quiet:
        say(map(_line, found))
    if options.update:
        if found:
            tell(options, root.repair())
        return 0
    return min(len(found), MOST)


def _line(finding: Finding) -> str:
    node = f" (node {finding.node})" if finding.node else ""
    return f"{finding.severity.value}: {finding.message}{node}; {finding.fix}"


class _Wanted:
    """Which public paths were asked for."""

    def __init__(self, cdsls: Sequence[str], top: str | None, *, deep: bool) -> None:
        self._cdsls = cdsls
        self._top = top
        self._deep = deep

    def __call__(self, path: str) -> bool:
        path = path.strip("/")
        if self._cdsls and not any(path == src or path.startswith(f"{src}/") for src in self._cdsls):
            return False
        if self._top is None or path == self._top:
            return True
        below = path.removeprefix(f"{self._top}/" if self._top else "")
        return (not self._top or below != path) and (self._deep or "/" not in below)


def _wanted(options: optparse.Values, repositories: Repositories, repository: Repository) -> _Wanted:
    """Raises NotFoundError for a -C that is no CDSL."""
    root = repository.root
    cdsls = []
    for word in options.cdsl or ():
        src = root.public(repositories.place_of(word))
        if root.inventory.get(src) is None:
            raise NotFoundError(f"/{src} is not in the inventory", "see what is: com-cdslinvadm listcdsls")
        cdsls.append(src)
    # Relative to the link, or so the original says: inside a root that is the same.
    top = root.public(os.path.join("/", options.path)) if options.path is not None else None
    return _Wanted(cdsls, top, deep=not options.norecursive)


def rebuild(options: optparse.Values, repository: Repository, layout: Layout | None = None) -> int:
    """Compare the inventory with one that is made from the disk alone, and with -U write that one. ``layout`` are the
    names where there is no inventory that tells them."""
    root = repository.root
    before: Sequence[Cdsl] = ()
    trouble: OsrdError | None = None
    try:
        before, layout = root.inventory.cdsls, None
    except (NotFoundError, InvalidConfigError) as error:
        trouble = error  # it is what this can mend
    after = root.rebuilt(layout).cdsls
    if trouble and not after:
        raise trouble
    if trouble:
        complain(str(trouble))
    lines = list(_changes(before, after))
    if not options.quiet:
        say(lines)
    if options.update:
        if lines:
            tell(options, root.rebuild(layout))
        return 0
    return min(len(lines), MOST)


def _changes(before: Sequence[Cdsl], after: Sequence[Cdsl]) -> Iterator[str]:
    """In the original's words."""
    old, new = ({(cdsl.src, cdsl.type) for cdsl in cdsls} for cdsls in (before, after))
    yield from (f"Removed cdsl {src} type {kind.value}" for src, kind in sorted(old - new))
    yield from (f"Added cdsl {src} type {kind.value}" for src, kind in sorted(new - old))
