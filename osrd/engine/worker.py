# SPDX-License-Identifier: GPL-3.0-or-later
"""A thread for work that may hang: file systems of dead servers keep a system call for hours.

Unlike those of an executor it is a daemon thread, so that the process can end while it hangs.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from osrd.model.errors import FailedError, OsrdError

logger = logging.getLogger(__name__)

T = TypeVar("T")
_Task = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Worker:
    """What is done here is done one after the other. All methods are called on the event loop."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._name = name
        self._loop = loop
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Start ``work`` as soon as what was begun before has ended. The future has its result, or the OsrdError that
        it raises; anything else that it raises is a mistake in osrd, which goes to the journal, and a FailedError."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[T] = self._loop.create_future()
        self._tasks.put((work, future))
        return future

    def close(self) -> None:
        """End the thread after what was begun."""
        self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            work, future = task
            result, error = _done(work)
            try:
                self._loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more


def _done(work: Callable[[], Any]) -> tuple[Any, OsrdError | None]:
    try:
        return work(), None
    except OsrdError as error:
        return None, error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return None, FailedError(f"{where}{error.strerror or error}", passing=True)
    except Exception as error:
        # The border of the thread, like that of the bus: a bug in one root's work must not end its lane (law 4).
        logger.exception("internal error in the engine")
        text = f"internal error: {type(error).__name__}: {error}"
        return None, FailedError(text, "report it, with the lines of the journal")


def _settle(future: "asyncio.Future[Any]", result: Any, error: OsrdError | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
