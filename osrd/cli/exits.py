# SPDX-License-Identifier: GPL-3.0-or-later
"""Exit statuses of osrctl: the one table from what went wrong to a number for scripts (osrctl(8), EXIT STATUS)."""

from enum import IntEnum

from osrd.model import errors


class Exit(IntEnum):
    """Stable for ever; 0 to 3 are also the grades of ``osrctl check``."""

    OK = 0
    NEGATIVE = 1  # the command worked and its answer is no: warnings, stale files, not in sync, question declined
    USAGE = 2  # the command line or an argument is wrong; for check: the file has errors
    UNREADABLE = 3  # the input is not a cluster.conf, or cannot be read at all
    UNREACHABLE = 4  # osrd does not run, or there is no bus
    NOT_AUTHORIZED = 5
    NOT_FOUND = 6
    CONFLICT = 7
    FAILED = 8
    BUSY = 9
    UNSUPPORTED = 10
    INTERRUPTED = 130  # Ctrl-C, like a shell says it: 128 + SIGINT
    BROKEN_PIPE = 141  # whoever read the output went away (osrctl nodes | head): 128 + SIGPIPE


class UnreachableError(errors.OsrdError):
    """There is no osrd to talk to."""


_STATUS: dict[type[errors.OsrdError], tuple[str, Exit]] = {
    UnreachableError: ("Unreachable", Exit.UNREACHABLE),
    errors.InvalidArgsError: ("InvalidArgs", Exit.USAGE),
    errors.InvalidConfigError: ("InvalidConfig", Exit.UNREADABLE),
    errors.NotAuthorizedError: ("NotAuthorized", Exit.NOT_AUTHORIZED),
    errors.NotFoundError: ("NotFound", Exit.NOT_FOUND),
    errors.ConflictError: ("Conflict", Exit.CONFLICT),
    errors.BusyError: ("Busy", Exit.BUSY),
    errors.UnsupportedError: ("Unsupported", Exit.UNSUPPORTED),
    errors.FailedError: ("Failed", Exit.FAILED),
    errors.CancelledError: ("Cancelled", Exit.INTERRUPTED),
}
_CLASSES = {name: kind for kind, (name, _) in _STATUS.items()}


def status_of(error: errors.OsrdError) -> tuple[str, Exit]:
    """The name (the last part of the D-Bus error name) and the exit status of an error."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return "Failed", Exit.FAILED


def error_named(name: str, message: str) -> errors.OsrdError:
    """The error that a job's property Error names (``Conflict``); names nobody knows are failures."""
    return _CLASSES.get(name, errors.FailedError)(message)
