# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for something to become true, with a deadline that names what did not."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_STEP = 0.02


def eventually(check: Callable[[], T], what: str, seconds: float = 10.0) -> T:
    """Call ``check`` until it returns something true and return that; fail with ``what`` after ``seconds``. The last
    call begins after them: a machine that stood still meanwhile, or a slow check, is asked once more."""
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() > deadline
        if result := check():
            return result
        if late:
            raise AssertionError(f"not within {seconds} s: {what} (last seen: {result!r})")
        time.sleep(_STEP)  # the only wait of the test suite: a poll with a deadline


async def eventually_async(check: Callable[[], T], what: str, seconds: float = 10.0) -> T:
    """The same on the event loop."""
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() > deadline
        if result := check():
            return result
        if late:
            raise AssertionError(f"not within {seconds} s: {what} (last seen: {result!r})")
        await asyncio.sleep(_STEP)
