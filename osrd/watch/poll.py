# SPDX-License-Identifier: GPL-3.0-or-later
"""The regular comparison: slow while inotify works, the only eye while it does not."""

import random
from collections.abc import Callable

from osrd.watch.base import Cancellable, Clock


class Poller:
    """Calls ``tick`` every ``interval`` seconds, 10 % more or less, so that several boot hosts that started together
    do not keep hitting a shared file system together."""

    def __init__(self, tick: Callable[[], None], interval: float, clock: Clock) -> None:
        self._tick = tick
        self._interval = interval
        self._clock = clock
        self._timer: Cancellable | None = None
        self._schedule()

    @property
    def interval(self) -> float:
        return self._interval

    @interval.setter
    def interval(self, seconds: float) -> None:
        if seconds != self._interval:
            self._interval = seconds
            self.close()
            self._schedule()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self._timer = self._clock.call_later(self._interval * random.uniform(0.9, 1.1), self._due)

    def _due(self) -> None:
        self._schedule()
        self._tick()
