# SPDX-License-Identifier: GPL-3.0-or-later
"""What DHCP and TFTP servers logged since the last look: from the journal, or from a file that a server writes.

Only what comes after the first look counts: how far a machine was when osrd did not run is not known.
"""

import os
from collections.abc import Iterable
from typing import Protocol

from osrd.model.bootevent import BootEvent
from osrd.model.settings import JOURNAL
from osrd.parse.serverlog import boot_event

#: How servers call themselves in the journal (SYSLOG_IDENTIFIER).
_SERVERS = ("dnsmasq", "dnsmasq-dhcp", "dnsmasq-tftp", "dhcpd", "kea-dhcp4", "in.tftpd", "tftpd", "atftpd")
#: Of one look: what a flood of lines says beyond that is not worth the time.
_MOST_BYTES = 1 << 20
_MOST_ENTRIES = 5000


class ServerLog(Protocol):
    """``fileno`` is readable when there is something new, None when nobody tells."""

    def fileno(self) -> int | None: ...
    def read(self) -> tuple[BootEvent, ...]: ...
    def close(self) -> None: ...


class LogFile:
    """A file that is appended to, and replaced or truncated when it is rotated. It need not exist."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._place: tuple[int, int] | None = None  # device and inode
        self._offset = 0
        self._rest = b""
        try:
            status = os.stat(path)
        except OSError:
            return
        self._place, self._offset = (status.st_dev, status.st_ino), status.st_size

    def fileno(self) -> None:
        return None

    def read(self) -> tuple[BootEvent, ...]:
        """Events in new whole lines; none while the file cannot be read."""
        try:
            with open(self._path, "rb", opener=_without_waiting) as file:
                status = os.fstat(file.fileno())
                place = status.st_dev, status.st_ino
                if place != self._place or status.st_size < self._offset:
                    self._place, self._offset, self._rest = place, 0, b""
                if status.st_size - self._offset > _MOST_BYTES:
                    self._offset, self._rest = status.st_size - _MOST_BYTES, b""
                file.seek(self._offset)
                data = file.read(_MOST_BYTES)
        except OSError:
            return ()
        self._offset += len(data)
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-_MOST_BYTES:]
        return _events(line.decode(errors="replace") for line in lines)

    def close(self) -> None:
        """Nothing is kept open."""


class Journal:
    """systemd's journal. Raises OSError where there is none, or it may not be read."""

    def __init__(self) -> None:
        from systemd import journal  # noqa: PLC0415 - a megabyte that only the daemon needs

        self._reader = journal.Reader(flags=journal.SYSTEM | journal.LOCAL_ONLY)
        for name in _SERVERS:
            self._reader.add_match(SYSLOG_IDENTIFIER=name)
        self._reader.seek_tail()
        self._reader.get_previous()

    def fileno(self) -> int:
        return int(self._reader.fileno())

    def read(self) -> tuple[BootEvent, ...]:
        self._reader.process()
        lines = []
        for _ in range(_MOST_ENTRIES):
            entry = self._reader.get_next()
            if not entry:
                break
            lines.append(str(entry.get("MESSAGE", "")))
        return _events(lines)

    def close(self) -> None:
        self._reader.close()


def open_server_log(setting: str) -> ServerLog | None:
    """What ``server-log`` of osrd.conf names. None for nothing, and for a journal that is not to be had."""
    if not setting:
        return None
    if setting != JOURNAL:
        return LogFile(setting)
    try:
        return Journal()
    except OSError:
        return None


def _events(lines: Iterable[str]) -> tuple[BootEvent, ...]:
    return tuple(event for line in lines if (event := boot_event(line.rstrip("\r"))) is not None)


def _without_waiting(path: str, flags: int) -> int:
    """A FIFO with this name is not waited for."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
