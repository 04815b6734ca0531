# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd's own directory in a shared root, ``.osrd``: lock, journals with what they stage and displace, backups."""

import os
import stat

from osrd.model.cdsl import WORK
from osrd.model.errors import ConflictError, FailedError, NotAuthorizedError, NotFoundError
from osrd.observe.inside import Inside

LOCK = f"{WORK}/lock"
TRANSACTIONS = f"{WORK}/tx"
BACKUP = f"{WORK}/backup"


def verify_work(inside: Inside) -> bool:
    """Whether ``.osrd`` is there. Raises ConflictError when it is not a directory that only its owner, the user osrd
    runs as, can enter: copies of files that some node keeps secret lie below. Raises NotAuthorizedError for a user
    who is not root when it is root's, as it should be."""
    found = inside.status(WORK)
    if found is None:
        return False
    name = inside.name(WORK)
    if not stat.S_ISDIR(found.st_mode):
        raise ConflictError(f"{name} is no directory", "look who put it there, and remove what is there")
    if found.st_uid == 0 != os.geteuid():
        raise NotAuthorizedError(f"{name} is root's alone", "become root")
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ConflictError(
            f"{name} must belong to user {os.geteuid()} alone (mode 0700), but it belongs to user {found.st_uid}"
            f" with mode {stat.S_IMODE(found.st_mode):04o}",
            f"look what is in it, then chown and chmod 0700 {name}",
        )
    return True


def make_work(inside: Inside) -> None:
    """Make ``.osrd`` on first use and verify it each time. Raises ConflictError, FailedError."""
    if not verify_work(inside):
        make_directory(inside, WORK)
        verify_work(inside)


def make_directory(inside: Inside, path: str) -> bool:
    """A directory for us alone, unless one is there; whether it is new. Its name is durable. Raises FailedError;
    ConflictError when something else is there."""
    try:
        with inside.holding(path) as (parent, name):
            os.mkdir(name, 0o700, dir_fd=parent)
            sync_directory(parent)
    except FileExistsError:
        os.close(_directory(inside, path))
        return False
    except OSError as error:
        raise FailedError(f"{inside.name(path)}: {error.strerror}") from error
    return True


def _directory(inside: Inside, path: str) -> int:
    try:
        return inside.directory(path)
    except NotFoundError as error:
        raise ConflictError(
            f"{inside.name(path)} is no directory", "look who put it there, and remove what is there"
        ) from error


def sync_directory(place: int) -> None:
    """The names in the directory are on the disk; ``place`` may be an O_PATH descriptor. Raises OSError."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
