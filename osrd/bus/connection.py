# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to a message bus: the only module that imports the D-Bus library.

The library (dbus-next; dbus-fast where Python has outgrown it, or with OSRD_DBUS_LIB=dbus_fast) turns values into
bytes and back: Variant and the marshallers of its Message API. The stream belongs to asyncio instead of the library's
own bus class, since that class (measured with both libraries)

* ends the connection when the socket's buffer is full, about 300 signals in one turn of the loop;
* parses whatever arrives, up to 32 MiB from any local user, in one piece of blocked loop;
* has no bound on what it queues for writing.

Here a frame is cut out of the stream first. Too large bodies are thrown away before anything is made of them, one bad
message cannot take its neighbours along, and the transport's own flow control tells who should slow down.
"""

import asyncio
import importlib
import io
import logging
import os
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from osrd.bus.names import BUS, BUS_PATH, error_from_name
from osrd.model.errors import BusyError, FailedError, InvalidArgsError, OsrdError, UnsupportedError

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
_Marshaller: Any = _of_library("_private.marshaller", "Marshaller")
_Unmarshaller: Any = _of_library("_private.unmarshaller", "Unmarshaller")
_parse_address: Any = _of_library("_private.address", "parse_address")
_get_bus_address: Any = _of_library("_private.address", "get_bus_address")
_BusType: Any = _of_library("constants", "BusType")
_valid_path: Any = _of_library("validators", "is_object_path_valid")

NO_REPLY_EXPECTED = 1
ALLOW_INTERACTIVE_AUTHORIZATION = 4
DO_NOT_QUEUE = 4
_CALL, _RETURN, _ERROR, _SIGNAL = 1, 2, 3, 4
#: Calls of honest clients stay far below; parsing this much costs less than 50 ms.
SERVER_BODY_LIMIT = 64 * 1024
#: The bus disconnects who sends more than 32 MiB (dbus-daemon(1), max_message_size).
REPLY_LIMIT = 30 * 1024 * 1024
_QUEUE_LIMIT = 8 * 1024 * 1024
_SLICE = 0.01
_PADDING = tuple(bytes((-size) % 8) for size in range(8))
_UNREADABLE = (ValueError, TypeError, LookupError, struct.error, RecursionError, EOFError, NotImplementedError)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A method call or signal that arrived. Absent header fields are ""; variants in ``arguments`` are still wrapped.

    ``oversized``: the body was larger than this connection takes and was thrown away."""

    path: str
    interface: str
    member: str
    signature: str
    arguments: list[Any]
    sender: str
    serial: int
    flags: int
    oversized: bool = False

    @property
    def wants_reply(self) -> bool:
        return not self.flags & NO_REPLY_EXPECTED

    @property
    def interactive(self) -> bool:
        """Whether the caller allows that somebody is asked for a password before the reply comes."""
        return bool(self.flags & ALLOW_INTERACTIVE_AUTHORIZATION)


