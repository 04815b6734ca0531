# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of a command line, or the text of a file, -> questions.

A question is a name and its arguments. ``query=`` before the name begins the next one, so that one run answers many:
``query=nodeids query=ip 1 eth0``.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from osrd.model.errors import InvalidArgsError

_PREFIX = "query="
#: quotes keep blanks together and stay, since an XPath needs its own
_WORD = re.compile(r"""(?:"[^"\n]*"|'[^'\n]*'|\S)+""")
_QUOTED = re.compile(r"""(["'])([^"'\n]*)\1""")


@dataclass(frozen=True, slots=True)
class Question:
    name: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.name, *self.arguments))


def from_words(words: Sequence[str]) -> tuple[Question, ...]:
    """The questions of a command line. A word that begins a question may hold all of it (``"query=ip 1 eth0"``).

    Raises InvalidArgsError for ``query=`` without a name.
    """
    return tuple(_questions(_unpacked(words)))


def from_text(text: str) -> tuple[Question, ...]:
    """The questions of a file: as on a command line if ``query=`` occurs in it, with line breaks as good as blanks;
    otherwise one on each line. ``#`` at the start of a word makes the rest of the line a comment."""
    lines = [words for line in text.splitlines() if (words := list(_words(line)))]
    if any(word.startswith(_PREFIX) for words in lines for word in words):
        return tuple(_questions([word for words in lines for word in words]))
    return tuple(Question(words[0], tuple(map(_unquoted, words[1:]))) for words in lines)


def _unpacked(words: Iterable[str]) -> list[str]:
    found: list[str] = []
    for word in words:
        if not found or word.startswith(_PREFIX):
            name, *arguments = list(_words(word)) or [word]
            found += [name, *map(_unquoted, arguments)]
        else:
            found.append(word)
    return found


def _questions(words: list[str]) -> Iterator[Question]:
    starts = [index for index, word in enumerate(words) if index == 0 or word.startswith(_PREFIX)]
    for start, end in pairwise([*starts, len(words)]):
        name = words[start].removeprefix(_PREFIX)
        if not name:
            raise InvalidArgsError(f"{_PREFIX} without the name of a query", f"write {_PREFIX}NAME ARGUMENT...")
        yield Question(name, tuple(words[start + 1 : end]))


def _words(line: str) -> Iterator[str]:
    for match in _WORD.finditer(line):
        if match[0].startswith("#"):
            return
        yield match[0]


def _unquoted(word: str) -> str:
    whole = _QUOTED.fullmatch(word)
    return whole[2] if whole else word
