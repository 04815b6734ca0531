# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to a message bus: calls out and in, signals, and losing it.

The stream belongs to asyncio instead of the D-Bus library's own bus class, since that class (measured with both
libraries)

* ends the connection when the socket's buffer is full, about 300 signals in one turn of the loop;
* parses whatever arrives, up to 32 MiB from any local user, in one piece of blocked loop;
* has no bound on what it queues for writing.

Here a frame is cut out of the stream first. Too large bodies are thrown away before anything is made of them, one bad
message cannot take its neighbours along, and the transport's own flow control tells who should slow down.
"""

import asyncio
import logging
import struct
from collections.abc import Callable, Sequence
from typing import Any

from osrd.bus.names import BUS, BUS_PATH, error_from_name
from osrd.bus.wire import (
    ALLOW_INTERACTIVE_AUTHORIZATION,
    Header,
    Incoming,
    Kind,
    Packed,
    addresses,
    arguments_packed,
    header_bytes,
    packed,
    unpacked,
    valid_path,
)
from osrd.model.errors import BusyError, FailedError, InvalidArgsError, OsrdError, UnsupportedError

_DO_NOT_QUEUE = 4
_QUEUE_LIMIT = 8 * 1024 * 1024
_LARGE = 64 * 1024
_SLICE = 0.01
#: Seconds until a bus that does not let us in, or does not take our last words, is given up.
_PATIENCE = 25.0

log = logging.getLogger(__name__)


class CallError(OsrdError):
    """An error reply to our own call, with its D-Bus name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name


class Connection:
    """One connection. ``on_call`` and ``on_signal`` are called on the event loop for everything that arrives.

    ``body_limit`` is the largest body that is parsed, in bytes.
    """

    def __init__(self) -> None:
        self.unique_name = ""
        self.body_limit = 1 << 32
        self.on_call: Callable[[Incoming], None] | None = None
        self.on_signal: Callable[[Incoming], None] | None = None
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[Incoming]] = {}
        self._departures: dict[str, list[asyncio.Future[None]]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._lost: asyncio.Future[str] | None = None
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]

    async def connect(self, address: str | None = None) -> None:
        """Connect and say hello. ``address`` of None is the system bus, DBUS_SYSTEM_BUS_ADDRESS honoured.

        Raises UnsupportedError when there is no bus at the address, FailedError when it does not let us in.
        """
        self._stream = await _open(address)
        self._stream[1].transport.set_write_buffer_limits(high=_QUEUE_LIMIT)
        try:
            async with asyncio.timeout(_PATIENCE):
                await _authenticate(*self._stream)
                self._lost = asyncio.get_running_loop().create_future()
                self._reading = asyncio.create_task(self._read_all(), name="osrd bus reader")
                (self.unique_name,) = await self.ask_bus("Hello")
        except (OSError, EOFError, asyncio.LimitOverrunError, OsrdError) as error:
            await self.close()
            raise FailedError(f"the message bus does not let us in ({error})") from error

    @property
    def connected(self) -> bool:
        return self._lost is not None and not self._lost.done()

    async def wait_closed(self) -> str:
        """Wait until the connection is gone and return why."""
        if self._lost is None:
            return "never connected"
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        """End the connection; what was queued is still written. Nothing to do if there never was one."""
        if not hasattr(self, "_stream"):
            return
        self._end("closed")
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])
        writer = self._stream[1]
        writer.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await writer.wait_closed()
        except OSError as error:  # TimeoutError is one
            log.debug("the bus did not say goodbye: %s", error)
            writer.transport.abort()

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
        if not valid_path(path):
            raise InvalidArgsError(f"{path!r} is no object path")
        if not self.connected:
            raise FailedError("the message bus is gone")
        flags = ALLOW_INTERACTIVE_AUTHORIZATION if interactive else 0
        header = Header(Kind.CALL, path, interface, member, destination=destination, flags=flags)
        reply: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()
        serial = self._send(header, arguments_packed(signature, arguments))
        self._waiting[serial] = reply
        try:
            answer = await reply
        finally:
            self._waiting.pop(serial, None)
        if answer.kind is Kind.ERROR:
            text = answer.arguments[0] if answer.arguments and isinstance(answer.arguments[0], str) else ""
            raise CallError(answer.error, text)
        return answer.arguments

    async def ask_bus(self, member: str, signature: str = "", *arguments: Any) -> list[Any]:
        """Call a method of the bus itself."""
        return await self.call(BUS, BUS_PATH, BUS, member, signature=signature, arguments=arguments)

    async def request_name(self, name: str) -> None:
        """Own ``name`` or raise: BusyError when somebody has it, NotAuthorizedError when the bus policy forbids it."""
        try:
            (answer,) = await self.ask_bus("RequestName", "su", name, _DO_NOT_QUEUE)
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
            self._send(Header(Kind.RETURN, reply_serial=call.serial, destination=call.sender), answer)

    def reply_error(self, call: Incoming, name: str, text: str) -> None:
        if call.wants_reply:
            header = Header(Kind.ERROR, error=name, reply_serial=call.serial, destination=call.sender)
            self._send(header, packed("s", [text]))

    def emit(self, path: str, interface: str, member: str, content: Packed) -> None:
        """Send a signal to whoever listens."""
        self._send(Header(Kind.SIGNAL, path, interface, member), content)

    def _send(self, header: Header, content: Packed) -> int:
        """Write one message, if there is still somebody to write to, and return its serial number."""
        self._serial = self._serial % 0xFFFFFFFF + 1
        if not self.connected:
            return self._serial
        start = header_bytes(header, content, self._serial)
        writer = self._stream[1]
        if len(content.body) < _LARGE:
            writer.write(start + content.body)
        else:
            writer.write(start)
            writer.write(memoryview(content.body))  # megabytes: what the socket does not take is sliced, not copied
        return self._serial

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
        finally:
            self._end("reading ended")

    async def _read_one(self, reader: asyncio.StreamReader) -> None:
        start = await reader.readexactly(16)
        order = {ord("l"): "<", ord("B"): ">"}.get(start[0])
        if order is None:
            raise ValueError(f"byte order {start[0]}")
        body_size, fields_size = struct.unpack_from(order + "IxxxxI", start, 4)
        fields = await reader.readexactly(fields_size + -fields_size % 8)
        if oversized := body_size > self.body_limit:
            start = start[:4] + bytes(4) + start[8:]
            while body_size > 0:
                body_size -= len(await reader.readexactly(min(body_size, 0x10000)))
        body = await reader.readexactly(body_size)
        try:
            message = unpacked(start + fields + body, oversized=oversized)
        except InvalidArgsError as error:
            log.debug("ignored %s", error)  # not louder: anybody could fill the journal
            return
        self._received(message)

    def _received(self, message: Incoming) -> None:
        if message.kind in (Kind.RETURN, Kind.ERROR):
            reply = self._waiting.pop(message.reply_serial, None)
            if reply is not None and not reply.done():
                reply.set_result(message)
        elif message.kind is Kind.SIGNAL:
            self._heard(message)
        elif self.on_call is not None:
            self.on_call(message)

    def _heard(self, signal: Incoming) -> None:
        # Anybody can send us a signal that says "NameOwnerChanged"; only the bus itself is believed.
        if signal.sender == BUS and signal.member == "NameOwnerChanged" and not signal.arguments[2]:
            for gone in self._departures.get(signal.arguments[0], ()):
                if not gone.done():
                    gone.set_result(None)
        if self.on_signal is not None:
            self.on_signal(signal)


