# SPDX-License-Identifier: GPL-3.0-or-later
"""What watchers are. They only wake the reconciler: an event is a hint, what it says is never used as data (law 7)."""

from collections.abc import Callable, Mapping
from typing import Protocol

#: Absolute paths that may have changed; an empty set means "something, unknown what": compare everything.
WakeUp = Callable[[frozenset[str]], None]

#: Directory to the names of interest in it, None for every name.
Directories = Mapping[str, frozenset[str] | None]

SOMETHING: frozenset[str] = frozenset()


class Watcher(Protocol):
    """Called on the event loop; no method blocks or fails because of what is (not) on the disk."""

    @property
    def mode(self) -> str:
        """``inotify``, or ``poll`` when changes are noticed by regular comparison only."""

    def sync(self, directories: Directories) -> None:
        """Watch these absolute directories instead of the former ones. They need not exist yet."""

    def close(self) -> None:
        """Stop; nothing is woken any more."""


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """What timers need of an event loop. Seconds, monotonic."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Cancellable: ...
