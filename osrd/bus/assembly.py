# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of long listings as bytes, put together by concatenation.

10,000 nodes are 250,000 strings, and the library's marshaller, which parses signatures and checks types for each
anew, takes two seconds for them. What the rows are made of is always the same: strings, and dictionaries from strings
to variants. Those few are laid out here as the D-Bus specification (Marshaling) says; everything else comes from the
library. A row begins at a multiple of 8, so that inside of it an offset decides about padding.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from osrd.bus.wire import Variant, element, wrapped

_number = struct.Struct("<I").pack
#: By the length of what stands before: the padding to the next multiple of 4 and of 8.
_TO_4 = tuple(bytes(-size % 4) for size in range(4))
_TO_8 = tuple(bytes(-size % 8) for size in range(8))


def record(fields: Sequence[str | bool]) -> bytes:
    """A struct of strings, object paths and booleans. Raises UnicodeEncodeError for surrogates."""
    made = b""
    for field in fields:
        made += _TO_4[len(made) % 4] + (_string(field) if isinstance(field, str) else _number(field))
    return made


def entry(name: str, signature: str, value: Any) -> bytes:
    """The dict entry ``{sv}`` of a property: ``value`` is as ``osrd.bus.wire.variant`` takes it."""
    head = _head(name, signature)
    match signature:
        case "s":
            return head + _string(value)
        case "a{sv}":
            return head + _dictionary(value, len(head))
        case "aa{sv}":
            start = len(head) + 4
            body = b""
            for item in value:
                body += _TO_4[len(body) % 4]
                body += _dictionary(item, start + len(body))
            return head + _number(len(body)) + body
        case "ay":
            return head + _number(len(value)) + bytes(value)
        case "b" | "u":
            return head + _number(value)
        case "t":
            return head + _TO_8[len(head) % 8] + int(value).to_bytes(8, "little")
    raise ValueError(f"no entry of type {signature} is in a listing")


def object_row(path: str, interface: str, entries: Iterable[bytes]) -> bytes:
    """The dict entry ``{oa{sa{sv}}}`` of an object with one interface that has the properties ``entries``."""
    start, inner = _string(path), _string(interface)
    start += _TO_4[len(start) % 4]
    inner += _TO_4[len(inner) % 4]
    return start + _array([inner + _array(entries, len(inner))], len(start))


def _dictionary(values: Mapping[str, Any], offset: int) -> bytes:
    """An ``a{sv}`` that stands at ``offset``, a multiple of 4."""
    return _array([_plain_entry(key, value) for key, value in values.items()], offset)


def _plain_entry(key: str, value: Any) -> bytes:
    if isinstance(value, Variant):
        if value.signature == "u":
            return _head(key, "u") + _number(value.value)
        if value.signature != "s":
            return element("a{sv}", {key: value})
        value = value.value
    if isinstance(value, str):
        return _head(key, "s") + _string(value)
    if isinstance(value, bool):
        return _head(key, "b") + _number(value)
    return element("a{sv}", {key: wrapped(value)})


def _array(elements: Iterable[bytes], offset: int) -> bytes:
    """An array of structs or dict entries that stands at ``offset``, a multiple of 4."""
    body = b""
    for part in elements:
        body += _TO_8[len(body) % 8]  # between the elements: what stands before the first does not count
        body += part
    return _number(len(body)) + _TO_8[(offset + 4) % 8] + body


def _string(value: str) -> bytes:
    raw = value.encode()
    return _number(len(raw)) + raw + b"\0"


@lru_cache(maxsize=256)
def _head(key: str, signature: str) -> bytes:
    """What stands before the value of a dict entry ``{sv}``: all types here are aligned to 4."""
    made = _string(key) + struct.pack("B", len(signature)) + signature.encode() + b"\0"
    return made + _TO_4[len(made) % 4]
