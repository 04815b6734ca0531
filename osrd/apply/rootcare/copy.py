# SPDX-License-Identifier: GPL-3.0-or-later
"""Copying a system into a new root: by rsync, or by cp -ax where there is none.

cp knows no exclusions, so it is given the names that are copied whole, directory by directory; directories in which
something stays behind are made here.
"""

import os
import shutil
from collections.abc import Callable, Iterable

from osrd.apply.rootcare.streaming import run_telling
from osrd.apply.runner import NOT_FOUND
from osrd.model.errors import FailedError
from osrd.plan.rootcare.copying import PARTIAL, VANISHED, Excluded, is_only_labels, rsync_argv, rsync_bytes

#: names in one command line
_MOST_NAMES = 500
#: how many lines of complaints are worth repeating
_TOLD = 3

Hear = Callable[[int, str], None]


def copy_tree(source: str, destination: str, excluded: Iterable[Excluded], hear: Hear) -> tuple[str, ...]:
    """Copy one file system. ``hear`` is told how many bytes are copied (-1: unknown) and a name or "". Gives warnings.
    Copying again goes on with what is missing. Raises FailedError."""
    excluded = tuple(excluded)
    warnings = _by_rsync(source, destination, excluded, hear)
    return _by_cp(source, destination, excluded, hear) if warnings is None else warnings


def _by_rsync(source: str, destination: str, excluded: tuple[Excluded, ...], hear: Hear) -> tuple[str, ...] | None:
    """None when it is not installed."""

    def tell(line: str) -> None:
        copied = rsync_bytes(line)
        if copied is not None:
            hear(copied, "")

    done = run_telling(rsync_argv(source, destination, excluded), tell)
    if done.returncode == NOT_FOUND:
        return None
    if done.returncode == PARTIAL and is_only_labels(done.stderr):
        return (f"{destination} cannot keep all ACLs, capabilities and labels of the source",)
    if done.returncode == VANISHED:
        return (f"files of {source} vanished while they were copied",)
    if not done.ok:
        raise _failed("rsync", done.returncode, done.stderr)
    return ()


def _failed(program: str, status: int, complaints: str) -> FailedError:
    lines = [line for line in complaints.splitlines() if line.strip()]
    about = "; ".join(lines[:_TOLD]) or f"exit status {status}"
    return FailedError(
        f"{program} could not copy everything: {about}", "repair that, then go on with osrctl root create --continue"
    )


def _by_cp(source: str, destination: str, excluded: tuple[Excluded, ...], hear: Hear) -> tuple[str, ...]:
    try:
        _copy_directory(source, destination, "", excluded, hear)
    except OSError as error:
        raise FailedError(f"{error.filename or source}: {error.strerror}") from error
    return ()


def _copy_directory(source: str, destination: str, path: str, excluded: tuple[Excluded, ...], hear: Hear) -> None:
    """One directory. What is mounted in it is made as an empty directory."""
    here, there = os.path.join(source, path), os.path.join(destination, path)
    if path and not os.path.lexists(there):
        os.mkdir(there, 0o700)
    device = os.stat(here).st_dev
    whole: list[str] = []
    for name in sorted(os.listdir(here)):
        inner = os.path.join(path, name) if path else name
        if any(each.matches(inner) for each in excluded):
            continue
        entry = os.path.join(source, inner)
        if os.path.isdir(entry) and not os.path.islink(entry):
            if os.lstat(entry).st_dev != device:
                _make_like(entry, os.path.join(destination, inner))
                continue
            if any(each.path.startswith(inner + "/") or each.path == inner for each in excluded):
                _copy_directory(source, destination, inner, excluded, hear)
                continue
        whole.append(entry)
    for start in range(0, len(whole), _MOST_NAMES):
        hear(-1, whole[start])
        # A file that an interrupted copy left is removed first: it may be half, and newer than its original.
        argv = ["cp", "-ax", "--reflink=auto", "--remove-destination", "-t", there, "--"]
        done = run_telling([*argv, *whole[start : start + _MOST_NAMES]], lambda line: None)
        if not done.ok:
            raise _failed("cp", done.returncode, done.stderr)
    _make_like(here, there)


def _make_like(here: str, there: str) -> None:
    """A directory with owner, mode, times and attributes of another one."""
    if not os.path.lexists(there):
        os.mkdir(there, 0o700)
    status = os.stat(here)
    os.chown(there, status.st_uid, status.st_gid, follow_symlinks=False)
    shutil.copystat(here, there, follow_symlinks=False)
