# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks and network interfaces that come and go (pyudev): a kernel may lie on a disk that was not there at boot, a
DHCP server may have waited for its interface. Only a hint, like all of osrd.watch."""

import asyncio
import logging
import os

import pyudev

from osrd.watch.base import SOMETHING, WakeUp

logger = logging.getLogger(__name__)

#: What can change whether an input can be read or a server can answer.
_SUBSYSTEMS = ("block", "net")


class UdevWatcher:
    """Calls ``wake`` with SOMETHING for events of disks and NICs. They are the kernel's own, since what udevd adds to
    them is of no interest and there may be no udevd (a container)."""

    def __init__(self, wake: WakeUp, loop: asyncio.AbstractEventLoop) -> None:
        self._wake = wake
        self._loop = loop
        self._monitor: pyudev.Monitor | None = None
        try:
            monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
            for subsystem in _SUBSYSTEMS:
                monitor.filter_by(subsystem)
            monitor.start()
        except (OSError, ImportError) as error:
            logger.info("udev cannot be asked for new disks and interfaces: %s", error)
            return
        os.set_blocking(monitor.fileno(), False)
        self._monitor = monitor
        loop.add_reader(monitor.fileno(), self._readable)

    def close(self) -> None:
        if self._monitor is not None:
            self._loop.remove_reader(self._monitor.fileno())
            self._monitor = None

    def _readable(self) -> None:
        """Drain what waits; how much or what it was does not matter."""
        assert self._monitor is not None
        seen = False
        try:
            while self._monitor.poll(timeout=0) is not None:
                seen = True
        except OSError as error:  # ENOBUFS: the socket overflowed, so something certainly happened
            logger.debug("udev: %s", error)
            seen = True
        if seen:
            self._wake(SOMETHING)
