# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception family of osrd. The class is the machine-readable part: the bus layer maps it to an error
name (DESIGN 7), osrctl to an exit status. The text is for people and never holds a traceback (law 9)."""


class OsrdError(Exception):
    """Base of everything osrd raises on purpose. ``fix`` is the way out, "" when the message already says it.
    ``passing``: this host is to blame, and not what was worked with: the very same may go well later."""

    passing = False

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}" if self.fix else self.message


class InvalidConfigError(OsrdError):
    """An input file cannot be read as what it should be; nothing of it was used."""


class InvalidArgsError(OsrdError):
    """A caller's argument is malformed."""


class NotFoundError(OsrdError):
    """A node, generation, job or root that was named does not exist."""


class ConflictError(OsrdError):
    """The world moved since the caller looked: other config_version, other plan, other owner of a file."""


class NotAuthorizedError(OsrdError):
    """polkit (or the rule for hosts without polkit) said no."""


class BusyError(OsrdError):
    """Another osrd, or another job, holds what this one needs."""


class UnsupportedError(OsrdError):
    """Asked for something this host or this version cannot do."""


class FailedError(OsrdError):
    """A step failed for a reason outside osrd: full disk, a program's exit status."""

    def __init__(self, message: str, fix: str = "", *, passing: bool = False) -> None:
        super().__init__(message, fix)
        self.passing = passing


class CancelledError(OsrdError):
    """Whoever asked for the work took the request back; nothing of it was done."""
