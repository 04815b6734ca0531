# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host has that outputs are made from: kernels, boot loaders, templates (DESIGN 3, observe)."""

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files

from osrd.model.errors import InvalidConfigError, NotFoundError
from osrd.model.image import RootImages
from osrd.model.netboot import HostFacts, StoredPair, TemplateSource
from osrd.model.output import FileState
from osrd.model.settings import RootSettings, Settings
from osrd.observe.hashing import Hasher
from osrd.observe.images import ImageReader, store_directory
from osrd.observe.inputs import read_input
from osrd.parse.imagestore import CHOICE, FAILURES
from osrd.plan.loaders import module_directories, served_files, sources
from osrd.plan.templating import BUILTIN, TEMPLATES

#: A template is some lines; more than this many bytes is a mistake.
_TEMPLATE_LIMIT = 1 << 20

#: What grub-mkimage reads from a module directory, besides everything that ends in .mod.
_MODULE_FILES = frozenset({"moddep.lst", "kernel.img"})


class FactFinder:
    """Looks at the host. Keeps digests between calls; not thread safe."""

    def __init__(self) -> None:
        self._hasher = Hasher()
        #: one for each module directory, so that a glance at one forgets nothing
        self._module_hashers: dict[str, Hasher] = {}
        #: what each module directory was when it was last looked through, and the digest over it
        self._modules_seen: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._builtin: dict[str, TemplateSource] = {}
        self._images: ImageReader | None = None

    def find(
        self,
        settings: Settings,
        pairs: Mapping[str, tuple[StoredPair, ...]],
        *,
        rehash: bool = False,
        glance: bool = False,
    ) -> HostFacts:
        """The facts that ``settings`` ask for; with ``rehash`` every file is read again. A ``glance`` (after an edit)
        takes GRUB's 280 modules as they were if nothing came or went in their directory. Never raises for what is
        missing or unreadable: absent facts become findings where they are needed."""
        self._hasher.begin(rehash=rehash)
        found: dict[str, FileState] = {}
        origins: dict[str, str] = {}
        for path, root in _kernel_files(settings).items():
            state, place = self._hasher.located(path, root)
            if isinstance(state, FileState):
                found[path] = state
                if root:
                    origins[path] = place
        for path in sources(settings):
            state = self._hasher.state(path)
            if isinstance(state, FileState):
                found[path] = state
        images = self._find_images(settings)
        for path in _offered_files(images):
            state = self._hasher.state(path)
            if isinstance(state, FileState):
                found[path] = state
        directories = module_directories(settings)
        modules = {
            path: digest for path in directories if (digest := self._modules(path, rehash=rehash, glance=glance))
        }
        present = frozenset(path for path in served_files(settings) if os.path.isfile(path))
        self._hasher.end()
        templates = self._templates(settings.paths.templates)
        return HostFacts(found, templates, dict(pairs), origins, modules, present, images)

    def watched(self, settings: Settings) -> Mapping[str, frozenset[str] | None]:
        """Directories whose changes matter, and the names in them that do; None when all names do.

        A kernel that is a symbolic link is watched at both ends. Package files (loaders, modules) are left to the
        periodic scan: a package manager touches hundreds of files there at once.
        """
        names: dict[str, set[str]] = {}
        for path, root in _kernel_files(settings).items():
            for place in (path, self._hasher.located(path, root)[1] if root else os.path.realpath(path)):
                directory, name = os.path.split(place)
                names.setdefault(directory, set()).add(name)
        watched: dict[str, frozenset[str] | None] = {path: frozenset(each) for path, each in names.items()}
        watched[settings.paths.templates] = None
        chosen = frozenset((CHOICE, FAILURES))
        store = store_directory(settings.paths.state)
        watched.update({f"{store}/{root.name}": chosen for root in settings.roots if root.takes_images})
        return watched

    def _find_images(self, settings: Settings) -> Mapping[str, RootImages]:
        """What the store has for each root that takes its kernels from there."""
        taking = [root.name for root in settings.roots if root.takes_images]
        if not taking:
            return {}
        if self._images is None or self._images.directory != store_directory(settings.paths.state):
            self._images = ImageReader(settings.paths.state)
        stored = self._images.read()
        return {name: stored[name] for name in taking if name in stored}

    def _modules(self, directory: str, *, rehash: bool, glance: bool) -> str:
        """A digest over the GRUB modules in ``directory``, "" when there are none. All of them: which ones end up in
        an image depends on their dependencies, and hashing 3 MB once is cheaper than working that out."""
        try:
            status = os.stat(directory)
            seen = (status.st_dev, status.st_ino, status.st_mtime_ns)
            before = self._modules_seen.get(directory)
            if glance and before is not None and before[0] == seen:
                return before[1]
            names = sorted(name for name in os.listdir(directory) if name.endswith(".mod") or name in _MODULE_FILES)
        except OSError:
            return ""
        if "kernel.img" not in names:
            return ""
        hasher = self._module_hashers.setdefault(directory, Hasher())
        hasher.begin(rehash=rehash)
        summary = sha256()
        for name in names:
            state = hasher.state(f"{directory}/{name}")
            summary.update(f"{name} {state.digest if isinstance(state, FileState) else state}\0".encode())
        hasher.end()
        self._modules_seen[directory] = seen, summary.hexdigest()
        return summary.hexdigest()

    def _templates(self, directory: str) -> Mapping[str, TemplateSource]:
        """Built-in templates, each also under its ``builtin/`` name, and over them the administrator's."""
        if not self._builtin:
            self._builtin = builtin_templates()
        return {**self._builtin, **_overrides(directory)}


