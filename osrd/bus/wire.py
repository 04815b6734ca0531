# SPDX-License-Identifier: GPL-3.0-or-later
"""Values and messages as bytes: the only module that imports the D-Bus library.

That is dbus-next; dbus-fast where Python has outgrown it, or with OSRD_DBUS_LIB=dbus_fast. Used are the variants and
the marshallers of its low-level Message API, which both have in common. osrd.bus.connection says why nothing else is.
"""

import importlib
import io
import os
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from osrd.model.errors import FailedError, InvalidArgsError, UnsupportedError

LIBRARIES = ("dbus_next", "dbus_fast")


def chosen_library() -> str:
    """The library's package: dbus_next does not import on Python 3.15 (gh-133601) and has no maintainer any more."""
    wanted = os.environ.get("OSRD_DBUS_LIB", "dbus_next" if sys.version_info < (3, 15) else "dbus_fast")
    if wanted not in LIBRARIES:
        raise UnsupportedError(f"OSRD_DBUS_LIB is {wanted!r}", f"set it to one of {', '.join(LIBRARIES)}")
    return wanted


def _of_library(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"{chosen_library()}.{module}"), name)


Variant: Any = _of_library("signature", "Variant")
valid_path: Any = _of_library("validators", "is_object_path_valid")
_Marshaller: Any = _of_library("_private.marshaller", "Marshaller")
_Unmarshaller: Any = _of_library("_private.unmarshaller", "Unmarshaller")
_parse_address: Any = _of_library("_private.address", "parse_address")
_get_bus_address: Any = _of_library("_private.address", "get_bus_address")
_BusType: Any = _of_library("constants", "BusType")

NO_REPLY_EXPECTED = 1
ALLOW_INTERACTIVE_AUTHORIZATION = 4
#: The bus disconnects who sends more than 32 MiB (dbus-daemon(1), max_message_size).
REPLY_LIMIT = 30 * 1024 * 1024
_PADDING = tuple(bytes((-size) % 8) for size in range(8))
#: What the two libraries raise for values that do not fit a signature and for bytes that are no message.
_MISFITS = (ValueError, TypeError, LookupError, AttributeError, struct.error, RuntimeError, EOFError)


class Kind(IntEnum):
    """Message types (D-Bus specification, Message Format). Others must be ignored."""

    CALL = 1
    RETURN = 2
    ERROR = 3
    SIGNAL = 4


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that arrived. Absent header fields are "" or 0; variants in ``arguments`` are still wrapped.

    ``oversized``: the body was larger than the connection takes and was thrown away."""

    kind: Kind
    path: str
    interface: str
    member: str
    error: str
    signature: str
    arguments: list[Any]
    sender: str
    serial: int
    reply_serial: int
    flags: int
    oversized: bool

    @property
    def wants_reply(self) -> bool:
        return not self.flags & NO_REPLY_EXPECTED

    @property
    def interactive(self) -> bool:
        """Whether the caller allows that somebody is asked for a password before the reply comes."""
        return bool(self.flags & ALLOW_INTERACTIVE_AUTHORIZATION)


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before a body that is sent; "" and 0 mean that the field is absent."""

    kind: Kind
    path: str = ""
    interface: str = ""
    member: str = ""
    error: str = ""
    reply_serial: int = 0
    destination: str = ""
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Packed:
    """A message body that is marshalled already."""

    signature: str
    body: bytes


@lru_cache(maxsize=4096)
def _short_string(value: str) -> Any:
    """Most strings of 10,000 nodes are the same few ("nfs", "255.255.0.0"), and a variant is slow to make."""
    return Variant("s", value)


def wrapped(value: Any) -> Any:
    """A plain value as the variant it becomes inside ``a{sv}``: s, b, t (x when negative), d, as; variants stay."""
    match value:
        case str():
            return _short_string(value) if len(value) <= 64 else Variant("s", value)
        case bool():
            return Variant("b", value)
        case int():
            return Variant("t" if value >= 0 else "x", value)
        case float():
            return Variant("d", value)
        case Variant():
            return value
        case _:
            return Variant("as", [str(item) for item in value])


