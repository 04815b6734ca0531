# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd on the bus: the objects of DESIGN 7 for an engine, under the name org.opensharedroot.Osrd1."""

import asyncio
import logging

from osrd.bus import contract
from osrd.bus.announcer import Announcer
from osrd.bus.connection import Connection
from osrd.bus.dispatcher import Dispatcher, check_complete
from osrd.bus.names import BUS, BUS_NAME
from osrd.bus.objects import Objects
from osrd.bus.polkit import Authority
from osrd.bus.wire import Incoming
from osrd.engine.api import Engine

#: Bytes of the longest call: honest ones stay far below, and parsing this much takes less than 50 ms.
BODY_LIMIT = 64 * 1024

log = logging.getLogger(__name__)


class BusService:
    """``connection`` is connected already. ``allowed_uid`` is the daemon's own user, which beside root is not asked
    for authorisation. Raises InvalidConfigError or FailedError when the interface XML is not usable."""

    def __init__(self, engine: Engine, connection: Connection, *, allowed_uid: int) -> None:
        interfaces = contract.load()
        check_complete(interfaces)
        self._connection = connection
        connection.body_limit = BODY_LIMIT
        self._objects = Objects(engine, interfaces)
        self._announcer = Announcer(connection, engine, self._objects, interfaces)
        authority = Authority(connection, allowed_uid)
        self._dispatcher = Dispatcher(connection, engine, self._objects, interfaces, authority)
        self._tasks: list[asyncio.Task[None]] = []
        self._name_lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Export the objects, then request the name: who sees the name sees everything, at once. The rows of 10,000
        nodes are made before, because the first thing that a client does is to ask for all of them.

        Raises BusyError when the name is taken, NotAuthorizedError when the bus policy does not let us have it.
        """
        self._announcer.start()
        self._connection.on_signal = self._on_signal
        self._connection.on_call = self._dispatcher.receive
        self._tasks.append(asyncio.create_task(self._announcer.run(), name="osrd bus signals"))
        try:
            await self._objects.prepare()
            await self._connection.request_name(BUS_NAME)
        except BaseException:
            await self.stop()
            raise

    @property
    def name_lost(self) -> bool:
        """Whether somebody else has the name, rather than nobody the bus."""
        return self._name_lost.done()

    async def wait_lost(self) -> str:
        """Wait until the connection or the name is lost and return which and why."""
        closed = asyncio.ensure_future(self._connection.wait_closed())
        await asyncio.wait((closed, self._name_lost), return_when=asyncio.FIRST_COMPLETED)
        if self._name_lost.done():
            closed.cancel()
            return self._name_lost.result()
        return closed.result()

    async def stop(self) -> None:
        """Leave the bus. Calls in the works get no answer from us; the bus tells their callers that we left."""
        self._connection.on_call = None
        self._announcer.stop()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._dispatcher.stop()
        await self._connection.close()

    def _on_signal(self, signal: Incoming) -> None:
        if signal.sender == BUS and signal.member == "NameLost" and signal.arguments == [BUS_NAME]:
            log.error("the bus name %s went to somebody else", BUS_NAME)
            if not self._name_lost.done():
                self._name_lost.set_result(f"the bus name {BUS_NAME} was lost")
