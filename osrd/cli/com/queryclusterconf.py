# SPDX-License-Identifier: GPL-3.0-or-later
"""com-queryclusterconf: the original's questions about cluster.conf, for scripts (com-queryclusterconf(1)).

Standard output holds answers and nothing else, without a line feed after the last one, as the original has it.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from osrd import __version__
from osrd.cli.com import queryinput
from osrd.cli.com.options import defaults
from osrd.cli.com.queryinput import PROGRAM, USAGE, QueryMap, read_file, read_questions
from osrd.cli.streams import discard_output
from osrd.cli.text import safe
from osrd.model.errors import FailedError, InvalidConfigError, OsrdError
from osrd.parse.values import boolean
from osrd.plan.queries.answers import Asker, Source
from osrd.plan.queries.keys import NAMES
from osrd.plan.queries.named import QUERIES
from osrd.plan.queries.questions import Question

CLUSTERCONF = "/etc/cluster/cluster.conf"

INTERRUPTED = 130
BROKEN_PIPE = 141
#: above it a shell could not tell the count from a signal
_MOST_FAILED = 125


@dataclass(frozen=True, slots=True)
class _Options:
    """The command line; the names are those that the option-defaults files use."""

    clusterconf: str
    mapfile: str
    queriesfile: str
    seperator: str | None
    prefix: str
    suffix: str
    properties: bool
    nowarnings: bool
    validate: bool
    verbose: bool
    literal: bool
    words: tuple[str, ...]


class _Command(click.Command):
    """The one place where errors are caught, and where the option-defaults files come in."""

    def make_context(self, info_name: str | None, args: list[str], *arguments: Any, **extra: Any) -> click.Context:
        try:
            extra.setdefault("default_map", _defaults())
        except OsrdError as error:
            _report(error)
            sys.exit(USAGE)
        return super().make_context(info_name, args, *arguments, **extra)

    def invoke(self, ctx: click.Context) -> None:
        try:
            status = super().invoke(ctx)
        except OsrdError as error:
            _report(error)
            status = 1
        except BrokenPipeError:
            discard_output()
            status = BROKEN_PIPE
        except (KeyboardInterrupt, EOFError, click.Abort):
            status = INTERRUPTED
        ctx.exit(status)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(" ".join((name, *query.arguments)), query.about) for name, query in QUERIES.items()]
        rows.append(("query_value XPATH [PARAM]...", "what the XPath finds, as text"))
        rows.append(("query_xml XPATH [PARAM]...", "what the XPath finds, as XML"))
        with formatter.section("Queries"):
            formatter.write_dl(rows)
        with formatter.section("Keys of the query map (most take NODE, some DEV or DEST too)"):
            indent = " " * formatter.current_indent
            formatter.write(click.wrap_text(" ".join(NAMES), formatter.width, indent, indent) + "\n")


def _defaults() -> dict[str, str]:
    found = defaults(PROGRAM, "cluster")
    # -E turns the original's variable evalparams off; the one here says the opposite.
    if "evalparams" in found:
        try:
            found["literal"] = "no" if boolean(found.pop("evalparams")) else "yes"
        except InvalidConfigError as error:
            raise InvalidConfigError(f"evalparams in [{PROGRAM}] {error.message}", error.fix) from error
    return found


@click.command(cls=_Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("words", metavar="QUERY [ARGUMENT]... | query=QUERY [ARGUMENT]...", nargs=-1)
@click.option(
    "-f",
    "-c",
    "--filename",
    "--clusterconf",
    "clusterconf",
    metavar="FILE",
    default=lambda: os.environ.get("CLUSTERCONF") or CLUSTERCONF,
    help=f"The file to ask.  [default: $CLUSTERCONF or {CLUSTERCONF}]",
)
@click.option(
    "-m",
    "--querymapfile",
    "mapfile",
    metavar="FILE",
    default=lambda: os.environ.get("QUERYMAPFILE") or queryinput.QUERYMAP,
    help=f"More keys, with their XPaths.  [default: $QUERYMAPFILE or {queryinput.QUERYMAP}]",
)
@click.option(
    "-Q", "--queriesfile", metavar="FILE", default="", help="Read the queries from FILE, - is standard input."
)
@click.option("-s", "--seperator", "--separator", "seperator", metavar="SEP", help="What to put between values.")
@click.option("-P", "--prefix", metavar="TEXT", default="", help="What to put before each answer.")
@click.option("-S", "--suffix", metavar="TEXT", default="", help="What to put after each answer.")
@click.option("-p", "--properties", is_flag=True, help="Answer with the <properties> of elements, as NAME=VALUE.")
@click.option("-E", "--evalparams", "literal", is_flag=True, help="Leave %(param0)s and the like as they are.")
@click.option("-Y", "--pretty", "prettyprint", is_flag=True, help="Indent XML; it always is.")
@click.option("-q", "--query", is_flag=True, help="Query; that is all there is.")
@click.option("-V", "--validate", is_flag=True, help="Check the file first, as osrctl check does.")
@click.option("-W", "--nowarnings", is_flag=True, help="Print no warnings.")
@click.option("-v", "--verbose", is_flag=True, help="Tell on standard error what is done.")
@click.version_option(__version__, "--version", prog_name=PROGRAM)
def queryclusterconf(prettyprint: bool, query: bool, **options: Any) -> int:
    """Ask cluster.conf.

    Prints the answers without a line feed after the last one. The exit status is the number of queries that failed,
    with a message, or have an empty answer, without one.
    """
    return _run(_Options(**options))


def _run(options: _Options) -> int:
    questions = read_questions(options.words, options.queriesfile)
    if not questions:
        raise click.UsageError("which query?")
    if options.verbose:
        _note(f"asking {options.clusterconf}")
    data = read_file(options.clusterconf)
    if options.validate and not _valid(data, options):
        return 1
    query_map = QueryMap(options.mapfile, lambda message: _warn(options, message))
    asker = Asker(Source(data, options.clusterconf), query_map.template, options.properties, options.literal)
    reported: set[str] = set()
    answers = [_answer(asker, question, options, reported) for question in questions]
    _print(answers, options)
    return min(answers.count(""), _MOST_FAILED)


def _answer(asker: Asker, question: Question, options: _Options, reported: set[str]) -> str:
    """The answer as text, "" when there is none. A wrong file fails all queries, but is ``reported`` once."""
    try:
        text = asker.answer(question).text(options.seperator)
    except OsrdError as error:
        if error.message not in reported:
            _report(error, question)
        reported.add(error.message)
        return ""
    if options.verbose:
        _note(f"{question}: {'an answer' if text else 'the answer is empty'}")
    return text


def _print(answers: list[str], options: _Options) -> None:
    """With -P or -S nothing stands between answers but these; otherwise each begins on a line of its own, empty ones
    too, so that the third answer is where the third question was."""
    if options.prefix or options.suffix:
        text = "".join(f"{options.prefix}{answer}{options.suffix}" for answer in answers if answer)
    else:
        text = "\n".join(answers)
    # The bytes of the file, whatever the locale; undecodable bytes can only be those of the command line.
    try:
        click.echo(text.encode("utf-8", "surrogateescape"), nl=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise FailedError(f"the answer cannot be written: {error.strerror}") from error


def _valid(data: bytes, options: _Options) -> bool:
    """Whether the file has no errors; what it has goes to standard error."""
    from osrd.cli import findings
    from osrd.model.finding import Severity
    from osrd.parse.clusterconf import parse_cluster
    from osrd.parse.validation import Validator

    found = Validator().judge(parse_cluster(data, options.clusterconf)).findings
    wanted = {Severity.ERROR} if options.nowarnings else {Severity.ERROR, Severity.WARNING}
    shown = [findings.as_mapping(finding) for finding in found if finding.severity in wanted]
    for line in findings.lines(shown):
        click.echo(line, err=True)
    return all(finding.severity is not Severity.ERROR for finding in found)


def _report(error: OsrdError, question: Question | None = None) -> None:
    for line in _lines(error, question):
        click.echo(line, err=True)


def _lines(error: OsrdError, question: Question | None) -> Iterator[str]:
    yield f"{PROGRAM}: error: {safe(error.message)}"
    if question is not None:
        yield f"    query: {safe(str(question))}"
    if error.fix:
        yield f"    fix: {safe(error.fix)}"


def _warn(options: _Options, message: str) -> None:
    if not options.nowarnings:
        click.echo(f"{PROGRAM}: warning: {safe(message)}", err=True)


def _note(message: str) -> None:
    click.echo(f"{PROGRAM}: {safe(message)}", err=True)


def main() -> None:
    """The console script."""
    queryclusterconf(prog_name=PROGRAM)


if __name__ == "__main__":
    main()
