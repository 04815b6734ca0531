# SPDX-License-Identifier: GPL-3.0-or-later
"""The terminal of a job that starts a command and lets it have the keyboard (tcsetpgrp(3), credentials(7))."""

import os
import signal
from contextlib import suppress


class Terminal:
    """The controlling terminal, open as ``fd``, of a process whose job is in its foreground."""

    def __init__(self, fd: int, *, whole_job: bool) -> None:
        self._fd = fd
        #: whether nobody else of a pipeline needs the terminal: all three standard files are it
        self.whole_job = whole_job

    def give(self, group: int) -> None:
        """Make ``group`` the foreground one, whatever the caller's own is."""
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            with suppress(OSError):  # hung up, or the group has just ended
                os.tcsetpgrp(self._fd, group)
        finally:
            signal.signal(signal.SIGTTOU, before)

    def pass_on(self, group: int) -> None:
        """Give it to ``group`` when it is ours to give: after fg, not after bg."""
        with suppress(OSError):
            if os.tcgetpgrp(self._fd) == os.getpgrp():
                self.give(group)

    def take_back(self) -> None:
        """Make the caller's own group the foreground one again: a shell that could not see our group's number in its
        process numbers does not give it back."""
        self.give(os.getpgrp())


def foreground_terminal() -> Terminal | None:
    """The terminal on standard input, None when there is none or another job has it."""
    try:
        if os.tcgetpgrp(0) != os.getpgrp():
            return None
    except OSError:
        return None
    return Terminal(0, whole_job=all(os.isatty(fd) for fd in (1, 2)))
