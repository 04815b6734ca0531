# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine offers to its shells (the bus, osrctl, tests). They depend on this, never on the reconciler."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from osrd.model.job import Job
from osrd.model.view import Event, Generation, PlanView, Snapshot


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Compare everything and repair; requests that wait together share one run."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Like Reconcile, but only if the plan is still the one with this digest ("" accepts any); ends a pin."""

    digest: str = ""


@dataclass(frozen=True, slots=True)
class Verify:
    """Read and hash every published file and every input, write nothing; the job's result lists what is stale."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """Publish the outputs of an earlier generation again and hold them until the inputs change."""

    generation: int


@dataclass(frozen=True, slots=True)
class Reload:
    """Read osrd.conf and the templates again, then reconcile."""


@dataclass(frozen=True, slots=True)
class AddNode:
    """Add a ``<clusternode>``. Keys of ``attributes`` are those of SetNode; ``expected_version`` of 0 means any."""

    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    expected_version: int = 0


@dataclass(frozen=True, slots=True)
class SetNode:
    """Change attributes of the node with this id or name. Keys are ``nodeid``, ``votes``, ``name``, ``root``
    (rootvolume name), ``fstype``, ``mountopts``, ``ip``, ``mac``, ``mask``, ``gateway`` for the first NIC, or
    ``ethN.ip`` and so on for the NIC of that name; an empty value removes the attribute."""

    node: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    expected_version: int = 0


@dataclass(frozen=True, slots=True)
class RemoveNode:
    node: str
    expected_version: int = 0


Edit = AddNode | SetNode | RemoveNode
Request = Reconcile | Apply | Verify | Rollback | Reload | Edit


class Engine(Protocol):
    """The running engine. All members are called on the event loop and return without blocking it."""

    @property
    def snapshot(self) -> Snapshot: ...

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Running jobs, and ended ones for a minute."""

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """``listener`` is called on the event loop, in order, for every event from now on."""

    def submit(self, request: Request, owner: int) -> Job:
        """Queue ``request`` for uid ``owner`` and return its job at once. Raises BusyError when too many wait."""

    def cancel(self, number: int) -> None:
        """Cancel a queued job. Raises NotFoundError, or UnsupportedError once it runs (publishing is atomic)."""

    async def plan(self, *, diff: bool) -> PlanView:
        """What a run would do now, without doing it."""

    async def generations(self) -> tuple[Generation, ...]:
        """The generations that can be rolled back to, newest first."""
