# SPDX-License-Identifier: GPL-3.0-or-later
"""The object tree as the bus sees it: what is at a path, its properties, and the long listings of all of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from osrd.bus.assembly import entry, object_row, record
from osrd.bus.contract import Interface
from osrd.bus.names import (
    IMAGE,
    IMAGES,
    JOB,
    JOBS,
    LOG_CONTROL,
    MANAGER,
    NODE,
    NODES,
    ROOT,
    ROOTS,
    SHARED_ROOT,
    escaped,
    image_path,
    node_path,
    root_path,
    unescaped,
)
from osrd.bus.rows import Rows
from osrd.bus.values import (
    IMAGE_PROPERTIES,
    JOB_PROPERTIES,
    MANAGER_PROPERTIES,
    NODE_PROPERTIES,
    SHARED_ROOT_PROPERTIES,
    node_row,
)
from osrd.bus.wire import Packed, element, joined, variant
from osrd.engine.api import Engine
from osrd.model.address import normalised_mac
from osrd.model.errors import ConflictError, InvalidArgsError, NotFoundError
from osrd.model.job import Job
from osrd.model.view import ImageView, NodeView, SharedRootView, Snapshot

_TABLES: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    MANAGER: MANAGER_PROPERTIES,
    NODE: NODE_PROPERTIES,
    SHARED_ROOT: SHARED_ROOT_PROPERTIES,
    IMAGE: IMAGE_PROPERTIES,
    JOB: JOB_PROPERTIES,
}
_INTERFACES: Mapping[str, str] = {NODES: NODE, ROOTS: SHARED_ROOT, IMAGES: IMAGE, JOBS: JOB}
_MANAGED = "a{oa{sa{sv}}}"
_NODE_LIST = "a(osssb)"


@dataclass(frozen=True, slots=True)
class Exported:
    """An object: the one interface of ours that it has, and the value that its properties show."""

    interface: str
    source: Snapshot | NodeView | SharedRootView | ImageView | Job


class Objects:
    """Looks into the engine's snapshot on every question; keeps only what is expensive to make."""

    def __init__(self, engine: Engine, interfaces: Mapping[str, Interface]) -> None:
        self._engine = engine
        self._interfaces = interfaces
        self._node_table = self._table(NODE)
        self._root_table = self._table(SHARED_ROOT)
        self._managed_nodes: Rows[NodeView] = Rows(self._managed_node)
        self._managed_roots: Rows[SharedRootView] = Rows(self._managed_root)
        self._managed_images: Rows[ImageView] = Rows(self._managed_image)
        self._managed_jobs: Rows[Job] = Rows(self._managed_job)
        self._listed: Rows[NodeView] = Rows(lambda key, view: record(node_row(node_path(key), view)))
        self._indexed: Mapping[str, NodeView] | None = None
        self._by_name: dict[str, list[str]] = {}
        self._by_mac: dict[str, list[str]] = {}

    def at(self, path: str) -> Exported | None:
        """The object at ``path``, None when there is none (or only a parent of objects)."""
        snapshot = self._engine.snapshot
        if path == ROOT:
            return Exported(MANAGER, snapshot)
        parent, _, name = path.rpartition("/")
        key = unescaped(name)
        source: NodeView | SharedRootView | ImageView | Job | None = None
        if parent == JOBS:
            source = next((job for job in self._engine.jobs if str(job.number) == name), None)
        elif key is not None and parent in _INTERFACES:
            kinds: Mapping[str, Mapping[str, NodeView | SharedRootView | ImageView]] = {
                NODES: snapshot.nodes,
                ROOTS: snapshot.shared_roots,
                IMAGES: snapshot.images,
            }
            source = kinds[parent].get(key)
        return Exported(_INTERFACES[parent], source) if source is not None else None

    def is_parent(self, path: str) -> bool:
        """Whether objects are, or could be, below ``path``."""
        return path in (ROOT, NODES, ROOTS, IMAGES, JOBS) or bool(_below(path))

    def children(self, path: str) -> list[str] | None:
        """The path elements below ``path``, None when neither it nor anything below it exists."""
        snapshot = self._engine.snapshot
        keys: Mapping[str, Iterable[str]] = {
            ROOT: ("nodes", "roots", "images", "jobs"),
            NODES: snapshot.nodes,
            ROOTS: snapshot.shared_roots,
            IMAGES: snapshot.images,
            JOBS: [str(job.number) for job in self._engine.jobs],
        }
        if path in keys:
            return [escaped(key) for key in keys[path]]
        return _below(path) or ([] if self.at(path) is not None else None)

    def properties(self, exported: Exported) -> dict[str, Any]:
        """All properties, wrapped."""
        table = _TABLES[exported.interface]
        types = self._interfaces[exported.interface].properties
        return {name: variant(types[name].type, make(exported.source)) for name, make in table.items()}

    def property(self, exported: Exported, name: str) -> Any:
        """One property, wrapped; ``name`` is one of the interface."""
        type_ = self._interfaces[exported.interface].properties[name].type
        return variant(type_, _TABLES[exported.interface][name](exported.source))

    def node_added(self, key: str, view: NodeView) -> Packed:
        """The arguments of InterfacesAdded for a node: a dict entry of GetManagedObjects() has the same bytes."""
        return Packed("oa{sa{sv}}", self._managed_node(key, view))

    def root_added(self, root: SharedRootView) -> Packed:
        """The arguments of InterfacesAdded for a shared root."""
        return Packed("oa{sa{sv}}", self._managed_root(root.name, root))

    def image_added(self, view: ImageView) -> Packed:
        return Packed("oa{sa{sv}}", self._managed_image(view.image.id, view))

    def job_added(self, job: Job) -> Packed:
        return Packed("oa{sa{sv}}", self._managed_jobs.row(str(job.number), job))

    async def prepare(self) -> None:
        """Make what the shorter listing needs of the nodes; the longer one would take 10 MiB for 10,000 of them."""
        await self._listed.prepare(self._nodes)

    async def managed(self) -> Packed:
        """The reply to GetManagedObjects(), true at the moment of the return: a reply must not be older than a signal
        that was sent before it."""
        await self._managed_roots.prepare(self._roots)
        await self._managed_images.prepare(lambda: self._engine.snapshot.images)
        await self._managed_nodes.prepare(self._nodes)
        jobs = {str(job.number): job for job in self._engine.jobs}
        rows = chain(
            self._managed_nodes.all(self._nodes()),
            self._managed_roots.all(self._roots()),
            self._managed_images.all(self._engine.snapshot.images),
            self._managed_jobs.all(jobs),
        )
        reply = joined(_MANAGED, rows)
        self._managed_nodes.clear()
        return reply

    async def node_list(self) -> Packed:
        """The reply to ListNodes(), true at the moment of the return."""
        await self._listed.prepare(self._nodes)
        return joined(_NODE_LIST, self._listed.all(self._nodes()))

    def forget_job(self, job: Job) -> None:
        self._managed_jobs.drop(str(job.number))

    def node_by_id_or_name(self, text: str) -> str:
        """The path of a node. Raises NotFoundError, or ConflictError when several nodes have the name."""
        if text in self._nodes():
            return node_path(text)
        self._index()
        return self._only(self._by_name.get(text, []), f"named {text!r}")

    def node_by_mac(self, text: str) -> str:
        """The path of the node with that hardware address. Raises as ``node_by_id_or_name`` and InvalidArgsError."""
        mac = normalised_mac(text)
        if mac is None:
            raise InvalidArgsError(f"{text!r} is no hardware address", "write it as 00:11:22:33:44:55")
        self._index()
        return self._only(self._by_mac.get(mac, []), f"with the hardware address {mac}")

    def _managed_node(self, key: str, view: NodeView) -> bytes:
        entries = [entry(name, type_, make(view)) for name, type_, make in self._node_table]
        return object_row(node_path(key), NODE, entries)

    def _managed_root(self, name: str, root: SharedRootView) -> bytes:
        entries = [entry(property_, type_, make(root)) for property_, type_, make in self._root_table]
        return object_row(root_path(name), SHARED_ROOT, entries)

    def _managed_image(self, identity: str, view: ImageView) -> bytes:
        return element(_MANAGED, {image_path(identity): {IMAGE: self.properties(Exported(IMAGE, view))}})

    def _managed_job(self, number: str, job: Job) -> bytes:
        return element(_MANAGED, {f"{JOBS}/{number}": {JOB: self.properties(Exported(JOB, job))}})

    def _only(self, keys: list[str], which: str) -> str:
        if not keys:
            raise NotFoundError(f"there is no node {which}")
        if len(keys) > 1:
            raise ConflictError(f"there are {len(keys)} nodes {which}: {', '.join(keys[:10])}", "correct cluster.conf")
        return node_path(keys[0])

    def _nodes(self) -> Mapping[str, NodeView]:
        return self._engine.snapshot.nodes

    def _roots(self) -> Mapping[str, SharedRootView]:
        return self._engine.snapshot.shared_roots

    def _table(self, interface: str) -> list[tuple[str, str, Callable[[Any], Any]]]:
        """Name, type and source of every property of an interface."""
        types = self._interfaces[interface].properties
        return [(name, types[name].type, make) for name, make in _TABLES[interface].items()]

    def _index(self) -> None:
        """Names and hardware addresses of this snapshot's nodes, made when somebody asks."""
        nodes = self._nodes()
        if nodes is self._indexed:
            return
        self._by_name, self._by_mac = {}, {}
        for key, view in nodes.items():
            self._by_name.setdefault(view.node.name, []).append(key)
            for mac in {nic.mac for nic in view.node.nics if nic.mac}:
                self._by_mac.setdefault(mac, []).append(key)
        self._indexed = nodes


def _below(path: str) -> list[str]:
    """The path elements below a parent of the two objects that are always there."""
    above = path.rstrip("/") + "/"
    return sorted({top.removeprefix(above).split("/")[0] for top in (ROOT, LOG_CONTROL) if top.startswith(above)})
