# SPDX-License-Identifier: GPL-3.0-or-later
"""What one caller may ask for: how often, and how large. Any local user can call osrd."""

from collections.abc import Callable
from typing import Any

from osrd.model.errors import InvalidArgsError

STRING_LIMIT = 4096
ARRAY_LIMIT = 1000


def check_sizes(value: Any) -> None:
    """Raise InvalidArgsError for strings over 4,096 characters and arrays or dictionaries over 1,000 entries."""
    if isinstance(value, str | bytes):
        if len(value) > STRING_LIMIT:
            raise InvalidArgsError(f"a string of {len(value)} characters", f"send at most {STRING_LIMIT}")
    elif isinstance(value, list | tuple | dict):
        if len(value) > ARRAY_LIMIT:
            raise InvalidArgsError(f"an array of {len(value)} elements", f"send at most {ARRAY_LIMIT}")
        for item in value:
            check_sizes(item)
        if isinstance(value, dict):
            for item in value.values():
                check_sizes(item)


class Buckets:
    """A token bucket per sender: ``burst`` calls at once, ``rate`` a second over time.

    A bucket that is full again says nothing, so it is forgotten after ``burst / rate`` seconds, and with it every
    sender that left the bus. ``capacity`` bounds the memory against those who reconnect for a new name each time: the
    bucket used longest ago goes.
    """

    def __init__(
        self, clock: Callable[[], float], *, rate: float = 20.0, burst: float = 40.0, capacity: int = 1024
    ) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._capacity = capacity
        self._levels: dict[str, tuple[float, float]] = {}  # tokens left, when; the sender seen last is last

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, sender: str) -> bool:
        """Take one token of ``sender``; False when it has none left."""
        now = self._clock()
        tokens, since = self._levels.pop(sender, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        self._levels[sender] = (tokens - 1 if tokens >= 1 else tokens), now
        self._forget(now)
        return tokens >= 1

    def _forget(self, now: float) -> None:
        while self._levels:
            oldest = next(iter(self._levels))
            if len(self._levels) <= self._capacity and now - self._levels[oldest][1] < self._burst / self._rate:
                return
            del self._levels[oldest]
