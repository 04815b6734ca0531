# SPDX-License-Identifier: GPL-3.0-or-later
"""What the initrds of one root are told, and osrd's files in that root: reading, deciding, writing. Without osrd, and
inside a root as well as on a boot host."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from osrd.apply.cdsl.lock import locked
from osrd.apply.cdsl.work import verify_work
from osrd.apply.initrd.installing import install
from osrd.engine.members import INSIDE, section_of
from osrd.model.cdsl import WORK, Inventory
from osrd.model.errors import ConflictError, NotFoundError
from osrd.model.installation import InstalledFile, Record, Steps
from osrd.model.settings import BootWay, Settings
from osrd.observe.data import data_file
from osrd.observe.dracutmodules import files_below, module_sources
from osrd.observe.inputs import read_input
from osrd.observe.inroot import read_in_root
from osrd.observe.inside import Inside
from osrd.observe.installation import look_at, read_record
from osrd.observe.kernels import find_dracut
from osrd.observe.nodeview import NodeView
from osrd.observe.rootcare import InsideReader, read_inventory
from osrd.parse.clusterconf import parse_cluster
from osrd.parse.elements import MAX_SIZE as MAX_CLUSTER
from osrd.parse.inventory import MAX_SIZE, parse_inventory
from osrd.plan.initrd.data import PLACE, InitrdData, initrd_data
from osrd.plan.initrd.installation import (
    DROP_INS,
    HOOKS,
    PLUGINS,
    Sources,
    data_files,
    installation,
    is_our_directory,
    is_ours,
    steps,
)
from osrd.plan.rootcare.distribution import family
from osrd.plan.roots import boot_way

RECORD = f"{WORK}/installed.json"
#: the record of data that was put somewhere else
OWN_RECORD = ".made.json"
_PLUGINS = "usr/lib/kernel/install.d"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What would be done, and what was on record before."""

    steps: Steps
    before: Record


class InitrdInstall:
    """One root (or directory for data). Use as a context manager."""

    def __init__(self, path: str, settings: Settings, clusterconf: str = "", *, wait: float = 60.0) -> None:
        """Raises NotFoundError when there is no directory ``path``."""
        self._inside = Inside.open(path)
        self._settings = settings
        self._clusterconf = clusterconf
        self._section = section_of(path, settings)
        self._wait = wait

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.close()

    @property
    def way(self) -> BootWay:
        """The boot way that osrd.conf gives the root."""
        return boot_way(self._settings, self._section)

    def data(self, way: BootWay) -> InitrdData:
        """What initrds are told. Raises NotFoundError without cluster.conf, InvalidConfigError."""
        content, file = self._cluster_conf()
        inventory = self._inventory()
        return initrd_data(
            parse_cluster(content, file),
            self._settings,
            self._section,
            inventory.layout,
            way,
            by_name=not (inventory.use_nodeids or inventory.maxnodeidnum > 0),
        )

    def _cluster_conf(self) -> tuple[bytes, str]:
        """The one that was named, else this host's (in a root: the root's), else the root's."""
        named = self._clusterconf
        file = named or self._settings.cluster_conf
        try:
            return read_input(file, MAX_CLUSTER).data, file
        except NotFoundError:
            if named:
                raise
            return read_in_root(self._inside.path, INSIDE, MAX_CLUSTER), self._inside.name(INSIDE)

    def _inventory(self) -> Inventory:
        found = read_inventory(self._inside, MAX_SIZE)
        return parse_inventory(found[0], self._inside.name(found[1])) if found else Inventory()

    def plan(self, way: BootWay, data: InitrdData) -> Prepared:
        """Everything into the root. Raises NotFoundError when it has no dracut, ConflictError when the files of others
        are in the way."""
        dracut = find_dracut(NodeView(self._inside, "", ""))
        if dracut is None:
            raise NotFoundError(
                f"{self._inside.path} has no dracut", "install it there (Debian: dracut and dracut-network)"
            )
        reader = InsideReader(self._inside)
        plugins = reader.look(_PLUGINS) is not None
        return self._prepared(installation(sources(), dracut, family(reader), way, data.files, plugins=plugins), "")

    def plan_data(self, data: InitrdData) -> Prepared:
        """The data only. Raises like ``plan``."""
        return self._prepared(data_files(data.files), PLACE)

    def plan_removal(self) -> Prepared:
        """Everything out again."""
        return self._prepared({}, "")

    def _prepared(self, wanted: Mapping[str, InstalledFile], scope: str) -> Prepared:
        before = self._record()
        found = look_at(self._inside, before.files.keys() | wanted.keys())
        return Prepared(_without_foreign(self._inside, steps(wanted, before, found, scope)), before)

    def _record(self) -> Record:
        if not verify_work(self._inside):
            return Record()
        record = read_record(self._inside, RECORD)
        files = {path: digests for path, digests in record.files.items() if is_ours(path)}
        return Record(files, tuple(path for path in record.directories if is_our_directory(path)))

    def perform(self, prepared: Prepared) -> None:
        """Do it. Raises ConflictError, FailedError, BusyError."""
        if not prepared.steps.steps and prepared.steps.record == prepared.before:
            return
        with locked(self._inside, self._wait):
            if self._record() != prepared.before:
                raise ConflictError(f"{self._inside.path} was changed meanwhile", "look again and try again")
            install(self._inside, RECORD, prepared.steps, prepared.before)


class Elsewhere:
    """A directory of the administrator's that gets the data of a root. Use as a context manager."""

    def __init__(self, path: str) -> None:
        self._inside = Inside.open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.close()

    def plan(self, data: InitrdData) -> Prepared:
        """Raises ConflictError when the files of others are in the way."""
        wanted = {path.removeprefix(f"{PLACE}/"): file for path, file in data_files(data.files).items()}
        before = read_record(self._inside, OWN_RECORD)
        found = look_at(self._inside, before.files.keys() | wanted.keys())
        return Prepared(_without_foreign(self._inside, steps(wanted, before, found)), before)

    def perform(self, prepared: Prepared) -> None:
        install(self._inside, OWN_RECORD, prepared.steps, prepared.before)


def sources() -> Sources:
    """osrd's own files. Raises FailedError when it is not completely installed."""
    hooks, plugins, drop_ins = (files_below(data_file(name)) for name in (HOOKS, PLUGINS, DROP_INS))
    return Sources(module_sources(), hooks, plugins, drop_ins)


def _without_foreign(inside: Inside, found: Steps) -> Steps:
    if not found.foreign:
        return found
    names = ", ".join(inside.name(path) for path in found.foreign[:3])
    more = f" and {len(found.foreign) - 3} more" if len(found.foreign) > 3 else ""
    raise ConflictError(
        f"{names}{more} is there already and is not osrd's", "move it away, or remove the package that it belongs to"
    )
