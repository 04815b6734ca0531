# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that walk trees (cp, rm) run where only the shared root is: see launcher.py.

One child process for all of them, so that its start is paid once. It inherits the lock of the root: whoever gets
that lock next can be sure that no copy of a killed osrd still writes.
"""

import errno
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from osrd.apply.cdsl import launcher
from osrd.model.errors import CancelledError, FailedError, UnsupportedError
from osrd.observe.inside import Inside

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_TICK = 0.2  # seconds between two looks at the progress and whether somebody cancelled
_NEEDS = "run osrd as root on Linux 5.12 or newer; a chroot must be a mount point (bind it to itself)"
_PATIENCE = 500  # how often to ask whether killed programs are gone (every 20 ms)
_NOT_PERMITTED = frozenset({errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOSPC, errno.EUSERS})


@dataclass(frozen=True, slots=True)
class Job:
    """An argv whose paths come from ``Confined.place``; ``weight`` is its part of the work (bytes)."""

    argv: tuple[str, ...]
    weight: int = 1


def place(path: str) -> str:
    """A path of the root as the confined programs see it."""
    return f"/{launcher.ROOT}/{path}"


class Confined:
    """Runs jobs, as many at a time as there are processors. ``cancelled`` is asked several times a second."""

    def __init__(self, inside: Inside, cancelled: Callable[[], bool] = lambda: False) -> None:
        self._inside = inside
        self._cancelled = cancelled
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child; jobs that still run are killed, and gone when this returns."""
        if self._process is None:
            return
        process, self._process, self._heard = self._process, None, b""
        with process:
            pass  # closes its stdin, at whose end it kills its jobs, and waits for it
        if process.returncode != 0:  # it ended with its jobs; or somebody killed it, and so nobody killed them
            _end_group(process.pid)

    def run(self, jobs: Sequence[Job], progress: Callable[[float], None] = lambda fraction: None) -> None:
        """Run all ``jobs``; ``progress`` hears the fraction done. Raises FailedError with the last words of the
        first one that fails, and CancelledError, after killing the others; UnsupportedError when this process may
        not confine programs."""
        try:
            for _number, status, words in self._run(jobs, progress):
                if status:
                    raise FailedError(self._told(status, words))
        except (FailedError, CancelledError):
            self.close()
            raise

    def run_all(self, jobs: Sequence[Job]) -> list[str]:
        """Run all ``jobs`` to their end, even if some fail and whoever cancels; what those say that failed."""
        failed = []
        cancelled, self._cancelled = self._cancelled, lambda: False
        try:
            for _number, status, words in self._run(jobs, lambda fraction: None):
                if status:
                    failed.append(self._told(status, words))
        finally:
            self._cancelled = cancelled
        return failed

    def _told(self, status: int, words: str) -> str:
        if status < 0:
            words = words or f"killed by signal {-status}"
        return words.replace(f"/{launcher.ROOT}", self._inside.path.rstrip("/")) or f"exit status {status}"

    def _run(self, jobs: Sequence[Job], progress: Callable[[float], None]) -> Iterator[tuple[int, int, str]]:
        """The number, exit status and last words of each job as it ends."""
        if not jobs:
            return
        process = self._started()
        waiting = list(enumerate(jobs))[::-1]
        running: dict[int, int] = {}  # job: its process
        done, total = 0, sum(job.weight for job in jobs) or 1
        at_once = len(os.sched_getaffinity(0))
        while waiting or running:
            while waiting and len(running) < at_once:
                number, job = waiting.pop()
                running[number] = 0
                self._tell(process, {"job": number, "argv": job.argv})
            for message in self._messages(process):
                number = message["job"]
                if "process" in message:
                    running[number] = message["process"]
                    continue
                del running[number]
                done += jobs[number].weight
                yield number, message["status"], message["error"]
            if self._cancelled():
                raise CancelledError("cancelled")
            partly = sum(min(jobs[number].weight, _written(pid)) for number, pid in running.items())
            progress((done + partly) / total)

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is not None:
            return self._process
        argv = [sys.executable, "-I", "-S", "-B", launcher.__file__, str(self._inside.fd)]
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                pass_fds=(self._inside.fd, *self._inside.inherited),
                start_new_session=True,
            )
        except OSError as error:
            raise FailedError(f"{sys.executable} cannot be started: {error.strerror}") from error
        try:
            ready: list[dict[str, Any]] = []
            while not ready:
                ready = self._messages(self._process)
        except FailedError:
            self.close()
            raise
        if "refused" in ready[0]:
            self.close()
            message = f"programs cannot be confined to {self._inside.path}: {ready[0]['refused']}"
            if ready[0]["errno"] in _NOT_PERMITTED:
                raise UnsupportedError(
                    message, "run osrd as root on Linux 5.12 or newer, with its own mount namespaces"
                )
            raise FailedError(message)
        return self._process

    def _tell(self, process: "subprocess.Popen[bytes]", message: dict[str, Any]) -> None:
        assert process.stdin is not None
        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                data = data[os.write(process.stdin.fileno(), data) :]
        except BrokenPipeError as error:
            raise self._died() from error

    def _messages(self, process: "subprocess.Popen[bytes]") -> list[dict[str, Any]]:
        """What the child says within a moment."""
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout.fileno(), select.POLLIN)
        if not poll.poll(_TICK * 1000):
            if process.poll() is not None:
                raise self._died()
            return []
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            raise self._died()
        *lines, self._heard = (self._heard + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _died(self) -> FailedError:
        return FailedError(f"the process that copies in {self._inside.path} was killed", "try again")


def _end_group(group: int) -> None:
    """Kill the processes of a group and wait until they are gone (whoever is their parent now reaps them)."""
    with suppress(ProcessLookupError):
        for _ in range(_PATIENCE):
            os.killpg(group, signal.SIGKILL)
            time.sleep(_TICK / 10)


def _written(process: int) -> int:
    """How many bytes a process has written so far, 0 when that is not told."""
    if process == 0:
        return 0
    try:
        with open(f"/proc/{process}/io", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("wchar"))
    except (OSError, StopIteration):
        return 0
