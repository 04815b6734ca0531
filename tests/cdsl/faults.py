# SPDX-License-Identifier: GPL-3.0-or-later
"""Death or an error at the Nth thing that a transaction does to the file system.

``Faults`` replaces the functions through which a transaction changes anything: os.*, renameat2 and syncfs, and what
is told to the child that copies. It lives in a forked child, so nothing has to be put back.
"""

import errno
import os
from collections.abc import Callable
from typing import Any, NoReturn

from osrd.apply import syscalls

CHANGES = (
    *("open", "write", "fchmod", "fchown", "chown", "fsync", "rename", "link", "unlink", "mkdir", "rmdir", "symlink"),
    *("utime", "setxattr"),
)
SYSTEM = ("renameat2", "syncfs")
#: calls of a network file system that may have happened although they report an error
HALF_DONE = frozenset({"rename", "link", "unlink", "mkdir", "rmdir", "symlink", "renameat2"})


class Faults:
    """Calls ``strike`` instead of the change number ``when``; with ``after`` once that has happened. A write is done
    by half before. With ``lasting`` all later changes are struck as well."""

    def __init__(self, when: int, strike: Callable[[], object], *, after: bool = False, lasting: bool = False) -> None:
        self.count = 0
        self._when = when
        self._strike = strike
        self._after = after
        self._lasting = lasting

    def install(self) -> None:
        for name in CHANGES:
            setattr(os, name, self._around(getattr(os, name), name))
        for name in SYSTEM:
            setattr(syscalls, name, self._around(getattr(syscalls, name), name))

    def _due(self) -> bool:
        self.count += 1
        return self.count == self._when or (self._lasting and self.count > self._when)

    def _around(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def changed(*args: Any, **options: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return call(*args, **options)
            if self._due():
                if name == "write":
                    call(args[0], bytes(args[1])[: len(args[1]) // 2])
                if self._after and name in HALF_DONE:
                    call(*args, **options)
                self._strike()
            return call(*args, **options)

        return changed


def no_swaps() -> None:
    """From now on the file system can neither swap names nor rename without replacing, like NFS."""

    def renameat2(*arguments: object) -> NoReturn:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    syscalls.renameat2 = renameat2


def failing(number: int) -> Callable[[], NoReturn]:
    def strike() -> NoReturn:
        raise OSError(number, os.strerror(number))

    return strike
