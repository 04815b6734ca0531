# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that runs programs: an argv, an empty environment, a deadline, and an end for all its children."""

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_CHUNK = 65536
#: exit statuses of programs that did not end by themselves, as sh and timeout(1) have them
NOT_FOUND, NOT_EXECUTABLE, TIMED_OUT = 127, 126, 124


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended. ``returncode`` is negative for a signal, 127 for a program that is not installed, 126 for
    one that cannot be started, 124 for one that was killed at its deadline; ``stderr`` then says so."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.returncode == 0


class Runner(Protocol):
    def run(self, argv: Sequence[str], *, timeout: float = 60, input: bytes = b"") -> Completed:  # noqa: A002
        """Run ``argv`` to its end or for ``timeout`` seconds, with ``input`` on its standard input. Never raises for
        anything the program does."""


class SubprocessRunner:
    """Runs real programs. Of each output stream the first ``limit`` bytes are kept; the rest is read and dropped, so
    that a program that talks without end neither fills the memory nor blocks on a full pipe."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self._limit = limit

    def run(self, argv: Sequence[str], *, timeout: float = 60, input: bytes = b"") -> Completed:  # noqa: A002
        """See Runner.run."""
        deadline = time.monotonic() + timeout
        with tempfile.TemporaryFile() as stdin:
            # A file, not a pipe: a program that does not read it can never block osrd.
            stdin.write(input)
            stdin.seek(0)
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=stdin if input else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=_ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,
                )
            except FileNotFoundError:
                return Completed(tuple(argv), NOT_FOUND, "", f"{argv[0]} is not installed")
            except OSError as error:
                return Completed(tuple(argv), NOT_EXECUTABLE, "", f"{argv[0]} cannot be started: {error.strerror}")
        with process:
            ended, stdout, stderr = self._watch(process, deadline)
            if not ended:
                _kill_group(process)
            process.wait()
        if not ended:
            stderr += f"{argv[0]} was killed: it had not ended after {timeout:g} s\n".encode()
        return Completed(
            tuple(argv),
            process.returncode if ended else TIMED_OUT,
            stdout.decode(errors="replace"),
            stderr.decode(errors="replace"),
        )

    def _watch(self, process: "subprocess.Popen[bytes]", deadline: float) -> tuple[bool, bytes, bytes]:
        """Collect the output until the process is gone; children that hold the pipes open do not keep us."""
        assert process.stdout is not None
        assert process.stderr is not None
        kept: dict[int, bytearray] = {}
        pidfd = os.pidfd_open(process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                for stream in (process.stdout, process.stderr):
                    os.set_blocking(stream.fileno(), False)
                    kept[stream.fileno()] = bytearray()
                    selector.register(stream, selectors.EVENT_READ)
                selector.register(pidfd, selectors.EVENT_READ)
                ended = False
                while not ended:
                    ready = selector.select(max(0.0, deadline - time.monotonic()))
                    ended = any(key.fd == pidfd for key, _ in ready)
                    for key, _ in ready:
                        if key.fd != pidfd and not self._drain(key.fd, kept[key.fd], once=not ended):
                            selector.unregister(key.fileobj)
                    if not ended and time.monotonic() >= deadline:
                        break
                for stream in (process.stdout, process.stderr):
                    self._drain(stream.fileno(), kept[stream.fileno()], once=not ended)
        finally:
            os.close(pidfd)
        return ended, bytes(kept[process.stdout.fileno()]), bytes(kept[process.stderr.fileno()])

    def _drain(self, descriptor: int, kept: bytearray, *, once: bool) -> bool:
        """Read what is there (at most a pipe's worth); False at the end of the stream."""
        for _ in range(1 if once else 64):
            try:
                data = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                return True
            if not data:
                return False
            kept += data[: max(0, self._limit - len(kept))]
        return True


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # ended between the deadline and now
