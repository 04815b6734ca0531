# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing the state database: one SQLite file, a few durable transactions per publication, none when nothing changed.

The order that makes a SIGKILL harmless: ``begin`` commits what is about to happen before the first file of it exists;
``complete`` commits that it happened. Between the two the rows of the unfinished generation say which temporary names
may exist and which content may already be in place; ``settle`` turns that into the truth, in either direction.

The journal is a rollback journal (journal_mode DELETE), so that a process that only reads writes nothing.
"""

import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import compress, filterfalse
from operator import ne
from types import MappingProxyType

from osrd.apply.publication import Done, Intent, Note, Unfinished
from osrd.model.errors import BusyError, FailedError, OsrdError
from osrd.model.netboot import StoredPair
from osrd.model.output import FileState, Found, Output, Published, Service
from osrd.model.view import Generation
from osrd.observe import manifest as reading
from osrd.plan.difference import as_output

#: Pairs remembered per root; a menu shows one or two.
_PAIRS_LIMIT = 10
#: Stored contents that nothing refers to are looked for once in so many generations: the search reads every row.
_SWEEP_EVERY = 16

_INSERT = (
    "INSERT INTO output (path, kind, stage, recipe, digest, size, mode, node, since, made_from)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Store:
    """The state database, with the manifest in memory. One thread at a time; ``generations()``: any."""

    def __init__(self, connection: sqlite3.Connection, file: str) -> None:
        self._connection = connection
        self._file = file
        self._manifest = reading.owned(connection)
        self.manifest: Mapping[str, Published] = MappingProxyType(self._manifest)
        self.kept = reading.kept(connection)
        self.directories = reading.directories(connection)
        self.owed = reading.owed(connection)
        self._notes = reading.notes(connection)
        self._good_nodes = reading.good_nodes(connection)
        self._pairs = reading.pairs(connection)
        self.unfinished = Unfinished(*reading.unfinished(connection))
        self._shared = False
        self._after_change()

    @classmethod
    def open(cls, path: str) -> "Store":
        """Open the database of the state directory ``path``; both are made when missing.

        What an older osrd wrote is brought up to date, or is as it was. Raises FailedError when it cannot be opened or
        is damaged, UnsupportedError when a newer osrd wrote it (nothing is touched then).
        """
        file = reading.file_name(path)
        try:
            os.makedirs(path, mode=0o755, exist_ok=True)
            reading.check_header(file)
            # It holds cluster.conf's fence passwords; SQLite gives its journal the same mode.
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=5.0)
        except (OSError, sqlite3.Error) as error:
            raise FailedError(
                f"cannot open the state database {file}: {error}", "check the state directory"
            ) from error
        try:
            version = reading.check_version(connection, file)
            if version == 0:
                _create(connection)
            elif version < reading.SCHEMA_VERSION:
                _migrate(connection, version)
            connection.execute("PRAGMA synchronous = FULL")
            return cls(connection, file)
        except OsrdError:
            connection.close()
            raise
        except (sqlite3.Error, ValueError, KeyError) as error:
            connection.close()
            raise _translated(error, file) from error

    @classmethod
    def nowhere(cls) -> "Store":
        """An empty one that is on no disk."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _create(connection)
        return cls(connection, ":memory:")

    def close(self) -> None:
        self._connection.close()

    def share(
        self, outputs: Mapping[str, Output], found: Mapping[str, Found], good_nodes: Mapping[str, bytes]
    ) -> None:
        """Hold the very objects that the rest of osrd holds, where what was read from the database is equal to them:
        its own copies would take 13 MiB with 10,000 nodes. Does something at the first call only."""
        if self._shared:
            return
        self._shared = True
        for path, want in outputs.items():
            have, state = self._manifest.get(path), found.get(path)
            if have is not None and as_output(have) == want:
                digest = state.digest if isinstance(state, FileState) and state.digest == have.digest else have.digest
                del self._manifest[path]  # an assignment alone would keep the former key
                self._manifest[want.path] = replace(
                    have, path=want.path, recipe=want.recipe, digest=digest, node=want.node, made_from=want.made_from
                )
        if good_nodes == self._good_nodes:
            self._good_nodes = dict(good_nodes)

    def _after_change(self) -> None:
        """Read again what is small: generations, what they retain, the next number."""
        self._generations = reading.generations(self._connection, self.pin)
        self.generation = self._generations[0].number if self._generations else 0
        self._retained = reading.retained(self._connection)
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'generation'").fetchone()
        #: the number that the next generation will have; never used twice, so temporary names are never either
        self.next = (row[0] if row else 0) + 1

    def generations(self) -> tuple[Generation, ...]:
        """What can be rolled back to, newest first."""
        return self._generations

    def retained(self) -> frozenset[str]:
        """Paths of loaders, kernels and initrds that a stored generation refers to (``difference`` keeps them)."""
        return self._retained

    def outputs_of(self, number: int) -> dict[str, Published]:
        """All outputs of a generation. Raises NotFoundError when it is not (or no longer) stored."""
        return reading.outputs_of(self._connection, number)

    def content(self, digest: str) -> bytes | None:
        """Text that osrd rendered, by sha256 (hex); None for copies, builds and what is long pruned."""
        return reading.content(self._connection, digest)

    def good_nodes(self) -> Mapping[str, bytes]:
        """Node name to the last published source of its ``<clusternode>``."""
        return self._good_nodes

    def pairs(self) -> dict[str, tuple[StoredPair, ...]]:
        """Root name to its kernel and initrd pairs, newest first."""
        return self._pairs

    @property
    def pin(self) -> int:
        """The generation that was rolled back to and is held, 0 for none."""
        return int(self._notes.get("pin", "0"))

    @property
    def pin_inputs(self) -> str:
        """The digest of the inputs for which the pin holds."""
        return self._notes.get("pin_inputs", "")

    @property
    def checked(self) -> str:
        """A value for the engine's own use; setting it to what it is writes nothing."""
        return self._notes.get("checked", "")

    @checked.setter
    def checked(self, value: str) -> None:
        if value != self.checked:
            with self._transaction():
                self._connection.execute("INSERT OR REPLACE INTO note VALUES ('checked', ?)", (value,))
            self._notes["checked"] = value

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, durable at the end. Raises FailedError (no space, disk, damage) or BusyError."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.rollback()
                raise
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                if self._connection.in_transaction:
                    self._connection.rollback()
                raise
        except sqlite3.Error as error:
            raise _translated(error, self._file) from error

    def begin(self, intent: Intent, note: Note) -> None:
        """Record what is about to happen; nothing of it may have happened yet. Raises FailedError, BusyError."""
        owed = self.owed | intent.owed
        repairs = dict.fromkeys(intent.repairs, self.next if intent.is_generation else self.generation)
        with self._transaction():
            if intent.is_generation:
                self._connection.execute(
                    "INSERT INTO generation (number, time, reason, config_version, state)"
                    " VALUES (?, ?, ?, ?, 'publishing')",
                    (self.next, time.time(), note.reason, note.config_version),
                )
            self._connection.executemany(_INSERT, reading.to_rows(intent.rows))
            self._connection.executemany(
                "INSERT OR IGNORE INTO content (digest, data) VALUES (?, ?)", intent.contents.items()
            )
            self._connection.executemany(
                "INSERT INTO repair VALUES (?, ?)", ((_raw(path), number) for path, number in repairs.items())
            )
            self._connection.executemany(
                "INSERT OR IGNORE INTO directory VALUES (?)", ((_raw(path),) for path in intent.directories)
            )
            self._put_owed(owed)
        self.owed = owed
        self.directories.update(intent.directories)
        number = self.next if intent.is_generation else 0
        self.unfinished = Unfinished(number, {row.path: row for row in intent.rows}, repairs)
        self.next += intent.is_generation

    def correct(self, rows: Iterable[Published]) -> None:
        """Record digests and sizes that only the finished builds could tell; before the first rename."""
        changed = {row.path: row for row in rows}
        if not changed:
            return
        with self._transaction():
            self._connection.executemany(
                "UPDATE output SET digest = ?, size = ? WHERE path = ? AND since = ?",
                ((row.digest, row.size, _raw(row.path), row.generation) for row in changed.values()),
            )
        self.unfinished = replace(self.unfinished, rows={**self.unfinished.rows, **changed})

    def complete(self, done: Done, note: Note, keep: int) -> None:
        """The run happened as ``done`` says: its generation is the current one; older than ``keep`` are pruned."""
        number = self.unfinished.number
        placed = {row.path: row for row in done.placed}
        kept = [path for path in done.kept if path not in self.kept] if number else []
        with self._transaction():
            if number:
                self._close_rows(number, placed, [*done.gone, *kept])
                self._connection.execute(
                    "UPDATE generation SET state = 'complete', written = ?, removed = ? WHERE number = ?",
                    (done.written, done.removed, number),
                )
            self._connection.executemany(
                "UPDATE output SET kept = 1 WHERE path = ? AND until = ?", ((_raw(path), number) for path in kept)
            )
            self._disown([*done.gone, *placed])
            self._finish(done.owed, done.directories)
            noted = self._write_note(note)
            if number:
                self._prune(keep, number, note.pin)
        self._good_nodes, self._pairs, self._notes = noted
        self._manifest.update(placed)
        for path in done.gone:
            self._manifest.pop(path, None)
        self.kept.difference_update(done.gone)
        self.kept.difference_update(placed)
        self.kept.update(kept)
        self._finished(done.owed, done.directories)

    def _close_rows(self, number: int, placed: Mapping[str, Published], gone: Iterable[str]) -> None:
        """End the validity of replaced and dropped rows; forget rows of this generation that were not put in place."""
        failed = [path for path in self.unfinished.rows if path not in placed]
        self._connection.executemany(
            "DELETE FROM output WHERE path = ? AND since = ?", ((_raw(path), number) for path in failed)
        )
        ended = [path for path in placed if path in self._manifest]
        self._connection.executemany(
            "UPDATE output SET until = ? WHERE path = ? AND since < ? AND until IS NULL",
            ((number, _raw(path), number) for path in [*ended, *gone]),
        )

    def _disown(self, paths: Iterable[str]) -> None:
        """Kept rows of paths that are gone, or that a newer row owns again, are history only."""
        again = [path for path in paths if path in self.kept]
        self._connection.executemany(
            "UPDATE output SET kept = 0 WHERE path = ? AND kept = 1", ((_raw(path),) for path in again)
        )

    def settle(self, in_place: Collection[str], owed: frozenset[Service] | None = None) -> None:
        """End an unfinished run: rows of ``in_place`` paths are true, the others never happened.

        The generation is abandoned: it cannot be rolled back to, but what it put in place is osrd's. ``owed`` of
        None leaves what is owed as it is.
        """
        number = self.unfinished.number
        placed = {path: row for path, row in self.unfinished.rows.items() if path in in_place}
        owed = self.owed if owed is None else owed
        with self._transaction():
            if number:
                self._close_rows(number, placed, ())
                self._disown(placed)
                if placed:
                    self._connection.execute("UPDATE generation SET state = 'abandoned' WHERE number = ?", (number,))
                else:
                    self._connection.execute("DELETE FROM generation WHERE number = ?", (number,))
            self._finish(owed, ())
        self._manifest.update(placed)
        self.kept.difference_update(placed)
        self._finished(owed, ())

    def put_back(self, number: int, restored: Iterable[Published], gone: Iterable[str]) -> None:
        """Take files out of generation ``number`` again: ``restored`` rows are valid as before it, ``gone`` paths
        were new in it."""
        rows = {row.path: row for row in restored}
        gone = list(gone)
        with self._transaction():
            self._connection.executemany(
                "DELETE FROM output WHERE path = ? AND since = ?", ((_raw(path), number) for path in [*rows, *gone])
            )
            self._connection.executemany(_INSERT.replace("INSERT", "REPLACE"), reading.to_rows(rows.values()))
            self._finish(self.owed, ())
        self._manifest.update(rows)
        for path in gone:
            self._manifest.pop(path, None)
        self._finished(self.owed, ())

    def repaid(self, owed: frozenset[Service]) -> None:
        """``owed`` is what is still owed after the reloads; writes nothing when that is no news."""
        if owed != self.owed:
            with self._transaction():
                self._put_owed(owed)
            self.owed = owed

    def _put_owed(self, owed: frozenset[Service]) -> None:
        if owed != self.owed:
            self._connection.execute("DELETE FROM owed")
            self._connection.executemany("INSERT INTO owed VALUES (?)", ((service.value,) for service in sorted(owed)))

    def _finish(self, owed: frozenset[Service], directories: Collection[str]) -> None:
        self._connection.execute("DELETE FROM repair")
        self._connection.executemany("DELETE FROM directory WHERE path = ?", ((_raw(path),) for path in directories))
        self._put_owed(owed)

    def _finished(self, owed: frozenset[Service], directories: Collection[str]) -> None:
        self.owed = owed
        self.directories.difference_update(directories)
        self.unfinished = Unfinished(0, {}, {})
        self._after_change()

    def _write_note(self, note: Note) -> "tuple[dict[str, bytes], dict[str, tuple[StoredPair, ...]], dict[str, str]]":
        """Write what differs of the note; gives the values that hold once the transaction is committed."""
        before, after = self._good_nodes, note.good_nodes
        changed = compress(after.items(), map(ne, after.values(), map(before.get, after)))
        self._connection.executemany("INSERT OR REPLACE INTO good_node VALUES (?, ?)", changed)
        self._connection.executemany(
            "DELETE FROM good_node WHERE name = ?", ((name,) for name in filterfalse(after.__contains__, before))
        )
        pairs = {root: _newest_first(pair, self._pairs.get(root, ())) for root, pair in note.pairs.items()}
        for root, items in pairs.items():
            if items != self._pairs.get(root):
                self._connection.execute("DELETE FROM pair WHERE root = ?", (root,))
                self._connection.executemany(
                    "INSERT INTO pair VALUES (?, ?, ?, ?)",
                    ((root, position, pair.kernel, pair.initrd) for position, pair in enumerate(items)),
                )
        notes = {"pin": str(note.pin), "pin_inputs": note.pin_inputs}
        self._connection.executemany(
            "INSERT OR REPLACE INTO note VALUES (?, ?)",
            ((key, value) for key, value in notes.items() if self._notes.get(key) != value),
        )
        return dict(after), {**self._pairs, **pairs}, {**self._notes, **notes}

    def note(self, note: Note) -> None:
        """Record a note with which no file changed; writes nothing when it says nothing new."""
        same_pin = note.pin == self.pin and note.pin_inputs == self.pin_inputs
        same_pairs = all(self._pairs.get(root, ())[:1] == (pair,) for root, pair in note.pairs.items())
        if same_pin and same_pairs and note.good_nodes == self._good_nodes:
            return
        with self._transaction():
            noted = self._write_note(note)
        self._good_nodes, self._pairs, self._notes = noted
        self._after_change()

    def _prune(self, keep: int, number: int, pin: int) -> None:
        """Forget generations beyond the newest ``keep``; the pinned one stays, and the one before the current, whose
        files a server that refuses the new ones gets back."""
        rows = self._connection.execute("SELECT number FROM generation WHERE state = 'complete' ORDER BY number DESC")
        numbers = [row[0] for row in rows]
        stay = {*numbers[: max(2, keep)], pin}
        self._connection.executemany(
            "DELETE FROM generation WHERE number = ?", ((old,) for old in numbers if old not in stay)
        )
        oldest = min(old for old in numbers if old in stay)
        self._connection.execute("DELETE FROM generation WHERE state = 'abandoned' AND number < ?", (oldest,))
        self._connection.execute("DELETE FROM output WHERE until IS NOT NULL AND until <= ? AND kept = 0", (oldest,))
        if number % _SWEEP_EVERY == 0:
            self._connection.execute("DELETE FROM content WHERE digest NOT IN (SELECT digest FROM output)")


