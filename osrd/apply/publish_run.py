# SPDX-License-Identifier: GPL-3.0-or-later
"""The file work of one publication: temporary files, renames by stage, removals. It knows nothing of generations.

Whatever goes wrong with one file is a finding and the others go on; what is wrong with the host (no space, I/O
error, no descriptors) ends the run by an OSError, and the caller withdraws what is not in place yet.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby, islice

from osrd.apply import files
from osrd.apply.directories import WritableDirectories
from osrd.apply.publish_batch import Batch, Item, by_parent, services_of
from osrd.apply.runner import Completed, Runner
from osrd.model.finding import Finding, Place, Severity
from osrd.model.output import BuiltBy, CopyOf, FileState, NotAFile, Published, Service, Stage
from osrd.observe.filecache import FileCache
from osrd.observe.inside import open_real
from osrd.plan.difference import left_alone, occupied

Progress = Callable[[float, str], None]

#: Up to so many files are made durable one by one; more cost less with one syncfs(2) for each file system.
_SYNC_EACH = 32
_REMOVE_CHUNK = 64
_PROGRESS_STEP = 1024
#: Seconds for a copy or a boot loader image.
_PROGRAM_TIMEOUT = 300.0


class FileRun:
    """Carries out a batch below ``directories``; ``placed`` and ``gone`` tell how far it came."""

    def __init__(self, batch: Batch, directories: WritableDirectories, cache: FileCache, progress: Progress) -> None:
        self.batch = batch
        self._directories = directories
        self._cache = cache
        self._progress = progress
        self._temps: dict[str, Item] = {}
        self.placed: list[Item] = []
        self.gone: list[str] = []
        self.removed: list[Published] = []
        self.written_at = 0
        #: manifest rows, from before this run, of the files of servers
        self.former: dict[str, Published] = {}

    @property
    def touched(self) -> frozenset[Service]:
        """The servers whose files this run changed."""
        return services_of([item.row for item in self.placed] + self.removed)

    def survey(self) -> tuple[str, ...]:
        """The directories that have to be made. Files whose directory cannot be used, or whose temporary name is
        taken, fail here, before anything is recorded or written. Raises OSError when the host is in trouble."""
        missing: dict[str, None] = {}
        for parent, items in by_parent(self.batch.alive).items():
            try:
                new = self._directories.missing(parent)
                missing.update(dict.fromkeys(new))
                taken = set() if new else _taken(self._directories.fd(parent), items)
            except OSError as error:
                self._fail(items, error, f"the directory {parent} cannot be used")
                continue
            for item in items if taken else ():
                if item.temp in taken:
                    self.batch.fail([item], _temp_taken(item))
        return tuple(missing)

    def write_temps(self, runner: Runner) -> list[Published]:
        """Make directories and all temporary files; gives the rows that changed because a build told their digest.

        Raises OSError when the host is in trouble.
        """
        items = self.batch.alive
        each = len(items) <= _SYNC_EACH
        built = []
        by_directory = {parent: self._make(parent, group) for parent, group in by_parent(items).items()}
        failed = self.batch.failed
        for index, item in enumerate(items):
            directory = by_directory[item.parent]
            if directory is None or item.row.path in failed:
                continue
            if not index % _PROGRESS_STEP:
                self._progress(0.1 + 0.5 * index / len(items), "writing")
            try:
                if isinstance(item.content, bytes):
                    files.write_temp(directory, item.temp, item.content, item.row.mode, sync=each)
                    self._temps[item.row.path] = item
                elif (row := self._run_program(item, item.content, directory, runner)) is not None:
                    built.append(row)
            except OSError as error:
                self._fail([item], error, f"{item.row.path} cannot be written")
        if not each:
            self._progress(0.6, "making files durable")
            files.sync_file_systems(fd for fd in by_directory.values() if fd is not None)
        self.written_at = time.time_ns()
        return built

    def _make(self, parent: str, items: Iterable[Item]) -> int | None:
        try:
            return self._directories.make(parent)
        except OSError as error:
            self._fail(items, error, f"the directory {parent} cannot be made")
            return None

    def _run_program(self, item: Item, content: CopyOf | BuiltBy, directory: int, runner: Runner) -> Published | None:
        """Let cp or a builder fill the temporary file; the row when its digest is news. Raises OSError."""
        files.create_empty(directory, item.temp)
        self._temps[item.row.path] = item
        target = f"{item.parent}/{item.temp}"
        if isinstance(content, CopyOf):
            completed = _copy(content, target, runner)
        else:
            argv = tuple(word.replace("{output}", target) for word in content.argv)
            completed = runner.run(argv, timeout=_PROGRAM_TIMEOUT)
        if completed is not None and not completed.ok:
            problem = completed.stderr.strip() or f"exit status {completed.returncode}"
            self.batch.fail([item], _program_failed(item, completed.argv[0], problem))
            return None
        if isinstance(content, CopyOf):
            # The size first: a sparse file of many TiB is copied in no time and hashed for days.
            copied = completed is not None and files.size_of(directory, item.temp) == content.size
            if not copied or files.finish_temp(directory, item.temp, item.row.mode)[0] != content.digest:
                self.batch.fail([item], _source_changed(item, content))
            return None
        digest, size = files.finish_temp(directory, item.temp, item.row.mode)
        if not size:
            self.batch.fail([item], _program_failed(item, content.argv[0], "it wrote nothing"))
            return None
        item.row = replace(item.row, digest=digest, size=size)
        return item.row

    def place(self) -> None:
        """Rename everything that did not fail, each stage complete and durable before the next.

        Raises OSError when the host is in trouble.
        """
        for stage, group in groupby(self.batch.items, key=lambda item: item.row.stage):
            self._progress(0.65 + 0.05 * stage, f"publishing {stage.name.lower()}")
            self._hold(stage, items := list(group))
            touched = set()
            failed, placed, directories = self.batch.failed, self.placed, self._directories
            for item in items:
                path = item.row.path
                if path in failed:
                    continue
                directory = directories.fd(item.parent)
                try:
                    files.put_in_place(directory, item.temp, item.name, fresh=item.fresh)
                except FileExistsError:
                    self.batch.fail([item], occupied(path, None, item.row.node))
                except OSError as error:
                    self._fail([item], error, f"{path} cannot be put in place")
                else:
                    del self._temps[path]
                    placed.append(item)
                    touched.add(directory)
            for directory in touched:
                os.fsync(directory)
        self.remove_temps()

    def _hold(self, stage: Stage, items: list[Item]) -> None:
        """Keep back files that name a loader or kernel which could not be put where there was none: a menu entry for
        a kernel that cannot be fetched is worse than yesterday's menu."""
        if not self.batch.broken or stage < Stage.MENU:
            return
        names = {path: path.rpartition("/")[2].encode() for path in self.batch.broken}
        for item in items:
            if isinstance(item.content, bytes) and item.row.path not in self.batch.failed:
                missing = [path for path, name in names.items() if path != item.row.path and name in item.content]
                if missing:
                    self.batch.fail([item], _held_back(item, missing[0]))

    def remove(self) -> None:
        """Delete what is still what osrd wrote, in reverse stage order; nothing when something that should be in place
        is not, since that may be what replaces it. Raises OSError when a directory cannot be made durable."""
        if self.batch.failed:
            return
        for _, group in groupby(self.batch.removes, key=lambda row: row.stage):
            touched: set[int] = set()
            for chunk in _chunks(group, _REMOVE_CHUNK):
                found = self._cache.find(row.path for row in chunk)
                for row in chunk:
                    state = found[row.path]
                    if isinstance(state, FileState) and state.digest == row.digest:
                        self._unlink(row, touched)
                    elif state is not NotAFile.UNREADABLE:
                        self.gone.append(row.path)
                        if state is not NotAFile.ABSENT:
                            self.batch.findings.append(left_alone(row))
            for directory in touched:
                os.fsync(directory)

    def _unlink(self, row: Published, touched: set[int]) -> None:
        parent, _, name = row.path.rpartition("/")
        try:
            directory = self._directories.fd(parent)
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            self.gone.append(row.path)
        except OSError as error:
            self.batch.findings.append(_not_removed(row, error))
        else:
            touched.add(directory)
            self.gone.append(row.path)
            self.removed.append(row)

    def remove_directories(self, made: set[str]) -> list[str]:
        """Remove directories of ``made`` that removals have left empty, and those above them."""
        gone = []
        todo = {path.rpartition("/")[0] for path in self.gone}
        while todo:
            path = max(todo, key=len)
            todo.discard(path)
            if path not in made:
                continue
            parent, _, name = path.rpartition("/")
            try:
                os.rmdir(name, dir_fd=self._directories.fd(parent or "/"))
            except FileNotFoundError:
                pass
            except OSError:
                continue  # not empty
            self._directories.forget(path)
            gone.append(path)
            todo.add(parent)
        return gone

    def remove_temps(self) -> None:
        """Remove the temporary files that did not become anything."""
        for item in self._temps.values():
            files.remove_temp(self._directories.fd(item.parent), item.temp)
        self._temps.clear()

    def remember(self) -> None:
        """Spare the next look the hashing of what was just written."""
        rows = [item.row for item in self.placed]
        self._cache.record({row.path: FileState(row.digest, row.size, row.mode) for row in rows}, self.written_at)

    def _fail(self, items: Iterable[Item], error: OSError, what: str) -> None:
        """One finding for all these items, or the error again when it is about the host."""
        if error.errno in files.FATAL:
            raise error
        items = list(items)
        self.batch.fail(items, _not_written(items, error, what))


