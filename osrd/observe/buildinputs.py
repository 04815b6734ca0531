# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a shared root the initrds of its kernels are made from, as digests (osrd.plan.initrd.fingerprint).

An image holds some hundred kernel modules in as many directories, times the number of kernels: looking at each of them
is most of the work. Whoever installs a module runs depmod, so a glance takes the modules as they were if depmod's
files are untouched. A module that is overwritten in place without depmod is found by the next full look, which comes
by itself every few minutes.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from osrd.model.image import Dracut, Fingerprint, InputKind, Kernel
from osrd.observe.digests import ABSENT, Digests, Known
from osrd.observe.inside import Inside
from osrd.observe.kernels import DRACUT_PROGRAMS, Survey, survey_with
from osrd.observe.nodeview import NodeView
from osrd.parse.kernelmodules import KernelModules, parse_modules
from osrd.plan.initrd.fingerprint import MICROCODE, Inputs, fingerprint

#: What depmod writes about modules, as text. Its .bin files say the same.
DEPMOD = (
    *("modules.alias", "modules.builtin", "modules.builtin.modinfo", "modules.dep", "modules.devname"),
    *("modules.order", "modules.softdep", "modules.symbols", "modules.weakdep"),
)
_CONFIGURATION = "etc/dracut.conf"
_DROP_INS = "etc/dracut.conf.d"
#: Directories whose drop-ins all go into an image: one that is new there is an input, though no image had it yet.
#: Of the first ones always, of others when the image has something of them.
_MODPROBE = ("etc/modprobe.d", "usr/lib/modprobe.d")
_WHOLE = (
    *(f"{top}/{name}" for top in ("etc", "usr/lib") for name in ("modules-load.d", "sysctl.d")),
    "etc/ld.so.conf.d",
)
#: More files than any dracut has.
_MOST_FILES = 20_000
_LARGEST_TABLE = 16 << 20

_Key = tuple[InputKind, str]
#: directory, the names of interest in it, the inputs that they are
_Group = tuple[str, tuple[str, ...], tuple[_Key, ...]]


@dataclass(slots=True)
class _Kept:
    """What is kept of one kernel between looks: ``content`` by directory, kernel modules and all else; the digests of
    the modules, once all of them rest; and what became of it all."""

    content: tuple[str, ...] = ()
    modules: tuple[_Group, ...] = ()
    others: tuple[_Group, ...] = ()
    whole: tuple[str, ...] = ()
    microcode: tuple[str, ...] = ()
    rested: Inputs | None = None
    inputs: Inputs = field(default_factory=dict)
    own: Inputs = field(default_factory=dict)
    fingerprint: Fingerprint | None = None


class _Root:
    """What is kept of one root."""

    def __init__(self) -> None:
        self.known = Known()
        self.kernels: dict[str, _Kept] = {}
        self.looked_fully = -float("inf")


