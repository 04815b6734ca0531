# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of a root, run where they can change nothing: the side of osrd. See guard.py for the other one."""

import base64
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from osrd.apply.initrd import guard
from osrd.apply.initrd.buildlog import BuildLog
from osrd.apply.initrd.room import IMAGE
from osrd.model import errors
from osrd.model.errors import CancelledError, FailedError, OsrdError, UnsupportedError
from osrd.model.image import BuildLimits
from osrd.observe.inside import Inside

#: of the guard, not of the room
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_TICK = 0.2  # seconds between two looks whether somebody cancelled
_PATIENCE = 30.0  # how long the guard may take beyond the timeout, and to end
_MOST_OUTPUT = 64 << 20
_MOST_PROCESSES = 512
_PART = 1 << 16

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
        with open(reader, "rb", buffering=0) as stream:
            try:
                process = self._started(image, output)
            finally:
                os.close(output)
            with _ending(process):
                _order(process, self._message(task, image, output))
                message = self._watch(process, stream.fileno(), log, hear)
        if "kind" in message:
            raise _told(message)
        if message["ended"] != 0:
            raise FailedError(*self._why(task.argv[0], message["ended"]))
        return int(message["size"])

    def _why(self, program: str, status: int) -> tuple[str, str]:
        if status == 128 + signal.SIGXFSZ:
            return f"a file that {program} wrote has more than {self._limits.size} MiB", "raise size in [build]"
        if status > 128:
            return f"{program} was killed by signal {status - 128}", ""
        return f"{program} failed with exit status {status}", ""

    def _started(self, image: int, output: int) -> "subprocess.Popen[bytes]":
        argv = [sys.executable, "-I", "-S", "-B", guard.__file__]
        try:
            return subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                pass_fds=(self._inside.fd, image, output),
                start_new_session=True,
            )
        except OSError as error:
            raise FailedError(f"{sys.executable} cannot be started: {error.strerror}") from error

    def _message(self, task: Task, image: int, output: int) -> bytes:
        limits = self._limits
        order = {
            "root": self._inside.fd,
            "image": image,
            "output": output,
            "path": self._inside.path,
            "link": task.link,
            "tree": task.tree,
            "files": {path: base64.b64encode(data).decode() for path, data in task.files.items()},
            "argv": task.argv,
            "environment": {**_ENVIRONMENT, "LC_ALL": "C", "HOME": "/root", "TMPDIR": "/tmp", **task.environment},
            "timeout": limits.timeout,
            "memory": limits.memory,
            "size": limits.size,
            "nice": limits.nice,
            "processes": _MOST_PROCESSES,
        }
        return json.dumps(order).encode() + b"\n"

    def _watch(self, process: "subprocess.Popen[bytes]", output: int, log: BuildLog, hear: Hear) -> dict[str, Any]:
        """What the guard says last, when all output was heard."""
        assert process.stdout is not None
        deadline = time.monotonic() + self._limits.timeout + _PATIENCE
        messages = b""
        open_ones = {output, process.stdout.fileno()}
        while open_ones:
            for fd in _ready(open_ones):
                data = os.read(fd, _PART)
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
                raise FailedError(f"it had not ended after {self._limits.timeout:g} s, and could not be ended in time")
        said = [json.loads(line) for line in messages.split(b"\n") if line]
        if not said or not said[-1].keys() & {"kind", "ended"}:
            raise FailedError("the process that watches over the build was ended", "try again")
        last: dict[str, Any] = said[-1]
        return last


def _ready(descriptors: set[int]) -> list[int]:
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(_TICK * 1000)]


def _order(process: "subprocess.Popen[bytes]", data: bytes) -> None:
    assert process.stdin is not None
    try:
        while data:
            data = data[os.write(process.stdin.fileno(), data) :]
    except BrokenPipeError:
        return  # it ended, and its messages say why


@contextmanager
def _ending(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Afterwards the guard is gone, and whatever it ran: at the end of its stdin it ends that and itself."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _told(message: dict[str, Any]) -> OsrdError:
    error = getattr(errors, message["kind"])(message["message"].replace(IMAGE, "the image"), message["fix"])
    assert isinstance(error, OsrdError)
    return error
