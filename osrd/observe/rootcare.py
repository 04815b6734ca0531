# SPDX-License-Identifier: GPL-3.0-or-later
"""A root as the rules of osrd.plan.rootcare read it: inside the root only, regular files only, bounded."""

import stat

from osrd.model.cdsl import INVENTORY, OLD_INVENTORY, FileKind, Seen
from osrd.model.errors import ConflictError, NotFoundError
from osrd.observe.inside import Inside
from osrd.plan.rootcare.lines import LARGEST


class InsideReader:
    """See osrd.plan.rootcare.view.Reader."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    def look(self, path: str) -> Seen | None:
        return self._inside.look(path)

    def names(self, path: str) -> tuple[str, ...]:
        seen = self._inside.look(path)
        if seen is None:
            return ()
        if seen.kind is not FileKind.DIRECTORY:
            raise ConflictError(
                f"{self._inside.name(path)} is no directory", "look who put it there, and put the directory back"
            )
        try:
            return tuple(self._inside.names(path))
        except NotFoundError:
            return ()  # gone meanwhile

    def read(self, path: str) -> bytes | None:
        try:
            return self._inside.read(path, LARGEST)
        except NotFoundError:
            return None

    def mode(self, path: str) -> int | None:
        status = self._inside.status(path)
        return None if status is None else stat.S_IMODE(status.st_mode)


def read_inventory(inside: Inside, limit: int) -> tuple[bytes, str] | None:
    """The inventory's bytes and its path inside the root; None when the root has none."""
    for path in (INVENTORY, OLD_INVENTORY):
        try:
            if inside.look(path) is not None:
                return inside.read(path, limit), path
        except NotFoundError:
            continue
        except ConflictError:
            # The old place is below /var, which may be a CDSL's link by now; the one at the top is never a link.
            if path == INVENTORY:
                raise
    return None
