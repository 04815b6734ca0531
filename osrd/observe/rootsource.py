# SPDX-License-Identifier: GPL-3.0-or-later
"""A system that is to be copied: how big it is, what of it is on other file systems, where it swaps.

The source is the administrator's (this host's own root, a mounted one, or what debootstrap made) and may be running:
files come and go while it is looked at.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace

from osrd.model.errors import FailedError, InvalidArgsError, NotFoundError, OsrdError
from osrd.observe.inside import Inside
from osrd.plan.rootcare.copying import PARTS, VIRTUAL, Excluded
from osrd.plan.rootcare.fstab import entries
from osrd.plan.rootcare.lines import LARGEST

_BLOCK = 512  # stat(2)'s unit


@dataclass(frozen=True, slots=True)
class Source:
    """``parts`` are directories that are file systems of their own and belong to a root; ``left`` are others, which
    are not copied. ``swap`` are swap files, ``inside`` is the destination if it is below the source; all relative."""

    path: str
    parts: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    swap: tuple[str, ...] = ()
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    bytes: int
    inodes: int


def look_at(source: str, destination: str) -> Source:
    """Raises NotFoundError for no directory, InvalidArgsError for a destination that holds the source."""
    real, target = os.path.realpath(source), os.path.realpath(destination)
    if not os.path.isdir(real):
        raise NotFoundError(f"{source}: there is no such directory", "name / or the directory of a system")
    if not os.path.isdir(os.path.join(real, "etc")):
        raise InvalidArgsError(f"{source} has no etc, so it is no root file system", "name / or another system's root")
    if target == real or real.startswith(target.rstrip("/") + "/"):
        raise InvalidArgsError(f"{source} is inside {destination}", "name another directory for the new root")
    top = os.stat(real).st_dev
    own = [name for name in sorted(os.listdir(real)) if _device(os.path.join(real, name)) not in (top, None)]
    left = tuple(name for name in own if name not in PARTS and name not in VIRTUAL)
    found = Source(real, tuple(name for name in PARTS if name in own), left, tuple(_swap_files(real)))
    return replace(found, inside=below_source(found, target))


def below_source(source: Source, path: str) -> str:
    """Where ``path`` of this host is in the source, "" when it is not below it."""
    real, above = os.path.realpath(path), source.path.rstrip("/") + "/"
    return real.removeprefix(above) if real.startswith(above) else ""


def _device(path: str) -> int | None:
    """The file system of a directory; None for anything else."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev if stat.S_ISDIR(status.st_mode) else None


def _swap_files(source: str) -> Iterable[str]:
    """From the system's fstab, and of this host's own root what is in use. Swap partitions are no files of it."""
    found = []
    try:
        with Inside.open(source) as inside:
            found = [entry.device for entry in entries(inside.read("etc/fstab", LARGEST)) if entry.type == "swap"]
    except OsrdError:
        found = []  # no fstab: nothing to leave out
    if source == "/":
        try:
            with open("/proc/swaps", encoding="utf-8", errors="surrogateescape") as table:
                found += [line.split()[0] for line in table.readlines()[1:] if line.strip()]
        except OSError:
            found += []
    return dict.fromkeys(path.lstrip("/") for path in found if path.startswith("/") and not path.startswith("/dev/"))


def needed(source: Source, excluded: Iterable[Excluded], free: Size) -> Size:
    """What a copy takes. Where ``free`` is more than all that the file systems hold, that is answer enough; else every
    file is counted, without what is excluded."""
    places = [source.path, *(os.path.join(source.path, part) for part in source.parts)]
    if all(os.path.ismount(place) for place in places):
        upper = [_used(place) for place in places]
        total = Size(sum(each.bytes for each in upper), sum(each.inodes for each in upper))
        if total.bytes <= free.bytes and (total.inodes <= free.inodes or not free.inodes):
            return total
    counted = [count(place, excluded if place == source.path else (), source.path) for place in places]
    return Size(sum(each.bytes for each in counted), sum(each.inodes for each in counted))


def _used(path: str) -> Size:
    found = os.statvfs(path)
    return Size((found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree)


def free_at(path: str) -> Size:
    """What can be written there; 0 inodes where the file system has no fixed number. Raises FailedError."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise FailedError(f"{path}: {error.strerror}") from error
    return Size(found.f_bavail * found.f_frsize, found.f_favail)


def count(top: str, excluded: Iterable[Excluded], relative_to: str) -> Size:
    """Bytes and inodes of one file system below ``top``; hard links count once. What vanishes is not counted."""
    excluded = tuple(excluded)
    device = os.stat(top).st_dev
    total = inodes = 0
    linked: set[int] = set()
    waiting = [top]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                for entry in listing:
                    path = os.path.relpath(entry.path, relative_to)
                    if any(each.matches(path) for each in excluded):
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if status.st_dev != device or status.st_ino in linked:
                        continue
                    if status.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                        linked.add(status.st_ino)
                    total += status.st_blocks * _BLOCK
                    inodes += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return Size(total, inodes)
