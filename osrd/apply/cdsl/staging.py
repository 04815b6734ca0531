# SPDX-License-Identifier: GPL-3.0-or-later
"""Every new object of a transaction, built beside its destination where nobody sees it.

Copies are cp's, confined and in parallel. When they are made, what they were made from is measured again: a copy of
something that was written meanwhile is made again, and after a few times given up, since nobody could say which state
it has.
"""

from collections.abc import Callable, Iterable, Sequence

from osrd.apply import syscalls
from osrd.apply.cdsl.confined import Confined, Job, place
from osrd.apply.cdsl.journal import Journal
from osrd.apply.cdsl.steps import Small, perform, replace_link, times_kept
from osrd.model.errors import ConflictError, FailedError
from osrd.model.transaction import CopyTree, DropTree, Exchange, Step, Transaction
from osrd.observe.copies import Measured, measure
from osrd.observe.inside import Inside

#: (link text, old place, new place, what was copied) -> new text, None when it stays
Rebase = Callable[[str, str, str, str], str | None]
_COPY = ("cp", "-a", "--reflink=auto", "-T", "--")
_TRIES = 4


def copies_of(exchange: Exchange) -> list[CopyTree]:
    return [step for step in exchange.build if isinstance(step, CopyTree)]


class Staging:
    """Builds the objects of one transaction below ``.osrd/tx/N/new``. ``sources`` is what is copied, measured."""

    def __init__(
        self,
        inside: Inside,
        confined: Confined,
        transaction: Transaction,
        rebase: Rebase,
        progress: Callable[[float], None],
    ) -> None:
        self._inside = inside
        self._confined = confined
        self._exchanges = transaction.exchanges
        self._rebase = rebase
        self._progress = progress
        copied = {step.source for exchange in self._exchanges for step in copies_of(exchange)}
        self._watched = transaction.watched
        self._copied = 0  # bytes, of finished rounds of copies
        self._reached = 0.0
        self.sources: dict[str, Measured] = {
            path: measure(inside, path) for path in sorted(copied | set(transaction.watched))
        }

    def build(self, journal: Journal) -> None:
        """Build everything, until what is watched did not change meanwhile; then it is on the disk. Raises
        ConflictError that names what is being written, FailedError with cp's last words, CancelledError."""
        todo: Sequence[int] = range(len(self._exchanges))
        for attempt in range(_TRIES):
            if attempt:
                self._remove(journal, todo)
            failure = self._tried(journal, todo)
            changed = self._changed()
            if not changed:
                if failure is not None:
                    raise failure
                return
            todo = todo if failure is not None else self._touched_by(changed)
        written = " and ".join(self._inside.name(_newest(path, self.sources[path])) for path in changed)
        raise ConflictError(
            f"{written} is written to all the time, so no copy is complete", "stop what writes there and try again"
        )

    def _tried(self, journal: Journal, todo: Sequence[int]) -> FailedError | None:
        """A failure may come of a source that changes (files that vanish): so first it is looked at."""
        try:
            self._build(journal, todo)
            # Before the second look and long before the commit: what takes time is over by then, and what the commit
            # record promises is on the disk.
            syscalls.syncfs(self._inside.fd)
        except FailedError as error:
            return error
        except OSError as error:
            name = f"{error.filename!r}: " if error.filename else ""
            return FailedError(f"{self._inside.path}: {name}{error.strerror}")
        return None

    def _changed(self) -> list[str]:
        """The watched paths that are not as they were when last looked at."""
        changed = []
        for path in self._watched:
            before, self.sources[path] = self.sources[path], measure(self._inside, path)
            if before.signature != self.sources[path].signature:
                changed.append(path)
        return changed

    def _touched_by(self, changed: Iterable[str]) -> list[int]:
        """The exchanges that copy any of it."""
        return [
            index
            for index, exchange in enumerate(self._exchanges)
            if any(_overlap(step.source, path) for step in copies_of(exchange) for path in changed)
        ]

    def _remove(self, journal: Journal, todo: Sequence[int]) -> None:
        self._drop([journal.new(index) for index in todo])

    def _drop(self, staged: Iterable[str]) -> None:
        failed = self._confined.run_all([Job(("rm", "-rf", "--", place(path))) for path in staged])
        if failed:
            raise FailedError(failed[0])

    def _build(self, journal: Journal, todo: Sequence[int]) -> None:
        """Step by step in each exchange, and all exchanges' copies that are due at the same time."""
        waiting = {index: list(self._exchanges[index].build) for index in todo}
        while waiting:
            due: list[tuple[str, CopyTree]] = []
            for index, steps in list(waiting.items()):
                top = journal.new(index)
                for small in _small_first(steps):
                    self._perform(small, _below(top, small.at))
                due += [(_below(top, copy.at), copy) for copy in _copies_first(steps)]
                if not steps:
                    del waiting[index]
            self._copy(due)

    def _perform(self, step: Small | DropTree, target: str) -> None:
        if isinstance(step, DropTree):
            self._drop([target])
        else:
            perform(self._inside, step, target)

    def _copy(self, due: Sequence[tuple[str, CopyTree]]) -> None:
        jobs = []
        for target, copy in due:
            if self._inside.status(target) is not None:
                raise ConflictError(f"{self._inside.name(target)} is there already", "try again")
            weight = self.sources[copy.source].bytes + 1
            jobs.append(Job((*_COPY, place(copy.source), place(target)), weight))
        weight = sum(job.weight for job in jobs)
        self._confined.run(jobs, lambda fraction: self._tell(self._copied + fraction * weight))
        self._copied += weight
        for target, copy in due:
            for link in self.sources[copy.source].leaving:
                self._rewrite(_below(target, link), _below(copy.source, link), _below(copy.final, link), copy.source)

    def _tell(self, done: float) -> None:
        """How far the copies are. What has to be made again does not set it back."""
        total = sum(self.sources[copy.source].bytes + 1 for each in self._exchanges for copy in copies_of(each))
        self._reached = min(1.0, max(self._reached, done / total))
        self._progress(self._reached)

    def _rewrite(self, staged: str, old_place: str, new_place: str, copied_from: str) -> None:
        """The link means the same from where it will be. One that is none any more is no concern: the source is
        being written to, and measuring it again tells so."""
        text = self._inside.link(staged)
        new = None if text is None else self._rebase(text, old_place, new_place, copied_from)
        if new is not None and new != text:
            with self._inside.holding(staged) as (parent, name), times_kept(parent):
                replace_link(self._inside, parent, name, new)


def _small_first(steps: list[Step]) -> list[Small | DropTree]:
    """Take the steps up to the first copy off the list."""
    small: list[Small | DropTree] = []
    while steps and not isinstance(step := steps[0], CopyTree):
        small.append(step)
        del steps[0]
    return small


def _copies_first(steps: list[Step]) -> list[CopyTree]:
    """Take the copies up to anything else off the list; one that goes into another waits for it."""
    copies: list[CopyTree] = []
    while steps and isinstance(step := steps[0], CopyTree):
        if any(_overlap(step.at, other.at) for other in copies):
            break
        copies.append(step)
        del steps[0]
    return copies


def _overlap(one: str, other: str) -> bool:
    """Whether one of two paths is the other or below it."""
    return not one or not other or f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _below(top: str, path: str) -> str:
    return f"{top}/{path}" if path else top


def _newest(path: str, measured: Measured) -> str:
    return _below(path, measured.newest)
