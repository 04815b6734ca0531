# SPDX-License-Identifier: GPL-3.0-or-later
"""The mount table: proc_pid_mountinfo(5).

The kernel separates fields by single blanks and writes blank, tab, newline, backslash (and newer ones ``#``) inside
them as three octal digits. A field may be empty; fields that later kernels append are ignored, as that page asks.
"""

import re

from osrd.model.errors import InvalidConfigError
from osrd.model.mount import Mount

_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
_SEPARATOR = b"-"
#: identifier, parent, device, root, mount point, options
_FIXED = 6


def parse_mountinfo(data: bytes) -> tuple[Mount, ...]:
    """Every mount in the order of the kernel. Raises InvalidConfigError for what cannot be a mount table."""
    return tuple(_mount(line, number) for number, line in enumerate(data.split(b"\n"), 1) if line)


def _mount(line: bytes, number: int) -> Mount:
    fields = line.split(b" ")
    try:
        dash = fields.index(_SEPARATOR, _FIXED)
        fstype, source, *rest = fields[dash + 1 :]
        return Mount(
            id=int(fields[0]),
            parent=int(fields[1]),
            device=_text(fields[2]),
            root=_text(fields[3]),
            point=_text(fields[4]),
            options=_text(fields[5]),
            tags=tuple(_text(tag) for tag in fields[_FIXED:dash]),
            fstype=_text(fstype),
            source=_text(source),
            super_options=_text(rest[0]) if rest else "",
        )
    except ValueError:
        raise InvalidConfigError(f"mountinfo:{number}: not a line of a mount table: {_text(line[:200])!a}") from None


def _text(field: bytes) -> str:
    plain = _OCTAL.sub(lambda match: bytes((int(match[1], 8),)), field) if b"\\" in field else field
    return plain.decode("utf-8", "surrogateescape")
