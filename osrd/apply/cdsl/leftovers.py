# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing what a transaction does not need any more: staged objects, displaced ones, its record."""

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from osrd.apply.cdsl.confined import Confined, Job, place
from osrd.apply.cdsl.journal import remove_journal
from osrd.apply.cdsl.work import TRANSACTIONS
from osrd.model.errors import ConflictError, FailedError, NotFoundError, OsrdError
from osrd.observe.inside import Inside

_RM = ("rm", "-rf", "--one-file-system", "--")


def remove_transaction(inside: Inside, confined: Confined, number: int) -> list[str]:
    """Remove all of ``.osrd/tx/N``, its record last; what could not be removed, for people. Nothing of it is needed,
    so nothing that goes wrong here is an error."""
    directory = f"{TRANSACTIONS}/{number}"
    try:
        failed = _emptied(inside, confined, [f"{directory}/new", f"{directory}/old"])
        if not failed:
            remove_journal(inside, number)
        return failed
    except OsrdError as error:
        return [f"{inside.name(directory)} could not be removed: {error.message}"]
    except OSError as error:
        return [f"{inside.name(directory)} could not be removed: {error.strerror}"]


def _emptied(inside: Inside, confined: Confined, directories: Iterable[str]) -> list[str]:
    """Remove directories with all that is in them: small objects at once, trees by rm, several at a time."""
    jobs = []
    present = []
    for directory in directories:
        try:
            names = inside.names(directory)
        except NotFoundError:
            continue
        present.append(directory)
        trees = [name for name in names if not _unlinked(inside, f"{directory}/{name}")]
        jobs += [Job((*_RM, place(f"{directory}/{name}"))) for name in trees]
    failed = confined.run_all(jobs)
    if not failed:
        for directory in present:
            with inside.holding(directory) as (parent, name):
                os.rmdir(name, dir_fd=parent)
    return failed


def _unlinked(inside: Inside, path: str) -> bool:
    """Remove anything but a directory, which it tells by False."""
    with inside.holding(path) as (parent, name):
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            return False
        os.unlink(name, dir_fd=parent)
    return True


def remove_unrecorded(inside: Inside, number: int) -> None:
    """A transaction directory without a record: nothing was staged yet, or somebody removed the record. Only if it
    holds nothing is it removed; raises ConflictError otherwise."""
    directory = f"{TRANSACTIONS}/{number}"
    for path in (f"{directory}/new", f"{directory}/old"):
        _remove_empty(inside, path)
    try:
        remove_journal(inside, number)
    except FailedError as error:
        raise ConflictError(
            f"{inside.name(directory)} holds files but no journal",
            "look what is in it, put back what belongs elsewhere, and remove the directory",
        ) from error


def remove_made(inside: Inside, made: Iterable[str]) -> None:
    """Remove directories that were made for kept objects, innermost first, if they are empty."""
    for path in sorted(made, key=len, reverse=True):
        _remove_empty(inside, path)


def _remove_empty(inside: Inside, path: str) -> None:
    with suppress(NotFoundError):
        try:
            with inside.holding(path) as (parent, name):
                os.rmdir(name, dir_fd=parent)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise FailedError(f"{inside.name(path)}: {error.strerror}") from error
