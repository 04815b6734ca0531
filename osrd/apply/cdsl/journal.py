# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of one transaction, ``.osrd/tx/N/journal``: what recovery by any host needs to finish it.

It is one JSON file that is only ever replaced as a whole. Any node's root can write there, so nothing in it is
believed: every path is checked before use, and all that a forged journal can do is rename inside its own root.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from osrd.apply.cdsl.work import BACKUP, TRANSACTIONS, sync_directory
from osrd.apply.files import write_temp
from osrd.model.cdsl import WORK
from osrd.model.errors import ConflictError, FailedError, NotFoundError, UnsupportedError
from osrd.observe.inside import Inside, is_plain

VERSION = 1
#: A make for 10,000 nodes is 3 MB.
LIMIT = 32 << 20
_TEMP = "journal.new"
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class State(StrEnum):
    """STAGING: nothing has changed hands; what is staged is worth nothing. COMMITTED: goes forward, whatever happens.
    DONE: the displaced objects wait for an undo. UNDOING: goes backward. REMOVING: nothing is needed any more."""

    STAGING = "staging"
    COMMITTED = "committed"
    DONE = "done"
    UNDOING = "undoing"
    REMOVING = "removing"


@dataclass(frozen=True, slots=True)
class Thing:
    """How recovery knows an object again: renames keep its inode number, on every file system and for every host.
    ``link`` is its text if it is a symlink."""

    inode: int
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """One exchange: ``new`` comes to ``at``, ``old`` goes to ``keep``, or with "" to the undo slot."""

    at: str
    new: Thing | None
    old: Thing | None
    keep: str = ""


@dataclass(frozen=True, slots=True)
class Journal:
    """``moves`` are known from the commit on, the inventory's being the last. ``made`` are directories for kept
    objects that did not exist before. ``until`` > 0: the time (ns, of the file system) after which a change of what
    was brought is not ours; 0: that of this record."""

    number: int
    state: State
    title: str
    host: str = ""
    process: int = 0
    started: float = 0.0
    moves: tuple[Move, ...] = ()
    made: tuple[str, ...] = ()
    until: int = 0

    @property
    def directory(self) -> str:
        return f"{TRANSACTIONS}/{self.number}"

    def new(self, index: int) -> str:
        """Where what comes by move ``index`` is staged."""
        return f"{self.directory}/new/{index}"

    def slot(self, index: int) -> str:
        """Where goes what move ``index`` displaces."""
        return self.moves[index].keep or f"{self.directory}/old/{index}"


def numbers(inside: Inside) -> list[int]:
    """The numbers of the transactions that left anything, in order."""
    try:
        names = inside.names(TRANSACTIONS)
    except NotFoundError:
        return []
    return sorted(int(name) for name in names if _NUMBER.fullmatch(name))


def read_journal(inside: Inside, number: int) -> Journal:
    """The record of transaction ``number``. Raises NotFoundError when it has none, UnsupportedError for one of a
    newer osrd, ConflictError for one that no osrd wrote."""
    path = f"{TRANSACTIONS}/{number}/journal"
    data = inside.read(path, LIMIT)
    try:
        return _journal(number, json.loads(data))
    except _NewerError as error:
        raise UnsupportedError(
            f"{inside.name(path)} was written by a newer osrd (version {error} of the journal, this one knows"
            f" {VERSION})",
            "use that osrd on this root, or install it here",
        ) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConflictError(
            f"{inside.name(path)} is damaged or forged ({error})",
            f"look what is in {inside.name(os.path.dirname(path))}, then move that directory away",
        ) from error


class _NewerError(Exception):
    """The version of the journal."""


def _journal(number: int, read: Any) -> Journal:
    version = _typed(read["version"], int)
    if version > VERSION:
        raise _NewerError(str(version))
    if version < 1:
        raise ValueError(f"{version} is no version")
    return Journal(
        number,
        State(read["state"]),
        _typed(read["title"], str),
        _typed(read["host"], str),
        _typed(read["process"], int),
        _time(read["started"]),
        tuple(_move(each) for each in _typed(read["moves"], list)),
        tuple(_made(each) for each in _typed(read["made"], list)),
        _typed(read["until"], int),
    )


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r:.80} is no {kind.__name__}")
    return value


def _time(value: Any) -> float:
    if not 0 <= _typed(value, float) < 1e11:
        raise ValueError(f"{value!r} is no time")
    return float(value)


def _move(read: Any) -> Move:
    keep = _typed(read["keep"], str)
    if keep and not movable(keep):
        raise ValueError(f"{keep!r:.80} is no place to keep anything")
    if not movable(_typed(read["at"], str)):
        raise ValueError(f"{read['at']!r:.80} is no place that changes hands")
    return Move(read["at"], _thing(read["new"]), _thing(read["old"]), keep)


def _made(path: Any) -> str:
    if not _typed(path, str).startswith(f"{BACKUP}/") and path != BACKUP:
        raise ValueError(f"{path!r:.80} is no directory of ours")
    if not is_plain(path):
        raise ValueError(f"{path!r:.80} is no directory of ours")
    return str(path)


def _thing(read: Any) -> Thing | None:
    if read is None:
        return None
    link = read["link"]
    return Thing(_typed(read["inode"], int), None if link is None else _typed(link, str))


def movable(path: str) -> bool:
    """Whether osrd may move what is at ``path``: inside the root, and not osrd's own except for backups."""
    return is_plain(path) and (path.partition("/")[0] != WORK or path.startswith(f"{BACKUP}/"))


def write_journal(inside: Inside, journal: Journal) -> None:
    """Replace the record; afterwards it is durable. Raises FailedError, and then the former one is still there."""
    data = json.dumps({"version": VERSION, **asdict(journal)}, indent=1).encode()
    if len(data) > LIMIT:
        raise FailedError(f"{journal.title}: too many exchanges for one transaction", "change fewer nodes at a time")
    fd = inside.directory(journal.directory)
    try:
        _remove(fd, _TEMP)
        # The content before the name, the name before anything that relies on it.
        write_temp(fd, _TEMP, data, 0o600, sync=True)
        os.rename(_TEMP, "journal", src_dir_fd=fd, dst_dir_fd=fd)
        sync_directory(fd)
    except OSError as error:
        raise FailedError(f"{inside.name(journal.directory)}/journal: {error.strerror}") from error
    finally:
        os.close(fd)


def remove_journal(inside: Inside, number: int) -> None:
    """Remove the record and its directory, the last of a transaction. Raises FailedError."""
    path = f"{TRANSACTIONS}/{number}"
    try:
        with inside.holding(f"{path}/journal") as (fd, _):
            _remove(fd, _TEMP)
            _remove(fd, "journal")
        with inside.holding(path) as (parent, name):
            os.rmdir(name, dir_fd=parent)
    except OSError as error:
        raise FailedError(f"{inside.name(path)} cannot be removed: {error.strerror}") from error


def _remove(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
