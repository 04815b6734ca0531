# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run over 10,000 nodes does to the process: the garbage collector and the C library's heap."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_libc = ctypes.CDLL(None)


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the cyclic collector away: a run makes hundreds of thousands of values that live on and no cycles, and each
    time the collector walked them all it would stop the event loop as well (law 10: 100 ms with 10,000 nodes)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def keep() -> None:
    """What was made until now lives for long: later collections need not walk it."""
    gc.freeze()


def give_back() -> None:
    """Return freed memory to the system: a run over 10,000 nodes leaves a quarter of its heap free but scattered.
    malloc_trim(3) is glibc's; other C libraries have none."""
    with suppress(AttributeError):
        _libc.malloc_trim(0)
