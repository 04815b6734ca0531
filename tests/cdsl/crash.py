# SPDX-License-Identifier: GPL-3.0-or-later
"""Killing a process at its Nth call that changes a file system: what a pulled plug leaves, without pulling one."""

import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any

from osrd.apply import syscalls

#: Functions of os that change a directory or a file.
_CHANGES = ("rename", "replace", "link", "unlink", "mkdir", "rmdir", "symlink", "fsync", "write", "chown", "fchmod")


class Countdown:
    """Kills this process when ``left`` changes were begun; ``before`` each, so that the last one did not happen."""

    def __init__(self, left: int) -> None:
        self.left = left

    def install(self) -> None:
        for name in _CHANGES:
            setattr(os, name, self._counted(getattr(os, name)))
        syscalls.renameat2 = self._counted(syscalls.renameat2)

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return counted


def killed_at(change: int, body: Callable[[], None]) -> bool:
    """Run ``body`` in a child that is killed at its change number ``change``; whether it came to that. What the body
    raises is the child's own affair."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            Countdown(change).install()
            body()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
