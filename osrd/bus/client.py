# SPDX-License-Identifier: GPL-3.0-or-later
"""The client side of org.opensharedroot.Osrd1, as osrctl uses it: plain Python values in and out."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from osrd.bus.connection import CallError, Connection
from osrd.bus.names import (
    BUS,
    BUS_NAME,
    JOB,
    MANAGER,
    NODE,
    OBJECT_MANAGER,
    PROPERTIES,
    ROOT,
    SHARED_ROOT,
    error_from_name,
    root_path,
)
from osrd.bus.wire import Incoming, unwrapped, wrapped
from osrd.model.errors import FailedError, NotFoundError
from osrd.model.job import JobState

__all__ = ("BUS_NAME", "JOB", "MANAGER", "NODE", "ROOT", "SHARED_ROOT", "Client", "Signal", "root_path")

_ENDED = frozenset(str(state) for state in JobState if state.ended)
_GONE = "osrd left the bus"


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal from osrd; ``arguments`` are plain values (variants unwrapped)."""

    path: str
    interface: str
    member: str
    arguments: list[object]


class Client:
    """A connection to a running osrd. Make it with ``connect``, end it with ``close``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._owner = ""
        self._matching = asyncio.Lock()
        self._matched = False
        self._listeners: set[asyncio.Queue[Signal | None]] = set()

    @classmethod
    async def connect(cls, address: str | None = None) -> "Client":
        """Connect to the system bus (``DBUS_SYSTEM_BUS_ADDRESS`` is honoured) or to ``address``.

        Raises NotFoundError when osrd is not running, UnsupportedError when there is no bus.
        """
        connection = Connection()
        await connection.connect(address)
        client = cls(connection)
        try:
            (client._owner,) = await connection.ask_bus("GetNameOwner", "s", BUS_NAME)
        except CallError as error:
            await connection.close()
            raise NotFoundError("osrd is not running", "start it: systemctl start osrd") from error
        connection.on_signal = client._on_signal
        return client

    async def call(
        self, interface: str, member: str, signature: str = "", *arguments: object, path: str = ROOT
    ) -> list[Any]:
        """Call a method and return its results. Dictionaries are sent as ``a{sv}``: str becomes s, bool b, int t,
        float d, a list of str as. Error replies are raised as the OsrdError class of their name."""
        try:
            body = await self._connection.call(
                BUS_NAME,
                path,
                interface,
                member,
                signature=signature,
                arguments=[_dictionary(value) if isinstance(value, dict) else value for value in arguments],
                interactive=True,
            )
        except CallError as error:
            raise error_from_name(error.name, error.message) from None
        return list(unwrapped(body))

    async def properties(self, path: str, interface: str) -> dict[str, object]:
        """All properties of one interface of an object. Raises NotFoundError when there is no such object."""
        (found,) = await self.call(PROPERTIES, "GetAll", "s", interface, path=path)
        return dict(found)

    async def managed_objects(self) -> dict[str, dict[str, dict[str, object]]]:
        """All nodes, shared roots and jobs: path to interface to properties."""
        (found,) = await self.call(OBJECT_MANAGER, "GetManagedObjects")
        return dict(found)

    async def signals(self) -> AsyncGenerator[Signal, None]:
        """Everything osrd signals from the first ``anext`` on. Raises FailedError when osrd leaves the bus."""
        queue = await self._listen()
        try:
            while (signal := await self._next(queue)) is not None:
                yield signal
            raise FailedError(_GONE)
        finally:
            self._listeners.discard(queue)

    async def wait_job(self, path: str, progress: Callable[[float, str], None] | None = None) -> dict[str, object]:
        """Wait for a job's end and return its properties as they were then; ``progress`` gets fraction and message.

        Raises FailedError when osrd leaves the bus before, NotFoundError when there is no such job.
        """
        queue = await self._listen()
        try:
            job = await self.properties(path, JOB)  # after the match: what changes later is signalled
            while job["State"] not in _ENDED:
                if progress is not None:
                    progress(float(str(job["Progress"])), str(job["Message"]))
                signal = await self._next(queue)
                while signal is not None and (signal.path != path or signal.member != "PropertiesChanged"):
                    signal = await self._next(queue)
                if signal is None:
                    raise FailedError(f"{_GONE} before the job ended", "look at its log: journalctl -u osrd")
                changed = signal.arguments[1]
                job |= changed if isinstance(changed, dict) else {}
            return job
        finally:
            self._listeners.discard(queue)

    async def close(self) -> None:
        await self._connection.close()

    async def _listen(self) -> "asyncio.Queue[Signal | None]":
        queue: asyncio.Queue[Signal | None] = asyncio.Queue()
        self._listeners.add(queue)
        async with self._matching:
            if not self._matched:
                left = f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{BUS_NAME}'"
                await self._connection.add_match(left)
                await self._connection.add_match(f"type='signal',sender='{BUS_NAME}'")
                self._matched = True
                try:
                    owner = await self._connection.ask_bus("GetNameOwner", "s", BUS_NAME)
                except CallError:
                    owner = []
                if owner != [self._owner]:  # it left before we could be told
                    self._tell(None)
        return queue

    async def _next(self, queue: "asyncio.Queue[Signal | None]") -> Signal | None:
        """The next signal, None when osrd or the bus is gone."""
        waiting = asyncio.ensure_future(queue.get())
        closed = asyncio.ensure_future(self._connection.wait_closed())
        try:
            await asyncio.wait((waiting, closed), return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()
            closed.cancel()

    def _on_signal(self, signal: Incoming) -> None:
        if signal.sender == BUS and signal.member == "NameOwnerChanged" and signal.arguments[0] == BUS_NAME:
            self._owner = signal.arguments[2]
            self._tell(None)
        elif signal.sender == self._owner:  # anybody may send signals, only osrd's own count
            arguments: Sequence[object] = unwrapped(signal.arguments)
            self._tell(Signal(signal.path, signal.interface, signal.member, list(arguments)))

    def _tell(self, signal: Signal | None) -> None:
        for queue in self._listeners:
            queue.put_nowait(signal)


def _dictionary(values: dict[str, Any]) -> dict[str, Any]:
    return {key: wrapped(value) for key, value in values.items()}
