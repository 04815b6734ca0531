# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run of osrctl knows: how to answer, and how to reach osrd. Nothing here touches the bus before run()."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from osrd.bus.names import ROOT
from osrd.cli.exits import UnreachableError
from osrd.model.errors import NotFoundError, UnsupportedError

if TYPE_CHECKING:
    from osrd.bus.client import Signal

T = TypeVar("T")


class Bus(Protocol):
    """The part of osrd.bus.client.Client that osrctl uses."""

    async def call(
        self, interface: str, member: str, signature: str = "", *arguments: object, path: str = ROOT
    ) -> list[Any]: ...

    async def properties(self, path: str, interface: str) -> dict[str, Any]: ...

    async def managed_objects(self) -> dict[str, dict[str, dict[str, Any]]]: ...

    def signals(self) -> "AsyncIterator[Signal]": ...

    async def wait_job(self, path: str, progress: Callable[[float, str], None] | None = None) -> dict[str, Any]: ...

    async def close(self) -> None: ...


async def connect_to_bus(address: str | None) -> Bus:
    """A connection to osrd. Raises UnreachableError when there is no bus or no osrd on it."""
    from osrd.bus.client import Client

    try:
        return await Client.connect(address)
    except (NotFoundError, UnsupportedError) as error:
        raise UnreachableError(
            error.message,
            "start it with `systemctl start osrd`, or publish once without the daemon with `osrd --once`",
        ) from error


@dataclass
class Session:
    """The global options. ``connect`` is a seam for tests."""

    address: str | None = None
    json: bool = False
    connect: Callable[[str | None], Awaitable[Bus]] = connect_to_bus

    def run(self, work: Callable[[Bus], Awaitable[T]]) -> T:
        """Connect, do ``work``, disconnect."""
        import asyncio

        return asyncio.run(self._connected(work))

    async def _connected(self, work: Callable[[Bus], Awaitable[T]]) -> T:
        bus = await self.connect(self.address)
        try:
            return await work(bus)
        finally:
            await bus.close()


pass_session = click.make_pass_decorator(Session)


def _turn_json_on(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).json = True


#: ``--json`` is the same before the command and after it.
json_option = click.option(
    "--json", is_flag=True, expose_value=False, callback=_turn_json_on, help="Print one JSON object, for scripts."
)
