# SPDX-License-Identifier: GPL-3.0-or-later
"""INI files of the original tools: option defaults (spec/cdsl.md 1.5) and query maps (spec/cdsl.md 5.3).

They were written for the ConfigParser of Python 2, whose grammar this follows: ``key = value`` or ``key: value``, a
value goes on in indented lines, keys do not depend on case, a blank and ``;`` begin a comment inside a line, ``""``
is the empty value, what [DEFAULT] says holds in every section. Unlike there ``%`` means nothing here: who uses the
values decides what is a placeholder.
"""

from collections.abc import Mapping
from configparser import Error, MissingSectionHeaderError, ParsingError, RawConfigParser

from osrd.model.errors import InvalidConfigError

#: bytes of one file; real ones have a few hundred
LARGEST = 1 << 20
_FIX = "write [SECTION], below it key = value, and # before a comment"


def read_classic_ini(data: bytes, file: str) -> dict[str, Mapping[str, str]]:
    """Section -> key -> value of the bytes of ``file`` (its name is used in messages only); of keys that occur more
    than once the last counts. Bytes that are not UTF-8 come out as surrogates, like in paths.

    Raises InvalidConfigError, one line that begins with ``file:line: ``, when it is no INI file.
    """
    if len(data) > LARGEST:
        raise InvalidConfigError(f"{file}:1: the file has more than {LARGEST} bytes", "give a smaller file")
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    parser = RawConfigParser(strict=False, inline_comment_prefixes=(";",))
    try:
        parser.read_string(text, file)
    except (MissingSectionHeaderError, ParsingError) as error:
        line, what = _first(error)
        raise InvalidConfigError(f"{file}:{line}: {what}", _FIX) from error
    except Error as error:
        raise InvalidConfigError(f"{file}:1: {str(error).splitlines()[0]}", _FIX) from error
    return {title: {key: _value(value) for key, value in parser.items(title)} for title in parser.sections()}


def _first(error: ParsingError) -> tuple[int, str]:
    """The line of the first mistake, and what it is."""
    if isinstance(error, MissingSectionHeaderError):
        return error.lineno, "this stands before the first section"
    line = error.errors[0][0] if error.errors else 1
    return line, "this is no key = value"


def _value(text: str) -> str:
    return "" if text == '""' else text
