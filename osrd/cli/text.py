# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign text on its way to a terminal or into JSON: node names, paths and messages may hold any bytes."""

import os
import time


def safe(text: str) -> str:
    """``text`` with everything that is not printable as a backslash escape.

    An ESC in a node's name must not move the cursor, recolour the screen or retitle the window of an administrator
    who lists nodes; nor may a line feed forge a line, or a right-to-left override hide one. Bytes that are not UTF-8
    (surrogates, see os.fsdecode) come out as ``\\xNN``.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def shown(value: object) -> str:
    """Any plain value of the bus as text for people; bytes are paths."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        return safe(os.fsdecode(value))
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{shown(key)}={shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    return safe(str(value))


def local_time(seconds: float) -> str:
    """Seconds since the epoch as date and time where the user is."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def jsonable(value: object) -> object:
    """The same value for json.dumps: bytes become text in which a byte NN that is not UTF-8 is the lone surrogate
    U+DCNN (Python's surrogateescape), which JSON writes in ASCII as ``\\udcNN``."""
    if isinstance(value, bytes):
        return os.fsdecode(value)
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value
