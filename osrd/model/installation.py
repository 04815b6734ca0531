# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that osrd puts into a directory that is not its own (a shared root), so that it can take them back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class InstalledFile:
    data: bytes = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Found:
    """What is at the path of a file: its content and mode, None for something that is no regular file."""

    data: bytes | None = field(repr=False)
    mode: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """What was made: the digests that each file may have (two while it is being changed), and the directories."""

    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    directories: tuple[str, ...] = ()


class Verb(StrEnum):
    CREATE = "create"
    REPLACE = "replace"
    PERMIT = "permit"  # other permission bits only
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """One change. ``was`` is what the file must still hold, None: nothing may be there."""

    verb: Verb
    path: str
    data: bytes = field(default=b"", repr=False)
    mode: int = 0o644
    was: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Steps:
    """``record`` is what will have been made. ``foreign``: somebody else's files are in the way. ``edited``: ours that
    were changed by somebody since; they stay."""

    steps: tuple[Step, ...]
    record: Record
    foreign: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
