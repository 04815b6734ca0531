# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions of a shared root: completely done or not at all, whatever is killed when (DESIGN 5).

The order, and why: a record that something begins, so that leftovers are known (STAGING); everything staged and on
the disk; the commit record, from which on it goes forward (COMMITTED); the exchanges, each of which recovery can tell
from where its two objects are; the inventory as the last of them; all that on the disk; the end record (DONE), before
which nobody may believe that the exchanges survive a power cut. What was displaced waits for an undo until the next
transaction begins; then a record says so (REMOVING) before the first byte of it goes.

Every method wants the root's lock to be held (lock.py).
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from osrd.apply import syscalls
from osrd.apply.cdsl import leftovers
from osrd.apply.cdsl.conditions import Before, check_inventory, check_undo
from osrd.apply.cdsl.confined import Confined
from osrd.apply.cdsl.exchange import Turn, settle, thing_at
from osrd.apply.cdsl.journal import Journal, Move, State, Thing, numbers, read_journal, write_journal
from osrd.apply.cdsl.space import check_space
from osrd.apply.cdsl.staging import Rebase, Staging, copies_of
from osrd.apply.cdsl.work import BACKUP, TRANSACTIONS, make_directory, make_work, verify_work
from osrd.apply.files import write_temp
from osrd.model.cdsl import INVENTORY, Changed
from osrd.model.errors import CancelledError, ConflictError, FailedError, NotFoundError, OsrdError
from osrd.model.transaction import Transaction
from osrd.observe.inside import Inside

Progress = Callable[[float, str], None]
_COPIED = 0.9  # of the whole, when the copies are made


