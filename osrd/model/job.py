# SPDX-License-Identifier: GPL-3.0-or-later
"""A long operation as callers see it (DESIGN 7, Job)."""

from dataclasses import dataclass, field
from enum import StrEnum


class JobKind(StrEnum):
    RECONCILE = "reconcile"
    APPLY = "apply"
    VERIFY = "verify"
    ROLLBACK = "rollback"
    RELOAD = "reload"
    EDIT = "edit"
    CDSL_INIT = "cdsl-init"
    CDSL_MAKE = "cdsl-make"
    CDSL_SHARE = "cdsl-share"
    CDSL_REMOVE = "cdsl-remove"
    CDSL_REPAIR = "cdsl-repair"
    CDSL_CONVERT = "cdsl-convert"
    CDSL_UNDO = "cdsl-undo"
    CDSL_ADOPT = "cdsl-adopt"
    CDSL_ARCHIVE = "cdsl-archive"
    CDSL_DROP = "cdsl-drop"
    CDSL_FOLLOW = "cdsl-follow"  # osrd's own: a node came, or a killed change is settled
    BIND_LINK = "bind-link"
    INITRD_BUILD = "initrd-build"
    INITRD_ROLLBACK = "initrd-rollback"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Job:
    """A snapshot of a job. ``progress`` runs from 0.0 to 1.0; ``owner`` is the uid that asked; ``result`` is filled
    at the end (``generation``, ``written``, ``removed``, ``drift``... as plain values); ``error`` names the class of
    the failure (``Conflict``), "" otherwise."""

    number: int
    kind: JobKind
    state: JobState
    progress: float = 0.0
    message: str = ""
    target: str = ""
    owner: int = 0
    error: str = ""
    result: dict[str, "str | int | bool | tuple[str, ...]"] = field(default_factory=dict)
