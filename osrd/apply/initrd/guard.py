# SPDX-License-Identifier: GPL-3.0-or-later
"""The child process between osrd and the programs of a root: it makes the room, watches over what runs in there, and
fetches the image when nothing runs any more.

    osrd -- guard: the namespaces, limits, the image -- process 1 of the room -- dracut and all that it starts

It is a child of osrd, or an instance of osrd-build@.service (osrd/apply/apart.py). Its stdin is a stream
socket: one JSON object, and three descriptors with it, are the order; at the end of the stream, which is also that of
osrd, everything is killed. Messages (JSON lines) go the other way. When the guard is killed the kernel kills
process 1, and with it whatever runs; the mounts exist in namespaces that end with them. This process never enters the
room and executes nothing of the root.
"""

import base64
import errno
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

if __name__ == "__main__":
    # Run as a file with python -I -S: the package is found from here and nowhere else.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

from osrd.apply.initrd.first import READY, Program, run_first
from osrd.apply.initrd.room import Room
from osrd.apply.namespaces import enter_sealed_namespaces
from osrd.model.errors import FailedError, OsrdError

_TICK = 0.25  # seconds between two looks at what is used
_MEBI = 1 << 20
_PART = 1 << 24
_ORDER_PART, _DESCRIPTORS = 1 << 20, 3
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Guard:
    """``order``: path, link, tree, files (base64), argv, environment, timeout, memory, size, nice, processes (see
    sandbox.py). ``descriptors``: the root (see room.py), the file of the image, where output goes."""

    def __init__(self, order: dict[str, Any], descriptors: Sequence[int]) -> None:
        self._order = order
        root, self._image, output = descriptors
        self._deadline = time.monotonic() + order["timeout"]
        self._memory = order["memory"] * _MEBI
        enter_sealed_namespaces()
        _forget_the_name()
        files = {path: base64.b64decode(data) for path, data in order["files"].items()}
        self._room = Room(order["path"], root, order["memory"], order["link"], order["tree"], files=files)
        self._first = self._started(output)
        self._processes = self._process_numbers()

    def _started(self, output: int) -> int:
        order = self._order
        size = order["size"] * _MEBI
        program = Program(order["argv"], order["environment"], size, self._memory, order["nice"])
        reader, report = os.pipe()
        first = os.fork()
        if first == 0:
            os.close(reader)
            os.close(self._image)
            run_first(program, output, report)
        os.close(report)
        os.close(output)
        with open(reader, "rb") as stream:
            said = stream.read()
        if said != READY:
            os.waitpid(first, 0)
            why = os.fsdecode(said) or "it was ended"
            raise FailedError(f"a room for the root's programs cannot be made: {why}", passing=True)
        return first

    def _process_numbers(self) -> int | None:
        """A descriptor of the /proc of the room; None when its program has ended already."""
        try:
            return os.open(f"/proc/{self._first}/root/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            return None

    def wait(self) -> int | None:
        """The exit status of the program; None when osrd does not want it any more. Nothing runs in the room then.
        Raises FailedError for what had to be ended."""
        ended = os.pidfd_open(self._first)
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(ended, select.POLLIN)
        try:
            while True:
                ready = [fd for fd, _ in poll.poll(_TICK * 1000)]
                if ended in ready:
                    return os.waitstatus_to_exitcode(os.waitpid(self._first, 0)[1])
                if 0 in ready:
                    self._end()
                    return None
                if reason := self._too_much():
                    self._end()
                    raise FailedError(*reason)
        finally:
            os.close(ended)

    def _end(self) -> None:
        """Process 1 is gone when everything else in the room is."""
        os.kill(self._first, signal.SIGKILL)
        os.waitpid(self._first, 0)

    def _too_much(self) -> tuple[str, str] | None:
        order = self._order
        if time.monotonic() >= self._deadline:
            return f"it had not ended after {order['timeout']:g} s", "raise timeout in [build]"
        processes = [] if self._processes is None else [*filter(str.isdigit, os.listdir(self._processes))]
        if len(processes) > order["processes"]:
            return f"it started more than {order['processes']} processes", "look who changed the root's dracut"
        used = self._room.used() + sum(map(self._resident, processes))
        if used > self._memory:
            return f"it needed more than {order['memory']} MiB of memory", "raise memory in [build]"
        return None

    def _resident(self, process: str) -> int:
        """Bytes that the process has of its own: what it shares is counted with the files."""
        try:
            fd = os.open(f"{process}/statm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._processes or -1)
        except OSError:
            return 0
        try:
            _, resident, shared, *_ = os.read(fd, 256).split()
        except (OSError, ValueError):
            return 0
        finally:
            os.close(fd)
        return (int(resident) - int(shared)) * _PAGE

    def fetch(self) -> int:
        """Copy the image to the open file of osrd: its size. Raises OsrdError."""
        limit = self._order["size"] * _MEBI
        image = self._room.image()
        size = os.fstat(image).st_size
        if size == 0:
            raise FailedError("the image is empty")
        if size > limit:
            raise FailedError(f"the image has more than {self._order['size']} MiB", "raise size in [build]")
        target = self._image
        free = os.fstatvfs(target)
        if free.f_bavail * free.f_frsize < size:
            raise FailedError(
                f"there is no room for the image of {size >> 20} MiB",
                "make room in the state directory",
                passing=True,
            )
        copied = 0
        while copied < size:
            part = os.sendfile(target, image, copied, min(_PART, size - copied))
            if part == 0:
                raise FailedError("the image became shorter while it was copied")
            copied += part
        return size


def _forget_the_name() -> None:
    """Two hosts that build the same image make the same bytes. Where it may not be changed it stays: a detail."""
    with suppress(OSError):
        socket.sethostname("localhost")


def say(message: dict[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    with suppress(BrokenPipeError, ConnectionResetError):  # osrd is gone
        while data:
            data = data[os.write(0, data) :]


def _told(kind: str, message: str, fix: str = "", *, passing: bool = False) -> dict[str, Any]:
    return {"kind": kind, "message": message, "fix": fix, "passing": passing}


def _order() -> tuple[dict[str, Any], list[int]]:
    """Everything up to the end of the line; the rest of the stream is for its end."""
    heard, descriptors = b"", list[int]()
    with socket.socket(fileno=os.dup(0)) as connection:
        while not heard.endswith(b"\n"):
            data, received, *_ = socket.recv_fds(connection, _ORDER_PART, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
            descriptors += received
            if not data:
                sys.exit(1)
            heard += data
    order: dict[str, Any] = json.loads(heard)
    return order, descriptors


def main() -> None:
    try:
        guard = Guard(*_order())
        say({"started": True})
        status = guard.wait()
        if status is not None:
            say({"ended": status, "size": guard.fetch() if status == 0 else 0})
    except OsrdError as error:
        say(_told(type(error).__name__, error.message, error.fix, passing=error.passing))
    except RecursionError:
        say(_told("FailedError", "directories of the root are nested too deep"))
    except OSError as error:
        what = f"{error.filename}: " if isinstance(error.filename, str) else ""
        kind = "UnsupportedError" if error.errno in (errno.EPERM, errno.ENOSYS) else "FailedError"
        say(_told(kind, f"{what}{error.strerror}", passing=True))


if __name__ == "__main__":
    main()
