# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of what was prepared, ``.osrd/prepared.json``: enough to restore everything by hand.

It is written before the first change and after the last one; a run that was killed between has its changes in it, and
whatever it has changed has a backup.
"""

import json
import os
from dataclasses import dataclass, field

from osrd.apply.cdsl.work import make_work, sync_directory
from osrd.apply.files import put_in_place, remove_temp, temp_name, write_temp
from osrd.model.cdsl import WORK
from osrd.model.errors import ConflictError, FailedError, NotFoundError
from osrd.observe.inside import Inside
from osrd.parse.record import VERSION, check_version

RECORD = f"{WORK}/prepared.json"
#: bytes; a run on 1,000 nodes writes half a megabyte
_LIMIT = 64 << 20
_ABOUT = (
    "What osrctl root prepare changed in this root, newest run last. To restore a file by hand, move what `backup`"
    " names (a path in this root) back to `physical`; where there is no backup, nothing was there before, or"
    " the mode `old` tells. CDSLs are removed with osrctl cdsl remove."
)


@dataclass(slots=True)
class Entry:
    """One change. ``physical`` is where the bytes are, ``backup`` where the old ones are, both inside the root;
    ``state`` is planned, done, or failed with ``error``."""

    codes: tuple[str, ...]
    action: str
    path: str
    node: str
    text: str
    physical: str = ""
    backup: str = ""
    old: str = ""
    state: str = "planned"
    error: str = ""

    def as_mapping(self) -> dict[str, object]:
        everything = {name: getattr(self, name) for name in self.__slots__}
        needed = ("codes", "action", "path", "state")
        return {name: value for name, value in everything.items() if value or name in needed}


@dataclass(slots=True)
class Run:
    """One run of prepare. ``name`` is that of its directory of backups; ``when`` in seconds since the epoch."""

    name: str
    when: float
    version: str
    entries: list[Entry] = field(default_factory=list)
    state: str = "begun"

    def as_mapping(self) -> dict[str, object]:
        changes = [entry.as_mapping() for entry in self.entries]
        return {"name": self.name, "when": self.when, "osrd": self.version, "state": self.state, "changes": changes}


def write_record(inside: Inside, run: Run) -> None:
    """Put ``run`` into the record, in place of what it says about the same run. Raises ConflictError when the file is
    no record, UnsupportedError when it is a newer osrd's: it is not thrown away. Wants the root's lock."""
    make_work(inside)
    runs = [each for each in _runs(inside) if each.get("name") != run.name]
    record = {"version": VERSION, "about": _ABOUT, "runs": [*runs, run.as_mapping()]}
    data = json.dumps(record, indent=1).encode() + b"\n"
    try:
        with inside.holding(RECORD) as (directory, name):
            temp = temp_name(name, os.getpid())
            remove_temp(directory, temp)
            write_temp(directory, temp, data, 0o600, sync=True)
            put_in_place(directory, temp, name, fresh=False)
            sync_directory(directory)
    except OSError as error:
        raise FailedError(f"{inside.name(RECORD)}: {error.strerror}") from error


def _runs(inside: Inside) -> list[dict[str, object]]:
    try:
        record = json.loads(inside.read(RECORD, _LIMIT))
        check_version(record, inside.name(RECORD))
    except NotFoundError:
        return []
    except (ValueError, RecursionError) as error:
        raise _no_record(inside) from error
    runs = record.get("runs")
    if not isinstance(runs, list) or not all(isinstance(each, dict) for each in runs):
        raise _no_record(inside)
    return runs


def _no_record(inside: Inside) -> ConflictError:
    name = inside.name(RECORD)
    return ConflictError(f"{name} is no record of what was prepared", f"move it away: mv {name} {name}.old")
