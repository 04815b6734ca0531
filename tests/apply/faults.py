# SPDX-License-Identifier: GPL-3.0-or-later
"""Death or an error at the Nth thing that a publication does to the file system or the database.

``Faults`` replaces the functions through which a publication changes anything: os.*, renameat2 and syncfs of the C
library, and every SQL statement. It lives in a forked child, so nothing has to be put back.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

from osrd.apply import files
from osrd.apply.store import Store

CHANGES = ("open", "write", "fchmod", "fsync", "rename", "link", "unlink", "mkdir", "rmdir")
LIBC = ("renameat2", "syncfs")


class Faults:
    """Calls ``strike`` before (odd N) or after (even N) the change number N // 2; half a write counts as before."""

    def __init__(self, when: int, strike: Callable[[], None]) -> None:
        self.count = 0
        self._when = when
        self._strike = strike

    def install(self, store: Store) -> None:
        self.install_only()
        store._connection.set_trace_callback(lambda statement: self._pass())

    def install_only(self) -> None:
        """Where there is no database."""
        for name in CHANGES:
            setattr(os, name, self._around(getattr(os, name), name))
        libc = files._libc
        files._libc = type("Libc", (), {name: staticmethod(self._around(getattr(libc, name), name)) for name in LIBC})

    def _pass(self) -> None:
        self.count += 1
        if self.count == self._when:
            self._strike()

    def _around(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def changed(*args: Any, **options: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return call(*args, **options)
            if name == "write" and self.count + 1 == self._when:
                call(args[0], bytes(args[1])[: len(args[1]) // 2])
            self._pass()
            result = call(*args, **options)
            self._pass()
            return result

        return changed


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(action: Callable[[], None]) -> int:
    """Run ``action`` in a forked process; its exit status, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
