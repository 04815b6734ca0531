# SPDX-License-Identifier: GPL-3.0-or-later
"""What is at the places of files that osrd puts into a root, and the record of what it has put there."""

import json
import os
import stat
from collections.abc import Iterable, Mapping

from osrd.model.errors import ConflictError, NotFoundError
from osrd.model.installation import Found, Record
from osrd.observe.inside import Inside
from osrd.parse.record import check_version

#: of one file, and of the record
_LARGEST = 8 << 20
_LARGEST_RECORD = 64 << 20


def look_at(inside: Inside, paths: Iterable[str]) -> Mapping[str, Found]:
    """What is at these paths, as far as there is something. Raises ConflictError for a symlink on the way."""
    found = {}
    for path in paths:
        status = inside.status(path)
        if status is not None:
            data = content(inside, path) if stat.S_ISREG(status.st_mode) else None
            found[path] = Found(data, stat.S_IMODE(status.st_mode))
    return found


def content(inside: Inside, path: str) -> bytes | None:
    """All of a regular file, None when it is too big to be one of ours. Raises NotFoundError, ConflictError."""
    fd = inside.regular(path)
    try:
        return os.pread(fd, _LARGEST, 0) if os.fstat(fd).st_size < _LARGEST else None
    finally:
        os.close(fd)


def read_record(inside: Inside, place: str) -> Record:
    """The record at ``place``. Raises ConflictError when there is something else, UnsupportedError for one of a newer
    osrd."""
    try:
        record = json.loads(inside.read(place, _LARGEST_RECORD))
        check_version(record, inside.name(place))
        files = {path: tuple(map(str, digests)) for path, digests in record["files"].items()}
        return Record(files, tuple(map(str, record["directories"])))
    except NotFoundError:
        return Record()
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        name = inside.name(place)
        raise ConflictError(
            f"{name} is no record of what was installed", f"move it away: mv {name} {name}.old"
        ) from error