def _create(connection: sqlite3.Connection) -> None:
    """Make the tables, all or none."""
    connection.execute(f"PRAGMA page_size = {reading.PAGE_SIZE}")
    connection.executescript(f"BEGIN; {reading.SCHEMA} PRAGMA user_version = {reading.SCHEMA_VERSION}; COMMIT;")


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """From ``version`` to today's, or not at all: SQLite's transactions hold for tables and for the number, too."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for each in range(version, reading.SCHEMA_VERSION):
            for statement in reading.MIGRATIONS[each]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {reading.SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _newest_first(pair: StoredPair, before: tuple[StoredPair, ...]) -> tuple[StoredPair, ...]:
    return (pair, *(old for old in before if old != pair))[:_PAIRS_LIMIT]


def _translated(error: Exception, file: str) -> OsrdError:
    """An SQLite error in osrd's words."""
    text = str(error)
    if "locked" in text:
        return BusyError(f"the state database {file} is in use by another process", "stop the other osrd")
    if isinstance(error, sqlite3.OperationalError) and "no such" not in text:
        return FailedError(
            f"cannot write the state database {file}: {text}",
            "free some space, or check the disk and its mount options; osrd tries again at the next run",
        )
    if isinstance(error, sqlite3.Error):
        return reading.damaged(file, error)
    return FailedError(f"the state database {file} holds what no osrd writes ({text})", "move it away")
