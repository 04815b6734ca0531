# SPDX-License-Identifier: GPL-3.0-or-later
"""A program as a filter over a part of a file, its output taken piece by piece, with bounds on time and bytes."""

import os
import resource
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from osrd.model.errors import FailedError, InvalidConfigError, UnsupportedError

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_PART = 1 << 18
_MEMORY = 2 << 30
_COMPLAINTS = 4096


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long the program may take, and how many bytes it may write."""

    seconds: float
    bytes: int


@contextmanager
def filtered(
    argv: Sequence[str], package: str, file: BinaryIO, part: tuple[int, int], bounds: Bounds
) -> Iterator[Iterator[bytes]]:
    """What ``argv`` makes of the bytes ``part`` (start, end) of ``file``. The program has ended when the block ends.

    Raises UnsupportedError naming ``package`` when it is not installed; InvalidConfigError when it fails or goes
    beyond ``bounds``.
    """
    with tempfile.TemporaryFile() as complaints, _cut_out(file, part) as stdin:
        try:
            process = subprocess.Popen(
                argv, stdin=stdin, stdout=subprocess.PIPE, stderr=complaints, env=_ENVIRONMENT, cwd="/",
                start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError:
            raise UnsupportedError(
                f"the initrd is packed by {argv[0]}, which this host does not have, so it cannot be checked",
                f'install the package {package} here, or set compress="gzip" in the root\'s dracut.conf',
            ) from None
        except OSError as error:
            raise FailedError(f"{argv[0]} cannot be started: {error.strerror}", passing=True) from error
        with process:
            try:
                _confine(process.pid, bounds.seconds)
                yield _output(process, complaints, argv[0], bounds)
            finally:
                _end(process)


@contextmanager
def _cut_out(file: BinaryIO, part: tuple[int, int]) -> Iterator[int]:
    """A descriptor that gives just these bytes: of the file itself when they are its last."""
    start, end = part
    if end == os.fstat(file.fileno()).st_size:
        own = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.lseek(own, start, os.SEEK_SET)
            yield own
        finally:
            os.close(own)
        return
    with tempfile.TemporaryFile() as copy:
        while start < end:
            start += os.sendfile(copy.fileno(), file.fileno(), start, end - start)
        copy.seek(0)
        yield copy.fileno()


def _confine(pid: int, seconds: float) -> None:
    """It only has to read, compute and write into a pipe, and a few words when it fails."""
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (_COMPLAINTS, _COMPLAINTS))
        resource.prlimit(pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.prlimit(pid, resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    except ProcessLookupError:
        return  # ended already


def _output(process: "subprocess.Popen[bytes]", complaints: BinaryIO, name: str, bounds: Bounds) -> Iterator[bytes]:
    assert process.stdout is not None
    deadline = time.monotonic() + bounds.seconds
    fd, total = process.stdout.fileno(), 0
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise InvalidConfigError(
                    f"{name} had not unpacked the initrd after {bounds.seconds:g} s", "build it again"
                )
            data = os.read(fd, _PART)
            if not data:
                break
            total += len(data)
            if total > bounds.bytes:
                raise InvalidConfigError(
                    f"the rest of the initrd unpacks to more than {bounds.bytes} bytes", "build it again"
                )
            yield data
    if process.wait():
        complaints.seek(0)
        last = complaints.read(_COMPLAINTS).decode(errors="replace").strip().rpartition("\n")[2]
        raise InvalidConfigError(f"{name} cannot unpack the initrd: {last}", "build it again")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