def _offered_files(images: Mapping[str, RootImages]) -> list[str]:
    """The kernels and initrds that may be published: of the current and the previous image of each root."""
    offered = [each.get(name) for each in images.values() for name in (each.choice.current, each.choice.previous)]
    return [path for image in offered if image is not None for path in (image.kernel_file, image.initrd_file)]


def builtin_templates() -> dict[str, TemplateSource]:
    """The templates that come with osrd."""
    directory = files("osrd.plan") / "templates"
    found = {}
    for name in TEMPLATES:
        source = TemplateSource((directory / name).read_text("utf-8"), str(directory / name))
        found[name] = found[BUILTIN + name] = source
    return found


def _overrides(directory: str) -> dict[str, TemplateSource]:
    """Every ``*.j2`` in ``directory``; ones that cannot be read carry the reason instead of a text."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".j2") and not name.startswith("."))
    except OSError:
        return {}  # no directory is the normal case
    return {name: source for name in names if (source := _override(os.path.join(directory, name)))}


def _override(path: str) -> TemplateSource | None:
    try:
        return TemplateSource(read_input(path, _TEMPLATE_LIMIT).data.decode(), path)
    except NotFoundError:
        return None  # deleted since the directory was read
    except InvalidConfigError as error:
        return TemplateSource("", path, error.message.removeprefix(f"{path}: "))
    except UnicodeDecodeError as error:
        return TemplateSource("", path, f"is not UTF-8 (byte {error.start})")


def _kernel_files(settings: Settings) -> dict[str, str]:
    """Configured kernels and initrds, with the shared root that they are in ("" when they are elsewhere)."""
    return {
        path: _root_of(path, settings.roots)
        for root in settings.roots
        for path in (root.kernel, root.initrd, root.previous_kernel, root.previous_initrd)
        if path
    }


def _root_of(path: str, roots: Sequence[RootSettings]) -> str:
    """The innermost root above ``path``, whichever section boots the file."""
    place = os.path.normpath(path)
    above = [
        root.path for root in roots if root.path and place.startswith(os.path.normpath(root.path).rstrip("/") + "/")
    ]
    return max(above, key=lambda each: len(os.path.normpath(each)), default="")
