# SPDX-License-Identifier: GPL-3.0-or-later
"""A bus for osrctl's unit tests: it answers what a test declares, records what was asked, and refuses the rest."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from click.testing import CliRunner, Result

from osrd.bus.names import IMAGE, IMAGES, JOB, MANAGER, ROOT, ROOTS, SHARED_ROOT
from osrd.cli.main import osrctl
from osrd.cli.session import Session
from osrd.model.errors import OsrdError

JOB_PATH = f"{ROOT}/jobs/7"


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal as osrd.bus.client.Signal has it."""

    path: str
    interface: str
    member: str
    arguments: list[Any]


@dataclass
class ScriptedBus:
    """``replies`` maps ``Member`` to results or an error; ``objects`` maps paths to interfaces to properties."""

    replies: dict[str, list[Any] | OsrdError] = field(default_factory=dict)
    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    script: Sequence[Sent] = ()
    job: dict[str, Any] = field(default_factory=dict)
    steps: Sequence[tuple[float, str]] = ()
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    address: str | None = None
    closed: bool = False

    async def connect(self, address: str | None) -> "ScriptedBus":
        self.address = address
        return self

    async def call(
        self, interface: str, member: str, signature: str = "", *arguments: object, path: str = ROOT
    ) -> list[Any]:
        self.calls.append((member, signature, *arguments))
        kinds = {f"{ROOT}/jobs": JOB, ROOTS: SHARED_ROOT, IMAGES: IMAGE}
        assert interface == kinds.get(path.rpartition("/")[0], MANAGER)
        reply = self.replies[member]
        if isinstance(reply, OsrdError):
            raise reply
        return reply

    async def properties(self, path: str, interface: str) -> dict[str, Any]:
        return self.objects[path][interface]

    async def managed_objects(self) -> dict[str, dict[str, dict[str, Any]]]:
        self.calls.append(("GetManagedObjects",))
        return self.objects

    async def signals(self) -> AsyncIterator[Any]:
        for signal in self.script:
            yield signal

    async def wait_job(self, path: str, progress: Callable[[float, str], None] | None = None) -> dict[str, Any]:
        assert path == JOB_PATH
        for step in self.steps:
            if progress:
                progress(*step)
        return {
            "Kind": "apply",
            "State": "done",
            "Message": "",
            "Target": "",
            "Owner": 0,
            "Error": "",
            "Result": {},
            "Progress": 1.0,
        } | self.job

    async def close(self) -> None:
        self.closed = True


def run(bus: ScriptedBus, *arguments: str, text: str | None = None, colour: bool = False) -> Result:
    """Run osrctl in this process on ``bus``."""
    session = Session(connect=bus.connect)
    runner = CliRunner(env={"NO_COLOR": None, "FORCE_COLOR": "1" if colour else None, "TERM": "xterm"})
    result = runner.invoke(osrctl, list(arguments), obj=session, input=text, prog_name="osrctl")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
