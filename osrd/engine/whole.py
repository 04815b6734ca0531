# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as its shells see it: the reconciler, and beside it the shared roots, the builder of their initrds, and
how far nodes are with their boots."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from operator import is_

from osrd.engine.api import ImageDifference, ImageRequest, Reconcile, Reload, Request, RootRequest
from osrd.engine.bootstates import BootStates
from osrd.engine.builder import Builder
from osrd.engine.buildwork import aims_of
from osrd.engine.pipeline import Run
from osrd.engine.reconciler import Reconciler
from osrd.engine.roots import Roots, orders_of
from osrd.engine.worker import Worker
from osrd.model.cdsl import Cdsl
from osrd.model.cluster import Cluster, Node
from osrd.model.errors import OsrdError
from osrd.model.finding import Finding
from osrd.model.job import Job
from osrd.model.settings import Settings
from osrd.model.view import Event, Generation, PlanView, Snapshot
from osrd.plan.bootstates import directory_of

logger = logging.getLogger(__name__)

#: What a run read: cluster.conf, osrd.conf, and the nodes that are published.
_Read = tuple[Cluster | None, Settings, tuple[Node, ...]]


class WholeEngine:
    """Implements osrd.engine.api.Engine. ``roots`` and ``builder`` share the job book and the teller of
    ``reconciler``, ``boots`` tells the latter."""

    def __init__(
        self,
        reconciler: Reconciler,
        roots: Roots,
        builder: Builder,
        boots: BootStates,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._reconciler = reconciler
        self._roots = roots
        self._builder = builder
        self._boots = boots
        self._loop = loop
        self._worker = Worker("members", loop)
        self._latest: _Read | None = None
        self._followed: _Read | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def snapshot(self) -> Snapshot:
        return self._reconciler.snapshot

    @property
    def jobs(self) -> tuple[Job, ...]:
        return self._reconciler.jobs

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        self._reconciler.subscribe(listener)

    def unsubscribe(self, listener: Callable[[Event], None]) -> None:
        self._reconciler.unsubscribe(listener)

    def wake(self, hints: frozenset[str]) -> None:
        """Something changed, as for Reconciler.wake(); what is only a root's own wakes only the root."""
        if not hints:
            self._roots.look()
            self._builder.look()
            self._reconciler.wake(hints)
            return
        own = self._roots.claimed(hints)
        if own:
            self._roots.look(own)
        if rest := hints - own:
            self._reconciler.wake(rest)

    def ran(self, run: Run, settings: Settings) -> None:
        """A run ended: the shared roots and the builder follow what it read, unless nobody is to do anything."""
        if run.idle:
            return
        self._latest = run.cluster, settings, run.nodes
        if self._following is None or self._following.done():
            self._following = self._loop.create_task(self._follow(), name="roots follow")

    async def settled(self) -> None:
        """Wait until the roots know what the last run read, so that all of them are shown."""
        if self._following is not None:
            await asyncio.wait([self._following])

    async def _follow(self) -> None:
        """Whose nodes use which root: among 10,000 that takes too long for the loop."""
        while (latest := self._latest) is not None:
            self._latest = None
            before = self._followed
            if before is not None and all(map(is_, before, latest)):
                continue
            cluster, settings, nodes = latest
            try:
                orders = await self._worker.begin(partial(orders_of, cluster, settings))
                directory = await self._worker.begin(partial(directory_of, cluster, settings))
            except OsrdError as error:
                logger.warning("%s", error)
                continue
            self._roots.follow(orders)
            self._builder.follow(aims_of(cluster, settings, nodes))
            self._boots.follow(directory, settings)
            self._followed = latest

    def submit(self, request: Request, owner: int) -> Job:
        if isinstance(request, RootRequest):
            return self._roots.submit(request, owner)
        if isinstance(request, ImageRequest):
            return self._builder.submit(request, owner)
        job = self._reconciler.submit(request, owner)
        if isinstance(request, Reload):
            self._roots.forget_overrides()
        if isinstance(request, Reload | Reconcile):
            self._roots.look()
            self._builder.look()
        return job

    def cancel(self, number: int) -> None:
        if not self._roots.cancel(number) and not self._builder.cancel(number):
            self._reconciler.cancel(number)

    async def plan(self, *, diff: bool) -> PlanView:
        return await self._reconciler.plan(diff=diff)

    async def generations(self) -> tuple[Generation, ...]:
        return await self._reconciler.generations()

    async def cdsls(self, root: str) -> tuple[Cdsl, ...]:
        return await self._roots.cdsls(root)

    async def check_cdsls(self, root: str) -> tuple[Finding, ...]:
        return await self._roots.check(root)

    async def backups(self, root: str) -> tuple[str, ...]:
        return await self._roots.backups(root)

    async def image_difference(self, one: str, other: str) -> ImageDifference:
        return await self._builder.difference(one, other)

    async def build_log(self, root: str, image: str = "") -> bytes:
        return await self._builder.log(root, image)

    async def stop(self) -> None:
        """The roots first: what they end with is told as long as the jobs are there."""
        self._reconciler.teller.stopping()
        await self.settled()
        self._worker.close()
        self._boots.close()
        await asyncio.gather(self._roots.stop(), self._builder.stop())
        await self._reconciler.stop()
