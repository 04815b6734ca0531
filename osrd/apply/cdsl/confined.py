# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that walk trees (cp, rm) run where only the shared root is: see launcher.py.

One child process for all of them, so that its start is paid once. It inherits the lock of the root: whoever gets
that lock next can be sure that no copy of a killed osrd still writes.
"""

import errno
import json
import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from osrd.apply.apart import Kind, Peer
from osrd.apply.cdsl import launcher
from osrd.apply.syscalls import MS_PRIVATE, mount_setattr, open_tree
from osrd.model.errors import CancelledError, FailedError, OsrdError, UnsupportedError
from osrd.observe.inside import Inside

#: where launchers come from
LAUNCHERS = Kind(launcher.__file__, "OSRD_COPY_SOCKET", "osrd-copy.socket", "copies")
_KILLED = 5.0  # seconds that killed programs may take to go before all is ended that they started
_TICK = 0.2  # seconds between two looks at the progress and whether somebody cancelled
_NEEDS = "run osrd as root on Linux 5.12 or newer; a chroot must be a mount point (bind it to itself)"
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
        self._peer: Peer | None = None
        self._heard = b""
        self._running: dict[int, int] = {}  # job: bytes that it has written

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child; jobs that still run are killed, and gone when this returns."""
        peer, self._peer, self._heard, self._running = self._peer, None, b"", {}
        if peer is not None:
            peer.end()

    def run(self, jobs: Sequence[Job], progress: Callable[[float], None] = lambda fraction: None) -> None:
        """Run all ``jobs``; ``progress`` hears the fraction done. Raises FailedError with the last words of the
        first one that fails, and CancelledError, after killing the others; UnsupportedError when this process may
        not confine programs."""
        try:
            for _number, status, words in self._run(jobs, progress):
                if status:
                    raise FailedError(self._told(status, words))
        except (FailedError, CancelledError):
            self._stop()
            raise

    def _stop(self) -> None:
        """Kill the jobs that still run; they are gone when this returns. The child stays, for whoever takes back what
        they did: while systemd stops the units there is no other to be had."""
        peer, deadline = self._peer, time.monotonic() + _KILLED
        try:
            if peer is not None and self._running:
                self._tell(peer, {"stop": True})
                while self._running and time.monotonic() < deadline:
                    self._hear(peer)
        except FailedError:  # it is gone itself
            self.close()
        if self._running:
            self.close()

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
        peer = self._started()
        waiting = list(enumerate(jobs))[::-1]
        running = self._running = {}
        done, total = 0, sum(job.weight for job in jobs) or 1
        at_once = len(os.sched_getaffinity(0))
        while waiting or running:
            while waiting and len(running) < at_once:
                number, job = waiting.pop()
                running[number] = 0
                self._tell(peer, {"job": number, "argv": job.argv})
            for number, status, words in self._hear(peer):
                done += jobs[number].weight
                yield number, status, words
            if self._cancelled():
                raise CancelledError("cancelled")
            partly = sum(min(jobs[number].weight, written) for number, written in running.items())
            progress((done + partly) / total)

    def _hear(self, peer: Peer) -> list[tuple[int, int, str]]:
        """What ended within a moment, as ``_run`` gives it; of the others how much they have written."""
        ended = []
        for message in self._messages(peer):
            number = message["job"]
            if "written" in message:
                self._running[number] = message["written"]
            else:
                del self._running[number]
                ended.append((number, message["status"], message["error"]))
        return ended

    def _started(self) -> Peer:
        if self._peer is not None:
            return self._peer
        self._peer = LAUNCHERS.start()
        try:
            self._greet(self._peer)
            ready = self._answer(self._peer)
        except OsrdError:
            self.close()
            raise
        if "refused" in ready[0]:
            self.close()
            raise self._refused(ready[0]["refused"], ready[0]["errno"])
        return self._peer

    def _answer(self, peer: Peer) -> list[dict[str, Any]]:
        """What it says first. systemd may be slow to start one, or not do it at all."""
        deadline = time.monotonic() + peer.patience
        while not (said := self._messages(peer)):
            if self._cancelled():
                raise CancelledError("cancelled")
            if time.monotonic() > deadline:
                raise FailedError(
                    f"the process that copies in {self._inside.path} says nothing within {peer.patience:g} s",
                    "try again",
                )
        return said

    def _greet(self, peer: Peer) -> None:
        greeting = json.dumps({"clone": peer.apart}).encode() + b"\n"
        with self._root(peer) as root:
            if not peer.send(greeting, (root, *self._inside.inherited)):
                raise self._died()

    @contextmanager
    def _root(self, peer: Peer) -> Iterator[int]:
        """The root for ``peer``: of another mount namespace only a clone of the mount can be taken."""
        if not peer.apart:
            yield self._inside.fd
            return
        try:
            clone = open_tree(self._inside.fd)
        except OSError as error:
            raise self._refused(error.strerror or "", error.errno or 0) from error
        try:
            mount_setattr(clone, propagation=MS_PRIVATE)
            yield clone
        finally:
            os.close(clone)

    def _refused(self, why: str, number: int) -> FailedError | UnsupportedError:
        message = f"programs cannot be confined to {self._inside.path}: {why}"
        if number in _NOT_PERMITTED:
            return UnsupportedError(message, "run osrd as root on Linux 5.12 or newer, with its own mount namespaces")
        return FailedError(message)

    def _tell(self, peer: Peer, message: dict[str, Any]) -> None:
        if not peer.send(json.dumps(message).encode() + b"\n"):
            raise self._died()

    def _messages(self, peer: Peer) -> list[dict[str, Any]]:
        """What the child says within a moment."""
        poll = select.poll()
        poll.register(peer.connection, select.POLLIN)
        if not poll.poll(_TICK * 1000):
            return []
        data = peer.receive()
        if not data:
            raise self._died()
        *lines, self._heard = (self._heard + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _died(self) -> FailedError:
        return FailedError(f"the process that copies in {self._inside.path} was killed", "try again")
