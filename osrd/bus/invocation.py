# SPDX-License-Identifier: GPL-3.0-or-later
"""One authorised call of one of our methods, as the thin interface files see it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from osrd.bus.objects import Objects
from osrd.bus.wire import Packed
from osrd.engine.api import Engine
from osrd.model.errors import InvalidArgsError, OsrdError
from osrd.model.job import Job
from osrd.model.view import ImageView, NodeView, SharedRootView, Snapshot


@dataclass(frozen=True, slots=True)
class Invocation:
    """``arguments`` are plain values without the last one, ``options``. ``source`` is what the object shows; ``uid``
    is the caller's, -1 where the method is open to everybody."""

    engine: Engine
    objects: Objects
    source: Snapshot | NodeView | SharedRootView | ImageView | Job
    uid: int
    arguments: list[Any]
    options: dict[str, Any]


class Refusal(OsrdError):
    """A call answered with one of D-Bus's own error names."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


Handler = Callable[[Invocation], Awaitable[Packed]]


@dataclass(frozen=True, slots=True)
class Implementation:
    """A method's code, the options it knows with their Python types, and whether it is ``charged``: counted against
    its caller although it needs no permission. What is ``costly`` is never made twice at a time either, since its
    reply is long; it must not wait for a disk."""

    handler: Handler
    options: tuple[tuple[str, type], ...] = ()
    costly: bool = False
    charged: bool = False


def checked_options(known: tuple[tuple[str, type], ...], given: dict[str, Any]) -> dict[str, Any]:
    """``given`` if every key is known and every value of its type; InvalidArgsError otherwise."""
    types = dict(known)
    for key, value in given.items():
        if key not in types:
            raise InvalidArgsError(f"unknown option {key!r}", f"known: {', '.join(types) or 'none'}")
        if type(value) is not types[key] or (isinstance(value, int) and value < 0):
            raise InvalidArgsError(f"option {key!r} has the value {value!r}", f"give a {_WORDS[types[key]]}")
    return given


_WORDS = {bool: "boolean (b)", int: "number from 0 up (t)", str: "string (s)"}
