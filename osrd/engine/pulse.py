# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether work that may hang gives signs of life. Lives on the event loop."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Pulse:
    """``changed`` is called when ``stuck`` is another: there was no sign of life for ``patience`` seconds, or again
    one. No timer runs while nothing is waited for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float, changed: Callable[[], None]) -> None:
        self._loop = loop
        self._patience = patience
        self._changed = changed
        self._timer: asyncio.TimerHandle | None = None
        self.stuck = False

    @property
    def waiting(self) -> bool:
        """Whether work goes on."""
        return self._timer is not None

    async def of(self, future: "asyncio.Future[T]") -> T:
        """Wait for the work that ``future`` is of, for ever if need be."""
        self._next(self._loop.call_later(self._patience, self._silence))
        try:
            return await future
        finally:
            self._next(None)

    def beat(self) -> None:
        """The work made progress."""
        if self._timer is not None:
            self._next(self._loop.call_later(self._patience, self._silence))

    def _next(self, timer: asyncio.TimerHandle | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer
        if self.stuck:
            self.stuck = False
            self._changed()

    def _silence(self) -> None:
        self.stuck = True
        self._changed()
