# SPDX-License-Identifier: GPL-3.0-or-later
"""What works in shared roots is loaded when there is one: a boot host without any has 3 MiB less to keep, and one with
roots loads it in the thread of the first that needs it, since loading would hold up the event loop."""
# ruff: noqa: PLC0415 - imports inside of functions are what this module is for

from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from osrd.engine.api import ImageDifference
from osrd.engine.buildwork import Again, Aim, BuildWork, Made, Sight, Wish
from osrd.engine.rootwork import Cancelled, Control, Progress, Root
from osrd.model.cdsl import Members
from osrd.model.image import Choice
from osrd.observe.inside import Inside

if TYPE_CHECKING:
    from osrd.engine.initrds import Initrds

#: What is loaded by two threads at once is made by one of them.
_LOADING = Lock()


def open_root(path: str, members: Members, *, progress: Progress, cancelled: Cancelled, wait: float) -> Root:
    """Implements osrd.engine.rootwork.OpenRoot: a SharedRoot."""
    Inside.open(path).close()  # where there is no directory, nothing needs to be loaded
    from osrd.engine.sharedroot import SharedRoot

    return SharedRoot(path, members, progress=progress, cancelled=cancelled, wait=wait)


class BuildWorkWhenNeeded(BuildWork):
    """The Initrds of a root, which are made by the first call."""

    def __init__(self, name: str, state: str) -> None:
        self._name = name
        self._state = state

    @cached_property
    def _made(self) -> "Initrds":
        from osrd.engine.initrds import Initrds

        return Initrds(self._name, self._state)

    @property
    def _work(self) -> BuildWork:
        with _LOADING:
            return self._made

    def look(self, aim: Aim, again: Again) -> Sight:
        return self._work.look(aim, again)

    def build(self, aim: Aim, wish: Wish, control: Control) -> Made:
        return self._work.build(aim, wish, control)

    def rollback(self, aim: Aim, image: str) -> Choice:
        return self._work.rollback(aim, image)

    def prune(self, aim: Aim) -> tuple[str, ...]:
        return self._work.prune(aim)

    def difference(self, one: str, other: str) -> ImageDifference:
        return self._work.difference(one, other)

    def log(self, image: str) -> bytes:
        return self._work.log(image)
