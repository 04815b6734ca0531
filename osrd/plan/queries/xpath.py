# SPDX-License-Identifier: GPL-3.0-or-later
"""XPath templates: arguments go in as variables, so that no argument can become a part of the expression.

``[@name="%(param1)s"]`` is evaluated as ``[@name=$text1]``; a literal that holds more than the placeholder becomes
``concat(...)``; outside of quotes an argument that looks like a number is one (``eth[%(param1)s]`` is a position).
Only where XPath has no variables, after ``/``, ``@`` and ``::``, an argument is inserted, and must be a plain name.
"""

import math
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy

from lxml import etree

from osrd.model.errors import InvalidArgsError
from osrd.parse.clusternode import Element
from osrd.parse.querymap import PARAMETER

Variables = dict[str, str | float]

#: longer ones are no questions; libxml2 recurses for each bracket
_LONGEST = 8192
#: what libxml2 can hold: no control characters, no bytes that are not UTF-8
_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LITERAL = re.compile(r"""("[^"]*"|'[^']*')""")
_BEFORE_A_NAME = re.compile(r"(?:/|@|::)\s*$")
_NAME = re.compile(r"[^\W\d][\w.-]*")
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)


def evaluate(root: Element, expression: str, variables: Variables) -> tuple[Element | str, ...]:
    """What the XPath finds in the document of ``root``: elements, and attributes and texts as strings. A number is
    written as XPath does (``2``, not ``2.0``), a truth value as ``true`` or ``false``.

    Raises InvalidArgsError for what is no XPath.
    """
    for text in (expression, *variables.values()):
        if isinstance(text, str) and _IMPOSSIBLE.search(text):
            raise InvalidArgsError(f"{text!r} holds characters that XML cannot hold", "leave them out")
    if len(expression) > _LONGEST:
        raise InvalidArgsError(f"the XPath is longer than {_LONGEST} characters", "ask for less")
    try:
        found = etree.XPath(expression, regexp=False, smart_strings=False)(root.getroottree(), **variables)
    except etree.XPathError as error:
        raise InvalidArgsError(
            f"{expression!r} is no XPath: {error}", "see https://www.w3.org/TR/xpath-10/"
        ) from error
    if isinstance(found, list):
        # What is neither is a name space, and cluster.conf has none but the one that every XML has.
        return tuple(value for value in found if isinstance(value, str | Element))
    return (_scalar(found),)


def text_of(value: Element | str) -> str:
    """A result as text: for an element all text in it, as XPath's string() has it."""
    return value if isinstance(value, str) else "".join(map(str, value.itertext()))


def xml_of(value: Element | str) -> str:
    """A result as XML, one element per line and children indented by a tab."""
    if isinstance(value, str):
        return value
    copy = deepcopy(value)
    copy.tail = None
    etree.indent(copy, "\t")
    return etree.tostring(copy, encoding="unicode")


def bound(template: str, arguments: Sequence[str]) -> tuple[str, Variables]:
    """The XPath of a template, and the values of its variables. Raises InvalidArgsError when it needs more arguments
    than there are."""
    variables: Variables = {}
    parts: list[str] = []
    for index, part in enumerate(_LITERAL.split(template)):
        if index % 2:
            parts.append(_literal(part, arguments, variables))
        else:
            parts += _outside(part, arguments, variables)
    return "".join(parts), variables


def substituted(text: str, arguments: Sequence[str]) -> str:
    """``text``, an answer, with the placeholders in it replaced; those without an argument stay."""

    def replace(match: re.Match[str]) -> str:
        number = int(match[1] or 0)
        return arguments[number] if number < len(arguments) else match[0]

    return PARAMETER.sub(replace, text)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        special = {math.inf: "Infinity", -math.inf: "-Infinity"}
        return str(int(value)) if value.is_integer() else special.get(value, f"{value:.15g}".replace("nan", "NaN"))
    return str(value)


def _argument(match: re.Match[str], arguments: Sequence[str]) -> tuple[int, str]:
    number = int(match[1] or 0)
    if number >= len(arguments):
        raise InvalidArgsError(f"the query has %(param{number})s, but no argument for it", "give more arguments")
    return number, arguments[number]


def _literal(literal: str, arguments: Sequence[str], variables: Variables) -> str:
    """A string literal with its quotes, or the expression that takes its place."""
    quote, content = literal[0], literal[1:-1]
    pieces: list[str] = []
    last = 0
    for match in PARAMETER.finditer(content):
        number, argument = _argument(match, arguments)
        variables[f"text{number}"] = argument
        if match.start() > last:
            pieces.append(f"{quote}{content[last : match.start()]}{quote}")
        pieces.append(f"$text{number}")
        last = match.end()
    if not pieces:
        return literal
    if last < len(content):
        pieces.append(f"{quote}{content[last:]}{quote}")
    return pieces[0] if len(pieces) == 1 else f"concat({', '.join(pieces)})"


def _outside(part: str, arguments: Sequence[str], variables: Variables) -> Iterator[str]:
    """The same for what stands between literals."""
    last = 0
    for match in PARAMETER.finditer(part):
        number, argument = _argument(match, arguments)
        before = part[last : match.start()]
        yield before
        last = match.end()
        if _BEFORE_A_NAME.search(before):
            if not _NAME.fullmatch(argument):
                raise InvalidArgsError(f"{argument!r} cannot be a name of an element or attribute", "give a name")
            yield argument
        else:
            variables[f"value{number}"] = float(argument) if _NUMBER.fullmatch(argument) else argument
            yield f"$value{number}"
    yield part[last:]
