# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of a shared root as data: what is staged, and which names then change hands (DESIGN 5, CDSL engine).

A transaction stages every new object in its own directory (``.osrd/tx/N/new/K``), is committed by one record, and
then performs its exchanges in order. All paths are physical, relative to the root of the file system.
"""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class CopyTree:
    """Copy ``source`` with everything about it to ``at`` below the staged object ("" is the object itself).

    ``final`` is the path that the copy has in the end: relative symlinks that lead out of ``source`` are rewritten
    to mean the same from there.
    """

    source: str
    at: str
    final: str


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """A new directory with owner, mode, ACLs and labels of ``like`` ("": root's, 0755)."""

    at: str
    like: str = ""


@dataclass(frozen=True, slots=True)
class MakeLink:
    """A symlink, in place of the symlink that a copy left at ``at`` if there is one. ``like`` as for directories,
    the owner only."""

    at: str
    text: str


@dataclass(frozen=True, slots=True)
class MakeFile:
    at: str
    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class DropLink:
    """Remove the symlink that a copy brought along."""

    at: str


@dataclass(frozen=True, slots=True)
class DropTree:
    """Remove the file or directory, with all that is in it, that a copy brought along."""

    at: str


Step = CopyTree | MakeDirectory | MakeLink | MakeFile | DropLink | DropTree


class Replaces(StrEnum):
    """What must be at a path when its turn comes."""

    NOTHING = "nothing"
    SOMETHING = "something"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One name that changes hands: what ``build`` made comes to ``at``, what was there goes away.

    Without ``build`` nothing new comes. ``new_link`` and ``old_link`` are the texts of the new and the present object
    when they are symlinks (None: no symlink); by them recovery tells whether this exchange has happened. What was
    there goes to ``keep`` (a path inside the root), or with "" to the undo slot, where it stays until the next
    transaction.
    """

    at: str
    build: tuple[Step, ...] = ()
    replaces: Replaces = Replaces.NOTHING
    new_link: str | None = None
    old_link: str | None = None
    keep: str = ""


@dataclass(frozen=True, slots=True)
class Transaction:
    """``title`` says what it does (``make /var host-dependent``); ``watched`` are the paths whose content must not
    change while it is copied; ``inventory`` are the bytes of the inventory afterwards, None when it stays."""

    title: str
    exchanges: tuple[Exchange, ...]
    watched: tuple[str, ...] = ()
    inventory: bytes | None = None
    lines: tuple[str, ...] = ()
    backups: tuple[str, ...] = ()
