# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the bus what changed: the difference between what was told and what is, never a replay of events.

Ten runs that change a node while 10,000 others are being announced cost one signal for it, and nothing piles up when
the bus is slow. Jobs are few and told at once, since a client must know a job's object before it gets its path.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Mapping
from typing import Any

from osrd.bus.connection import Connection
from osrd.bus.contract import Emits, Interface
from osrd.bus.names import (
    IMAGE,
    JOB,
    MANAGER,
    NODE,
    OBJECT_MANAGER,
    PROPERTIES,
    ROOT,
    SHARED_ROOT,
    image_path,
    job_path,
    node_path,
    root_path,
)
from osrd.bus.objects import Objects
from osrd.bus.rows import Slices
from osrd.bus.values import (
    COMPARED_BY,
    FINDINGS_LIMIT,
    IMAGE_PROPERTIES,
    JOB_PROPERTIES,
    MANAGER_PROPERTIES,
    NODE_PROPERTIES,
    SHARED_ROOT_PROPERTIES,
    finding_rows,
    text,
)
from osrd.bus.wire import Packed, packed, variant
from osrd.engine.api import Engine
from osrd.model.job import Job
from osrd.model.view import (
    ConfigRejected,
    DriftDetected,
    Event,
    ImageChosen,
    ImageView,
    JobAdded,
    JobChanged,
    JobRemoved,
    NodeView,
    Reconciled,
    SharedRootView,
    Snapshot,
    SnapshotChanged,
)

_TABLES: Mapping[str, Mapping[str, Any]] = {
    MANAGER: MANAGER_PROPERTIES,
    NODE: NODE_PROPERTIES,
    SHARED_ROOT: SHARED_ROOT_PROPERTIES,
    IMAGE: IMAGE_PROPERTIES,
    JOB: JOB_PROPERTIES,
}
#: Events that wait for a slow bus; older ones are dropped, since properties and jobs tell the same.
_EVENTS_LIMIT = 1000

log = logging.getLogger(__name__)

Occurrence = Reconciled | DriftDetected | ConfigRejected | ImageChosen


