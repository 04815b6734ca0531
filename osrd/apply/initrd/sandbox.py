# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of a root, run where they can change nothing: the side of osrd. See guard.py for the other one."""

import base64
import errno
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from osrd.apply.apart import Kind, Peer
from osrd.apply.initrd import guard
from osrd.apply.initrd.buildlog import BuildLog
from osrd.apply.initrd.room import IMAGE, detached
from osrd.model import errors
from osrd.model.errors import CancelledError, FailedError, OsrdError, UnsupportedError
from osrd.model.image import BuildLimits
from osrd.observe.inside import Inside

#: where guards come from
GUARDS = Kind(guard.__file__, "OSRD_BUILD_SOCKET", "osrd-build.socket", "builds initrds")
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root", "TMPDIR": "/tmp"}
_TICK = 0.2  # seconds between two looks whether somebody cancelled
_PATIENCE = 30.0  # how long the guard may take beyond the timeout
_MOST_OUTPUT = 64 << 20
_MOST_PROCESSES = 512
_PART = 1 << 16
_KILLED = 128 + signal.SIGKILL
_MEMORY = "if journalctl -k says that memory ran out: more for this host, or MemoryMax= of osrd-build@.service"

Hear = Callable[[Sequence[bytes]], None]


@dataclass(frozen=True, slots=True)
class Task:
    """What runs in the room of a root: a program that makes the file room.IMAGE. ``files`` are seen in the root at
    their paths, ``tree`` ("": none) where ``link`` leads."""

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = field(repr=False)
    link: str = ""
    tree: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


class Sandbox:
    """Runs tasks in ``inside``. ``cancelled`` is asked several times a second."""

    def __init__(self, inside: Inside, limits: BuildLimits, cancelled: Callable[[], bool] = lambda: False) -> None:
        self._inside = inside
        self._limits = limits
        self._cancelled = cancelled

    def run(self, task: Task, image: int, log: BuildLog, hear: Hear = lambda lines: None) -> int:
        """Run ``task`` to its end and copy what it made to the open file ``image``; its size. ``hear`` gets the lines
        that it prints. Nothing of it runs any more, and nothing is mounted, when this returns or raises.

        Raises CancelledError; UnsupportedError when this host has no safe place to run it; FailedError when the task
        fails, goes beyond the limits or makes no image.
        """
        if os.geteuid() != 0:
            raise UnsupportedError(
                f"programs of {self._inside.path} can be run safely by root only", "run osrd as root"
            )
        reader, output = os.pipe()
        with open(reader, "rb", buffering=0) as stream, ExitStack() as stack:
            with _closing(output), self._root() as root:
                peer = GUARDS.start()
                stack.callback(peer.end)
                peer.send(self._message(task), (root, image, output))  # if it has ended, its messages say why
            message = self._watch(peer, stream.fileno(), log, hear)
        if "kind" in message:
            raise _told(message)
        if message["ended"] != 0:
            # What only the kernel and administrators send: this host has too little memory, or somebody ended it.
            killed = message["ended"] == _KILLED
            raise FailedError(*self._why(task.argv[0], message["ended"]), passing=killed)
        return int(message["size"])

    @contextmanager
    def _root(self) -> Iterator[int]:
        try:
            clone = detached(self._inside.fd)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOSYS):
                raise
            raise UnsupportedError(
                f"programs of {self._inside.path} cannot be sealed off here: mounts: {error.strerror}",
                "run osrd as root with CAP_SYS_ADMIN, on Linux 5.12 or newer",
            ) from error
        with _closing(clone):
            yield clone

    def _why(self, program: str, status: int) -> tuple[str, str]:
        if status == 128 + signal.SIGXFSZ:
            return f"a file that {program} wrote has more than {self._limits.size} MiB", "raise size in [build]"
        if status > 128:
            return f"{program} was killed by signal {status - 128}", _MEMORY if status == _KILLED else ""
        return f"{program} failed with exit status {status}", ""

    def _message(self, task: Task) -> bytes:
        limits = self._limits
        order = {
            "path": self._inside.path,
            "link": task.link,
            "tree": task.tree,
            "files": {path: base64.b64encode(data).decode() for path, data in task.files.items()},
            "argv": task.argv,
            "environment": {**_ENVIRONMENT, **task.environment},
            "timeout": limits.timeout,
            "memory": limits.memory,
            "size": limits.size,
            "nice": limits.nice,
            "processes": _MOST_PROCESSES,
        }
        return json.dumps(order).encode() + b"\n"

    def _watch(self, peer: Peer, output: int, log: BuildLog, hear: Hear) -> dict[str, Any]:
        """What the guard says last, when all output was heard."""
        deadline = time.monotonic() + self._limits.timeout + _PATIENCE
        messages = b""
        open_ones = {output, peer.connection.fileno()}
        while open_ones:
            for fd in _ready(open_ones):
                data = os.read(fd, _PART) if fd == output else peer.receive()
                if not data:
                    open_ones.discard(fd)
                elif fd == output:
                    hear(log.hear(data))
                else:
                    messages += data
            if log.size > _MOST_OUTPUT:
                raise FailedError(f"it printed more than {_MOST_OUTPUT >> 20} MiB")
            if self._cancelled():
                raise CancelledError("cancelled")
            if time.monotonic() > deadline:
                raise FailedError(
                    f"it had not ended after {self._limits.timeout:g} s, and could not be ended in time", passing=True
                )
        said = [json.loads(line) for line in messages.split(b"\n") if line]
        if not said or not said[-1].keys() & {"kind", "ended"}:
            raise FailedError("the process that watches over the build was ended", _MEMORY, passing=True)
        last: dict[str, Any] = said[-1]
        return last


def _ready(descriptors: set[int]) -> list[int]:
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(_TICK * 1000)]


@contextmanager
def _closing(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)


def _told(message: dict[str, Any]) -> OsrdError:
    error = getattr(errors, message["kind"])(message["message"].replace(IMAGE, "the image"), message["fix"])
    assert isinstance(error, OsrdError)
    error.passing = message["passing"]
    return error
