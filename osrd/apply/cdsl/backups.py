# SPDX-License-Identifier: GPL-3.0-or-later
"""What was kept because node copies differed: listed, and removed when somebody says so by name, never otherwise."""

from osrd.apply.cdsl.confined import Confined, Job, place
from osrd.apply.cdsl.work import BACKUP, verify_work
from osrd.model.errors import NotFoundError
from osrd.observe.inside import Inside


def backups(inside: Inside) -> tuple[str, ...]:
    """The names of the backups, oldest first (they begin with the time)."""
    if not verify_work(inside) or inside.status(BACKUP) is None:
        return ()
    return tuple(sorted(inside.names(BACKUP)))


def drop_backup(inside: Inside, name: str) -> None:
    """Remove a backup with everything in it. Raises NotFoundError, FailedError. Wants the root's lock to be held."""
    if name not in backups(inside):
        raise NotFoundError(f"{inside.path} has no backup {name!r}", "osrctl cdsl backups list ROOT shows their names")
    with Confined(inside) as confined:
        confined.run([Job(("rm", "-rf", "--one-file-system", "--", place(f"{BACKUP}/{name}")))])
