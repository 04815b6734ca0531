# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is to build: one root after the other. Each build may need as much memory as this host can spare, and
after an upgrade of osrd all roots want new images at once."""

import asyncio
import logging
from typing import Protocol

logger = logging.getLogger(__name__)

#: Seconds in which a root that waited has to take its turn: that of a dead server may hang in a look.
_ANSWER = 20.0


class Waiter(Protocol):
    """A root that builds; ``look`` tells it that its turn may have come."""

    name: str

    def look(self) -> None: ...


class Turns:
    """Lives on the event loop. Nobody has a turn for ever: whoever hangs loses it to those who wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._line: list[Waiter] = []
        self._holder: Waiter | None = None
        self._timer: asyncio.TimerHandle | None = None

    def take(self, who: Waiter, seconds: float) -> bool:
        """Whether it is the turn of ``who``, for the next ``seconds``."""
        if self._holder is not None and self._holder is not who:
            return False
        self._give(who, seconds)
        return True

    def wait(self, who: Waiter) -> None:
        """Wait in line, if not there yet."""
        if who is not self._holder and who not in self._line:
            self._line.append(who)

    def done(self, who: Waiter) -> None:
        """``who`` builds nothing more, and does not wait to."""
        if who in self._line:
            self._line.remove(who)
        if self._holder is who:
            self._next()

    def _give(self, who: Waiter | None, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._holder = who
        self._timer = self._loop.call_later(seconds, self._late) if who is not None else None

    def _late(self) -> None:
        if self._holder is not None and self._line:
            logger.warning("[root %s] does not answer; initrds of other roots are built meanwhile", self._holder.name)
        self._next()

    def _next(self) -> None:
        following = self._line.pop(0) if self._line else None
        self._give(following, _ANSWER)
        if following is not None:
            following.look()