class Transactions:
    """The transactions of one root. ``progress`` hears the fraction done and what is being done; ``cancelled`` is
    asked several times a second until the commit."""

    def __init__(
        self,
        inside: Inside,
        progress: Progress = lambda fraction, message: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._inside = inside
        self._progress = progress
        self._cancelled = cancelled

    def last(self) -> str:
        """The title of the transaction that ``undo`` would undo, "" when there is none."""
        journal = self._last()
        return journal.title if journal else ""

    def recover(self) -> Changed:
        """Finish what a killed run left, of this host or another: remove what was only staged, complete what was
        committed, complete an undo. Raises FailedError when something is in the way: it says what to move where,
        and recovering again goes on from there."""
        lines: list[str] = []
        with self._confined() as confined, _translated(self._inside, "recovery"):
            # All are read before anything is done about one: what a newer osrd began is not even half understood.
            for number, journal in self._journals():
                if journal is None:
                    leftovers.remove_unrecorded(self._inside, number)
                else:
                    lines += self._recovered(confined, journal)
        return Changed(tuple(lines))

    def _journals(self) -> list[tuple[int, Journal | None]]:
        """What there is, in order; None for a transaction without a record."""
        found: list[tuple[int, Journal | None]] = []
        for number in numbers(self._inside) if verify_work(self._inside) else ():
            try:
                found.append((number, read_journal(self._inside, number)))
            except NotFoundError:
                found.append((number, None))
        return found

    def _recovered(self, confined: Confined, journal: Journal) -> list[str]:
        match journal.state:
            case State.STAGING:
                leftovers.remove_made(self._inside, journal.made)
                failed = leftovers.remove_transaction(self._inside, confined, journal.number)
                return [f"removed what an interrupted run had staged: {journal.title}", *failed]
            case State.COMMITTED:
                committed = self._recorded(journal)
                self._forward(journal)
                write_journal(self._inside, replace(journal, state=State.DONE, until=committed))
                return [f"completed after an interruption: {journal.title}"]
            case State.UNDOING:
                failed = self._backward(confined, journal)
                return [f"undone after an interruption: {journal.title}", *failed]
            case State.REMOVING:
                return leftovers.remove_transaction(self._inside, confined, journal.number)
            case State.DONE:
                return []

    def run(self, transaction: Transaction, rebase: Rebase) -> Changed:
        """Do it. Raises ConflictError when the disk is not as planned, FailedError, CancelledError,
        UnsupportedError; then nothing was changed."""
        make_work(self._inside)
        reported = list(self.recover().lines)
        with self._confined() as confined, _translated(self._inside, transaction.title):
            transaction = self._checked(transaction)
            self._progress(0.0, f"{transaction.title}: measuring")
            staging = Staging(self._inside, confined, transaction, rebase, self._copying(transaction.title))
            reported += self._forget_last(confined)
            copied = [staging.sources[step.source] for each in transaction.exchanges for step in copies_of(each)]
            check_space(self._inside, copied, sum(1 + len(each.build) for each in transaction.exchanges))
            journal = self._numbered(transaction)
            try:
                self._begin(journal)
                journal = self._prepared(transaction, staging, journal)
                write_journal(self._inside, journal)
            except BaseException as error:
                self._abandon(confined, journal, error)
                raise
            self._complete(confined, journal)
        self._progress(1.0, f"{transaction.title}: done")
        return Changed((*transaction.lines, *reported), transaction.backups)

    def undo(self) -> Changed:
        """Undo the last transaction that is done. Raises NotFoundError when there is none; ConflictError naming the
        path when the disk is not as it left it or what it brought was written to since."""
        reported = self.recover().lines
        journal = self._last()
        if journal is None:
            raise NotFoundError(f"{self._inside.path}: there is no change to undo")
        with self._confined() as confined, _translated(self._inside, f"undo of {journal.title}"):
            check_undo(self._inside, journal, self._recorded(journal))
            undoing = _signed(replace(journal, state=State.UNDOING))
            write_journal(self._inside, undoing)
            failed = self._backward(confined, undoing)
        return Changed((f"undone: {journal.title}", *reported, *failed))

    def _confined(self) -> Confined:
        return Confined(self._inside, self._cancelled)

    def _copying(self, title: str) -> Callable[[float], None]:
        return lambda fraction: self._progress(fraction * _COPIED, f"{title}: copying")

    def _last(self) -> Journal | None:
        return next(reversed(self._done()), None)

    def _done(self) -> list[Journal]:
        return [journal for _, journal in self._journals() if journal is not None and journal.state is State.DONE]

    def _recorded(self, journal: Journal) -> int:
        """When the record was written: by the clock of the file system, which is that of the files' ctimes."""
        found = self._inside.status(f"{journal.directory}/journal")
        return 0 if found is None else found.st_ctime_ns

    def _checked(self, transaction: Transaction) -> Transaction:
        """The transaction without an inventory that is there already. Raises ConflictError when the disk is not as
        the plan says."""
        self._moves(transaction, None)
        if transaction.inventory is not None and check_inventory(self._inside) is not None:
            try:
                if self._inside.read(INVENTORY, len(transaction.inventory)) == transaction.inventory:
                    return replace(transaction, inventory=None)
            except ConflictError:
                pass  # longer than the new one
        return transaction

    def _moves(self, transaction: Transaction, journal: Journal | None) -> tuple[Move, ...]:
        """What will change hands. Raises ConflictError when anything is not as the plan says."""
        old = Before(self._inside, transaction.exchanges, journal).check()
        moves = [
            Move(each.at, self._staged(journal, index) if each.build else None, old[index], each.keep)
            for index, each in enumerate(transaction.exchanges)
        ]
        if transaction.inventory is not None:
            moves.append(Move(INVENTORY, self._staged(journal, len(moves)), check_inventory(self._inside)))
        return tuple(moves)

    def _staged(self, journal: Journal | None, index: int) -> Thing | None:
        return None if journal is None else thing_at(self._inside, journal.new(index))

    def _forget_last(self, confined: Confined) -> list[str]:
        """Remove the undo slot: what it holds is given up when the next transaction begins."""
        failed = []
        for journal in self._done():
            # On the disk before anything goes: an undo must not find half of what was displaced.
            write_journal(self._inside, replace(journal, state=State.REMOVING, moves=(), made=()))
            failed += leftovers.remove_transaction(self._inside, confined, journal.number)
        return failed

    def _numbered(self, transaction: Transaction) -> Journal:
        made = self._missing(each.keep for each in transaction.exchanges if each.keep)
        number = max(numbers(self._inside), default=0) + 1
        return _signed(Journal(number, State.STAGING, transaction.title, made=made))

    def _missing(self, kept: Iterable[str]) -> tuple[str, ...]:
        """The directories for kept objects that are not there yet, outermost first."""
        wanted = {
            "/".join(parts[:count]) for parts in (path.split("/") for path in kept) for count in range(2, len(parts))
        }
        ours = sorted(path for path in wanted if path == BACKUP or path.startswith(f"{BACKUP}/"))
        return tuple(path for path in ours if self._inside.status(path) is None)

    def _begin(self, journal: Journal) -> None:
        """The record that something is staged, before it is."""
        make_directory(self._inside, TRANSACTIONS)
        make_directory(self._inside, journal.directory)
        write_journal(self._inside, journal)
        for path in (f"{journal.directory}/new", f"{journal.directory}/old", *journal.made):
            make_directory(self._inside, path)

    def _prepared(self, transaction: Transaction, staging: Staging, journal: Journal) -> Journal:
        """Everything staged and on the disk; the commit record, not written yet."""
        if transaction.inventory is not None:
            with self._inside.holding(journal.new(len(transaction.exchanges))) as (fd, name):
                write_temp(fd, name, transaction.inventory, 0o644, sync=False)
        staging.build(journal)
        if self._cancelled():
            raise CancelledError("cancelled")
        # Copying may have taken an hour: what was so when it was planned need not be so any more.
        return replace(journal, state=State.COMMITTED, moves=self._moves(transaction, journal))

    def _abandon(self, confined: Confined, journal: Journal, error: BaseException) -> None:
        """Remove what was staged. What stays is told with ``error`` and removed by the next recovery."""
        failed: list[str] = []
        try:
            if journal.state is State.COMMITTED:
                # Writing the commit record failed, perhaps after it was in place: it must be gone first.
                write_journal(self._inside, replace(journal, state=State.REMOVING, moves=(), made=()))
            leftovers.remove_made(self._inside, journal.made)
            failed = leftovers.remove_transaction(self._inside, confined, journal.number)
        except OsrdError as second:
            failed = [f"what was staged is left behind: {second.message}"]
        if failed and isinstance(error, OsrdError):
            error.fix = "; ".join(part for part in (error.fix, *failed) if part)

    def _complete(self, confined: Confined, journal: Journal) -> None:
        """From the commit record to the end record; back to the beginning if anything is in the way."""
        self._progress(_COPIED, f"{journal.title}: exchanging")
        try:
            self._forward(journal)
        except (OsrdError, OSError) as error:
            raise self._retreat(confined, journal, error) from error
        try:
            write_journal(self._inside, replace(journal, state=State.DONE))
        except OsrdError as error:
            raise FailedError(
                f"{journal.title}: done, but that could not be recorded: {error.message}", "the next change records it"
            ) from error

    def _forward(self, journal: Journal) -> None:
        for index in range(len(journal.moves)):
            settle(self._inside, _turn(journal, index))
        syncfs(self._inside)

    def _backward(self, confined: Confined, journal: Journal) -> list[str]:
        """The same passes backwards; what could not be removed afterwards."""
        for index in reversed(range(len(journal.moves))):
            settle(self._inside, _turn(journal, index).back())
        leftovers.remove_made(self._inside, journal.made)
        syncfs(self._inside)
        write_journal(self._inside, replace(journal, state=State.REMOVING, moves=(), made=()))
        return leftovers.remove_transaction(self._inside, confined, journal.number)

    def _retreat(self, confined: Confined, journal: Journal, error: Exception) -> OsrdError:
        """Go back; what to raise then."""
        told = error if isinstance(error, OsrdError) else FailedError(f"{self._inside.path}: {error}")
        try:
            undoing = replace(journal, state=State.UNDOING)
            write_journal(self._inside, undoing)
            self._backward(confined, undoing)
        except (OsrdError, OSError) as second:
            return FailedError(
                f"{journal.title}: begun, and neither completed ({told}) nor taken back ({second})",
                "the next change, or a recovery, finishes it",
            )
        return FailedError(f"{journal.title}: {told.message}; everything was taken back", told.fix)


def _turn(journal: Journal, index: int) -> Turn:
    move = journal.moves[index]
    return Turn(move.at, move.new, journal.new(index), move.old, journal.slot(index))


def _signed(journal: Journal) -> Journal:
    """With who writes it, for those who wait."""
    return replace(journal, host=os.uname().nodename, process=os.getpid(), started=time.time())


def syncfs(inside: Inside) -> None:
    """Everything in the root is on its disk. Raises FailedError."""
    try:
        syscalls.syncfs(inside.fd)
    except OSError as error:
        raise FailedError(f"{inside.path}: {error.strerror}") from error


@contextmanager
def _translated(inside: Inside, title: str) -> Iterator[None]:
    """No bare errno leaves this module."""
    try:
        yield
    except OSError as error:
        name = f"{os.fsdecode(error.filename)!r}: " if isinstance(error.filename, str | bytes) else ""
        raise FailedError(f"{title}: {name}{error.strerror} ({inside.path})") from error
    except CancelledError as error:
        raise CancelledError(f"{title}: cancelled", "nothing was changed") from error
