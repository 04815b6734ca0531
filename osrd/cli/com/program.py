# SPDX-License-Identifier: GPL-3.0-or-later
"""What the com-* commands for CDSLs have in common: options, their defaults files, and how a failure ends.

optparse like the originals: options and words may be mixed, long options may be shortened, and ``-a`` and ``-s`` of
com-mkcdsl count for the words that come after them, which neither click nor argparse tell.
"""

import optparse
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from osrd import __version__
from osrd.cli.com.options import defaults
from osrd.cli.shared_root import Opener
from osrd.cli.streams import discard_output, flush_or_discard, open_standard_streams, reason
from osrd.cli.text import safe
from osrd.model.cdsl import INVENTORY, OLD_INVENTORY, Changed
from osrd.model.errors import FailedError, InvalidConfigError, OsrdError, UnsupportedError
from osrd.model.finding import Finding
from osrd.parse.values import boolean

FAILED = 1
USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
_FLAGS = ("store_true", "store_const")


@dataclass(frozen=True, slots=True)
class Environment:
    """What a command is run with. Seams for tests; ``configuration`` is osrd.conf."""

    open_root: Opener
    configuration: str = "/etc/osrd/osrd.conf"


Main = Callable[[list[str], Environment], int]


class Parser(optparse.OptionParser):
    """The options of one command, with the common ones (spec/cdsl.md 2.1) and the defaults of its files."""

    def __init__(self, program: str, usage: str, about: str) -> None:
        version = f"{program} (osrd) {__version__}"
        super().__init__(f"%prog [options] {usage}", prog=program, description=about, version=version)
        self.add_option("-i", "--inventoryfile", metavar="FILE", help=f"only {INVENTORY} is possible")
        self.add_option("-c", "--clusterconf", metavar="FILE", default="", help="take the nodes from this file")
        self.add_option("-r", "--root", metavar="DIR", default="/", help="the shared root (default: /)")
        self.add_option("-q", "--quiet", action="store_true", default=False, help="print errors only")
        self.add_option("-d", "--verbose", action="store_true", default=False, help="print what is done")
        self.add_option(
            "-n", "--noexecute", action="store_true", default=False, help="print what would be done; change nothing"
        )

    def add_old_inventory(self) -> None:
        """What generation 1 has for -i."""
        self.add_option("-l", dest="inventoryfile", metavar="FILE", help="the same as -i")

    def add_mountpoint(self) -> None:
        self.add_option(
            "-m",
            "--mountpoint",
            metavar="PATH",
            default="",
            help="work on the file system mounted there, relative to the root, which has CDSLs of its own",
        )

    def read(self, words: Sequence[str]) -> tuple[optparse.Values, list[str]]:
        """Options and other words. Exits with 2 for mistakes; raises InvalidConfigError for a bad defaults file."""
        self.set_defaults(**_from_files(self))
        options, rest = self.parse_args(list(words))
        _check_inventory(options.inventoryfile)
        return options, rest


def _from_files(parser: Parser) -> dict[str, object]:
    """The defaults that the files of the original tools have for the command (spec/cdsl.md 1.5)."""
    program = parser.get_prog_name()
    groups = [parser.option_list, *(group.option_list for group in parser.option_groups)]
    known = {option.dest.lower(): option for group in groups for option in group if option.dest}
    found: dict[str, object] = {}
    for key, text in defaults(program, "cdsl").items():
        # What a command does not have may be meant for another version of it.
        if option := known.get(key):
            try:
                found[str(option.dest)] = boolean(text) if option.action in _FLAGS else text
            except InvalidConfigError as error:
                raise InvalidConfigError(f"{key} in [{program}] {error.message}", error.fix) from error
    return found


def _check_inventory(file: str | None) -> None:
    """There is one inventory, at the root, so that no two can contradict each other (spec/cdsl.md 6.1 no. 13)."""
    if file and os.path.normpath(file).lstrip("/") not in (INVENTORY, OLD_INVENTORY):
        raise UnsupportedError(
            f"{file} cannot be the inventory: it is always {INVENTORY} at the root of the file system",
            f"leave out -i, after moving {file} there if it is the one that counts",
        )


def say(lines: Iterable[str]) -> None:
    """Lines on standard output: for scripts any bytes as they are, on a terminal nothing that could act on it."""
    shown = sys.stdout.isatty()
    text = "".join(f"{safe(line) if shown else line}\n" for line in lines)
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(text))
    sys.stdout.buffer.flush()


def complain(text: str) -> None:
    """A line on standard error."""
    print(safe(text), file=sys.stderr)


def tell(options: optparse.Values, changed: Changed) -> None:
    """What was done, when asked for, and what would be done, always. Backups are always worth a line."""
    if options.verbose or options.noexecute:
        say(changed.lines or ["nothing to do"])
    elif changed.backups and not options.quiet:
        say(f"kept: {backup}" for backup in changed.backups)


def warn(options: optparse.Values, findings: Iterable[Finding]) -> None:
    if not options.quiet:
        for finding in findings:
            complain(f"{finding.severity.value}: {finding}")


def report(program: str, words: Sequence[str], error: OsrdError) -> None:
    """The two lines of the originals: the command line, and what is wrong with it."""
    complain(shlex.join([program, *words]))
    complain(str(error))


def run(program: str, main: Main, failed: int = FAILED, environment: Environment | None = None) -> int:
    """The border: run ``main`` on the command line; whatever goes wrong is two lines and an exit status."""
    open_standard_streams()
    words = sys.argv[1:]
    try:
        return main(words, environment or _real())
    except OsrdError as error:
        report(program, words, error)
        return failed
    except BrokenPipeError:
        discard_output()
        return BROKEN_PIPE
    except OSError as error:
        flush_or_discard()
        report(program, words, FailedError(reason(error)))
        return failed
    except KeyboardInterrupt:
        return INTERRUPTED


def _real() -> Environment:
    from osrd.cli.session import open_root

    return Environment(open_root)
