# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd's dracut modules and data, written into the root that dracut sees (an overlay: nothing reaches the root).

A symlink on the way to directories of the distribution is followed as the root means it. What osrd owns there takes
the place of whatever is found: etc/osr/initrd and the directories of its modules, so that nothing that a node planted
or an older installation left is mixed into an image.
"""

import os
import re
from collections.abc import Iterable, Mapping

from osrd.model.errors import InvalidArgsError
from osrd.observe.inside import is_plain, open_in_root
from osrd.plan.initrd.modules import module_mode

#: directory: how many directories below it a file's own place is
_PARENTS = {"etc": 2, "usr/lib/dracut/modules.d": 1}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODULE = re.compile(r"\d\d(.+)\Z", re.DOTALL)


def put_files(root: int, files: Mapping[str, bytes]) -> None:
    """Write ``files``, by their path in the open directory ``root``; what else was in the directories that they own is
    gone then. Raises OSError, InvalidArgsError for a path that osrd owns no directory of."""
    owned: dict[tuple[str, str], dict[str, bytes]] = {}
    for path, data in files.items():
        parent = next((each for each in _PARENTS if path.startswith(f"{each}/")), "")
        parts = path.removeprefix(f"{parent}/").split("/")
        if not parent or not is_plain(path) or len(parts) <= _PARENTS[parent]:
            raise InvalidArgsError(f"{path!r} is not where osrd puts files of an image")
        count = _PARENTS[parent]
        owned.setdefault((parent, "/".join(parts[:count])), {})["/".join(parts[count:])] = data
    for (parent, place), content in owned.items():
        directory = _existing(root, parent)
        *between, name = place.split("/")
        for each in between:
            directory = _closing(directory, own_directory(directory, each))
        for other in _same_module(os.listdir(directory), name):
            _remove(directory, other)
        directory = _closing(directory, own_directory(directory, name))
        for path, data in sorted(content.items()):
            _write(directory, path, data)
        os.close(directory)


def own_directory(parent: int, name: str) -> int:
    """A descriptor of the directory ``name``, made when it is missing or anything else."""
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        pass
    except OSError:
        os.unlink(name, dir_fd=parent)
    os.mkdir(name, 0o755, dir_fd=parent)
    os.chmod(name, 0o755, dir_fd=parent)
    return os.open(name, _DIRECTORY, dir_fd=parent)


def _existing(root: int, path: str) -> int:
    """A descriptor of a directory of the distribution, made when it is missing."""
    try:
        return open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        parent, _, name = path.rpartition("/")
        directory = _existing(root, parent) if parent else os.dup(root)
        return _closing(directory, own_directory(directory, name))


def _same_module(names: Iterable[str], name: str) -> list[str]:
    """What is there as the directory ``name``, and the module of that name at other places in dracut's order: it would
    take one of them, or both."""
    module = _MODULE.match(name)
    return [
        each for each in names if each == name or (module and (other := _MODULE.match(each)) and other[1] == module[1])
    ]


def _write(directory: int, path: str, data: bytes) -> None:
    """A new file below the empty ``directory``."""
    *parents, name = path.split("/")
    here = os.dup(directory)
    for each in parents:
        here = _closing(here, own_directory(here, each))
    mode = module_mode(data)
    with os.fdopen(os.open(name, _NEW, mode, dir_fd=here), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
    os.close(here)


def _remove(directory: int, name: str) -> None:
    """A file or a tree; no symlink in it is followed."""
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=directory)
    except OSError:
        os.unlink(name, dir_fd=directory)
        return
    try:
        for each in os.listdir(fd):
            _remove(fd, each)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=directory)


def _closing(old: int, new: int) -> int:
    os.close(old)
    return new
