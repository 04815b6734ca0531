# SPDX-License-Identifier: GPL-3.0-or-later
"""The one thread that runs happen in, as the event loop sees it."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from osrd.model.errors import FailedError, OsrdError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Writer:
    """``thread`` has exactly one worker: what is done here is done one after the other."""

    def __init__(self, thread: ThreadPoolExecutor, loop: asyncio.AbstractEventLoop) -> None:
        self._thread = thread
        self._loop = loop
        self._active = 0
        self._busy_since: float | None = None

    @property
    def busy_since(self) -> float | None:
        """Loop time of the last sign of life of the work that is going on, None while idle."""
        return self._busy_since

    def lives(self) -> None:
        """The work that is going on made progress."""
        if self._active:
            self._busy_since = self._loop.time()

    async def do(self, work: Callable[[], T]) -> T:
        """Do ``work`` in the thread. Raises the OsrdError that it raises.

        Anything else that it raises is a mistake in osrd: the journal gets the traceback, the caller a FailedError,
        and the daemon goes on serving (law 4).
        """
        if not self._active:  # somebody who asks while the thread is stuck is no sign of life
            self._busy_since = self._loop.time()
        self._active += 1
        try:
            future = self._loop.run_in_executor(self._thread, work)
            await asyncio.wait([future])
        finally:
            self._active -= 1
            self._busy_since = self._loop.time() if self._active else None
        error = future.exception()
        if error is None or isinstance(error, OsrdError):
            return future.result()
        logger.error("internal error in the engine", exc_info=error)
        raise FailedError(
            f"internal error: {type(error).__name__}: {error}", "report it, with the lines of the journal"
        ) from error

    async def close(self, last: Callable[[], None]) -> None:
        """Wait for what goes on, do ``last``, and end the thread."""
        await self._loop.run_in_executor(self._thread, last)
        self._thread.shutdown()
