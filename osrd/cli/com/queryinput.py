# SPDX-License-Identifier: GPL-3.0-or-later
"""What com-queryclusterconf reads: the queries, cluster.conf, and the user's query map."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import IO, Any

import click

from osrd.cli.text import safe
from osrd.model.errors import InvalidArgsError, InvalidConfigError
from osrd.parse.classicini import LARGEST
from osrd.parse.elements import MAX_SIZE
from osrd.parse.querymap import parse_query_map, resolved
from osrd.plan.queries.questions import Question, from_text, from_words

PROGRAM = "com-queryclusterconf"
QUERYMAP = "/etc/comoonics/querymap.cfg"
USAGE = 2
_MOST_QUESTIONS = 1 << 20  # bytes


class UnreadableError(click.ClickException):
    """A file of the command line that is not there: its mistake, hence its exit status."""

    exit_code = USAGE

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"{PROGRAM}: error: {self.message}", file=file, err=file is None)


class QueryMap:
    """The user's query map, read when a key is first looked for: other queries need not suffer from its mistakes.

    A file that is not there has no keys: old scripts name the original's, whose keys are all built in here. ``warn``
    is told about it, unless the file is only the usual place.
    """

    def __init__(self, file: str, warn: Callable[[str], None]) -> None:
        self._file = file
        self._warn = warn

    def template(self, key: str) -> str | None:
        """The template of a key, None when it is not in the map. Raises InvalidConfigError for a wrong file."""
        return resolved(self._keys, key, self._file) if key in self._keys else None

    @cached_property
    def _keys(self) -> Mapping[str, str]:
        try:
            with open(self._file, "rb") as stream:
                data = stream.read(LARGEST + 1)
        except FileNotFoundError:
            if self._file != QUERYMAP:
                self._warn(f"{self._file}: there is no such query map, only the built-in keys are known")
            return {}
        except OSError as error:
            raise InvalidConfigError(f"{self._file}: cannot be read: {error.strerror}") from error
        return parse_query_map(data, self._file)


def read_questions(words: Sequence[str], file: str) -> tuple[Question, ...]:
    """Those of the command line, or with a ``file`` ("-": standard input) those in it."""
    if not file:
        try:
            return from_words(words)
        except InvalidArgsError as error:
            raise click.UsageError(str(error)) from error
    if words:
        raise click.UsageError("queries on the command line and with -Q")
    data = _stdin() if file == "-" else read_file(file, _MOST_QUESTIONS)
    try:
        return from_text(data.decode())
    except UnicodeDecodeError as error:
        raise InvalidConfigError(f"{file}: is not UTF-8") from error


def read_file(path: str, limit: int = MAX_SIZE) -> bytes:
    """All of a file. Raises UnreadableError, and InvalidConfigError when it is longer than ``limit`` bytes."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the name holds a NUL"
        raise UnreadableError(f"{safe(path)}: cannot be read: {reason}") from error
    if len(data) > limit:
        raise InvalidConfigError(f"{path}: is longer than {limit} bytes", "check that this is the right file")
    return data


def _stdin() -> bytes:
    data = sys.stdin.buffer.read(_MOST_QUESTIONS + 1)
    if len(data) > _MOST_QUESTIONS:
        raise InvalidConfigError(f"standard input: is longer than {_MOST_QUESTIONS} bytes", "ask less at once")
    return data
