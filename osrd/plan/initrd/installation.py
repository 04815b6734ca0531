# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``osrctl initrd install`` puts into a root, and what it does about what is there already (osrctl(8))."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from osrd.model.image import Dracut
from osrd.model.installation import Found, InstalledFile, Record, Step, Steps, Verb
from osrd.model.layout import path_mistake, within
from osrd.model.rootcare import Family
from osrd.model.settings import BootWay
from osrd.plan.initrd.data import PLACE, mode_of
from osrd.plan.initrd.modules import module_files, module_mode

#: names of osrd's own data directories
MODULES, HOOKS, PLUGINS, DROP_INS = "dracut", "kernel-hooks", "kernel-install", "dracut.conf.d"
#: what the hooks of every distribution call
_HOOK = "kernel-hook"
#: before ``dracut``, which builds the initrd; run-parts(8) takes no name with a dot
_DEBIAN = "etc/kernel/{}.d/00osr"
_PLUGIN_PLACE = "usr/lib/kernel/install.d"
_FULL_ONLY = "91-osr-cluster.conf"
#: nothing else is ever removed, whatever a record says that a node may have written
_PLACES = (PLACE, "usr/lib/osr", "etc/kernel", _PLUGIN_PLACE, "usr/lib/dracut", "lib/dracut", "usr/share/dracut")


@dataclass(frozen=True, slots=True)
class Sources:
    """osrd's own files: of its data directories, by relative path."""

    modules: Mapping[str, bytes]
    hooks: Mapping[str, bytes]
    plugins: Mapping[str, bytes]
    drop_ins: Mapping[str, bytes]


def installation(
    sources: Sources, dracut: Dracut, family: Family, way: BootWay, data: Mapping[str, bytes], *, plugins: bool
) -> Mapping[str, InstalledFile]:
    """Everything for a root of this kind, by path. ``plugins``: the root has kernel-install(8); ``data`` are the files
    below /etc/osr/initrd."""
    top = dracut.modules.rpartition("/")[0]
    files = {f"{top}/{path}": content for path, content in module_files(sources.modules, dracut).items()}
    for name, content in sources.drop_ins.items():
        if way is BootWay.FULL or name != _FULL_ONLY:
            files[f"{top}/dracut.conf.d/{name}"] = content
    if family is Family.DEBIAN:
        files |= {_DEBIAN.format(name): content for name, content in sources.hooks.items() if name != _HOOK}
    if plugins:
        files |= {f"{_PLUGIN_PLACE}/{name}": content for name, content in sources.plugins.items()}
    if plugins or family is Family.DEBIAN:
        files[f"usr/lib/osr/{_HOOK}"] = sources.hooks[_HOOK]
    made = {path: InstalledFile(content, module_mode(content)) for path, content in files.items()}
    return dict(sorted({**made, **data_files(data)}.items()))


def data_files(data: Mapping[str, bytes]) -> Mapping[str, InstalledFile]:
    """The data by path in a root."""
    return {f"{PLACE}/{path}": InstalledFile(content, mode_of(path)) for path, content in data.items()}


def is_ours(path: str) -> bool:
    """Whether a file of this path can be one that was installed."""
    return not path_mistake(path) and any(path != place and within(path, place) for place in _PLACES)


def is_our_directory(path: str) -> bool:
    """Whether a directory of this path can have been made for such files."""
    return not path_mistake(path) and any(within(path, place) or within(place, path) for place in _PLACES)


def steps(wanted: Mapping[str, InstalledFile], record: Record, found: Mapping[str, Found], scope: str = "") -> Steps:
    """From what is there to what is wanted. ``found`` are the files at the paths of both, as far as there are any;
    recorded files that are not wanted go, if they are below ``scope``."""
    todo: list[Step] = []
    files = {path: digests for path, digests in record.files.items() if path in found or not within(path, scope)}
    foreign: list[str] = []
    edited: list[str] = []
    for path, file in sorted(wanted.items()):
        there, ours = found.get(path), record.files.get(path, ())
        if there is None:
            todo.append(Step(Verb.CREATE, path, file.data, file.mode))
        elif there.data is not None and there.data == file.data:
            if ours and there.mode != file.mode:
                todo.append(Step(Verb.PERMIT, path, file.data, file.mode, there.data))
            if not ours:
                continue  # somebody else's, and just as it should be: not ours to take back
        elif there.data is not None and digest(there.data) in ours:
            todo.append(Step(Verb.REPLACE, path, file.data, file.mode, there.data))
        else:
            (edited if ours else foreign).append(path)
            continue
        files[path] = (digest(file.data),)
    for path in sorted(record.files.keys() - wanted.keys(), reverse=True):
        if not within(path, scope) or (there := found.get(path)) is None:
            continue
        if there.data is not None and digest(there.data) in record.files[path]:
            todo.append(Step(Verb.REMOVE, path, was=there.data))
            del files[path]
        else:
            edited.append(path)
    return Steps(tuple(todo), Record(files, record.directories), tuple(foreign), tuple(edited))


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()
