# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of a shared root: a job of the daemon when it knows the root, the same work in this process when not."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from osrd.bus.names import MANAGER, SHARED_ROOT
from osrd.cli.exits import Exit, UnreachableError
from osrd.cli.output import emit_json, emit_lines
from osrd.cli.progress import ended_well, reporting
from osrd.cli.session import Bus, Session
from osrd.cli.shared_root import Root, Where, Work, interruptible, tell_warnings
from osrd.cli.text import safe
from osrd.model.cdsl import Changed, Members
from osrd.model.errors import NotAuthorizedError, NotFoundError, UnsupportedError


@dataclass(frozen=True, slots=True)
class Call:
    """A method of the daemon's SharedRoot object that makes a job. ``options`` come last."""

    member: str
    signature: str = ""
    arguments: tuple[object, ...] = ()
    options: dict[str, object] = field(default_factory=dict)

    @property
    def action(self) -> str:
        """The polkit action that it takes."""
        deletes = self.member == "DropBackup" or bool(self.options.get("discard"))
        return f"org.opensharedroot.osrd.{'discard-data' if deletes else 'manage-cdsl'}"


@dataclass(frozen=True, slots=True)
class Change:
    """One change, both ways. ``call`` is None for what the daemon has no method for, since it does it by itself."""

    call: Call | None
    direct: Callable[[Root], Changed]


@dataclass(frozen=True, slots=True)
class Done:
    """``jobs`` are object paths of the daemon's jobs, empty for work in this process."""

    changed: Changed
    jobs: tuple[str, ...] = ()


def perform(session: Session, where: Where, offline: bool, changes: Sequence[Change]) -> Exit:
    """Do the changes in order and print what was done; what is done before one fails is done, and printed."""
    done: list[Done] = []
    try:
        _perform(session, where, offline, changes, done)
    finally:
        if done or not changes:
            _emit(session, where, done)
    return Exit.OK


def _perform(session: Session, where: Where, offline: bool, changes: Sequence[Change], done: list[Done]) -> None:
    calls = [change.call for change in changes]
    # A cluster.conf that was named is not the daemon's.
    if not offline and not where.clusterconf and None not in calls:
        try:
            if session.run(lambda bus: _as_jobs(bus, session, where, [call for call in calls if call], done)):
                return
        except UnreachableError:
            pass
    known = where.members()
    tell_warnings(known.findings)
    with reporting(session) as report, interruptible() as cancelled:
        work = Work(report, cancelled)
        with session.open_root(where.path, known.members, work) as root:
            for change in changes:
                done.append(Done(change.direct(root)))


async def _as_jobs(bus: Bus, session: Session, where: Where, calls: Sequence[Call], done: list[Done]) -> bool:
    """Whether the daemon knows the root; then it has done everything."""
    path = await object_of(bus, where)
    if path is None:
        return False
    for call in calls:
        signature = f"{call.signature}a{{sv}}"
        try:
            (job,) = await bus.call(SHARED_ROOT, call.member, signature, *call.arguments, call.options, path=path)
        except NotAuthorizedError as error:
            error.fix = f"become root, or have polkit allow you {call.action} (osrctl(8), AUTHORIZATION)"
            raise
        with reporting(session) as report:
            ended = ended_well(await bus.wait_job(job, report))
        done.append(Done(_changed(ended.get("Result", {})), (job,)))
    return True


def _changed(result: dict[str, Any]) -> Changed:
    return Changed(tuple(result.get("lines", ())), tuple(result.get("backups", ())))


async def object_of(bus: Bus, where: Where) -> str | None:
    """The daemon's object for the root; None when it has none, or when ``/`` is another directory for it."""
    if not _same_world():
        return None
    (rows,) = await bus.call(MANAGER, "ListRoots", "a{sv}", {})
    for name, _volume, _fstype, path, _nodes in rows:
        if path and _same_directory(path, where.path):
            try:
                (found,) = await bus.call(MANAGER, "GetRoot", "sa{sv}", name, {})
            except (NotFoundError, UnsupportedError):  # gone meanwhile; an older osrd
                return None
            return str(found)
    return None


def _same_directory(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _same_world() -> bool:
    """Whether paths mean here what they mean for the daemon: not so in a chroot, even when /run is mounted there."""
    try:
        return os.path.samestat(os.stat("/"), os.stat("/proc/1/root/"))
    except PermissionError:
        return True  # not root, so nobody who could be in a chroot of root's
    except OSError:
        return False


def _emit(session: Session, where: Where, done: Sequence[Done]) -> None:
    lines = [line for one in done for line in one.changed.lines]
    backups = [backup for one in done for backup in one.changed.backups]
    if session.json:
        emit_json(
            {
                "root": where.path,
                "changed": bool(lines),
                "lines": lines,
                "backups": backups,
                "jobs": [job for one in done for job in one.jobs],
            }
        )
        return
    emit_lines(map(safe, lines or ["nothing to do"]))
    emit_lines(f"{click.style('kept', bold=True)}: {safe(backup)}" for backup in backups)


def look(session: Session, where: Where, work: Callable[[Root, Members], Exit]) -> Exit:
    """Work that only reads: always on the disk itself, for whoever may read it."""
    known = where.members()
    tell_warnings(known.findings)
    with session.open_root(where.path, known.members, Work()) as root:
        return work(root, known.members)