def variant(signature: str, value: Any) -> Any:
    """``value`` as a variant of this type; what dictionaries in it hold may be plain, as ``wrapped`` takes it."""
    match signature:
        case "a{sv}":
            return Variant(signature, {key: wrapped(item) for key, item in value.items()})
        case "aa{sv}":
            return Variant(signature, [{key: wrapped(item) for key, item in row.items()} for row in value])
        case _:
            return Variant(signature, value)


def unwrapped(value: Any) -> Any:
    """``value`` with every variant in it replaced by what it holds."""
    if isinstance(value, Variant):
        return unwrapped(value.value)
    if isinstance(value, dict):
        return {key: unwrapped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [unwrapped(item) for item in value]
    return value


def packed(signature: str, body: Sequence[Any]) -> Packed:
    """``body`` marshalled. Raises FailedError when it is larger than a bus carries."""
    data = bytes(_Marshaller(signature, list(body)).marshall())
    _refuse_too_large(len(data))
    return Packed(signature, data)


def element(signature: str, value: Any) -> bytes:
    """The bytes of one struct or dict entry of the array type ``signature``, given as an array that holds only it.

    An array is its length (4 bytes), padding to the element's alignment (8 for both) and the elements, so that
    what follows is the element alone, valid at every position that is a multiple of 8.
    """
    return bytes(_Marshaller(signature, [value]).marshall())[8:]


def joined(signature: str, elements: Iterable[bytes]) -> Packed:
    """The array body of type ``signature`` made of what ``element`` returned."""
    parts = [b""]
    for part in elements:
        parts += (part, _PADDING[len(part) % 8])
    parts.pop()  # padding stands between elements, not after the last
    size = sum(map(len, parts))
    _refuse_too_large(size)
    return Packed(signature, b"".join([struct.pack("<II", size, 0), *parts]))


def _refuse_too_large(size: int) -> None:
    if size > REPLY_LIMIT:
        raise FailedError(
            f"the reply would be {size} bytes and a message bus carries {REPLY_LIMIT}", "ask for less in one call"
        )


def header_bytes(header: Header, content: Packed, serial: int) -> bytes:
    """The header of a message with the body ``content``, padded so that the body can follow."""
    present = (
        (1, "o", header.path),
        (2, "s", header.interface),
        (3, "s", header.member),
        (4, "s", header.error),
        (5, "u", header.reply_serial),
        (6, "s", header.destination),
        (8, "g", content.signature),
    )
    fields = [[code, Variant(signature, value)] for code, signature, value in present if value]
    start = [ord("l"), int(header.kind), header.flags, 1, len(content.body), serial, fields]
    made = bytes(_Marshaller("yyyyuua(yv)", start).marshall())
    return made + _PADDING[len(made) % 8]


def arguments_packed(signature: str, arguments: Sequence[Any]) -> Packed:
    """``packed`` for arguments that come from outside. Raises InvalidArgsError when they do not fit."""
    try:
        return packed(signature, arguments)
    except _MISFITS as error:
        raise InvalidArgsError(f"the arguments do not fit the signature {signature!r} ({error})") from error


def unpacked(frame: bytes, *, oversized: bool = False) -> Incoming:
    """The message that ``frame`` is. Raises InvalidArgsError when it is malformed or of an unknown type."""
    try:
        message = _Unmarshaller(io.BytesIO(frame)).unmarshall()
    except _MISFITS as error:
        raise InvalidArgsError(f"a message that cannot be read: {error}") from error
    return Incoming(
        kind=Kind(frame[1]),
        path=message.path or "",
        interface=message.interface or "",
        member=message.member or "",
        error=message.error_name or "",
        signature=message.signature or "",
        arguments=list(message.body),
        sender=message.sender or "",
        serial=message.serial,
        reply_serial=message.reply_serial or 0,
        flags=int(message.flags),
        oversized=oversized,
    )


def addresses(text: str | None) -> list[tuple[str, dict[str, str]]]:
    """The transports, with their options, of a bus address; None is the system bus, DBUS_SYSTEM_BUS_ADDRESS honoured.

    Raises UnsupportedError when it is no address.
    """
    address = text or _get_bus_address(_BusType.SYSTEM)
    try:
        return list(_parse_address(address))
    except ValueError as error:
        raise UnsupportedError(f"{address!r} is no bus address: {error}", "correct DBUS_SYSTEM_BUS_ADDRESS") from error
