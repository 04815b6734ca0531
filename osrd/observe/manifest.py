# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the state database: what osrd published, when, and from what. Nothing here writes a byte.

An output's row is valid for the generations ``since <= g < until`` (``until`` NULL: still); that one table is the
manifest, the history and the ownership record. ``kept`` marks files that no longer belong to the current generation
but stay on the disk, and osrd's, because an earlier one may be rolled back to.

Paths are blobs, since a file name may hold any bytes; everything else that is text is UTF-8.
"""

import os
import sqlite3
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from osrd.model.errors import FailedError, NotFoundError, UnsupportedError
from osrd.model.netboot import StoredPair
from osrd.model.output import Kind, Published, Service, Stage
from osrd.model.view import Generation

SCHEMA_VERSION = 1

#: Version to the statements that make the next one of it; all that are needed are one transaction (osrd.apply.store).
#: Never edited once released: what a version was is in tests/fixtures.
MIGRATIONS: Mapping[int, tuple[str, ...]] = {}

#: The 100 bytes that every SQLite file begins with have the application's version at this place (sqlite.org, 1.3.14).
_MAGIC, _VERSION_AT, _HEADER = b"SQLite format 3\0", 60, 100

#: Bytes of a page: a menu is a fifth of SQLite's usual ones, and larger ones hold more with less work.
PAGE_SIZE = 16384

#: A list of values would be set up anew for every row that is written.
_HEAVY = "(kind = 'loader' OR kind = 'kernel' OR kind = 'initrd')"

SCHEMA = f"""
CREATE TABLE generation (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    reason TEXT NOT NULL,
    config_version INTEGER NOT NULL,
    written INTEGER NOT NULL DEFAULT 0,
    removed INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL CHECK (state IN ('publishing', 'complete', 'abandoned'))
);
CREATE TABLE output (
    path BLOB NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    kept INTEGER NOT NULL DEFAULT 0,
    kind TEXT NOT NULL,
    stage INTEGER NOT NULL,
    recipe TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    node TEXT NOT NULL,
    made_from BLOB NOT NULL,
    PRIMARY KEY (path, since)
) WITHOUT ROWID;
CREATE INDEX output_closed ON output (until) WHERE until IS NOT NULL;
CREATE INDEX output_heavy ON output (kind) WHERE {_HEAVY};
CREATE TABLE content (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, data BLOB NOT NULL);
CREATE TABLE repair (path BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE directory (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE good_node (name TEXT PRIMARY KEY, source BLOB NOT NULL);
CREATE TABLE pair (
    root TEXT, position INTEGER, kernel TEXT NOT NULL, initrd TEXT NOT NULL, PRIMARY KEY (root, position)
);
CREATE TABLE owed (service TEXT PRIMARY KEY);
CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_COLUMNS = "path, kind, stage, recipe, digest, size, mode, node, since, made_from"
_SAME = "sha256"  # a recipe that is the digest

Row = tuple[bytes, str, int, str, str, int, int, str, int, bytes]


def file_name(state: str) -> str:
    """The database file in the state directory."""
    return os.path.join(state, "state.db")


def damaged(file: str, error: sqlite3.Error) -> FailedError:
    """The database cannot be read as one: what happened and the way out."""
    return FailedError(
        f"the state database {file} is damaged ({error})",
        "restore it from a backup, or move it away: osrd then takes over published files whose content is right and "
        "names the others",
    )


def check_header(file: str) -> None:
    """Raises UnsupportedError for the database of a newer osrd. To be asked before SQLite opens the file: opening one
    that was being written when its writer was killed rolls that back, and that is for the newer osrd to do. Anything
    else is left to SQLite."""
    try:
        with open(file, "rb") as opened:
            header = opened.read(_HEADER)
    except OSError:
        return
    if header.startswith(_MAGIC) and len(header) == _HEADER:
        _check(int.from_bytes(header[_VERSION_AT : _VERSION_AT + 4], "big", signed=True), file)


def check_version(connection: sqlite3.Connection, file: str) -> int:
    """The schema version, 0 for an empty file. Raises UnsupportedError for one from a newer osrd."""
    try:
        return _check(int(connection.execute("PRAGMA user_version").fetchone()[0]), file)
    except sqlite3.DatabaseError as error:
        raise damaged(file, error) from error


def _check(version: int, file: str) -> int:
    if version > SCHEMA_VERSION:
        raise UnsupportedError(
            f"the state database {file} was written by a newer osrd (schema version {version}, this one knows"
            f" {SCHEMA_VERSION})",
            f"install that osrd or a newer one, or move {file} away: osrd then takes over published files whose"
            " content is right and names the others",
        )
    if version < 0:
        raise damaged(file, sqlite3.DatabaseError(f"schema version {version}"))
    return version


def open_read_only(state: str) -> sqlite3.Connection:
    """A connection that cannot write, for osrctl while no daemon runs.

    Raises NotFoundError when nothing was ever published from ``state``, FailedError when the file is no database
    or the daemon was killed while writing (only a writer may roll that back), UnsupportedError.
    """
    file = file_name(state)
    if not os.path.exists(file):
        raise NotFoundError(f"there is no state database {file}; nothing was published yet")
    check_header(file)
    connection = sqlite3.connect(f"file:{quote(file)}?mode=ro", uri=True, isolation_level=None)
    version = check_version(connection, file)
    if version < SCHEMA_VERSION:
        connection.close()
        raise UnsupportedError(
            f"the state database {file} was written by an older osrd (schema version {version})",
            "start osrd once: it brings it up to date",
        )
    return connection


def from_rows(rows: Iterable[Row]) -> dict[str, Published]:
    """Manifest rows as values. Equal strings of neighbours are shared: 30,000 rows have a handful of origins."""
    kinds = {kind.value: kind for kind in Kind}
    stages = {stage.value: stage for stage in Stage}
    origins: dict[bytes, tuple[str, ...]] = {}
    manifest = {}
    for raw, kind, stage, recipe, digest, size, mode, node, since, made_from in rows:
        path = raw.decode("utf-8", "surrogateescape")
        origin = origins.get(made_from)
        if origin is None:
            text = made_from.decode("utf-8", "surrogateescape")
            origin = origins[made_from] = tuple(text.split("\0")) if text else ()
        own = digest if recipe == _SAME else recipe
        manifest[path] = Published(path, kinds[kind], stages[stage], own, digest, size, mode, node, since, origin)
    return manifest


def to_rows(outputs: Iterable[Published]) -> Iterable[Row]:
    """The reverse of ``from_rows``."""
    origins: dict[tuple[str, ...], bytes] = {}
    for output in outputs:
        origin = origins.get(output.made_from)
        if origin is None:
            origin = origins[output.made_from] = "\0".join(output.made_from).encode("utf-8", "surrogateescape")
        digest, recipe = output.digest, output.recipe
        yield (
            output.path.encode("utf-8", "surrogateescape"),
            output.kind.value,
            output.stage.value,
            _SAME if recipe == digest else recipe,
            digest,
            output.size,
            output.mode,
            output.node,
            output.generation,
            origin,
        )


def owned(connection: sqlite3.Connection) -> dict[str, Published]:
    """The manifest: every file that is osrd's, rows of an unfinished generation aside."""
    return from_rows(
        connection.execute(
            f"SELECT {_COLUMNS} FROM output WHERE (until IS NULL OR kept = 1) AND since NOT IN"
            " (SELECT number FROM generation WHERE state = 'publishing')"
        )
    )


def kept(connection: sqlite3.Connection) -> set[str]:
    """Owned paths that are not part of the current generation."""
    rows = connection.execute("SELECT path FROM output WHERE until IS NOT NULL AND kept = 1")
    return {path.decode("utf-8", "surrogateescape") for (path,) in rows}


def outputs_of(connection: sqlite3.Connection, number: int) -> dict[str, Published]:
    """All outputs of one generation. Raises NotFoundError when it is unknown, pruned or was never finished."""
    states = connection.execute("SELECT state FROM generation WHERE number = ?", (number,)).fetchall()
    if states != [("complete",)]:
        raise NotFoundError(f"there is no generation {number}", "see 'osrctl generations' for those that are kept")
    query = f"SELECT {_COLUMNS} FROM output WHERE since <= ? AND (until IS NULL OR until > ?)"
    return from_rows(connection.execute(query, (number, number)))


def unfinished(connection: sqlite3.Connection) -> tuple[int, dict[str, Published], dict[str, int]]:
    """What a killed run left: its generation (0: none), that generation's rows, and repairs with the number that is
    in their temporary names."""
    numbers = connection.execute("SELECT number FROM generation WHERE state = 'publishing'").fetchall()
    number = numbers[0][0] if numbers else 0
    rows = from_rows(connection.execute(f"SELECT {_COLUMNS} FROM output WHERE since = ?", (number,))) if number else {}
    repairs = connection.execute("SELECT path, number FROM repair").fetchall()
    return number, rows, {path.decode("utf-8", "surrogateescape"): suffix for path, suffix in repairs}


def generations(connection: sqlite3.Connection, pin: int = 0) -> tuple[Generation, ...]:
    """Finished generations, newest first; the newest is the current one."""
    rows = connection.execute(
        "SELECT number, time, reason, config_version, written, removed FROM generation"
        " WHERE state = 'complete' ORDER BY number DESC"
    )
    return tuple(
        Generation(number, when, reason, version, written, removed, index == 0, number == pin)
        for index, (number, when, reason, version, written, removed) in enumerate(rows)
    )


def retained(connection: sqlite3.Connection) -> frozenset[str]:
    """Paths of loaders, kernels and initrds that a stored generation refers to."""
    rows = connection.execute(
        f"SELECT path FROM output WHERE {_HEAVY} AND EXISTS"
        " (SELECT 1 FROM generation"
        "  WHERE state = 'complete' AND number >= since AND (until IS NULL OR number < until))"
    )
    return frozenset(path.decode("utf-8", "surrogateescape") for (path,) in rows)


def content(connection: sqlite3.Connection, digest: str) -> bytes | None:
    """Stored text content by its sha256 (hex), None for files that are too large to store or long pruned."""
    row = connection.execute("SELECT data FROM content WHERE digest = ?", (digest,)).fetchone()
    return bytes(row[0]) if row else None


def good_nodes(connection: sqlite3.Connection) -> dict[str, bytes]:
    """Node name to the last published source of its ``<clusternode>``."""
    return dict(connection.execute("SELECT name, source FROM good_node"))


def pairs(connection: sqlite3.Connection) -> dict[str, tuple[StoredPair, ...]]:
    """Root name to the kernel and initrd pairs it had, newest first."""
    found: dict[str, list[StoredPair]] = {}
    for root, kernel, initrd in connection.execute("SELECT root, kernel, initrd FROM pair ORDER BY root, position"):
        found.setdefault(root, []).append(StoredPair(kernel, initrd))
    return {root: tuple(items) for root, items in found.items()}


def owed(connection: sqlite3.Connection) -> frozenset[Service]:
    """Servers that have not been told yet what changed."""
    return frozenset(Service(name) for (name,) in connection.execute("SELECT service FROM owed"))


def directories(connection: sqlite3.Connection) -> set[str]:
    """Directories that osrd made, and removes again when they are empty."""
    return {path.decode("utf-8", "surrogateescape") for (path,) in connection.execute("SELECT path FROM directory")}


def notes(connection: sqlite3.Connection) -> dict[str, str]:
    """Small values by name."""
    return dict(connection.execute("SELECT key, value FROM note"))
