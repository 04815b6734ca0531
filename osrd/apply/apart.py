# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that have rights which osrd lacks, or see less than osrd: a stream socket is all that they share with it.

Under systemd each connection to a socket unit starts an instance of a service, with a sandbox of its own: osrd is told
by its environment where that is, and then has no other way. An osrd that was started otherwise has a child. Both end
with the connection, which is also the end of osrd, however that comes.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from osrd.model.errors import FailedError, UnsupportedError

_CHILD_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_PART = 1 << 16
_ROUNDS, _PAUSE = 500, 0.04  # how often and how long to wait for killed programs to go


@dataclass(frozen=True, slots=True)
class Kind:
    """``script`` is run by this Python with the socket as stdin; ``variable`` of the environment has the path of the
    socket that ``unit`` listens at, ``does`` says what would be done there."""

    script: str
    variable: str
    unit: str
    does: str

    def start(self, environment: Mapping[str, str] = os.environ) -> "Peer":
        """A new one. Raises UnsupportedError and FailedError."""
        path = environment.get(self.variable)
        return _Instance(self, path) if path else _Child(self)


class Peer(ABC):
    """One such process, at the other end of ``connection``. ``apart`` says whether it is no child, and so has another
    view of the mounts; ``patience`` is how many seconds it may take to hear something, to begin, and to end."""

    apart = False
    patience = 30.0

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(self.patience)

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> bool:
        """Send something and descriptors with it; whether there was somebody to read it. Raises FailedError."""
        try:
            sent = socket.send_fds(self.connection, [data], descriptors) if descriptors else 0
            self.connection.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError):
            return False
        except TimeoutError as error:
            message = f"a process of osrd takes no orders within {self.patience:g} s"
            raise FailedError(message, "try again", passing=True) from error
        return True

    def receive(self, size: int = _PART) -> bytes:
        """What there is to read, b"" at the end."""
        try:
            return self.connection.recv(size)
        except ConnectionResetError:  # it ended before it had read everything
            return b""

    @abstractmethod
    def end(self) -> None:
        """Whatever it started is gone as well when this returns."""


class _Instance(Peer):
    apart = True

    def __init__(self, kind: Kind, path: str) -> None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise UnsupportedError(
                f"nobody {kind.does} at {path}: {error.strerror}", f"systemctl start {kind.unit}"
            ) from error
        super().__init__(connection)

    def end(self) -> None:
        """systemd closes its end when nothing of the service runs any more."""
        with self.connection as connection:
            with suppress(OSError):  # it is gone already
                connection.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + self.patience
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            while (left := deadline - time.monotonic()) > 0:
                if poll.poll(left * 1000) and not self.receive():
                    return


class _Child(Peer):
    def __init__(self, kind: Kind) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-B", kind.script],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=_CHILD_ENVIRONMENT,
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                message = f"{sys.executable} cannot be started: {error.strerror}"
                raise FailedError(message, passing=True) from error
        super().__init__(ours)

    def end(self) -> None:
        self.connection.close()
        try:
            self._process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.returncode != 0:  # it was killed, and so it killed nobody
            _end_group(self._process.pid)


def _end_group(group: int) -> None:
    """Kill the processes of a group and wait until they are gone (whoever is their parent now reaps them)."""
    with suppress(ProcessLookupError):
        for _ in range(_ROUNDS):
            os.killpg(group, signal.SIGKILL)
            time.sleep(_PAUSE)
