# SPDX-License-Identifier: GPL-3.0-or-later
"""The client side of org.opensharedroot.Osrd1, as osrctl uses it: plain Python values in and out."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

BUS_NAME = "org.opensharedroot.Osrd1"
ROOT = "/org/opensharedroot/Osrd1"
MANAGER = "org.opensharedroot.Osrd1.Manager"
NODE = "org.opensharedroot.Osrd1.Node"
JOB = "org.opensharedroot.Osrd1.Job"


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal from osrd; ``arguments`` are plain values (variants unwrapped)."""

    path: str
    interface: str
    member: str
    arguments: list[object]


class Client:
    """A connection to a running osrd."""

    @classmethod
    async def connect(cls, address: str | None = None) -> "Client":
        """Connect to the system bus (``DBUS_SYSTEM_BUS_ADDRESS`` is honoured) or to ``address``.

        Raises NotFoundError when osrd is not running, UnsupportedError when there is no bus."""
        raise NotImplementedError

    async def call(self, interface: str, member: str, signature: str = "", *arguments: object, path: str = ROOT) -> list:  # type: ignore[type-arg]
        """Call a method and return its results. Variants in ``arguments`` are made from plain str, bool, int and
        float values (s, b, t, d). D-Bus errors are raised as the OsrdError class of their name."""
        raise NotImplementedError

    async def properties(self, path: str, interface: str) -> dict[str, object]:
        raise NotImplementedError

    async def managed_objects(self) -> dict[str, dict[str, dict[str, object]]]:
        raise NotImplementedError

    def signals(self) -> AsyncIterator[Signal]:
        """Everything osrd signals from the first ``anext`` on; ends with FailedError when osrd leaves the bus."""
        raise NotImplementedError

    async def wait_job(
        self, path: str, progress: Callable[[float, str], None] | None = None
    ) -> dict[str, object]:
        """Wait for a job's end and return its properties as they were then. Raises FailedError when osrd leaves."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