class Departure:
    """``async with departure as gone``: ``gone`` is a future that is done when the name has left the bus."""

    def __init__(self, connection: Connection, name: str, registry: dict[str, list[asyncio.Future[None]]]) -> None:
        self._connection = connection
        self._name = name
        self._registry = registry
        self._rule = f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{name}',arg2=''"
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> "asyncio.Future[None]":
        await self._connection.add_match(self._rule)
        self._registry.setdefault(self._name, []).append(self._gone)
        return self._gone

    async def __aexit__(self, *_: object) -> None:
        futures = self._registry[self._name]
        futures.remove(self._gone)
        if not futures:
            del self._registry[self._name]
        if self._connection.connected:
            await self._connection.remove_match(self._rule)


async def _open(address: str | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    problems = []
    for transport, options in addresses(address):
        path = options.get("path") or ("abstract" in options and "\0" + options["abstract"])
        if transport != "unix" or not path:
            problems.append(f"{transport}: only unix:path= and unix:abstract= are supported")
            continue
        try:
            return await asyncio.open_unix_connection(path)
        except OSError as error:
            where = ",".join(f"{key}={value}" for key, value in options.items())
            problems.append(f"{transport}:{where}: {error.strerror or error}")
    raise UnsupportedError(f"there is no message bus: {'; '.join(problems)}", "start dbus")


async def _authenticate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """SASL EXTERNAL without naming ourselves: the kernel tells the bus who we are, right in user namespaces too."""
    for line, expected in ((b"\0AUTH EXTERNAL", b"DATA"), (b"DATA", b"OK ")):
        writer.write(line + b"\r\n")
        answer = await reader.readuntil(b"\r\n")
        if not answer.startswith(expected):
            raise PermissionError(answer.decode(errors="replace").strip())
    writer.write(b"BEGIN\r\n")
