# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference between what should be and what is, as data: printable, hashable, applied in order."""

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from osrd.model.finding import Finding
from osrd.model.output import Kind, Output, Published, Service
from osrd.model.value import value


class Reason(StrEnum):
    """Why an action is needed; also its text in plans, signals and the journal."""

    NEW = "new"  # should be there and never was
    CHANGED = "changed"  # its inputs changed
    DRIFT = "drift"  # somebody changed or deleted what osrd published
    OBSOLETE = "obsolete"  # osrd published it and nothing wants it any more
    OWED = "owed"  # a reload that an earlier run could not finish


@value
class Write:
    """Put ``output`` in place atomically. ``before`` is the digest found there, "" when nothing is."""

    output: Output
    reason: Reason
    before: str = ""

    def __str__(self) -> str:
        return f"write {self.output.path} ({self.reason}) {self.output.recipe}"


@dataclass(frozen=True, slots=True)
class Adopt:
    """Record ``output`` as published: exactly this content is at its path already, but the manifest does not know."""

    output: Output

    def __str__(self) -> str:
        return f"adopt {self.output.path} {self.output.recipe}"


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a file that the manifest owns and whose content is still what osrd wrote."""

    published: Published
    reason: Reason = Reason.OBSOLETE

    def __str__(self) -> str:
        return f"remove {self.published.path} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop a manifest row whose file is gone or is no longer osrd's; nothing on the disk is touched."""

    published: Published

    def __str__(self) -> str:
        return f"forget {self.published.path}"


@dataclass(frozen=True, slots=True)
class ReloadService:
    """Tell a server to read its files again, after all writes."""

    service: Service
    reason: Reason

    def __str__(self) -> str:
        return f"reload {self.service} ({self.reason})"


Action = Write | Adopt | Remove | Forget | ReloadService


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in the order in which they are applied, and what could not be planned.

    ``digest`` identifies the plan: equal digests mean the same actions with the same content on the same files.
    ``kept`` names owned files that only an earlier generation wants, one that may be rolled back to.
    """

    actions: tuple[Action, ...] = ()
    findings: tuple[Finding, ...] = field(default=(), compare=False)
    kept: tuple[str, ...] = field(default=(), compare=False)

    @property
    def digest(self) -> str:
        return sha256("\n".join(str(action) for action in self.actions).encode()).hexdigest()[:16]

    @property
    def drift(self) -> tuple[str, ...]:
        """The paths whose content is not what osrd published."""
        return tuple(
            action.output.path
            for action in self.actions
            if isinstance(action, Write) and action.reason is Reason.DRIFT
        )

    def touches(self, kind: Kind) -> bool:
        return any(
            (isinstance(action, Write) and action.output.kind is kind)
            or (isinstance(action, Remove) and action.published.kind is kind)
            for action in self.actions
        )