class CallError(OsrdError):
    """An error reply to our own call, with its D-Bus name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name


@dataclass(frozen=True, slots=True)
class Packed:
    """A message body that is marshalled already."""

    signature: str
    body: bytes


@lru_cache(maxsize=4096)
def _string(value: str) -> Any:
    """Most strings of 10,000 nodes are the same few ("nfs", "255.255.0.0"), and a variant is slow to make."""
    return Variant("s", value)


def wrapped(value: str | bool | int | float | Sequence[str]) -> Any:
    """A plain value as the variant it becomes inside ``a{sv}``: s, b, t (x when negative), d or as."""
    match value:
        case str():
            return _string(value)
        case bool():
            return Variant("b", value)
        case int():
            return Variant("t" if value >= 0 else "x", value)
        case float():
            return Variant("d", value)
        case _:
            return Variant("as", [str(item) for item in value])


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


class Connection:
    """One connection. ``on_call`` and ``on_signal`` are called on the event loop for everything that arrives.

    ``body_limit`` is the largest body that is parsed, in bytes; None takes whatever the bus delivers.
    """

    def __init__(self, *, body_limit: int | None = None) -> None:
        self.unique_name = ""
        self.on_call: Callable[[Incoming], None] | None = None
        self.on_signal: Callable[[Incoming], None] | None = None
        self._body_limit = body_limit if body_limit is not None else 1 << 32
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._departures: dict[str, list[asyncio.Future[None]]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._lost: asyncio.Future[str] | None = None
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]

    async def connect(self, address: str | None = None) -> None:
        """Connect and say hello. ``address`` of None is the system bus, DBUS_SYSTEM_BUS_ADDRESS honoured.

        Raises UnsupportedError when there is no bus at the address, FailedError when it does not let us in.
        """
        self._stream = await _open(address or _get_bus_address(_BusType.SYSTEM))
        self._stream[1].transport.set_write_buffer_limits(high=_QUEUE_LIMIT)
        try:
            await _authenticate(*self._stream)
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:
            self._stream[1].close()
            raise FailedError(f"the message bus does not let us in ({error})") from error
        self._lost = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read_all(), name="osrd bus reader")
        (self.unique_name,) = await self.ask_bus("Hello")

    @property
    def connected(self) -> bool:
        return self._lost is not None and not self._lost.done()

    async def wait_closed(self) -> str:
        """Wait until the connection is gone and return why."""
        if self._lost is None:
            return "never connected"
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        """End the connection; what was queued is still written."""
        if self._reading is None:
            return
        self._end("closed")
        reading, self._reading = self._reading, None
        reading.cancel()
        await asyncio.wait([reading])
        try:
            await self._stream[1].wait_closed()
        except OSError as error:
            log.debug("the bus hung up first: %s", error)

    async def drained(self) -> None:
        """Wait while more than 8 MiB are queued for the bus. Returns at once when the connection is gone."""
        try:
            await self._stream[1].drain()
        except OSError as error:
            self._end(f"the message bus hung up ({error})")

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        *,
        signature: str = "",
        arguments: Sequence[Any] = (),
        interactive: bool = False,
    ) -> list[Any]:
        """Call a method and return the reply's body, variants still wrapped; waits as long as it takes.

        Raises CallError for an error reply and FailedError when the connection is or gets lost.
        """
        if not _valid_path(path):
            raise InvalidArgsError(f"{path!r} is no object path")
        if not self.connected:
            raise FailedError("the message bus is gone")
        fields = [*_target(path, interface, member), _variant(6, "s", destination)]
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        flags = ALLOW_INTERACTIVE_AUTHORIZATION if interactive else 0
        serial = self._send(_CALL, fields, packed(signature, arguments), flags)
        self._waiting[serial] = reply
        try:
            answer = await reply
        finally:
            self._waiting.pop(serial, None)
        if answer.message_type.value == _ERROR:
            text = answer.body[0] if answer.body and isinstance(answer.body[0], str) else ""
            raise CallError(answer.error_name, text)
        return list(answer.body)

    async def ask_bus(self, member: str, signature: str = "", *arguments: Any) -> list[Any]:
        """Call a method of the bus itself."""
        return await self.call(BUS, BUS_PATH, BUS, member, signature=signature, arguments=arguments)

    async def request_name(self, name: str) -> None:
        """Own ``name`` or raise: BusyError when somebody has it, NotAuthorizedError when the bus policy forbids it."""
        try:
            (answer,) = await self.ask_bus("RequestName", "su", name, DO_NOT_QUEUE)
        except CallError as error:
            raise error_from_name(error.name, error.message) from error
        if answer not in (1, 4):
            raise BusyError(f"the bus name {name} is taken", "stop the other osrd")

    async def add_match(self, rule: str) -> None:
        """Ask the bus for the signals that match ``rule`` (D-Bus specification, Match Rules)."""
        await self.ask_bus("AddMatch", "s", rule)

    async def remove_match(self, rule: str) -> None:
        await self.ask_bus("RemoveMatch", "s", rule)

    def departure(self, name: str) -> "Departure":
        """Watch for ``name`` leaving the bus: ``async with connection.departure(name) as gone``."""
        return Departure(self, name, self._departures)

    def reply(self, call: Incoming, answer: Packed) -> None:
        """Answer ``call``, unless its sender wants no answer."""
        if call.wants_reply:
            self._send(_RETURN, [_variant(5, "u", call.serial), _variant(6, "s", call.sender)], answer)

    def reply_error(self, call: Incoming, name: str, text: str) -> None:
        if call.wants_reply:
            fields = [_variant(4, "s", name), _variant(5, "u", call.serial), _variant(6, "s", call.sender)]
            self._send(_ERROR, fields, packed("s", [text]))

    def emit(self, path: str, interface: str, member: str, content: Packed) -> None:
        """Send a signal to whoever listens."""
        self._send(_SIGNAL, _target(path, interface, member), content)

    def _send(self, kind: int, fields: list[Any], content: Packed, flags: int = 0) -> int:
        """Write one message (D-Bus specification, Message Format) and return its serial number."""
        self._serial = self._serial % 0xFFFFFFFF + 1
        if self.connected:
            if content.signature:
                fields.append(_variant(8, "g", content.signature))
            start = [ord("l"), kind, flags, 1, len(content.body), self._serial, fields]
            header = bytes(_Marshaller("yyyyuua(yv)", start).marshall())
            self._write(header + _PADDING[len(header) % 8], content.body)
        return self._serial

    def _write(self, header: bytes, body: bytes) -> None:
        writer = self._stream[1]
        if len(body) <= 0x10000:
            writer.write(header + body)
        else:
            writer.write(header)
            writer.write(memoryview(body))  # megabytes: the transport slices what the socket does not take

    def _end(self, reason: str) -> None:
        if self._lost is None or self._lost.done():
            return
        self._lost.set_result(reason)
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(FailedError(f"the message bus is gone: {reason}"))
        self._stream[1].close()

    async def _read_all(self) -> None:
        reader = self._stream[0]
        loop = asyncio.get_running_loop()
        turn = loop.time()
        try:
            while True:
                await self._read_one(reader)
                if loop.time() - turn > _SLICE:
                    # A flood of calls leaves the loop to others between two of them.
                    await asyncio.sleep(0)
                    turn = loop.time()
                await self._stream[1].drain()  # who asks for more than the bus takes has to wait
        except (OSError, EOFError) as error:
            self._end(f"the message bus hung up ({error})")
        except ValueError as error:
            self._end(f"the message bus speaks no D-Bus ({error})")

    async def _read_one(self, reader: asyncio.StreamReader) -> None:
        start = await reader.readexactly(16)
        order = {ord("l"): "<", ord("B"): ">"}.get(start[0])
        if order is None:
            raise ValueError(f"byte order {start[0]}")
        body_size, fields_size = struct.unpack_from(order + "IxxxxI", start, 4)
        fields = await reader.readexactly(fields_size + -fields_size % 8)
        if oversized := body_size > self._body_limit:
            start = start[:4] + bytes(4) + start[8:]
            while body_size > 0:
                body_size -= len(await reader.readexactly(min(body_size, 0x10000)))
        body = await reader.readexactly(body_size)
        if not 1 <= start[1] <= 4:
            return  # "unknown types must be ignored" (D-Bus specification, Message Format)
        try:
            message = _Unmarshaller(io.BytesIO(start + fields + body)).unmarshall()
        except _UNREADABLE as error:
            log.warning("ignored a message that cannot be read: %s", error)
            return
        if message is not None:
            self._received(message, oversized)

    def _received(self, message: Any, oversized: bool) -> None:
        kind = message.message_type.value
        if kind in (_RETURN, _ERROR):
            reply = self._waiting.pop(message.reply_serial, None)
            if reply is not None and not reply.done():
                reply.set_result(message)
            return
        incoming = Incoming(
            path=message.path or "",
            interface=message.interface or "",
            member=message.member or "",
            signature=message.signature or "",
            arguments=list(message.body),
            sender=message.sender or "",
            serial=message.serial,
            flags=int(message.flags),
            oversized=oversized,
        )
        if kind == _CALL:
            if self.on_call is not None:
                self.on_call(incoming)
            return
        # Anybody can send us a signal that says "NameOwnerChanged"; only the bus itself is believed.
        if incoming.sender == BUS and incoming.member == "NameOwnerChanged" and not incoming.arguments[2]:
            for gone in self._departures.get(incoming.arguments[0], ()):
                if not gone.done():
                    gone.set_result(None)
        if self.on_signal is not None:
            self.on_signal(incoming)


class Departure:
    """``async with departure as gone``: ``gone`` is a future that is done when the name has left the bus."""

    def __init__(self, connection: Connection, name: str, registry: dict[str, list[asyncio.Future[None]]]) -> None:
        self._connection = connection
        self._name = name
        self._registry = registry
        self._rule = f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{name}',arg2=''"
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> "asyncio.Future[None]":
        self._registry.setdefault(self._name, []).append(self._gone)
        await self._connection.add_match(self._rule)
        return self._gone

    async def __aexit__(self, *_: object) -> None:
        futures = self._registry[self._name]
        futures.remove(self._gone)
        if not futures:
            del self._registry[self._name]
        if self._connection.connected:
            await self._connection.remove_match(self._rule)


def _variant(code: int, signature: str, value: Any) -> list[Any]:
    """One header field."""
    return [code, Variant(signature, value)]


def _target(path: str, interface: str, member: str) -> list[Any]:
    return [_variant(1, "o", path), _variant(2, "s", interface), _variant(3, "s", member)]


async def _open(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    problems = []
    try:
        candidates = _parse_address(address)
    except ValueError as error:
        raise UnsupportedError(f"{address!r} is no bus address: {error}", "correct DBUS_SYSTEM_BUS_ADDRESS") from error
    for transport, options in candidates:
        path = options.get("path") or ("abstract" in options and "\0" + options["abstract"])
        if transport != "unix" or not path:
            problems.append(f"{transport}: only unix:path= and unix:abstract= are supported")
            continue
        try:
            return await asyncio.open_unix_connection(path)
        except OSError as error:
            problems.append(str(error))
    raise UnsupportedError(f"there is no message bus at {address} ({'; '.join(problems)})", "start dbus")


async def _authenticate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """SASL EXTERNAL without naming ourselves: the kernel tells the bus who we are, right in user namespaces too."""
    for line, expected in ((b"\0AUTH EXTERNAL", b"DATA"), (b"DATA", b"OK ")):
        writer.write(line + b"\r\n")
        answer = await reader.readuntil(b"\r\n")
        if not answer.startswith(expected):
            raise PermissionError(answer.decode(errors="replace").strip())
    writer.write(b"BEGIN\r\n")
