# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run of osrctl knows: how to answer, and how to reach osrd. Nothing here touches the bus before run()."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from osrd.bus.names import ROOT
from osrd.cli.exits import UnreachableError
from osrd.cli.shared_root import AbstractRoot, Work
from osrd.model.cdsl import Layout, Members
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


def open_root(path: str, members: Members, work: Work) -> AbstractRoot:
    """The shared root at ``path``, for work without the daemon. Raises OsrdError when it cannot be opened."""
    from osrd.engine.localroot import LocalRoot

    return LocalRoot(path, members, progress=work.progress, cancelled=work.cancelled, simulate=work.simulate)


def run_shell(path: str, node: str, command: Sequence[str], layout: Layout) -> int:
    """Run ``command`` (nothing: a shell) in the root at ``path`` as ``node`` sees it; its exit status."""
    from osrd.apply.shell import run

    return run(path, node, command, layout)


@dataclass
class Session:
    """The global options. ``connect``, ``open_root``, ``run_shell`` and ``configuration`` (osrd.conf) are seams for
    tests."""

    address: str | None = None
    json: bool = False
    connect: Callable[[str | None], Awaitable[Bus]] = connect_to_bus
    open_root: Callable[[str, Members, Work], AbstractRoot] = open_root
    run_shell: Callable[[str, str, Sequence[str], Layout], int] = run_shell
    configuration: str = "/etc/osrd/osrd.conf"

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


def completing(context: click.Context) -> Session:
    """The session of a completion, which parses the words but runs no callback: what stands before the command is
    taken from them."""
    session = context.find_object(Session) or Session()
    typed = context.find_root().params
    session.address = session.address or typed.get("bus")
    session.configuration = typed.get("config") or session.configuration
    return session


def _turn_json_on(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).json = True


#: ``--json`` is the same before the command and after it.
json_option = click.option(
    "--json", is_flag=True, expose_value=False, callback=_turn_json_on, help="Print one JSON object, for scripts."
)
