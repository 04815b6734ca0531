# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd on the bus for as long as it runs: after a restart of the bus the same objects are there again."""

import asyncio
import logging
import os
from collections.abc import Callable

from osrd.bus.connection import Connection
from osrd.bus.service import BusService
from osrd.engine.api import Engine
from osrd.model.errors import BusyError, FailedError, OsrdError

#: Seconds in which the bus must let osrd in.
_PATIENCE = 25.0
#: Seconds between two attempts to get back, at first and at most.
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 30.0

log = logging.getLogger(__name__)


class Presence:
    """``address`` of None is the system bus. ``changed`` is called when the bus is lost (False), or there again."""

    def __init__(self, engine: Engine, address: str | None, changed: Callable[[bool], None]) -> None:
        self._engine = engine
        self._address = address
        self._changed = changed
        self._service: BusService | None = None

    async def start(self) -> None:
        """Get on the bus. Raises OsrdError when that is not possible."""
        connection = Connection()
        try:
            async with asyncio.timeout(_PATIENCE):
                await connection.connect(self._address)
                service = BusService(self._engine, connection, allowed_uid=os.geteuid())
                await service.start()
        except TimeoutError:
            await connection.close()
            raise FailedError(
                f"the message bus does not answer within {_PATIENCE:g} s",
                "check its policy for org.opensharedroot.Osrd1 and the dbus service",
            ) from None
        except BaseException:
            await connection.close()
            raise
        self._service = service

    async def stay(self) -> str:
        """Come back whenever the bus does. Ends when somebody else has the name, and returns why."""
        while self._service is not None:
            reason = await self._service.wait_lost()
            if self._service.name_lost:
                return reason
            log.warning("%s; work goes on, and osrd returns when the bus does", reason)
            await self.stop()
            self._changed(False)
            try:
                await self._return()
            except BusyError as error:
                return str(error)
            log.info("the message bus is back")
            self._changed(True)
        return "osrd left the bus"

    async def stop(self) -> None:
        """Leave the bus, if osrd is on it."""
        service, self._service = self._service, None
        if service is not None:
            await service.stop()

    async def _return(self) -> None:
        wait = _FIRST_WAIT
        while self._service is None:
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
            try:
                await self.start()
            except BusyError:
                raise
            except OsrdError as error:
                log.debug("not yet: %s", error)
