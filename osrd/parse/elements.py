# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of cluster.conf: encoding, limits, and where each ``<clusternode>`` begins and ends.

Two parsers share the work. expat passes once over the file: it is the only one that tells exact byte offsets, which
editing and the per-node cache live on, and lines beyond 65535, where older lxml stops counting. lxml then reads the
values, out of slices that expat found well-formed. A document type is refused before it can declare anything, so no
entity is ever expanded and no file or URL ever opened.
"""

import codecs
import re
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from osrd.model.errors import InvalidConfigError

#: bytes; 10,000 nodes need 2.6 MB
MAX_SIZE = 32 * 1024 * 1024
MAX_DEPTH = 64
#: "<" in the file, hence at least its elements; 10,000 nodes need 130,000
MAX_TAGS = 1_000_000
MAX_NODES = 100_000
MAX_NODE_TAGS = 20_000
#: elements outside of nodes: fence devices, failover domains, services
MAX_OTHER_ELEMENTS = 200_000
MAX_NAMES = 4096
#: bytes between two "<": bounds the memory that one tag with a million attributes can take before expat reports it
MAX_GAP = 256 * 1024

_ENCODINGS = {"utf-8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "iso-8859-1", "iso-8859-15": "iso-8859-15"}
_CHECK = "check that this is a cluster.conf"
_BLANK = b" \t\r\n"
_DECLARED = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_CLOSING = re.compile(rb"</clusternode[ \t\r\n]*>")


@dataclass(frozen=True, slots=True)
class Document:
    """A file taken apart: ``bom + lead + body`` is all of it, ``lead`` being the white space before the XML
    declaration and ``body`` the rest in UTF-8, whatever ``encoding`` (a Python codec) the file is in."""

    file: str
    encoding: str
    bom: bytes
    lead: bytes
    body: bytes = field(repr=False)

    def line(self, offset: int) -> int:
        """The line of the file that byte ``offset`` of the body is in, from 1."""
        return 1 + self.lead.count(b"\n") + self.body.count(b"\n", 0, offset)

    def lines(self, offsets: list[int]) -> list[int]:
        """The same for ascending offsets, in one pass."""
        found = []
        line, last = 1 + self.lead.count(b"\n"), 0
        for offset in offsets:
            line += self.body.count(b"\n", last, offset)
            last = offset
            found.append(line)
        return found

    def rendered(self, body: bytes) -> bytes:
        """The file with another body, in its own encoding.

        Only attribute values are ever new, and there a character that the encoding lacks may be a reference.
        """
        if self.encoding == "utf-8":
            return self.bom + self.lead + body
        return self.lead + body.decode().encode(self.encoding, "xmlcharrefreplace")


@dataclass(slots=True)
class Layout:
    """Offsets into ``Document.body``. ``outer`` are the start tags outside of nodes, the root's first; ``nodes`` and
    ``containers`` (``<clusternodes>``) are (first byte, byte after the last)."""

    outer: list[int] = field(default_factory=list)
    nodes: list[tuple[int, int]] = field(default_factory=list)
    containers: list[tuple[int, int]] = field(default_factory=list)


def refuse(file: str, line: int, message: str, fix: str = "") -> NoReturn:
    raise InvalidConfigError(f"{file}:{line}: {message}", fix)


def read_document(data: bytes, file: str) -> Document:
    """Decode a cluster.conf. Raises InvalidConfigError when it is too large, empty, or no text in a known encoding."""
    if len(data) > MAX_SIZE:
        refuse(file, 1, f"the file has {len(data)} bytes, more than {MAX_SIZE}", _CHECK)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        refuse(file, 1, "the file is in UTF-16", "convert it to UTF-8, for instance with iconv")
    bom = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    text = data[len(bom) :]
    start = len(text) - len(text.lstrip(_BLANK))
    lead, body = text[:start], text[start:]
    if not body:
        refuse(file, 1, "the file is empty", "write a <cluster> element, or restore the file from a backup")
    declared = _DECLARED.match(body[:1024])
    name = declared[1].decode("ascii") if declared else "utf-8"
    encoding = _ENCODINGS.get(name.lower())
    if encoding is None:
        known = ", ".join(_ENCODINGS)
        refuse(file, 1 + lead.count(b"\n"), f"unknown encoding {name}", f"use one of {known}")
    if bom and encoding != "utf-8":
        refuse(file, 1 + lead.count(b"\n"), f"a UTF-8 byte order mark, but encoding={name}", "remove one")
    if (nul := body.find(b"\0")) >= 0:
        refuse(file, _line(lead, body, nul), "a NUL byte: this is no text file", "restore the file from a backup")
    try:
        decoded = body.decode(encoding)
    except UnicodeDecodeError as error:
        line = _line(lead, body, error.start)
        refuse(file, line, f"byte 0x{body[error.start]:02x} is not valid {name}", "save the file in that encoding")
    return Document(file, encoding, bom, lead, body if encoding == "utf-8" else decoded.encode())


def _line(lead: bytes, body: bytes, offset: int) -> int:
    return 1 + lead.count(b"\n") + body.count(b"\n", 0, offset)


def scan(document: Document) -> Layout:
    """Find the elements.

    Raises InvalidConfigError, with the line, for anything that is not well-formed, has a document type or name spaces,
    exceeds a limit, or is no ``<cluster>``.
    """
    body = document.body
    if body.count(b"<") > MAX_TAGS:
        refuse(document.file, 1, f"more than {MAX_TAGS} tags", _CHECK)
    for start in range(0, len(body), MAX_GAP):
        if len(body) - start > MAX_GAP and body.find(b"<", start, start + MAX_GAP) < 0:
            refuse(document.file, document.line(start), f"more than {MAX_GAP} bytes without a tag", _CHECK)
    scanner = _Scanner(document)
    try:
        scanner.parser.Parse(body, True)
    except expat.ExpatError as error:
        line = document.line(scanner.parser.ErrorByteIndex)
        reason = expat.errors.messages[error.code]
        refuse(document.file, line, f"not well-formed XML: {reason}", "repair the markup at or before this line")
    finally:
        scanner.release()
    for name in scanner.names:
        if ":" in name or name == "xmlns":
            line = document.line(body.find(name.encode()))
            refuse(document.file, line, f'"{name}": cluster.conf has no XML name spaces', "remove it")
    return scanner.layout


class _Scanner:
    """The expat handlers. They run for every element of every parse, so each does as little as it can."""

    def __init__(self, document: Document) -> None:
        #: expat keeps each distinct name once, here; so names can be judged once instead of per element
        self.names: dict[str, str] = {}
        self.layout = Layout()
        self.parser = parser = expat.ParserCreate("utf-8", intern=self.names)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._doctype
        self._document = document
        self._depth = 0
        self._node = -1  # offset of the node we are in, -1 outside
        self._container = -1

    def _start(self, name: str, _: dict[str, str]) -> None:
        depth = self._depth = self._depth + 1
        if depth > MAX_DEPTH:
            self._refuse(f"elements nested more than {MAX_DEPTH} deep")
        if len(self.names) > MAX_NAMES:
            self._refuse(f"more than {MAX_NAMES} different names of elements and attributes")
        if self._node >= 0:
            return
        if depth == 3 and self._container >= 0 and name == "clusternode":
            self._node = self.parser.CurrentByteIndex
        else:
            self._outer(name, self.parser.CurrentByteIndex)

    def _outer(self, name: str, offset: int) -> None:
        if self._depth == 1 and name != "cluster":
            self._refuse(f"the root element is <{name[:40]}>, not <cluster>")
        if self._depth == 2 and name == "clusternodes":
            self._container = offset
        self.layout.outer.append(offset)
        if len(self.layout.outer) > MAX_OTHER_ELEMENTS:
            self._refuse(f"more than {MAX_OTHER_ELEMENTS} elements outside of nodes")

    def _end(self, _: str) -> None:
        depth = self._depth = self._depth - 1
        if depth > 2:
            return
        if depth == 2 and self._node >= 0:
            self._end_node(self.parser.CurrentByteIndex)
        elif depth == 1 and self._container >= 0:
            end = self.parser.CurrentByteIndex
            if self._document.body.startswith(b"</clusternodes", end):
                end = self._document.body.index(b">", end) + 1
            self.layout.containers.append((self._container, end))
            self._container = -1

    def _end_node(self, end: int) -> None:
        # For <clusternode/> expat reports the byte after the tag, for an end tag its first byte. The parent's end tag,
        # which may follow immediately, is </clusternodes> and does not match.
        if closing := _CLOSING.match(self._document.body, end):
            end = closing.end()
        self.layout.nodes.append((self._node, end))
        if self._document.body.count(b"<", self._node, end) > MAX_NODE_TAGS:
            self._refuse(f"a <clusternode> of more than {MAX_NODE_TAGS} tags")
        if len(self.layout.nodes) > MAX_NODES:
            self._refuse(f"more than {MAX_NODES} nodes")
        self._node = -1

    def release(self) -> None:
        """Let go of the parser, which holds the handlers and so, in a circle, the whole file."""
        self.parser.StartElementHandler = self.parser.EndElementHandler = None
        self.parser.StartDoctypeDeclHandler = None

    def _refuse(self, what: str) -> NoReturn:
        refuse(self._document.file, self._document.line(self.parser.CurrentByteIndex), what, _CHECK)

    def _doctype(self, *_: object) -> None:
        line = self._document.line(self.parser.CurrentByteIndex)
        refuse(self._document.file, line, "a document type (DOCTYPE) is not allowed", "remove <!DOCTYPE ...>")


def start_lines(source: bytes) -> list[int]:
    """The line of every start tag of a well-formed element, in document order; 0 is the first tag's.

    lxml tells the line where a tag *ends*, which is another one when its attributes are spread over lines.
    """
    offsets: list[int] = []
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = lambda *_: offsets.append(parser.CurrentByteIndex)
    parser.Parse(source, True)
    return [line - 1 for line in Document("", "utf-8", b"", b"", source).lines(offsets)]
