# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as its shells see it: the reconciler, and the shared roots beside it."""

from collections.abc import Callable

from osrd.engine.api import Reconcile, Reload, Request, RootRequest
from osrd.engine.pipeline import Run
from osrd.engine.reconciler import Reconciler
from osrd.engine.roots import Roots
from osrd.model.cdsl import Cdsl
from osrd.model.finding import Finding
from osrd.model.job import Job
from osrd.model.settings import Settings
from osrd.model.view import Event, Generation, PlanView, Snapshot


class WholeEngine:
    """Implements osrd.engine.api.Engine. ``roots`` shares the job book and the teller of ``reconciler``."""

    def __init__(self, reconciler: Reconciler, roots: Roots) -> None:
        self._reconciler = reconciler
        self._roots = roots

    @property
    def snapshot(self) -> Snapshot:
        return self._reconciler.snapshot

    @property
    def jobs(self) -> tuple[Job, ...]:
        return self._reconciler.jobs

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        self._reconciler.subscribe(listener)

    def wake(self, hints: frozenset[str]) -> None:
        """Something changed, as for Reconciler.wake(); what is only a root's own wakes only the root."""
        if not hints:
            self._roots.look()
            self._reconciler.wake(hints)
            return
        own = self._roots.claimed(hints)
        if own:
            self._roots.look(own)
        if rest := hints - own:
            self._reconciler.wake(rest)

    def ran(self, run: Run, settings: Settings) -> None:
        """A run ended: the shared roots follow what it read."""
        self._roots.follow(run.cluster, settings)

    def submit(self, request: Request, owner: int) -> Job:
        if isinstance(request, RootRequest):
            return self._roots.submit(request, owner)
        job = self._reconciler.submit(request, owner)
        if isinstance(request, Reload):
            self._roots.forget_overrides()
        if isinstance(request, Reload | Reconcile):
            self._roots.look()
        return job

    def cancel(self, number: int) -> None:
        if not self._roots.cancel(number):
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

    async def stop(self) -> None:
        """The roots first: what they end with is told as long as the jobs are there."""
        await self._roots.stop()
        await self._reconciler.stop()
