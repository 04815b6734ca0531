# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing XML text in place: where tags and attributes are to the byte, and edits that leave the rest alone.

Everything here works on well-formed UTF-8 text (``osrd.parse.elements.scan`` has been over it).
"""

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from osrd.model.errors import InvalidArgsError

_TAG_NAME = re.compile(rb"<([^\s/>]+)")
_ATTRIBUTE = re.compile(rb"(\s+)([^\s=/>]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_TAG_END = re.compile(rb"\s*(/?)>")
#: the characters that XML 1.0 (2.2) cannot hold, not even as a reference
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DEFAULT_UNIT = b"  "


@dataclass(frozen=True, slots=True)
class Attribute:
    """``start`` is the white space before the name, ``value`` the bytes between the quotes."""

    name: str
    start: int
    value: tuple[int, int]
    blank: bytes
    quote: bytes

    @property
    def end(self) -> int:
        return self.value[1] + 1


@dataclass(slots=True)
class Markup:
    """An element of a text. ``tag`` is its start tag, ``close`` the first byte of its end tag (for ``<a/>`` the end of
    the tag), ``end`` the byte after the element; ``values`` are the attributes with references resolved."""

    name: str
    values: dict[str, str]
    tag: tuple[int, int]
    attributes: tuple[Attribute, ...]
    empty: bool
    close: int = 0
    end: int = 0
    children: "list[Markup]" = field(default_factory=list)

    @property
    def start(self) -> int:
        return self.tag[0]

    def child(self, name: str) -> "Markup | None":
        """The first child element of that name."""
        return next((child for child in self.children if child.name == name), None)

    def attribute(self, name: str) -> Attribute | None:
        return next((attribute for attribute in self.attributes if attribute.name == name), None)


def read_markup(text: bytes, start: int, end: int) -> Markup:
    """The element ``text[start:end]``; offsets in the result count from the beginning of ``text``."""
    parser = expat.ParserCreate("utf-8")
    stack: list[Markup] = []
    first: list[Markup] = []

    def opened(name: str, values: dict[str, str]) -> None:
        element = _read_tag(text, start + parser.CurrentByteIndex, name, values)
        (stack[-1].children if stack else first).append(element)
        stack.append(element)

    def closed(_: str) -> None:
        element = stack.pop()
        if element.empty:
            element.close = element.end = element.tag[1]
        else:
            element.close = start + parser.CurrentByteIndex
            element.end = text.index(b">", element.close) + 1

    parser.StartElementHandler = opened
    parser.EndElementHandler = closed
    parser.Parse(text[start:end], True)
    return first[0]


def read_start_tag(text: bytes, start: int) -> Markup:
    """The start tag at ``start`` of an element whose content does not matter."""
    element = _read_tag(text, start, "", {})
    parser = expat.ParserCreate("utf-8")
    found: list[tuple[str, dict[str, str]]] = []
    parser.StartElementHandler = lambda name, values: found.append((name, values))
    parser.Parse(text[start : element.tag[1]])
    element.name, element.values = found[0]
    return element


def _read_tag(text: bytes, start: int, name: str, values: dict[str, str]) -> Markup:
    head = _TAG_NAME.match(text, start)
    assert head, "expat reports start tags where they are"
    position = head.end()
    attributes = []
    while found := _ATTRIBUTE.match(text, position):
        group = 3 if found[3] is not None else 4
        quote = b'"' if group == 3 else b"'"
        attributes.append(Attribute(found[2].decode(), found.start(), found.span(group), found[1], quote))
        position = found.end()
    tail = _TAG_END.match(text, position)
    assert tail, "expat found the tag well-formed"
    return Markup(name, values, (start, tail.end()), tuple(attributes), bool(tail[1]))


def escaped(value: str, quote: bytes = b'"') -> bytes:
    """``value`` as the inside of an attribute. Raises InvalidArgsError for characters that XML cannot hold."""
    if bad := _FORBIDDEN.search(value):
        raise InvalidArgsError(f"the character U+{ord(bad[0]):04X} cannot be in XML", "remove it from the value")
    text = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = text.replace("\t", "&#9;").replace("\n", "&#10;").replace("\r", "&#13;")
    return text.replace('"', "&quot;").encode() if quote == b'"' else text.replace("'", "&apos;").encode()


def set_attribute(text: bytes, element: Markup, name: str, value: str) -> bytes:
    """``text`` with the attribute set, added (in the style of the last one) or, for the value "", removed."""
    if element.values.get(name, "") == value and (value or name not in element.values):
        return text
    old = element.attribute(name)
    if old and not value:
        return text[: old.start] + text[old.end :]
    if old:
        return text[: old.value[0]] + escaped(value, old.quote) + text[old.value[1] :]
    if element.attributes:
        last = element.attributes[-1]
        position, quote = last.end, last.quote
        blank = last.blank if b"\n" in last.blank else b" "
    else:
        position, blank, quote = element.start + 1 + len(element.name.encode()), b" ", b'"'
    added = blank + name.encode() + b"=" + quote + escaped(value, quote) + quote
    return text[:position] + added + text[position:]


def lead(text: bytes, offset: int) -> bytes:
    """The line break and indentation before ``offset``, b"" when something else precedes it on its line."""
    start = offset
    while start and text[start - 1] in b" \t":
        start -= 1
    if not start or text[start - 1] != 0x0A:
        return b""
    start -= 2 if text[start - 2 : start] == b"\r\n" else 1
    return text[start:offset]


def deeper(inner: bytes, outer: bytes, base: bytes) -> bytes:
    """The lead of the children of something at ``base``, where ``outer`` and ``inner`` are the leads of another parent
    and its child. b"" (all on one line) where ``base`` is."""
    if not base:
        return b""
    outer = outer or inner[: len(inner) - len(inner.lstrip(b"\r\n"))]  # the root, at the beginning of the file
    unit = inner[len(outer) :] if outer and inner.startswith(outer) and len(inner) > len(outer) else _DEFAULT_UNIT
    return base + unit


def insert_child(text: bytes, parent: Markup, child: bytes, inner: bytes, *, first: bool = False) -> bytes:
    """``text`` with ``child`` as the last (or ``first``) child of ``parent``, on a line of its own where its siblings
    are; ``inner`` is the lead to use when there are none."""
    if parent.children and first:
        position = parent.children[0].start
        return text[:position] + child + lead(text, position) + text[position:]
    if parent.children:
        last = parent.children[-1]
        return text[: last.end] + lead(text, last.start) + child + text[last.end :]
    outer = lead(text, parent.start)
    if parent.empty:
        position = parent.attributes[-1].end if parent.attributes else parent.start + 1 + len(parent.name.encode())
        name = parent.name.encode()
        return text[:position] + b">" + inner + child + outer + b"</" + name + b">" + text[parent.end :]
    position = len(text[: parent.close].rstrip())
    blank = text[position : parent.close]
    return text[:position] + inner + child + (blank if b"\n" in blank else outer) + text[parent.close :]
