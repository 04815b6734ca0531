# SPDX-License-Identifier: GPL-3.0-or-later
"""Process 1 of the room: it enters it for good, gives up what it need not have, starts the program, and collects
whatever ends. When the program ends it ends as well, and the kernel ends everything else that runs in there."""

import os
import resource
import select
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from osrd.apply.initrd.restrict import restrict
from osrd.apply.namespaces import die_with_parent
from osrd.apply.syscalls import (
    AT_FDCWD,
    CLONE_NEWNS,
    MNT_DETACH,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    move_mount,
    new_mount,
    pivot_root,
    umount2,
    unshare,
)

#: said when the program is about to start; anything else is why it is not
READY = b"ready"
_NOT_FOUND = 127
#: memory that runs out is taken from here first
_OUT_OF_MEMORY_FIRST = "500"
#: Python ignores these, and a program would inherit that
_RESET = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(frozen=True, slots=True)
class Program:
    """What runs in the room, and its limits in bytes."""

    argv: list[str]
    environment: Mapping[str, str]
    size: int
    memory: int
    nice: int


def run_first(program: Program, output: int, report: int) -> NoReturn:
    """Be process 1. The working directory is the room; ``output`` is the program's, ``report`` a pipe whose reader is
    the parent's alone."""
    status = _NOT_FOUND
    try:
        # Its parent is outside of its process numbers: 0 to it, before and after the parent's death.
        die_with_parent(0)
        poll = select.poll()
        poll.register(report, 0)
        if poll.poll(0):
            os._exit(status)
        _enter()
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        restrict(program.size, program.memory, program.nice)
        null = os.open("/dev/null", os.O_RDWR)
        os.write(report, READY)
        os.close(report)
        child = os.fork()
        if child == 0:
            _execute(program, null, output)
        os.closerange(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        status = _collect(child)
    except OSError as error:
        os.write(report, f"{error.filename or 'the room'}: {error.strerror}".encode())
    finally:
        os._exit(status)


def _enter() -> None:
    """Leave this host: its files, and the processes that it has beside those of the room."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(_OUT_OF_MEMORY_FIRST)
    # A mount namespace apart from the parent's, whose "/" stays this host's: it must never run the root's code.
    unshare(CLONE_NEWNS)
    # All of it read-only: the kernel settings of this host are in there, and belong to user 0, capabilities or not.
    attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    processes = new_mount("proc", attributes)
    move_mount(processes, AT_FDCWD, "proc")
    os.close(processes)
    # EINVAL where "/" cannot be exchanged (an initramfs): from a mere chroot there would be a way out.
    pivot_root(".", ".")
    umount2(".", MNT_DETACH)
    os.chdir("/")


def _execute(program: Program, null: int, output: int) -> NoReturn:
    try:
        os.setsid()
        os.umask(0o022)
        for number, fd in ((0, null), (1, output), (2, output)):
            os.dup2(fd, number)
        os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        os.execvpe(program.argv[0], program.argv, program.environment)
    except OSError as error:
        os.write(2, f"{program.argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(_NOT_FOUND)


def _collect(child: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