class Look:
    """One look at a root. Kernels share what they have in common: dracut, libraries, programs."""

    def __init__(self, digests: Digests, kept: dict[str, _Kept], *, full: bool) -> None:
        self._digests = digests
        self._kept = kept
        self._full = full
        self._common: Inputs | None = None
        self._microcode: dict[str, str] = {}
        self._listed: dict[str, Inputs] = {}
        #: the kernels that there are, once this look has asked
        self.versions: frozenset[str] | None = None

    def survey(self) -> Survey:
        """The kernels and the dracut of the root. What is kept of kernels that are no more is forgotten afterwards."""
        found = survey_with(self._digests)
        self.versions = frozenset(kernel.version for kernel in found.kernels)
        return found

    def modules(self, kernel: Kernel) -> KernelModules:
        """The modules that depmod knows of ``kernel``, and those that are built into it."""
        read = self._digests.view.read
        tables = [read(f"{kernel.modules}/{name}", _LARGEST_TABLE) for name in ("modules.dep", "modules.builtin")]
        return parse_modules(tables[0] or b"", tables[1] or b"") if kernel.modules else KernelModules()

    def observe(self, kernel: Kernel, dracut: Dracut, content: Iterable[str] = ()) -> Inputs:
        """The inputs of the initrd of ``kernel``. ``content`` are the root's files in the image before it (see
        ``content_of``); those that are not there are no inputs, so that one that vanished is a change."""
        kept = self._kept.setdefault(kernel.version, _Kept())
        names = tuple(content)
        if names != kept.content:
            kept.content, kept.rested = names, None
            kept.microcode = tuple(MICROCODE.keys() & set(names))
            directories = {name.rpartition("/")[0] for name in names}
            kept.whole = tuple(directory for directory in _WHOLE if directory in directories)
            kept.modules, kept.others = _grouped(names, f"{kernel.modules}/" if kernel.modules else "\0")
        found: dict[_Key, str] = {(InputKind.KERNEL, kernel.image): kernel.digest}
        if kernel.modules:
            seen = self._digests.within(kernel.modules, DEPMOD)
            found.update(
                {(InputKind.DEPMOD, f"{kernel.modules}/{name}"): seen[name] for name in DEPMOD if seen[name] != ABSENT}
            )
        found.update(self._of_dracut(dracut))
        self._add(found, kept.others)
        found.update(self._of_modules(kernel, kept))
        for directory in kept.whole:
            found.update(self._drop_ins(directory, InputKind.CONTENT))
        for name in kept.microcode:
            self._add_microcode(found, name)
        return found

    def fingerprint(self, kernel: Kernel, dracut: Dracut, content: Iterable[str], own: Inputs) -> Fingerprint:
        """The fingerprint over what ``observe`` finds and ``own`` (see ``baked``); the same object as before when
        nothing changed."""
        inputs = self.observe(kernel, dracut, content)
        kept = self._kept[kernel.version]
        if kept.fingerprint is None or kept.inputs != inputs or kept.own != own:
            kept.inputs, kept.own, kept.fingerprint = inputs, own, fingerprint(inputs, own)
        return kept.fingerprint

    def _of_modules(self, kernel: Kernel, kept: _Kept) -> Inputs:
        directories = [directory for directory, _, _ in kept.modules]
        if kept.rested is not None and not self._digests.moved(kernel.modules):
            unchanged = self._digests.unchanged
            if not self._full or all(unchanged(directory, names) for directory, names, _ in kept.modules):
                self._digests.keep(directories)
                return kept.rested
        found: dict[_Key, str] = {}
        self._add(found, kept.modules)
        rest = not any(self._digests.moved(directory) for directory in directories)
        kept.rested = found if rest else None
        return found

    def _add(self, found: dict[_Key, str], groups: Iterable[_Group]) -> None:
        within = self._digests.within
        for directory, names, keys in groups:
            seen = within(directory, names)
            for name, key in zip(names, keys, strict=True):
                digest = seen[name]
                if digest != ABSENT:
                    found[key] = digest

    def _of_dracut(self, dracut: Dracut) -> Inputs:
        if self._common is not None:
            return self._common
        files = self._digests.tree(dracut.modules.rpartition("/")[0], _MOST_FILES)
        for path in DRACUT_PROGRAMS:
            if (digest := self._digests.of(path)) != ABSENT:
                files[path] = digest
        inputs = {(InputKind.DRACUT, path): digest for path, digest in files.items()}
        if (digest := self._digests.of(_CONFIGURATION)) != ABSENT:
            inputs[InputKind.CONFIGURATION, _CONFIGURATION] = digest
        inputs |= self._drop_ins(_DROP_INS, InputKind.CONFIGURATION)
        for directory in _MODPROBE:
            inputs |= self._drop_ins(directory, InputKind.CONTENT)
        self._common = inputs
        return inputs

    def _drop_ins(self, directory: str, kind: InputKind) -> Inputs:
        """Every ``*.conf`` in a directory."""
        found = self._listed.get(directory)
        if found is None:
            names = [name for name in self._digests.view.names(directory)[:_MOST_FILES] if name.endswith(".conf")]
            seen = self._digests.within(directory, names)
            found = {(kind, f"{directory}/{name}"): seen[name] for name in names if seen[name] != ABSENT}
            self._listed[directory] = found
        return found

    def _add_microcode(self, found: dict[_Key, str], name: str) -> None:
        if name not in self._microcode:
            self._microcode[name] = self._digests.together(MICROCODE[name], _MOST_FILES)
        if self._microcode[name] != ABSENT:
            found[InputKind.CONTENT, name] = self._microcode[name]

    def ctimes(self, inputs: Iterable[_Key]) -> dict[_Key, int]:
        """When the files of ``inputs`` that are there changed last (st_ctime_ns), by the clock of who keeps them."""
        own = (InputKind.OSR, InputKind.CLUSTER, InputKind.OPTIONS)
        view = self._digests.view
        places: dict[str, str | None] = {}
        found = {}
        for kind, path in inputs:
            if kind in own:
                continue
            parent, _, name = path.rpartition("/")
            if parent not in places:
                places[parent] = view.physical(parent)
            place = places[parent]
            if place is not None and (status := view.inside.status(f"{place}/{name}".lstrip("/"))) is not None:
                found[kind, path] = status.st_ctime_ns
        return found


def _grouped(paths: Iterable[str], modules: str) -> tuple[tuple[_Group, ...], tuple[_Group, ...]]:
    """``paths`` by directory: the kernel's modules, which are below ``modules``, and all others."""
    by_directory: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        directory, _, name = path.rpartition("/")
        by_directory.setdefault(directory, []).append(name)
    groups = [
        (directory, tuple(names), tuple([(InputKind.CONTENT, f"{directory}/{name}".lstrip("/")) for name in names]))
        for directory, names in by_directory.items()
    ]
    return (
        tuple(group for group in groups if group[0].startswith(modules)),
        tuple(group for group in groups if not group[0].startswith(modules)),
    )


class InputObserver:
    """Remembers digests between looks for as long as nothing about a file changes. One thread at a time; ``clock``
    tells seconds, and a full look is due when the last one is ``full_every`` ago."""

    def __init__(self, full_every: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._roots: dict[str, _Root] = {}
        self._full_every = full_every
        self._clock = clock

    @contextmanager
    def looking(self, path: str, link: str = "", tree: str = "", *, full: bool = False) -> Iterator[Look]:
        """A look at the root ``path``; ``link`` and ``tree`` as in a BuildOrder. Raises NotFoundError, FailedError."""
        root = self._roots.setdefault(path, _Root())
        now = self._clock()
        full = full or now - root.looked_fully >= self._full_every
        with Inside.open(path) as inside:
            digests = Digests(NodeView(inside, link, tree), root.known)
            look = Look(digests, root.kernels, full=full)
            yield look
        # One that did not ask for the kernels looked at something only.
        digests.done(forget=look.versions is not None)
        if look.versions is not None:
            root.kernels = {version: kept for version, kept in root.kernels.items() if version in look.versions}
            root.looked_fully = now if full else root.looked_fully

    def observe(self, path: str, kernel: Kernel, dracut: Dracut, content: Iterable[str] = ()) -> Inputs:
        """A full look for one kernel only."""
        with self.looking(path, full=True) as look:
            return look.observe(kernel, dracut, content)

    def forget(self, path: str) -> None:
        """Keep nothing of a root that is no more."""
        self._roots.pop(path, None)

    def hashed(self, path: str) -> int:
        """How many files of a root were read so far."""
        return self._roots[path].known.hashed if path in self._roots else 0
