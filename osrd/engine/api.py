# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine offers to its shells (the bus, osrctl, tests). They depend on this, never on the reconciler."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from osrd.model.cdsl import Cdsl, Layout, Removal
from osrd.model.finding import Finding
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


@dataclass(frozen=True, slots=True)
class CreateInfrastructure:
    """Prepare the root for CDSLs. ``maxnodeidnum`` > 0: the nodes are 1 to this, whatever cluster.conf says."""

    root: str
    layout: Layout = field(default_factory=Layout)
    maxnodeidnum: int = 0
    use_nodeids: bool = True


@dataclass(frozen=True, slots=True)
class MakeHostDependent:
    """``nodes`` of () means all."""

    root: str
    path: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MakeShared:
    """``winner`` is the node whose content becomes everybody's; "": the copies must not differ."""

    root: str
    path: str
    winner: str = ""


@dataclass(frozen=True, slots=True)
class RemoveCdsl:
    root: str
    path: str
    removal: Removal = field(default_factory=Removal)


@dataclass(frozen=True, slots=True)
class RepairCdsls:
    """``rebuild``: the inventory is made anew from the disk first."""

    root: str
    rebuild: bool = False


@dataclass(frozen=True, slots=True)
class ConvertLayout:
    root: str


@dataclass(frozen=True, slots=True)
class UndoCdsl:
    root: str


@dataclass(frozen=True, slots=True)
class AdoptTree:
    """Make the orphaned ``tree`` the one of ``node``."""

    root: str
    tree: str
    node: str


@dataclass(frozen=True, slots=True)
class ArchiveTree:
    root: str
    node: str


@dataclass(frozen=True, slots=True)
class DropBackup:
    root: str
    name: str


@dataclass(frozen=True, slots=True)
class BindLink:
    """Keep the tree of ``node`` mounted at the link until osrd.conf is read again; NO_LINK: nothing, "": what
    osrd.conf says."""

    root: str
    node: str


@dataclass(frozen=True, slots=True)
class BuildInitrd:
    """Build what is missing or outdated, failed ones once more; only for ``kernel`` when one is given. ``force``: also
    when nothing has changed, then for the newest kernel without ``kernel``."""

    root: str
    kernel: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class RollbackInitrd:
    """Make ``image`` the current one of the root ("": the previous one)."""

    root: str
    image: str = ""


Edit = AddNode | SetNode | RemoveNode
RootRequest = (
    CreateInfrastructure
    | MakeHostDependent
    | MakeShared
    | RemoveCdsl
    | RepairCdsls
    | ConvertLayout
    | UndoCdsl
    | AdoptTree
    | ArchiveTree
    | DropBackup
    | BindLink
)
ImageRequest = BuildInitrd | RollbackInitrd
Request = Reconcile | Apply | Verify | Rollback | Reload | Edit | RootRequest | ImageRequest


@dataclass(frozen=True, slots=True)
class ImageChange:
    """A file in which two images differ: ``change`` is added, removed or changed; ``before`` and ``after`` are its
    bytes in each, 0 where it is not."""

    path: str
    change: str
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class ImageDifference:
    """``reasons`` are the inputs that changed, in words; ``lines`` tell what differs, ``files`` has all of that."""

    reasons: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    files: tuple[ImageChange, ...] = ()


class Engine(Protocol):
    """The running engine. All members are called on the event loop and return without blocking it."""

    @property
    def snapshot(self) -> Snapshot: ...

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Running jobs, and ended ones for a minute."""

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """``listener`` is called on the event loop, in order, for every event from now on."""

    def unsubscribe(self, listener: Callable[[Event], None]) -> None:
        """``listener``, which subscribed, is called no more."""

    def submit(self, request: Request, owner: int) -> Job:
        """Queue ``request`` for uid ``owner`` and return its job at once. Raises BusyError when too many wait,
        NotFoundError and UnsupportedError for a root that is not there."""

    def cancel(self, number: int) -> None:
        """Cancel a job that waits, or one of a shared root, which rolls back. Raises NotFoundError, or
        UnsupportedError for others once they run (publishing is atomic)."""

    async def plan(self, *, diff: bool) -> PlanView:
        """What a run would do now, without doing it."""

    async def generations(self) -> tuple[Generation, ...]:
        """The generations that can be rolled back to, newest first."""

    async def cdsls(self, root: str) -> tuple[Cdsl, ...]:
        """What the inventory of a shared root has. Raises NotFoundError, BusyError when the root does not answer,
        and what reading an inventory raises."""

    async def check_cdsls(self, root: str) -> tuple[Finding, ...]:
        """What is wrong with the CDSLs of a shared root now. Raises as ``cdsls``."""

    async def backups(self, root: str) -> tuple[str, ...]:
        """The names of the backups in a shared root. Raises as ``cdsls``."""

    async def image_difference(self, one: str, other: str) -> ImageDifference:
        """What changed from image ``one`` to ``other``. Raises NotFoundError for an image that is not there."""

    async def build_log(self, root: str, image: str = "") -> bytes:
        """The log of the build that made ``image``; "": of the last build for ``root``, also of one that failed.
        Raises NotFoundError where there is none."""
