# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build printed, in a file of this host: its beginning and its end, however much it is."""

import os
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self

from osrd.plan.initrd.dracut import shown

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BEGINNING, _END = 2 << 20, 256 << 10
_LONGEST_LINE = 1024
_LAST_LINES = 20


class BuildLog:
    """A new file ``name`` in the open ``directory``, for its owner alone. Use as a context manager. The bytes are the
    program's: whoever shows them must take control characters out (``osrd.plan.initrd.dracut.shown``)."""

    def __init__(self, directory: int, name: str) -> None:
        self._file = os.fdopen(os.open(name, _NEW, 0o600, dir_fd=directory), "wb", buffering=0)
        self._end: deque[bytes] = deque()
        self._kept = 0
        self._partial = b""
        self.size = 0
        self._last: deque[bytes] = deque(maxlen=_LAST_LINES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            left_out = self.size - _BEGINNING - self._kept
            if left_out > 0:
                self._write(f"\n[{left_out} bytes are left out here]\n".encode())
            self._write(b"".join(self._end))

    def hear(self, data: bytes) -> list[bytes]:
        """Take the next bytes; the lines that they complete."""
        room = max(0, _BEGINNING - self.size)
        self._write(data[:room])
        self._keep(data[room:])
        self.size += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > _LONGEST_LINE:
            lines.append(self._partial)
            self._partial = b""
        self._last.extend(lines[-_LAST_LINES:])
        return lines

    @property
    def last(self) -> tuple[str, ...]:
        """The last lines, as they may be shown."""
        texts = (text(line) for line in (*self._last, self._partial))
        return tuple(each for each in texts if each)[-_LAST_LINES:]

    def _write(self, data: bytes) -> None:
        """On a full disk the rest is missing: what matters more will say so."""
        with suppress(OSError):
            while data:
                data = data[self._file.write(data) :]

    def _keep(self, data: bytes) -> None:
        if data:
            self._end.append(data)
            self._kept += len(data)
        while self._kept - len(self._end[0] if self._end else b"") > _END:
            self._kept -= len(self._end.popleft())

    def say(self, line: str) -> None:
        """A line of osrd's own, at the end."""
        new_line = "\n" if self._partial else ""
        self._end.append(f"{new_line}osrd: {line}\n".encode())


def text(line: bytes) -> str:
    """A line of a log as it may be shown, the beginning of a long one."""
    return shown(line[:_LONGEST_LINE].decode(errors="replace"))
