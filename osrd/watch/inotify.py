# SPDX-License-Identifier: GPL-3.0-or-later
"""inotify(7) through pyinotify, of which only the watch manager is used: its reader drops a whole batch of events
when one name in it is not UTF-8, and any user who may create a file could blind the daemon so."""

import asyncio
import ctypes
import errno
import os
import resource
import struct
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

from osrd.model.errors import FailedError
from osrd.watch.base import SOMETHING, Directories, WakeUp
from osrd.watch.filesystems import mounted_filesystems
from osrd.watch.route import Route, find_route

with warnings.catch_warnings():
    # pyinotify 0.9.6 imports asyncore, deprecated since Python 3.6.
    warnings.filterwarnings("ignore", "The asyncore module is deprecated", DeprecationWarning)
    import pyinotify

# It installs a handler of its own at import; every line would appear twice.
for _handler in tuple(pyinotify.log.handlers):
    pyinotify.log.removeHandler(_handler)

_APPEARED_OR_WENT = pyinotify.IN_CREATE | pyinotify.IN_MOVED_TO | pyinotify.IN_MOVED_FROM | pyinotify.IN_DELETE
# MODIFY and ATTRIB beside CLOSE_WRITE: the kernel's NFS server keeps files open long after a client's write.
_CHANGED = _APPEARED_OR_WENT | pyinotify.IN_CLOSE_WRITE | pyinotify.IN_MODIFY | pyinotify.IN_ATTRIB
_SELF = pyinotify.IN_DELETE_SELF | pyinotify.IN_MOVE_SELF
_LOST = _SELF | pyinotify.IN_IGNORED | pyinotify.IN_UNMOUNT
_MASK = _CHANGED | _SELF | pyinotify.IN_ONLYDIR
_HEADER = struct.Struct("iIII")
#: of one read; a batch takes about a millisecond, then other callbacks have their turn
_READ_BYTES = 1 << 16
#: how often the way is looked for again when it moves under our feet; events bring us back afterwards
_MOST_ATTEMPTS = 5


class RawEvent(NamedTuple):
    """``struct inotify_event``; ``name`` is "" for events of the watched directory itself."""

    wd: int
    mask: int
    name: str


def parse_events(data: bytes) -> Iterator[RawEvent]:
    """The events of one read(2). Names may be any bytes and are decoded like all file names (PEP 383)."""
    position = 0
    while position + _HEADER.size <= len(data):
        wd, mask, _cookie, length = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        yield RawEvent(wd, mask, os.fsdecode(data[position : position + length].rstrip(b"\0")))
        position += length


class _Interest(NamedTuple):
    """Why a directory is watched: for the ``names`` (None: all) of the directory that the caller calls
    ``directory``, or, when that is "", for steps on the way to one."""

    directory: str
    names: frozenset[str] | None


