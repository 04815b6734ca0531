# SPDX-License-Identifier: GPL-3.0-or-later
"""Files put into a root that other hosts write in, and taken back: each atomic, all of them on record first.

The record is written before the first change with what each file may hold from then on (as before, or as it will be)
and after the last one with what it holds. So whatever is killed when, what was made is known by its content, and what
anybody else made or changed is not touched.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from osrd.apply.cdsl.work import sync_directory
from osrd.apply.files import put_in_place, remove_temp, temp_name, write_temp
from osrd.model.errors import ConflictError, NotFoundError
from osrd.model.installation import Record, Step, Steps, Verb
from osrd.observe.inside import Inside
from osrd.observe.installation import content
from osrd.parse.record import VERSION

#: a node may put a symlink in the place of what was made a moment ago
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ABOUT = (
    "What osrctl initrd has put here: the digests (SHA-256) of its files. osrctl initrd install --remove reads it."
)


def install(inside: Inside, place: str, steps: Steps, before: Record) -> None:
    """Carry ``steps`` out; ``before`` is what the record at ``place`` says. Raises ConflictError when something is not
    any more what it was, FailedError; what is done by then is on record."""
    if not steps.steps and steps.record == before:
        return
    directories = _missing(inside, steps.steps)
    known = tuple(dict.fromkeys((*before.directories, *directories)))
    paths = before.files.keys() | steps.record.files.keys()
    either = {
        path: tuple(dict.fromkeys((*before.files.get(path, ()), *steps.record.files.get(path, ())))) for path in paths
    }
    _sweep(inside, before)
    _write_record(inside, place, Record(either, known))
    for directory in directories:
        with _named(inside, directory) as (parent, name):
            os.mkdir(name, 0o755, dir_fd=parent)
            made = os.open(name, _DIRECTORY, dir_fd=parent)
            try:
                os.fchmod(made, 0o755)
            finally:
                os.close(made)
            sync_directory(parent)
    for step in steps.steps:
        _carry_out(inside, step)
    gone = {directory for directory in sorted(known, reverse=True) if _removed(inside, directory, steps)}
    left = tuple(directory for directory in known if directory not in gone)
    _write_record(inside, place, Record(steps.record.files, left))


def _sweep(inside: Inside, before: Record) -> None:
    """Remove what a killed run had not finished writing."""
    for path in before.files:
        with suppress(NotFoundError, ConflictError), inside.holding(path) as (parent, name):
            remove_temp(parent, temp_name(name, 0))


def _missing(inside: Inside, steps: tuple[Step, ...]) -> list[str]:
    """The directories that new files need, each after the one it is in."""
    found: dict[str, None] = {}
    for step in steps:
        parts = step.path.split("/")[:-1] if step.verb is Verb.CREATE else []
        for count in range(1, len(parts) + 1):
            path = "/".join(parts[:count])
            if path not in found and inside.status(path) is None:
                found[path] = None
    return list(found)


def _carry_out(inside: Inside, step: Step) -> None:
    if step.verb is not Verb.CREATE and content(inside, step.path) != step.was:
        raise _moved(inside, step.path)
    with _named(inside, step.path) as (parent, name):
        if step.verb is Verb.REMOVE:
            os.unlink(name, dir_fd=parent)
        elif step.verb is Verb.PERMIT:
            fd = inside.regular(step.path)
            try:
                os.fchmod(fd, step.mode)
            finally:
                os.close(fd)
        else:
            _put(parent, name, step.data, step.mode, fresh=step.verb is Verb.CREATE)
        sync_directory(parent)


def _put(parent: int, name: str, data: bytes, mode: int, *, fresh: bool) -> None:
    # Nobody else writes under the lock: what a killed run left of this name is swept away by the next one.
    temp = temp_name(name, 0)
    remove_temp(parent, temp)
    write_temp(parent, temp, data, mode, sync=True)
    try:
        put_in_place(parent, temp, name, fresh=fresh)
    finally:
        remove_temp(parent, temp)


def _removed(inside: Inside, directory: str, steps: Steps) -> bool:
    """Remove a directory of ours with nothing in it any more, unless something was just put below."""
    if any(path.startswith(f"{directory}/") for path in steps.record.files):
        return False
    try:
        with inside.holding(directory) as (parent, name):
            os.rmdir(name, dir_fd=parent)
    except (NotFoundError, FileNotFoundError, NotADirectoryError):
        return True
    except (ConflictError, OSError):
        return False  # not empty: somebody else uses it now
    return True


def _write_record(inside: Inside, place: str, record: Record) -> None:
    with _named(inside, place) as (parent, name):
        if not record.files and not record.directories:
            if inside.status(place) is not None:
                os.unlink(name, dir_fd=parent)
            return
        files = {path: list(digests) for path, digests in sorted(record.files.items())}
        value = {"version": VERSION, "about": _ABOUT, "files": files, "directories": list(record.directories)}
        _put(parent, name, json.dumps(value, indent=1).encode() + b"\n", 0o600, fresh=False)
        sync_directory(parent)


@contextmanager
def _named(inside: Inside, path: str) -> Iterator[tuple[int, str]]:
    try:
        with inside.holding(path) as place:
            yield place
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise _moved(inside, path) from error
    except OSError as error:
        raise inside.refusal(path, error) from error


def _moved(inside: Inside, path: str) -> ConflictError:
    return ConflictError(
        f"{inside.name(path)} is not any more what it was when it was looked at", "look again and try again"
    )
