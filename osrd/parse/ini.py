# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of an INI file, exact to the line: configparser forgets where a key stood, and findings must not."""

from dataclasses import dataclass, field

from osrd.model.finding import Finding, Place, Severity

#: bytes of one file; real ones have a few hundred
LARGEST = 1 << 20
#: findings about one file; a binary file given by mistake would have one for each line
MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """``key = value``, both without surrounding blanks."""

    key: str
    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class Section:
    """``[title]`` and what follows it. A title may occur several times in a file."""

    title: str
    place: Place
    entries: list[Entry] = field(default_factory=list)


def read_ini(file: str, content: bytes) -> tuple[list[Section], list[Finding]]:
    """Sections in the order of the file, and what is no INI in it; bad lines are left out, the others count.

    ``#`` and ``;`` begin a comment at the start of a line only, since values (kernel command lines) may hold both.
    A backslash at the end of a line joins the next one with a blank. Line ends may be CRLF, a byte order mark is
    ignored.
    """
    if len(content) > LARGEST:
        return [], [
            _finding("conf-too-large", Place(file), f"the file has more than {LARGEST} bytes", "give a smaller file")
        ]
    sections: list[Section] = []
    findings: list[Finding] = []
    for number, line in _logical_lines(file, content, findings):
        place = Place(file, number)
        if line.startswith("["):
            title = line[1:-1].strip() if line.endswith("]") else ""
            if not title or "]" in title:
                title = ""
                findings.append(_finding("conf-syntax", place, f"{line!r} is no section", "write [section]"))
            sections.append(Section(title, place))
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            fix = "write key = value, or # before a comment"
            findings.append(_finding("conf-syntax", place, f"{_shortened(line)!r} is no key = value", fix))
        elif not sections:
            message = f"the key {key.strip()!r} stands before the first section"
            findings.append(_finding("conf-syntax", place, message, "write a line such as [cluster] above it"))
        else:
            sections[-1].entries.append(Entry(key.strip(), value.strip(), place))
    return sections, _limited(file, findings)


def _logical_lines(file: str, content: bytes, findings: list[Finding]) -> list[tuple[int, str]]:
    """Non-empty lines that are no comments, joined where they end in a backslash, with the number of their first."""
    lines: list[tuple[int, str]] = []
    parts: list[str] = []  # of a line that goes on
    first = 0
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        text = _decoded(Place(file, number), raw.removesuffix(b"\r"), findings) or ""
        if not parts:
            if not text or text[0] in "#;":
                continue
            first = number
        goes_on = text.endswith("\\")
        parts.append(text.removesuffix("\\").rstrip())
        if not goes_on:
            lines.append((first, " ".join(part for part in parts if part)))
            parts = []
    if parts:
        lines.append((first, " ".join(part for part in parts if part)))
    return [(number, line) for number, line in lines if line]


def _decoded(place: Place, raw: bytes, findings: list[Finding]) -> str | None:
    """The line without surrounding blanks, None when it is no clean text."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        message = f"byte {error.start + 1} of the line is not UTF-8 ({raw[error.start]:#04x})"
        findings.append(_finding("conf-encoding", place, message, "save the file as UTF-8"))
        return None
    for character in text:
        if character != "\t" and (character < " " or "\x7f" <= character <= "\x9f" or character in "\u2028\u2029"):
            message = f"the control character U+{ord(character):04X} stands in the line"
            findings.append(_finding("conf-encoding", place, message, "remove it"))
            return None
    return text.strip()


def _limited(file: str, findings: list[Finding]) -> list[Finding]:
    """The first findings about a file, and how many more there are."""
    if len(findings) <= MOST_FINDINGS:
        return findings
    more = len(findings) - MOST_FINDINGS
    message = f"{more} more lines are wrong; is this a configuration file at all?"
    return [*findings[:MOST_FINDINGS], _finding("conf-syntax", Place(file), message, "give a text file")]


def _shortened(line: str) -> str:
    return line if len(line) <= 60 else line[:60] + "..."


def _finding(code: str, place: Place, message: str, fix: str) -> Finding:
    return Finding(code, Severity.ERROR, message, fix, place)