class InotifyWatcher:
    """One inotify instance. The constructor, sync() and arm() raise FailedError when the kernel refuses a watch, with
    the limit that was hit and the way to raise it; the instance should be closed then. Inside the event loop the same
    error goes to ``failed``."""

    mode = "inotify"

    def __init__(self, wake: WakeUp, loop: asyncio.AbstractEventLoop, failed: Callable[[FailedError], None]) -> None:
        self._wake = wake
        self._loop = loop
        self._failed = failed
        self._wanted: Directories = {}
        self._interests: dict[int, list[_Interest]] = {}
        self._watched: frozenset[str] = frozenset()
        self.blind = False
        try:
            self._manager = pyinotify.WatchManager()
        except OSError as error:
            raise _no_instance(ctypes.get_errno()) from error
        self._descriptor: int = self._manager.get_fd()
        os.set_inheritable(self._descriptor, False)
        os.set_blocking(self._descriptor, False)
        loop.add_reader(self._descriptor, self._read)

    def sync(self, directories: Directories) -> None:
        """Watch these directories. What happened in a new one before the watch was there is unknown: that is a
        wake-up too. The same directories again are worth a look: one that is some shell's working directory can be
        deleted and made again without an event."""
        self._wanted = dict(directories)
        if self.arm():
            self._wake(SOMETHING)

    def arm(self) -> bool:
        """Bring the kernel's watches in line with what is wanted and with what exists now: directories come, go, are
        renamed, mounted over. Returns whether a directory is watched that was not before."""
        routes = self._routes()
        for _attempt in range(_MOST_ATTEMPTS):
            self._interests = self._watch(routes)
            # What appeared between finding the way and watching it made no event.
            again = self._routes()
            if again == routes:
                break
            routes = again
        self._remove_others()
        self.blind = any(route.blind for route in routes.values())
        before, self._watched = self._watched, frozenset(route.end for route in routes.values() if route.end)
        return not self._watched <= before

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._manager.close()

    def _routes(self) -> dict[str, Route]:
        filesystems = mounted_filesystems()
        return {directory: find_route(directory, filesystems) for directory in self._wanted}

    def _watch(self, routes: dict[str, Route]) -> dict[int, list[_Interest]]:
        interests: dict[int, list[_Interest]] = {}
        for directory, route in routes.items():
            for real, name in route.steps:
                self._add(real, _Interest("", frozenset({name})), interests)
            if route.end:
                self._add(route.end, _Interest(directory, self._wanted[directory]), interests)
        return interests

    def _add(self, real: str, interest: _Interest, interests: dict[int, list[_Interest]]) -> None:
        try:
            # The manager holds strict UTF-8 names only; such a directory is left to the regular comparison.
            real.encode()
            watches = self._manager.add_watch(real, _MASK, quiet=False)
        except UnicodeEncodeError:
            return
        except pyinotify.WatchManagerError as error:
            number = ctypes.get_errno()
            if number in (errno.ENOSPC, errno.ENOMEM):
                raise _no_watch(number, len(self._wanted)) from error
            return  # gone, replaced or forbidden meanwhile: its parent or the regular comparison will tell
        interests.setdefault(watches[real], []).append(interest)

    def _remove_others(self) -> None:
        for wd in tuple(self._manager.watches):
            if wd not in self._interests:
                try:
                    self._manager.rm_watch(wd, quiet=False)
                except pyinotify.WatchManagerError:
                    self._manager.del_watch(wd)  # the kernel removed it with its directory

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        self.handle(parse_events(data))

    def handle(self, events: Iterator[RawEvent]) -> None:
        """Wake for what matters among ``events``."""
        hints: set[str] = set()
        lost = False
        for event in events:
            if event.mask & pyinotify.IN_Q_OVERFLOW:
                lost = True
            for interest in self._interests.get(event.wd, ()):
                if event.mask & _LOST:
                    lost = True
                elif not event.name or (interest.names is not None and event.name not in interest.names):
                    continue
                elif interest.directory:
                    hints.add(f"{interest.directory}/{event.name}")
                elif event.mask & _APPEARED_OR_WENT:
                    lost = True
        try:
            if lost:
                self.arm()
        except FailedError as error:
            self._failed(error)
            return
        if lost or hints:
            self._wake(SOMETHING if lost else frozenset(hints))


def _no_instance(number: int) -> FailedError:
    """Two limits answer EMFILE: inotify instances per user, and open files per process. A new file tells which."""
    if number == errno.EMFILE:
        try:
            os.close(os.open("/", os.O_PATH | os.O_CLOEXEC))
        except OSError:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            return FailedError(
                f"inotify cannot be used: this process has {limit} open files, as many as it may (RLIMIT_NOFILE)",
                "raise LimitNOFILE= in a drop-in of osrd.service",
            )
        return FailedError(
            f"inotify cannot be used: all {_sysctl('max_user_instances')} instances of this user are taken",
            "raise the limit (sysctl fs.inotify.max_user_instances=1024) and keep it in /etc/sysctl.d",
        )
    return FailedError(f"inotify cannot be used: {os.strerror(number)}", "see the kernel log")


def _no_watch(number: int, wanted: int) -> FailedError:
    if number == errno.ENOMEM:
        return FailedError("inotify cannot be used: the kernel has no memory for watches", "free memory on this host")
    return FailedError(
        f"inotify cannot be used: all {_sysctl('max_user_watches')} watches of this user are taken, "
        f"{wanted} directories are to be watched",
        "raise the limit (sysctl fs.inotify.max_user_watches=524288) and keep it in /etc/sysctl.d",
    )


def _sysctl(name: str) -> str:
    try:
        with open(f"/proc/sys/fs/inotify/{name}", "rb") as stream:
            return stream.read().decode().strip()
    except OSError:
        return "available"
