# SPDX-License-Identifier: GPL-3.0-or-later
"""Another program's process, held by a pidfd so that a recycled process id is never signalled (pidfd_open(2))."""

import os
import select
import signal
from types import TracebackType

_COMM_LENGTH = 15  # proc(5): longer names are cut


class Process:
    """A running process. Use as a context manager."""

    def __init__(self, pid: int) -> None:
        """Raises OSError when there is no process ``pid``."""
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._pidfd)

    @property
    def name(self) -> str:
        """The name of its program, at most 15 characters; "" when it is gone. As long as the process is alive after
        this was read, it was the name of this very process: the pidfd keeps the number from being used again."""
        try:
            with open(f"/proc/{self.pid}/comm", encoding="utf-8", errors="replace") as file:
                return file.read().rstrip("\n")
        except OSError:
            return ""

    def runs(self, program: str) -> bool:
        """Whether it is ``program`` (a path or a name) and alive."""
        return self.name == os.path.basename(program)[:_COMM_LENGTH] and self.stays(0)

    def hang_up(self) -> None:
        """Send SIGHUP. Raises ProcessLookupError when it is gone, PermissionError when it is not ours to signal."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGHUP)

    def stays(self, seconds: float) -> bool:
        """Whether it is still alive after ``seconds``; returns earlier when it ends."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(seconds * 1000)


def read_pid(file: str) -> int | None:
    """The process id in a pid file, None when there is no such file or no number in it."""
    try:
        with open(file, encoding="ascii", errors="replace") as opened:
            text = opened.read(32).strip()
    except OSError:
        return None
    return int(text) if text.isascii() and text.isdigit() and int(text) > 1 else None
