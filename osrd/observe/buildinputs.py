# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a shared root the initrds of its kernels are made from, as digests (osrd.plan.initrd.fingerprint)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from osrd.model.image import Dracut, InputKind, Kernel
from osrd.observe.digests import ABSENT, Digests, Known
from osrd.observe.inside import Inside
from osrd.observe.kernels import Survey, survey_with
from osrd.observe.nodeview import NodeView
from osrd.parse.kernelmodules import KernelModules, parse_modules
from osrd.plan.initrd.fingerprint import MICROCODE, Inputs

#: What depmod writes about modules, as text. Its .bin files say the same.
DEPMOD = (
    *("modules.alias", "modules.builtin", "modules.builtin.modinfo", "modules.dep", "modules.devname"),
    *("modules.order", "modules.softdep", "modules.symbols", "modules.weakdep"),
)
DRACUT_TREE = "usr/lib/dracut"
_DRACUT_PROGRAMS = ("usr/bin/dracut", "usr/sbin/dracut")
_CONFIGURATION = "etc/dracut.conf"
_DROP_INS = "etc/dracut.conf.d"
#: More files than any dracut has.
_MOST_FILES = 20_000
_LARGEST_TABLE = 16 << 20

_Key = tuple[InputKind, str]
#: directory, the names of interest in it, the inputs that they are
_Group = tuple[str, tuple[str, ...], tuple[_Key, ...]]


class Look:
    """One look at a root. Kernels share what they have in common: dracut, libraries, programs."""

    def __init__(self, digests: Digests, groups: "dict[str, tuple[tuple[str, ...], tuple[_Group, ...]]]") -> None:
        self._digests = digests
        self._groups = groups
        self._common: Inputs | None = None
        self._microcode: dict[str, str] = {}

    def survey(self) -> Survey:
        return survey_with(self._digests)

    def modules(self, kernel: Kernel) -> KernelModules:
        """The modules that depmod knows of ``kernel``, and those that are built into it."""
        read = self._digests.view.read
        tables = [read(f"{kernel.modules}/{name}", _LARGEST_TABLE) for name in ("modules.dep", "modules.builtin")]
        return parse_modules(tables[0] or b"", tables[1] or b"") if kernel.modules else KernelModules()

    def observe(self, kernel: Kernel, dracut: Dracut, content: Iterable[str] = ()) -> Inputs:
        """The inputs of the initrd of ``kernel``. ``content`` are the root's files in the image before it (see
        ``content_of``); those that are not there are no inputs, so that one that vanished is a change."""
        found: dict[_Key, str] = {(InputKind.KERNEL, kernel.image): kernel.digest}
        if kernel.modules:
            self._add(found, self._grouped(f"depmod {kernel.modules}", InputKind.DEPMOD, _depmod(kernel)))
        if self._common is None:
            self._common = self._dracut(dracut)
        found.update(self._common)
        names = tuple(content)
        self._add(found, self._grouped(f"content {kernel.version}", InputKind.CONTENT, names))
        for name in MICROCODE.keys() & set(names):
            self._add_microcode(found, name)
        return found

    def _add(self, found: dict[_Key, str], groups: Iterable[_Group]) -> None:
        within = self._digests.within
        for directory, names, keys in groups:
            seen = within(directory, names)
            for name, key in zip(names, keys, strict=True):
                digest = seen[name]
                if digest != ABSENT:
                    found[key] = digest

    def _grouped(self, what: str, kind: InputKind, paths: tuple[str, ...]) -> tuple[_Group, ...]:
        """``paths`` by directory. Kept between looks, since they rarely change and are thousands."""
        kept = self._groups.get(what)
        if kept is not None and kept[0] == paths:
            return kept[1]
        by_directory: dict[str, list[str]] = {}
        for path in dict.fromkeys(paths):
            directory, _, name = path.rpartition("/")
            by_directory.setdefault(directory, []).append(name)
        groups = tuple(
            (directory, tuple(names), tuple((kind, f"{directory}/{name}" if directory else name) for name in names))
            for directory, names in by_directory.items()
        )
        self._groups[what] = paths, groups
        return groups

    def _dracut(self, dracut: Dracut) -> Inputs:
        top = dracut.modules.rpartition("/")[0] or DRACUT_TREE
        files = self._digests.tree(top, _MOST_FILES)
        for path in _DRACUT_PROGRAMS:
            if (digest := self._digests.of(path)) != ABSENT:
                files[path] = digest
        inputs = {(InputKind.DRACUT, path): digest for path, digest in files.items()}
        names = [name for name in self._digests.view.names(_DROP_INS) if name.endswith(".conf")]
        for path in (_CONFIGURATION, *(f"{_DROP_INS}/{name}" for name in names)):
            if (digest := self._digests.of(path)) != ABSENT:
                inputs[InputKind.CONFIGURATION, path] = digest
        return inputs

    def _add_microcode(self, found: dict[_Key, str], name: str) -> None:
        if name not in self._microcode:
            self._microcode[name] = self._digests.together(MICROCODE[name], _MOST_FILES)
        if self._microcode[name] != ABSENT:
            found[InputKind.CONTENT, name] = self._microcode[name]

    def changed_since(self, inputs: Iterable[_Key], when: float) -> tuple[_Key, ...]:
        """Those of ``inputs`` whose files changed (st_ctime) after ``when``: an image that was being built then may
        have the old or the new content."""
        own = (InputKind.OSR, InputKind.CLUSTER, InputKind.OPTIONS)
        places = [((kind, path), self._place(path)) for kind, path in inputs if kind not in own]
        inside = self._digests.view.inside
        return tuple(
            key
            for key, place in places
            if place and (status := inside.status(place)) is not None and status.st_ctime > when
        )

    def _place(self, path: str) -> str | None:
        parent, _, name = path.rpartition("/")
        place = self._digests.view.physical(parent)
        return None if place is None else f"{place}/{name}".lstrip("/")


def _depmod(kernel: Kernel) -> tuple[str, ...]:
    return tuple(f"{kernel.modules}/{name}" for name in DEPMOD)


class InputObserver:
    """Remembers digests between looks for as long as nothing about a file changes. One thread at a time."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._groups: dict[str, dict[str, tuple[tuple[str, ...], tuple[_Group, ...]]]] = {}

    @contextmanager
    def looking(self, path: str, link: str = "", tree: str = "") -> Iterator[Look]:
        """A look at the root ``path``; ``link`` and ``tree`` as in a BuildOrder. Raises NotFoundError, FailedError."""
        known = self._known.setdefault(path, Known())
        with Inside.open(path) as inside:
            digests = Digests(NodeView(inside, link, tree), known)
            yield Look(digests, self._groups.setdefault(path, {}))
            digests.done()

    def observe(self, path: str, kernel: Kernel, dracut: Dracut, content: Iterable[str] = ()) -> Inputs:
        """A look for one kernel only."""
        with self.looking(path) as look:
            return look.observe(kernel, dracut, content)

    def forget(self, path: str) -> None:
        """Keep nothing of a root that is no more."""
        self._known.pop(path, None)
        self._groups.pop(path, None)

    def hashed(self, path: str) -> int:
        """How many files of a root were read so far."""
        return self._known[path].hashed if path in self._known else 0
