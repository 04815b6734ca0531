# SPDX-License-Identifier: GPL-3.0-or-later
"""Many hints, one wake-up: an editor's save is five events, a kernel package's a thousand."""

from osrd.watch.base import SOMETHING, Cancellable, Clock, WakeUp

#: more paths than this cost more to look up one by one than a full comparison does
MOST_PATHS = 1000


class Debounce:
    """Calls ``fire`` with all hinted paths once nothing came for ``quiet`` seconds, at the latest ``limit`` seconds
    after the first hint. A hint of "something" makes the whole burst one."""

    def __init__(self, quiet: float, limit: float, clock: Clock, fire: WakeUp) -> None:
        self._fire = fire
        self._quiet = quiet
        self._limit = limit
        self._clock = clock
        self._paths: set[str] | None = set()  # None: something, unknown what
        self._first = 0.0
        self._last = 0.0
        self._timer: Cancellable | None = None

    def hint(self, paths: frozenset[str]) -> None:
        self._last = self._clock.time()
        if self._paths is not None:
            self._paths.update(paths)
            if not paths or len(self._paths) > MOST_PATHS:
                self._paths = None
        if self._timer is None:
            self._first = self._last
            self._timer = self._clock.call_later(min(self._quiet, self._limit), self._due)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        # The timer is not moved at each hint, which a burst of 10,000 would pay for; it looks back instead.
        wait = min(self._last + self._quiet, self._first + self._limit) - self._clock.time()
        if wait > 0:
            self._timer = self._clock.call_later(wait, self._due)
            return
        self._timer = None
        paths, self._paths = self._paths, set()
        self._fire(SOMETHING if paths is None else frozenset(paths))