class Announcer:
    """Turns the engine's events into signals. ``start`` takes what is there as known: nobody has looked yet."""

    def __init__(
        self, connection: Connection, engine: Engine, objects: Objects, interfaces: Mapping[str, Interface]
    ) -> None:
        self._connection = connection
        self._engine = engine
        self._objects = objects
        self._interfaces = interfaces
        self._told_manager: Snapshot = engine.snapshot
        self._told_nodes: dict[str, NodeView] = {}
        self._seen_nodes: Mapping[str, NodeView] = {}
        self._told_roots: dict[str, SharedRootView] = {}
        self._told_images: dict[str, ImageView] = {}
        self._told_jobs: dict[int, Job] = {}
        self._events: deque[Occurrence] = deque(maxlen=_EVENTS_LIMIT)
        self._wake = asyncio.Event()

    def start(self) -> None:
        self._told_manager = self._engine.snapshot
        self._seen_nodes = self._engine.snapshot.nodes
        self._told_nodes = dict(self._seen_nodes)
        self._told_roots = dict(self._engine.snapshot.shared_roots)
        self._told_images = dict(self._engine.snapshot.images)
        self._told_jobs = {job.number: job for job in self._engine.jobs}
        self._engine.subscribe(self._on_event)

    def stop(self) -> None:
        self._engine.unsubscribe(self._on_event)

    async def run(self) -> None:
        """Tell what changed whenever something did; ends by cancellation only."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._tell_all()
            except Exception:
                # As for calls: a mistake about one object must not silence all the others for ever. It counts as told.
                log.exception("a signal could not be made")
                self._wake.set()

    async def _tell_all(self) -> None:
        await self._tell_nodes()
        self._tell_images()
        self._tell_roots()
        self._tell_manager()
        while self._events:
            self._tell(self._events.popleft())
            await self._connection.drained()

    def _on_event(self, event: Event) -> None:
        if not self._connection.connected:
            return
        match event:
            case SnapshotChanged():
                self._wake.set()
            case JobAdded(job=job):
                self._tell_job_added(job)
            case JobChanged(job=job):
                self._tell_job_changed(job)
            case JobRemoved(job=job):
                self._tell_job_removed(job)
            case _:
                self._events.append(event)
                self._wake.set()

    async def _tell_nodes(self) -> None:
        slices = Slices()
        while (nodes := self._engine.snapshot.nodes) is not self._seen_nodes:
            removed = [key for key in self._told_nodes if key not in nodes]
            changed = [key for key, view in nodes.items() if self._told_nodes.get(key) is not view]
            for key in (*removed, *changed):
                self._tell_node(key, nodes.get(key))
                await self._connection.drained()
                if await slices.end() and self._engine.snapshot.nodes is not nodes:
                    break  # the rest may be old news
            else:
                self._seen_nodes = nodes

    def _tell_node(self, key: str, view: NodeView | None) -> None:
        told = self._told_nodes.pop(key, None)
        if view is None:
            content = packed("oas", [node_path(key), [NODE]])
            self._emit(ROOT, OBJECT_MANAGER, "InterfacesRemoved", content)
            return
        self._told_nodes[key] = view
        if told is None:
            self._emit(ROOT, OBJECT_MANAGER, "InterfacesAdded", self._objects.node_added(key, view))
        else:
            self._tell_properties(node_path(key), NODE, told, view)

    def _tell_roots(self) -> None:
        roots = self._engine.snapshot.shared_roots
        for name in [name for name in self._told_roots if name not in roots]:
            del self._told_roots[name]
            self._emit(ROOT, OBJECT_MANAGER, "InterfacesRemoved", packed("oas", [root_path(name), [SHARED_ROOT]]))
        for name, root in roots.items():
            told = self._told_roots.get(name)
            self._told_roots[name] = root
            if told is None:
                self._emit(ROOT, OBJECT_MANAGER, "InterfacesAdded", self._objects.root_added(root))
            elif told is not root:
                self._tell_properties(root_path(name), SHARED_ROOT, told, root)

    def _tell_images(self) -> None:
        images = self._engine.snapshot.images
        for identity in [identity for identity in self._told_images if identity not in images]:
            del self._told_images[identity]
            self._emit(ROOT, OBJECT_MANAGER, "InterfacesRemoved", packed("oas", [image_path(identity), [IMAGE]]))
        for identity, view in images.items():
            told = self._told_images.get(identity)
            self._told_images[identity] = view
            if told is None:
                self._emit(ROOT, OBJECT_MANAGER, "InterfacesAdded", self._objects.image_added(view))
            elif told is not view:
                self._tell_properties(image_path(identity), IMAGE, told, view)

    def _tell_manager(self) -> None:
        told, self._told_manager = self._told_manager, self._engine.snapshot
        self._tell_properties(ROOT, MANAGER, told, self._told_manager)

    def _tell_job_added(self, job: Job) -> None:
        self._told_jobs[job.number] = job
        self._emit(ROOT, OBJECT_MANAGER, "InterfacesAdded", self._objects.job_added(job))
        self._emit(ROOT, MANAGER, "JobNew", packed("os", [job_path(job.number), str(job.kind)]))
        if job.state.ended:
            self._tell_completed(job)

    def _tell_job_changed(self, job: Job) -> None:
        told = self._told_jobs.get(job.number)
        if told is None:
            self._tell_job_added(job)
            return
        self._told_jobs[job.number] = job
        self._tell_properties(job_path(job.number), JOB, told, job)
        if job.state.ended and not told.state.ended:
            self._tell_completed(job)

    def _tell_completed(self, job: Job) -> None:
        self._emit(job_path(job.number), JOB, "Completed", packed("ss", [str(job.state), text(job.message)]))

    def _tell_job_removed(self, job: Job) -> None:
        if self._told_jobs.pop(job.number, None) is None:
            return
        self._objects.forget_job(job)
        path = job_path(job.number)
        self._emit(ROOT, OBJECT_MANAGER, "InterfacesRemoved", packed("oas", [path, [JOB]]))
        self._emit(ROOT, MANAGER, "JobRemoved", packed("os", [path, str(job.state)]))

    def _tell_properties(self, path: str, interface: str, told: Any, now: Any) -> None:
        """PropertiesChanged for what differs between two sources, as the annotations say (value or name only)."""
        changed: dict[str, Any] = {}
        invalidated: list[str] = []
        for name, kind in self._interfaces[interface].properties.items():
            if kind.emits in (Emits.CONST, Emits.NOTHING):
                continue
            make = _TABLES[interface][name]
            compared = COMPARED_BY.get(name, make)
            if compared(told) == compared(now):
                continue
            if kind.emits is Emits.INVALIDATES:
                invalidated.append(name)
            else:
                changed[name] = variant(kind.type, make(now))
        if changed or invalidated:
            content = packed("sa{sv}as", [interface, changed, invalidated])
            self._emit(path, PROPERTIES, "PropertiesChanged", content)

    def _tell(self, event: Occurrence) -> None:
        match event:
            case Reconciled():
                numbers = [event.generation, event.written, event.removed, event.findings]
                self._emit(ROOT, MANAGER, "Reconciled", packed("tuuu", numbers))
            case DriftDetected(paths=paths):
                names = [os.fsencode(path) for path in paths[:FINDINGS_LIMIT]]
                self._emit(ROOT, MANAGER, "DriftDetected", packed("aay", [names]))
            case ImageChosen():
                previous = image_path(event.previous) if event.previous else "/"
                content = packed("oso", [image_path(event.image), text(event.kernel), previous])
                self._emit(root_path(event.root), SHARED_ROOT, "ImageChosen", content)
            case ConfigRejected(findings=findings):
                self._emit(ROOT, MANAGER, "ConfigRejected", packed("aa{sv}", [finding_rows(findings)]))

    def _emit(self, path: str, interface: str, member: str, content: Packed) -> None:
        log.debug("signal %s.%s from %s", interface, member, path)
        self._connection.emit(path, interface, member, content)
