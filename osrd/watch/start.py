# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher the daemon uses: inotify where it can be had, regular comparison always."""

import asyncio
from collections.abc import Callable

from osrd.model.errors import FailedError
from osrd.model.finding import Finding, Severity
from osrd.model.settings import InotifyUse, WatchSettings
from osrd.watch.base import SOMETHING, Directories, WakeUp, Watcher
from osrd.watch.debounce import Debounce
from osrd.watch.inotify import InotifyWatcher
from osrd.watch.poll import Poller


def start_watcher(
    settings: WatchSettings,
    wake: WakeUp,
    loop: asyncio.AbstractEventLoop,
    report: Callable[[Finding], None],
) -> Watcher:
    """A watcher of nothing yet: call sync(). ``wake`` is called on the loop, already debounced
    (``quiet``, ``limit``).

    ``report`` is told ``watch-degraded`` (WARNING) when inotify cannot be had and polling takes over, and
    ``watch-restored`` (INFO) once it works again; between the two the watcher's mode is ``poll``.
    """
    return HostWatcher(settings, wake, loop, report)


class HostWatcher:
    """inotify plus a timer. The timer runs at ``rescan`` while inotify sees everything, at ``poll`` while it is not
    available or some directory is on a file system where other hosts' writes are invisible."""

    def __init__(
        self,
        settings: WatchSettings,
        wake: WakeUp,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Finding], None],
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._report = report
        self._wanted: Directories = {}
        self._inotify: InotifyWatcher | None = None
        self._degraded_at: float | None = None
        self._debounce = Debounce(settings.quiet, settings.limit, loop, wake)
        self._poller = Poller(self._tick, settings.poll, loop)
        self._try_inotify()

    @property
    def mode(self) -> str:
        return "poll" if self._inotify is None else self._inotify.mode

    def sync(self, directories: Directories) -> None:
        self._wanted = dict(directories)
        self._arm(lambda inotify: inotify.sync(self._wanted))

    def close(self) -> None:
        self._debounce.close()
        self._poller.close()
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def _try_inotify(self) -> None:
        if self._settings.inotify is InotifyUse.NEVER:
            return
        was_degraded = self._degraded_at is not None
        try:
            self._inotify = InotifyWatcher(self._debounce.hint, self._loop, self._degrade)
        except FailedError as error:
            self._degrade(error)
            return
        self._arm(lambda inotify: inotify.sync(self._wanted))
        if was_degraded and self._inotify is not None:
            self._degraded_at = None
            message = "inotify can be used again, changes are seen at once"
            self._report(Finding("watch-restored", Severity.INFO, message, "nothing is left to do"))

    def _arm(self, action: Callable[[InotifyWatcher], object]) -> None:
        if self._inotify is not None:
            try:
                action(self._inotify)
            except FailedError as error:
                self._degrade(error)
        seeing = self._inotify is not None and not self._inotify.blind
        self._poller.interval = self._settings.rescan if seeing else self._settings.poll

    def _degrade(self, error: FailedError) -> None:
        """Polling takes over. Told once: the next attempts fail for the same reason."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._poller.interval = self._settings.poll
        if self._degraded_at is None:
            message = f"{error.message}; changes are noticed every {self._settings.poll:g} s instead of at once"
            self._report(Finding("watch-degraded", Severity.WARNING, message, error.fix))
        self._degraded_at = self._loop.time()
        self._debounce.hint(SOMETHING)

    def _tick(self) -> None:
        if self._inotify is not None:
            self._arm(lambda inotify: inotify.arm())  # finds what was mounted over a watched directory meanwhile
        elif self._degraded_at is not None and self._loop.time() - self._degraded_at >= self._settings.rescan:
            self._try_inotify()
        self._debounce.hint(SOMETHING)
