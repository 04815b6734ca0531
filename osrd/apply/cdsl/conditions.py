# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be so before a transaction commits, and before it is undone: otherwise nothing is touched."""

import os
import stat
from collections.abc import Sequence

from osrd.apply.cdsl.exchange import thing_at
from osrd.apply.cdsl.journal import Journal, Thing, movable
from osrd.apply.cdsl.work import BACKUP
from osrd.model.cdsl import INVENTORY
from osrd.model.errors import ConflictError
from osrd.model.transaction import CopyTree, Exchange, Replaces
from osrd.observe.copies import measure
from osrd.observe.inside import Inside, is_plain


class Before:
    """The state that the exchanges of a transaction will meet. A later exchange may be inside what an earlier one
    brings; before the commit that is still staged (``journal`` None: it is not even built, and not looked at)."""

    def __init__(self, inside: Inside, exchanges: Sequence[Exchange], journal: Journal | None) -> None:
        self._inside = inside
        self._exchanges = exchanges
        self._journal = journal
        self._latest: dict[str, int] = {}

    def check(self) -> tuple[Thing | None, ...]:
        """What is at each exchange's ``at``. Raises ConflictError naming the first path that is not as it must be."""
        found = []
        for index, exchange in enumerate(self._exchanges):
            self._check_paths(exchange)
            found.append(self._old(exchange))
            self._latest[exchange.at] = index
        return tuple(found)

    def _check_paths(self, exchange: Exchange) -> None:
        paths = [exchange.at, *([exchange.keep] if exchange.keep else [])]
        wrong = [path for path in paths if not movable(path)]
        wrong += [step.at for step in exchange.build if step.at and not is_plain(step.at)]
        wrong += [step.source for step in exchange.build if isinstance(step, CopyTree) and not is_plain(step.source)]
        if wrong or not (exchange.build or exchange.replaces is Replaces.SOMETHING):
            raise ConflictError(f"{(wrong or paths)[0]!r} cannot change hands in {self._inside.path}")
        if exchange.keep and self._inside.status(exchange.keep) is not None:
            raise ConflictError(
                f"{self._inside.name(exchange.keep)} exists: {exchange.at!r} cannot be kept there",
                "move it away first",
            )
        if exchange.keep and not exchange.keep.startswith(f"{BACKUP}/"):
            os.close(self._inside.directory(exchange.keep.rpartition("/")[0]))

    def _old(self, exchange: Exchange) -> Thing | None:
        place = self._place(exchange.at)
        if place is None:
            return None
        old = thing_at(self._inside, place)
        name = self._inside.name(exchange.at)
        if exchange.replaces is Replaces.NOTHING:
            if old is not None:
                raise ConflictError(f"{name} exists already", "look what it is, and move it away")
        elif old is None:
            raise ConflictError(f"{name} is gone", "try again")
        elif old.link != exchange.old_link:
            was = "no symlink" if exchange.old_link is None else f"a symlink to {exchange.old_link!r}"
            now = "none" if old.link is None else f"one to {old.link!r}"
            raise ConflictError(f"{name} was {was} and now is {now}", "try again")
        return old

    def _place(self, at: str) -> str | None:
        """Where what will be at ``at`` is now; None when it is not there yet."""
        best, rest, above = -1, "", at
        while above:
            index = self._latest.get(above, -1)
            if index > best:
                best, rest = index, at[len(above) :]
            above = above.rpartition("/")[0]
        if best < 0:
            return at
        if self._journal is None or not self._exchanges[best].build:
            return None
        return self._journal.new(best) + rest


def check_inventory(inside: Inside) -> Thing | None:
    """The inventory that is to be replaced. Raises ConflictError when something else is in its place."""
    found = inside.status(INVENTORY)
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise ConflictError(
            f"{inside.name(INVENTORY)} is no regular file", "look who put it there, and remove what is there"
        )
    return None if found is None else Thing(found.st_ino)


def check_undo(inside: Inside, journal: Journal, recorded: int) -> None:
    """Raises ConflictError naming what keeps the last transaction from being undone: its objects are not where it
    left them, or what it brought was changed since. ``recorded``: when its record was written (ns)."""
    covered: set[str] = set()
    for index in reversed(range(len(journal.moves))):
        move = journal.moves[index]
        hidden = any(above in covered for above in _ancestors(move.at))
        covered.add(move.at)
        if move.old is not None and thing_at(inside, journal.slot(index)) != move.old:
            raise _not_undone(inside, journal, journal.slot(index), "what was displaced there is gone")
        if hidden:
            continue
        if thing_at(inside, move.at) != move.new:
            raise _not_undone(inside, journal, move.at, "that is not what was put there")
        if move.new is not None:
            _check_unchanged(inside, journal, move.at, recorded)


def _check_unchanged(inside: Inside, journal: Journal, path: str, recorded: int) -> None:
    top = inside.status(path)
    if top is None:
        raise _not_undone(inside, journal, path, "it is gone")
    # A recovered transaction was recorded later than nodes could write. What counts is its commit then; only the
    # inodes that the exchange itself renamed have a later ctime, which says nothing.
    since = journal.until or recorded
    if (top.st_mtime_ns if journal.until else top.st_ctime_ns) > since:
        raise _not_undone(inside, journal, path, "it was changed since")
    if stat.S_ISDIR(top.st_mode):
        below = measure(inside, path)
        if below.changed > since:
            raise _not_undone(inside, journal, f"{path}/{below.newest}", "it was changed since")


def _ancestors(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _not_undone(inside: Inside, journal: Journal, path: str, why: str) -> ConflictError:
    return ConflictError(
        f"{journal.title!r} cannot be undone: {inside.name(path)}: {why}", "make the opposite change instead"
    )
