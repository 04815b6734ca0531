# SPDX-License-Identifier: GPL-3.0-or-later
"""A new root from a system: look, compare with the space there is, copy, and make what must not be missing."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from osrd.apply.rootcare.copy import copy_tree
from osrd.apply.rootcare.destination import make_destination
from osrd.apply.rootcare.edits import Edits
from osrd.model.errors import ConflictError, FailedError
from osrd.observe.inside import Inside
from osrd.observe.rootsource import Size, below_source, free_at, look_at, needed
from osrd.plan.rootcare.copying import Excluded, below, exclusions
from osrd.plan.rootcare.structure import DIRECTORIES

Progress = Callable[[float, str], None]
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Created:
    """``copied`` are the source and the file systems below it that were copied; ``left`` those that were not."""

    source: str
    copied: tuple[str, ...]
    left: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def create_root(
    source: str,
    destination: str,
    exclude: Sequence[str] = (),
    *,
    roots: Sequence[str] = (),
    go_on: bool = False,
    progress: Progress = lambda fraction, message: None,
) -> Created:
    """Copy the system at ``source`` into the directory ``destination``, which is made if it is missing.

    ``exclude`` are paths of the source; ``roots`` are the shared roots of this host, which are not copied either: the
    new one's nodes have no business with them. ``go_on`` continues a copy that was interrupted. Raises ConflictError
    for a directory that is not empty, FailedError when it does not fit; then nothing was written.
    """
    found = look_at(source, destination)
    make_destination(destination)
    if not go_on and (names := [name for name in os.listdir(destination) if name != "lost+found"]):
        raise ConflictError(
            f"{destination} is not empty: it holds {', '.join(sorted(names)[:3])}",
            "name an empty directory, or add --continue to go on with a copy that was interrupted",
        )
    others = [inside for path in roots if (inside := below_source(found, path)) not in ("", found.inside)]
    excluded = (*exclusions(found.swap, found.inside, exclude), *map(Excluded, others))
    progress(0.0, f"looking at {found.path}")
    free = free_at(destination)
    size = needed(found, excluded, free)
    if not go_on:
        _check_space(destination, size, free)
    warnings = [f"{os.path.join(found.path, path)} is left out: it is a shared root itself" for path in others]
    done = 0
    for part in ("", *found.parts):
        here, there = os.path.join(found.path, part), os.path.join(destination, part)
        seen = done

        def hear(copied: int, name: str, here: str = here, seen: int = seen) -> None:
            nonlocal done
            done = max(done, seen + copied)
            progress(min(0.99, done / size.bytes) if size.bytes else 0.0, f"copying {name or here}")

        warnings += copy_tree(here, there, below(excluded, part) if part else excluded, hear)
    _complete(destination)
    progress(1.0, "copied")
    copied = tuple(os.path.join(found.path, part) if part else found.path for part in ("", *found.parts))
    return Created(found.path, copied, found.left, tuple(warnings))


def _check_space(destination: str, size: Size, free: Size) -> None:
    if size.bytes > free.bytes:
        raise FailedError(
            f"the copy takes {size.bytes / _GIB:.1f} GiB, and {destination} has {free.bytes / _GIB:.1f} GiB left",
            "make room, or leave something out with --exclude",
        )
    # Some file systems (NFS of some servers, btrfs) have no fixed number of inodes and say 0.
    if free.inodes and size.inodes > free.inodes:
        raise FailedError(
            f"the copy takes {size.inodes} inodes, and {destination} has {free.inodes} left",
            "leave something out with --exclude, or make a file system with more inodes",
        )


def _complete(destination: str) -> None:
    """The directories that a system is mounted on."""
    with Inside.open(destination) as inside:
        edits = Edits(inside, "create")
        for path, mode in DIRECTORIES.items():
            if inside.look(path) is None:
                edits.make_directory(path, mode)
