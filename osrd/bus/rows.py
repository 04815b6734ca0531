# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a long reply, marshalled once each and kept while their source stays the same.

Marshalling 10,000 nodes at once would block the loop for more than a second; here a change costs its own row, and rows
that are missing are made in slices with room for everybody else in between.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")
#: Seconds of work between two chances for everybody else; DESIGN law 10 allows 0.05.
SLICE = 0.01


class Slices:
    """``await slices.end()`` gives way to the rest of the loop when this turn has lasted long enough."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()

    async def end(self) -> bool:
        """Return whether others have run, that is, whether the world may have changed."""
        if self._loop.time() - self._since < SLICE:
            return False
        await asyncio.sleep(0)
        self._since = self._loop.time()
        return True


class Rows(Generic[T]):
    """The rows of one array. ``make`` marshals the one of a key and its source; equal sources give equal rows."""

    def __init__(self, make: Callable[[str, T], bytes]) -> None:
        self._make = make
        self._kept: dict[str, tuple[T, bytes]] = {}

    def row(self, key: str, source: T) -> bytes:
        """The row of ``source``, made now if it is not kept."""
        kept = self._kept.get(key)
        unchanged = kept is not None and (kept[0] is source or kept[0] == source)
        row = kept[1] if kept is not None and unchanged else self._make(key, source)
        self._kept[key] = source, row
        return row

    def drop(self, key: str) -> None:
        """Forget the row of ``key``."""
        self._kept.pop(key, None)

    def clear(self) -> None:
        """Forget all rows: those of a listing that is rare and long are not worth their memory."""
        self._kept.clear()

    def all(self, sources: Mapping[str, T]) -> Iterable[bytes]:
        """The rows of ``sources`` in their order; call ``prepare`` first."""
        kept = self._kept
        for key, source in sources.items():
            found = kept.get(key)
            yield found[1] if found is not None and found[0] is source else self.row(key, source)

    async def prepare(self, current: Callable[[], Mapping[str, T]]) -> None:
        """Make what is missing, in slices, until every row of ``current()`` is kept at one and the same time."""
        slices = Slices()
        done: Mapping[str, T] | None = None
        while (sources := current()) is not done:
            for key, source in sources.items():
                kept = self._kept.get(key)
                if kept is None or kept[0] is not source:
                    self.row(key, source)
                    if await slices.end() and current() is not sources:
                        break
            else:
                done = sources
        if len(self._kept) > len(sources):
            self._kept = {key: kept for key, kept in self._kept.items() if key in sources}
