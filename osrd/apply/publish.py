# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishing: a plan becomes files, in an order in which a SIGKILL at any instant harms nothing (DESIGN 6, laws 1-3).

1. resolve   every content is known or will be made by a program; what has none is a finding
2. begin     one durable transaction says which files are about to change (the intent)
3. write     all temporary files beside their destinations, durable; nothing published is touched
4. check     servers judge their candidates; a server's files stay back together
5. place     renames by stage, loaders before kernels before menus before DHCP, each stage durable before the next
6. remove    last, in reverse order, only what is still byte for byte what osrd wrote
7. complete  one durable transaction: this is the generation now
8. reload    servers are told; one that refuses gets its last good files back

Killed before 5: the intent names the temporary files, ``recover`` removes them. Killed in 5 or 6: each file is old or
new and complete; ``recover`` finds out by hash which, records that, and the next run converges. A run that only
repairs drift makes no generation: the set of outputs is the same; its temporary names are on record just so.
"""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from osrd.apply import files
from osrd.apply.directories import WritableDirectories
from osrd.apply.publication import Done, Intent, Note
from osrd.apply.publish_batch import Batch, Item, resolve, services_of
from osrd.apply.publish_run import FileRun, Progress
from osrd.apply.publish_services import Services, Told, put_back_finding
from osrd.apply.runner import Runner
from osrd.apply.server import Server
from osrd.apply.store import Store
from osrd.model.errors import FailedError, OsrdError
from osrd.model.finding import Finding, Severity
from osrd.model.output import Desired, FileState, Found, NotAFile, Published, Service
from osrd.model.plan import Plan
from osrd.model.view import ServiceState
from osrd.observe.filecache import FileCache
from osrd.plan.difference import SERVICE_OF

__all__ = ["Note", "PublishResult", "Publisher"]


def _silent(fraction: float, message: str) -> None:
    """Nobody waits for progress."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What a publication did. ``generation`` is the current one afterwards; ``kept_back`` are paths that should have
    been put in place and were not; ``services`` are the states of the servers that were told something."""

    generation: int
    written: int = 0
    removed: int = 0
    findings: tuple[Finding, ...] = ()
    services: Mapping[Service, ServiceState] = field(default_factory=dict)
    kept_back: tuple[str, ...] = ()


class Publisher:
    """The one writer of published files. All calls from one thread; ``keep`` generations are stored."""

    def __init__(
        self, store: Store, cache: FileCache, runner: Runner, servers: Mapping[Service, Server], keep: int = 10
    ) -> None:
        self._store = store
        self._cache = cache
        self._runner = runner
        self._services = Services(servers)
        self._keep = keep

    def recover(self) -> tuple[Finding, ...]:
        """Settle what a killed run left: temporary files go, files that are in place are put on record. Writes nothing
        when the last run ended well. Raises FailedError when the database cannot be written."""
        unfinished = self._store.unfinished
        if not unfinished:
            return ()
        suffixes = dict.fromkeys(unfinished.rows, unfinished.number) | dict(unfinished.repairs)
        with WritableDirectories(self._cache.bases) as directories:
            for path, number in suffixes.items():
                parent, _, name = path.rpartition("/")
                try:
                    directory = directories.fd(parent)
                except OSError:
                    continue
                files.remove_temp(directory, files.temp_name(name, number))
        found = self._cache.find(unfinished.rows, rehash=True)
        manifest = self._store.manifest
        in_place = {
            path
            for path, row in unfinished.rows.items()
            if _is(found[path], row) or (found[path] is NotAFile.UNREADABLE and path not in manifest)
        }
        self._store.settle(in_place)
        return (_interrupted(len(suffixes), len(in_place)),)

    def publish(
        self,
        plan: Plan,
        desired: Desired,
        note: Note,
        content_of: Callable[[str], bytes | None],
        progress: Progress = _silent,
    ) -> PublishResult:
        """Carry out ``plan``. Files that cannot be published are findings and ``kept_back``; the others go on.

        Raises FailedError when the host is in trouble (no space, I/O error, database not writable), BusyError when
        the database is locked: nothing published was harmed, and the next run goes on from there.
        """
        findings = list(self.recover())
        batch = resolve(
            plan, desired, self._store, content_of, lambda writes: self._services.skip(writes, retry=note.retry)
        )
        before = self._store.owed
        try:
            run = self._publish_files(batch, plan, note, progress)
        except OSError as error:
            raise _host_in_trouble(error, batch) from error
        progress(0.97, "telling servers")
        told = self._tell(run, before)
        progress(1.0, "published")
        return PublishResult(
            generation=self._store.generation,
            written=len(run.placed),
            removed=len(run.removed),
            findings=(*findings, *batch.findings, *told.findings),
            services=told.states,
            kept_back=tuple(sorted(batch.failed)),
        )

    def _publish_files(self, batch: Batch, plan: Plan, note: Note, progress: Progress) -> FileRun:
        """Steps 2 to 7. Raises OSError with everything not yet in place withdrawn, OsrdError from the database."""
        with WritableDirectories(self._cache.bases) as directories:
            run = FileRun(batch, directories, self._cache, progress)
            missing = run.survey()
            self._confirm_adoptions(batch)
            run.former = {
                item.row.path: self._store.manifest[item.row.path]
                for item in batch.items
                if item.service and item.row.path in self._store.manifest
            }
            if not (batch.alive or batch.adopts or batch.removes or batch.forgets):
                self._store.note(note)
                return run
            owed = self._store.owed
            self._store.begin(_intent(batch, missing), note)
            try:
                self._store.correct(run.write_temps(self._runner))
                self._services.check(batch)
                run.place()
                run.remove()
            except (OSError, OsrdError):
                self._withdraw(run, owed)
                raise
            self._complete(run, plan, note, owed)
            run.remember()
            return run

    def _confirm_adoptions(self, batch: Batch) -> None:
        """Look again at files that are only put on record, for their size, and drop those that changed meanwhile."""
        if not batch.adopts:
            return
        found = self._cache.find(row.path for row in batch.adopts)
        batch.adopts = [
            replace(row, size=state.size)
            for row in batch.adopts
            if isinstance(state := found[row.path], FileState) and state.digest == row.digest
        ]

    def _complete(self, run: FileRun, plan: Plan, note: Note, owed: frozenset[Service]) -> None:
        batch = run.batch
        placed = [item.row for item in run.placed if not item.repair] + batch.adopts
        run.gone.extend(row.path for row in batch.forgets)
        owed |= run.touched
        directories = run.remove_directories(self._store.directories)
        if self._store.unfinished.number and not (placed or run.gone):
            # Everything failed or was kept back: no generation came of it.
            self._store.settle((), owed)
            self._store.note(note)
            return
        done = Done(placed, run.gone, plan.kept, directories, owed, len(run.placed), len(run.removed))
        self._store.complete(done, note, self._keep)

    def _withdraw(self, run: FileRun, owed: frozenset[Service]) -> None:
        """Leave nothing half done behind. Should the database refuse as well, the next run recovers."""
        run.remove_temps()
        in_place = {item.row.path for item in run.placed} | {row.path for row in run.batch.adopts}
        try:
            self._store.settle(in_place, owed | run.touched)
        except OsrdError:
            return
        run.remember()

    def _tell(self, run: FileRun, before: frozenset[Service]) -> Told:
        """Step 8: reload servers whose files changed or that an earlier run still owes it."""
        changed = [item.row.path for item in run.placed] + run.gone
        reloads = [action for action in run.batch.reloads if action.service in run.touched | before]
        told = self._services.reload(reloads, changed, run.touched)
        for service in sorted(told.refused.keys() & run.touched):
            refused = [item for item in run.placed if item.service is service and not item.repair]
            if not refused:
                continue
            self._services.remember_refusal(service, refused, told.refused[service])
            try:
                restored = self._put_back(service, refused, run)
            except OSError as error:
                told.findings.append(_trouble(_host_in_trouble(error, run.batch)))
                continue
            told.findings.append(put_back_finding(service, restored))
            if restored:
                again = self._services.reload([a for a in reloads if a.service is service], restored, {service})
                told.states.update(again.states)
                told.findings.extend(again.findings)
                told.settled |= again.settled
        self._store.repaid(self._store.owed - told.settled)
        return told

    def _put_back(self, service: Service, refused: list[Item], run: FileRun) -> list[str]:
        """Write the files of ``service`` as they were before this generation and take the refused ones out of it; the
        paths that were restored, none when there was no earlier state. Raises OSError."""
        former = [run.former[item.row.path] for item in refused if item.row.path in run.former]
        former += [row for row in run.removed if SERVICE_OF.get(row.kind) is service]
        contents = {row.path: self._store.content(row.digest) for row in former}
        gone = {row.path for row in run.removed}
        number = self._store.generation
        batch = Batch(number)
        for row in former:
            content = contents[row.path]
            if content is None:
                return []
            parent, _, name = row.path.rpartition("/")
            temp = files.temp_name(name, number)
            batch.items.append(Item(row, content, parent, name, temp, fresh=row.path in gone, repair=True))
        if not former:
            return []
        batch.removes = [item.row for item in refused if item.row.path not in run.former]
        with WritableDirectories(self._cache.bases) as directories:
            back = FileRun(batch, directories, self._cache, _silent)
            self._store.begin(_intent(batch, back.survey()), _NO_NOTE)
            try:
                back.write_temps(self._runner)
                back.place()
                back.remove()
            except OSError:
                back.remove_temps()
                raise
            self._store.put_back(number, [item.row for item in back.placed], back.gone)
            back.remember()
        return [item.row.path for item in back.placed]


_NO_NOTE = Note("", 0, {}, {})


def _intent(batch: Batch, directories: Collection[str]) -> Intent:
    alive = batch.alive
    written = [item for item in alive if not item.repair]
    contents = {item.row.digest: item.content for item in written if isinstance(item.content, bytes)}
    return Intent(
        rows=[item.row for item in written] + batch.adopts,
        contents=contents | batch.adopted,
        repairs=[item.row.path for item in alive if item.repair],
        directories=directories,
        owed=services_of([item.row for item in alive] + batch.removes),
        is_generation=batch.is_generation,
    )


def _is(state: Found, row: Published) -> bool:
    return isinstance(state, FileState) and state.digest == row.digest


def _host_in_trouble(error: OSError, batch: Batch) -> FailedError:
    """What stopped a run, with the space that it needs."""
    size = sum(item.row.size for item in batch.items)
    where = error.filename or (batch.items[0].parent if batch.items else "the published directories")
    if isinstance(where, bytes):
        where = os.fsdecode(where)
    return FailedError(
        f"publishing stopped at {where}: {error.strerror} ({len(batch.items)} files of {size} bytes were to come)",
        "free some space or check the disk; every published file is still whole, and osrd tries again",
    )


def _trouble(error: FailedError) -> Finding:
    return Finding("publish-failed", Severity.ERROR, error.message, error.fix)


def _interrupted(files_begun: int, in_place: int) -> Finding:
    return Finding(
        code="interrupted",
        severity=Severity.INFO,
        message=f"an earlier run was interrupted while it published {files_begun} files; {in_place} were in place "
        "already, the temporary files of the others were removed",
        fix="nothing is to be done: this run completes it",
    )
