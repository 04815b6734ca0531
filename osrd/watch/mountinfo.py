# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts that come and go. The kernel marks an open mount table with POLLPRI and POLLERR when its mount namespace
changed since the file was last polled (proc_pid_mountinfo(5)); nothing wakes up while nothing changes."""

import asyncio
import os
import select

from osrd.model.errors import FailedError
from osrd.watch.base import SOMETHING, WakeUp

_MOUNTINFO = "/proc/self/mountinfo"


class MountWatcher:
    """Calls ``wake`` with SOMETHING after every change of this process's mount namespace, whoever made it; a burst is
    one call or more, the caller debounces. What happened before the constructor returned is unknown: the caller reads
    the table after that. Raises FailedError where /proc cannot be used: then the regular comparison must do.
    """

    def __init__(self, wake: WakeUp, loop: asyncio.AbstractEventLoop) -> None:
        self._wake = wake
        self._loop = loop
        try:
            self._table = os.open(_MOUNTINFO, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise FailedError(f"{_MOUNTINFO}: {error.strerror}: mounts cannot be watched", "mount /proc") from error
        # The table is always readable, so the loop, which would wait for that, gets an epoll set that waits for less.
        self._changes = select.epoll()
        self._changes.register(self._table, select.EPOLLPRI | select.EPOLLERR)
        loop.add_reader(self._changes.fileno(), self._changed)

    def close(self) -> None:
        """Stop; nothing is woken any more. Harmless when closed already."""
        if not self._changes.closed:
            self._loop.remove_reader(self._changes.fileno())
            self._changes.close()
            os.close(self._table)

    def _changed(self) -> None:
        # Being called is the news. The loop's look at the epoll set was a poll of the table, which told of the change
        # and forgot it, so that this one mostly says "nothing"; it takes the table off the list of ready files.
        self._changes.poll(0)
        self._wake(SOMETHING)
