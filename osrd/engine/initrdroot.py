# SPDX-License-Identifier: GPL-3.0-or-later
"""What building the initrds of a root needs to know of the root and of osrd itself."""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from osrd.engine.buildwork import Aim
from osrd.engine.places import Watched
from osrd.model.cdsl import Inventory, Layout
from osrd.model.errors import ConflictError, FailedError, NotFoundError
from osrd.model.finding import Finding, Severity
from osrd.model.image import BuildOrder, Dracut, Kernel, NodeReport
from osrd.observe.dracutmodules import module_sources
from osrd.observe.inside import Inside
from osrd.observe.kernels import MODULES
from osrd.observe.mounts import physical_path
from osrd.observe.nodereports import ReportReader
from osrd.observe.nodeview import NodeView
from osrd.observe.rootcare import read_inventory
from osrd.parse.elements import MAX_SIZE
from osrd.parse.inventory import parse_inventory
from osrd.plan.initrd.data import initrd_data
from osrd.plan.initrd.dracut import dracut_argv
from osrd.plan.initrd.fingerprint import Inputs, baked
from osrd.plan.initrd.modules import module_files
from osrd.plan.members import members_of
from osrd.plan.rootcare.view import tree_names

#: Where in a root something happens when an initrd may have to be built, and which names matter there (None: all):
#: kernels, their modules, dracut's configuration and modules, and what package managers and ldconfig write last.
_WATCHED: Watched = {
    **dict.fromkeys(("boot", "boot/loader/entries", "etc/dracut.conf.d", "usr/lib/dracut/modules.d", *MODULES)),
    "etc": frozenset(("dracut.conf", "dracut.conf.d", "ld.so.cache")),
    "usr/lib/dracut": frozenset(("dracut-version.sh", "modules.d")),
    "var/lib/dpkg": frozenset(("status",)),
    "var/lib/rpm": None,
    "usr/lib/sysimage/rpm": None,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """The CDSLs of a root. ``inventory`` is None for one without; then ``link`` and ``tree``, which are as in a
    BuildOrder, are ""."""

    inventory: Inventory | None = None
    link: str = ""
    tree: str = ""

    @property
    def layout(self) -> Layout:
        """The usual names for a root without CDSLs."""
        return self.inventory.layout if self.inventory is not None else Layout()

    @property
    def by_name(self) -> bool:
        """Whether node trees are called like the nodes, not like their ids."""
        inventory = self.inventory
        return inventory is not None and not inventory.use_nodeids and not inventory.maxnodeidnum


def seen(path: str) -> Seen | None:
    """The root at ``path``; None when there is none on this host now: where a file system is not mounted is an empty
    directory, of which nothing may be concluded. Raises FailedError, InvalidConfigError."""
    try:
        with Inside.open(path) as inside:
            found = read_inventory(inside, MAX_SIZE)
            if found is None:
                return Seen() if inside.names("") else None
            inventory = parse_inventory(found[0], inside.name(found[1]))
            return _seen(inside, inventory)
    except NotFoundError:
        return None


def absent(path: str) -> tuple[Finding, ...]:
    """What is told of a root that is not seen. Where there is not even a directory its CDSLs cannot be looked at
    either, and that is told already."""
    if not os.path.isdir(path):
        return ()
    message = f"{path} is empty; nodes go on with the images that there are, and no initrd is built"
    fix = "mount the root there, or create one: osrctl root create"
    return (Finding("root-empty", Severity.WARNING, message, fix, value=path),)


def _seen(inside: Inside, inventory: Inventory) -> Seen:
    layout = inventory.layout
    tree = layout.node_tree(layout.default)
    try:
        there = inside.status(tree) is not None and inside.look(layout.link) is not None
    except (ConflictError, NotFoundError):
        there = False
    return Seen(inventory, layout.link, tree) if there else Seen(inventory)


@dataclass(frozen=True, slots=True)
class Baked:
    """osrd's own part of an initrd: ``data`` and ``modules`` as in a BuildOrder, and what they count for in a
    fingerprint. ``names`` are node names by id."""

    data: Mapping[str, bytes] = field(repr=False)
    modules: Mapping[str, bytes] = field(repr=False)
    inputs: Inputs = field(repr=False)
    names: Mapping[str, str] = field(repr=False)
    findings: tuple[Finding, ...] = ()


class BakedParts:
    """Keeps the last one: with 10,000 nodes it takes a second to make."""

    def __init__(self) -> None:
        self._last: tuple[Aim, Seen, Dracut, Baked] | None = None
        self._sources: Mapping[str, bytes] = {}

    @property
    def names(self) -> Mapping[str, str]:
        """Node names by id, as far as known."""
        return self._last[3].names if self._last is not None else {}

    def of(self, aim: Aim, found: Seen, dracut: Dracut | None) -> Baked | None:
        """None while no usable cluster.conf says who the nodes are, or without dracut."""
        if aim.cluster is None or dracut is None:
            return None
        last = self._last
        if last is not None and aim.is_like(last[0]) and (found, dracut) == last[1:3]:
            return last[3]
        if not self._sources:
            self._sources = module_sources()
        data = initrd_data(
            aim.cluster,
            aim.settings,
            aim.root,
            found.layout,
            aim.way,
            nodes=aim.nodes,
            by_name=found.by_name,
        )
        modules = module_files(self._sources, dracut)
        inputs = baked(data.files, modules, aim.way, _options(aim))
        names = {str(node.nodeid): node.name for node in aim.nodes}
        made = Baked(data.files, modules, inputs, names, data.findings)
        self._last = aim, found, dracut, made
        return made


class Reports:
    """What the nodes of a root say of themselves, in their own trees."""

    def __init__(self) -> None:
        self._reader = ReportReader()

    def read(self, aim: Aim, found: Seen) -> tuple[tuple[NodeReport, ...], tuple[Finding, ...]]:
        """Nothing of it is believed that has not the right form; that is a finding."""
        if aim.cluster is None or found.inventory is None:
            return (), ()
        names = tree_names(found.inventory, members_of(aim.cluster, aim.settings, aim.root)[0])
        trees = {name: tree for tree, name in names.items() if name}
        with Inside.open(aim.root.path) as inside:
            reports, findings = self._reader.read(inside, found.layout.tree, trees, time.time_ns())
        return tuple(reports.values()), findings


def _options(aim: Aim) -> tuple[str, ...]:
    """What dracut is called with, without what is another for each build."""
    order = BuildOrder(aim.root.name, aim.root.path, Kernel("", "", "", 0), aim.way, "", {}, {})
    return dracut_argv(order, "", "")


def watched_in(path: str, found: Seen, kernels: Iterable[Kernel]) -> Watched:
    """Where to notice changes: the real paths on this host of those of the root's directories that are there, each
    opened inside the root, so that a symlink in it makes osrd watch nothing else."""
    wanted = {**_WATCHED, **dict.fromkeys(kernel.modules for kernel in kernels if kernel.modules)}
    watched: dict[str, frozenset[str] | None] = {}
    with Inside.open(path) as inside:
        view = NodeView(inside, found.link, found.tree)
        for name, names in wanted.items():
            try:
                directory = inside.directory(view.physical(name) or name)
            except (ConflictError, NotFoundError, FailedError):
                continue
            try:
                watched[physical_path(directory)] = names
            finally:
                os.close(directory)
    return watched