def _copy(content: CopyOf, target: str, runner: Runner) -> Completed | None:
    """Let cp make ``target``; None when a file of a shared root is no more what was looked at. cp gets that one open:
    by its name a node could have it wait for a FIFO, or read this host's files."""
    command = ("cp", "--reflink=auto", "--")
    if not content.shared:
        return runner.run((*command, content.source, target), timeout=_PROGRAM_TIMEOUT)
    try:
        source = open_real(content.source)
    except OSError:
        return None
    try:
        if os.fstat(source).st_size != content.size:
            return None
        return runner.run((*command, f"/proc/{os.getpid()}/fd/{source}", target), timeout=_PROGRAM_TIMEOUT)
    finally:
        os.close(source)


def _taken(directory: int, items: list[Item]) -> set[str]:
    """The temporary names of ``items`` that exist already: not ours, since numbers are never used twice."""
    if len(items) > _SYNC_EACH:
        return {item.temp for item in items} & set(os.listdir(directory))
    return {item.temp for item in items if _exists(directory, item.temp)}


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _chunks(rows: Iterable[Published], size: int) -> Iterator[list[Published]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _finding(code: str, row: Published, message: str, fix: str) -> Finding:
    return Finding(code, Severity.ERROR, message, fix, Place(row.path), node=row.node, value=row.path)


def _not_written(items: list[Item], error: OSError, what: str) -> Finding:
    more = f"; {len(items)} files are not published" if len(items) > 1 else ""
    return _finding(
        "not-written",
        items[0].row,
        f"{what}: {error.strerror}{more}; what was published there before stays",
        "make the directory a real, writable one, or set another path in osrd.conf",
    )


def _not_removed(row: Published, error: OSError) -> Finding:
    return _finding("not-removed", row, f"{row.path} cannot be removed: {error.strerror}", "check its directory")


def _temp_taken(item: Item) -> Finding:
    temp = f"{item.parent}/{item.temp}"
    return _finding(
        "occupied", item.row, f"{temp} is in the way of writing {item.row.path} and not osrd's", f"move {temp} away"
    )


def _held_back(item: Item, missing: str) -> Finding:
    return _finding(
        "held-back",
        item.row,
        f"{item.row.path} was not published, since it names {missing}, which could not be",
        "solve the finding about that file",
    )


def _source_changed(item: Item, content: CopyOf) -> Finding:
    return _finding(
        "source-changed",
        item.row,
        f"{content.source} changed while it was copied to {item.row.path}",
        "wait until it is complete; the next run copies it again",
    )


def _program_failed(item: Item, program: str, problem: str) -> Finding:
    return _finding(
        "not-built",
        item.row,
        f"{program} could not make {item.row.path}: {problem}",
        "solve what the program says, then run 'osrctl apply'",
    )
