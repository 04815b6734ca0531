# SPDX-License-Identifier: GPL-3.0-or-later
"""All shared roots of this host: one lane each, beside the one writer thread (copying /var takes minutes, and the
DHCP server must still follow an edit within a second)."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from osrd.engine.api import (
    AdoptTree,
    ArchiveTree,
    BindLink,
    ConvertLayout,
    CreateInfrastructure,
    DropBackup,
    MakeHostDependent,
    MakeShared,
    RemoveCdsl,
    RepairCdsls,
    RootRequest,
    UndoCdsl,
)
from osrd.engine.jobs import JobBook
from osrd.engine.lane import Depth, Lane
from osrd.engine.places import Watched
from osrd.engine.rootwork import Mounter, OpenRoot, Order, RootWork
from osrd.model.cdsl import INVENTORY, MOUNT_POINT, Cdsl, Layout, Members
from osrd.model.cluster import Cluster, RootVolume
from osrd.model.errors import BusyError, InvalidArgsError, NotFoundError, UnsupportedError
from osrd.model.finding import Finding
from osrd.model.job import Job, JobKind
from osrd.model.settings import RootSettings, Settings
from osrd.model.view import RootState, SharedRootView
from osrd.plan.members import members_of
from osrd.plan.roots import root_of_volume

#: Seconds without a sign of life after which a root is called stuck, and a question about it is answered with Busy:
#: less than the 25 seconds that D-Bus clients wait.
_PATIENCE = 20.0
#: Seconds that running changes have for rolling back when osrd stops; the service manager gives 90 for everything.
_STOPPING = 30.0
#: Seconds in which changes of the mount table are taken as one.
_QUIET = 0.05

_KINDS: dict[type[RootRequest], JobKind] = {
    CreateInfrastructure: JobKind.CDSL_INIT,
    MakeHostDependent: JobKind.CDSL_MAKE,
    MakeShared: JobKind.CDSL_SHARE,
    RemoveCdsl: JobKind.CDSL_REMOVE,
    RepairCdsls: JobKind.CDSL_REPAIR,
    ConvertLayout: JobKind.CDSL_CONVERT,
    UndoCdsl: JobKind.CDSL_UNDO,
    AdoptTree: JobKind.CDSL_ADOPT,
    ArchiveTree: JobKind.CDSL_ARCHIVE,
    DropBackup: JobKind.CDSL_DROP,
    BindLink: JobKind.BIND_LINK,
}


class Roots:
    """Lives on the event loop. ``show`` gets the views of all roots when one of them is another."""

    def __init__(
        self,
        open_root: OpenRoot,
        mounter: Mounter,
        book: JobBook,
        show: Callable[[Mapping[str, SharedRootView]], None],
        loop: asyncio.AbstractEventLoop,
        *,
        patience: float = _PATIENCE,
    ) -> None:
        self._open_root = open_root
        self._mounter = mounter
        self._book = book
        self._show = show
        self._loop = loop
        self._patience = patience
        self._lanes: dict[str, Lane] = {}
        self._tasks: dict[Lane, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._mounts_changed: asyncio.TimerHandle | None = None
        self._stopping = False
        #: told when ``watched`` may be another
        self.on_watched: Callable[[], None] = _ignore

    @property
    def watched(self) -> Watched:
        """The inventories of the roots that answer: others change them, too, or make the first. Directory to names."""
        return {
            lane.order.path: frozenset((INVENTORY,))
            for lane in self._lanes.values()
            if lane.view.state in (RootState.READY, RootState.PLAIN)
        }

    def follow(self, orders: Mapping[str, Order]) -> None:
        """What should be true of each root, by name: ``orders_of`` what a run found."""
        if self._stopping:
            return
        for name in [name for name, lane in self._lanes.items() if _elsewhere(lane.order, orders.get(name))]:
            self._retire(self._lanes.pop(name), {order.path for order in orders.values()})
        for name, order in orders.items():
            lane = self._lanes.get(name)
            if lane is None:
                self._start(name, order)
            else:
                lane.follow(order)
        self._lanes = {name: self._lanes[name] for name in orders}
        self._changed()

    def look(self, paths: Iterable[str] = ()) -> bool:
        """Look at the roots whose inventories ``paths`` are, at all of them without paths; whether there was any."""
        wanted = {path.removesuffix(f"/{INVENTORY}") for path in paths if path.endswith(f"/{INVENTORY}")}
        lanes = [lane for lane in self._lanes.values() if not paths or lane.order.path in wanted]
        for lane in lanes:
            lane.look(Depth.EVERYTHING)
        return bool(lanes)

    def claimed(self, hints: frozenset[str]) -> frozenset[str]:
        """Those of ``hints`` that are about a root and nothing else."""
        inventories = {f"{lane.order.path}/{INVENTORY}" for lane in self._lanes.values() if lane.order.path}
        return hints & inventories

    def mounts_changed(self) -> None:
        """The mount table is another one. Starting containers change it often, so a moment is waited."""
        if self._mounts_changed is None and not self._stopping:
            self._mounts_changed = self._loop.call_later(_QUIET, self._look_at_mounts)

    def forget_overrides(self) -> None:
        """osrd.conf is read again: it says what is mounted."""
        for lane in self._lanes.values():
            lane.forget_override()

    def submit(self, request: RootRequest, owner: int) -> Job:
        """Queue ``request``. Raises NotFoundError, UnsupportedError, InvalidArgsError and BusyError."""
        if self._stopping:
            raise BusyError("osrd is stopping", "ask again when it runs")
        lane = self._lane(request.root)
        if not lane.order.path:
            raise UnsupportedError(f"[root {lane.name}] is not on this host", "set path in osrd.conf")
        _check_names(request)
        job = self._book.add(_KINDS[type(request)], _target(request), owner)
        lane.submit(job.number, request, owner)
        return job

    def cancel(self, job: int) -> bool:
        """Whether ``job`` is one of a root, which is cancelled, or rolled back if it runs."""
        return any(lane.cancel(job) for lane in self._lanes.values())

    async def cdsls(self, root: str) -> tuple[Cdsl, ...]:
        lane = self._lane(root)
        return await lane.ask("cdsls", lane.work.cdsls)

    async def check(self, root: str) -> tuple[Finding, ...]:
        lane = self._lane(root)
        return await lane.ask("check", lane.work.check)

    async def backups(self, root: str) -> tuple[str, ...]:
        lane = self._lane(root)
        return await lane.ask("backups", lane.work.backups)

    async def stop(self) -> None:
        """Cancel what goes on and wait until it is rolled back, but not for a root that hangs. Mounts stay: nodes'
        data is reached through them whether osrd runs or not."""
        self._stopping = True
        if self._mounts_changed is not None:
            self._mounts_changed.cancel()
        for lane in self._lanes.values():
            lane.stop()
        tasks = {*self._tasks.values(), *self._leaving}
        if tasks:
            _, hanging = await asyncio.wait(tasks, timeout=_STOPPING)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
        for lane in self._lanes.values():
            lane.close()

    def _lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            raise NotFoundError(f"there is no shared root {name!r}", "osrd.conf names them: [root NAME]")
        return lane

    def _start(self, name: str, order: Order) -> None:
        work = RootWork(name, self._open_root, self._mounter)
        lane = self._lanes[name] = Lane(
            name, order, work, book=self._book, changed=self._changed, loop=self._loop, patience=self._patience
        )
        self._tasks[lane] = self._loop.create_task(lane.run(), name=f"root {name}")

    def _retire(self, lane: Lane, remaining: set[str]) -> None:
        """The root left the configuration: its mount goes, unless another section still speaks about the directory."""
        lane.stop()
        task = self._loop.create_task(self._leave(lane, release=lane.order.path not in remaining))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, lane: Lane, *, release: bool) -> None:
        await asyncio.wait([self._tasks.pop(lane)])
        if release:
            await lane.release()
        lane.close()

    def _look_at_mounts(self) -> None:
        self._mounts_changed = None
        for lane in self._lanes.values():
            lane.look(Depth.LINK)

    def _changed(self) -> None:
        if not self._stopping:
            self._show(MappingProxyType({name: lane.view for name, lane in self._lanes.items()}))
            self.on_watched()


def _ignore() -> None:
    """Nobody watches."""


def orders_of(cluster: Cluster | None, settings: Settings) -> dict[str, Order]:
    """What should be true of each root, in the order of osrd.conf. ``cluster`` of None: nothing usable says who the
    nodes are."""
    orders: dict[str, Order] = {}
    volumes = _volumes(cluster, settings)
    links: dict[str, str] = {}
    for root in settings.roots:
        members: Members | None = None
        if cluster is not None and cluster.nodes:
            members, _ = members_of(cluster, settings, root)
        # Two sections may speak about one directory, which can have one mount: the first one says which.
        link = links.setdefault(root.path, root.link)
        volume = volumes.get(root.name)
        source, fstype = (volume.name, volume.fstype) if volume else ("", "")
        orders[root.name] = Order(root.path, members, link, source, fstype)
    return orders


def _volumes(cluster: Cluster | None, settings: Settings) -> dict[str, RootVolume]:
    """The root volume of each section: the first in cluster.conf that it speaks about."""
    found: dict[str, RootVolume] = {}
    for volume in dict.fromkeys(node.root for node in (cluster.nodes if cluster else ())):
        section: RootSettings | None = root_of_volume(settings, volume) if volume else None
        if section is not None and volume is not None:
            found.setdefault(section.name, volume)
    return found


def _elsewhere(now: Order, wanted: Order | None) -> bool:
    return wanted is None or now.path != wanted.path


def _check_names(request: RootRequest) -> None:
    """Refuse names that would lead elsewhere. Raises InvalidArgsError."""
    match request:
        case MakeHostDependent(_, _, nodes):
            names = list(nodes)
        case MakeShared(_, _, winner):
            names = [winner] if winner else []
        case RemoveCdsl(_, _, removal):
            names = [removal.winner] if removal.winner else []
        case AdoptTree(_, tree, node):
            names = [tree, node]
        case ArchiveTree(_, node):
            names = [node]
        case BindLink(_, node):
            names = [node] if node else []
        case DropBackup(_, name):
            names = [name]
        case CreateInfrastructure(_, layout):
            names = _parts(layout)
        case _:
            names = []
    for name in names:
        if name in ("", ".", "..", MOUNT_POINT) or "/" in name or "\0" in name:
            raise InvalidArgsError(f"{name!r} is no name of a tree or backup", "give a name without slashes")


def _parts(layout: Layout) -> list[str]:
    """Every component of the names that a layout is made of; the prefix only counts with something after it."""
    paths = (layout.tree, layout.shared, layout.link)
    return [layout.default, f"{layout.prefix}1", *(part for path in paths for part in path.split("/"))]


def _target(request: RootRequest) -> str:
    """ROOT:PATH, or ROOT:NAME for what is about a node or a backup."""
    match request:
        case MakeHostDependent(root, path) | MakeShared(root, path) | RemoveCdsl(root, path):
            return f"{root}:/{path.lstrip('/')}"
        case AdoptTree(root, name) | ArchiveTree(root, name) | DropBackup(root, name) | BindLink(root, name):
            return f"{root}:{name}"
        case _:
            return request.root
