# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a guard comes from: osrd's end of the connection with it. See guard.py for the other one.

Under systemd each connection to the socket of osrd-build.socket starts an osrd-build@.service, which has rights that
osrd.service lacks: it is told by its environment where that is, and then has no other way. An osrd that was started
otherwise starts the guard itself.
"""

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from osrd.apply.initrd import guard
from osrd.model.errors import FailedError, UnsupportedError

#: of the environment of osrd: the socket, as an absolute path
SOCKET = "OSRD_BUILD_SOCKET"
#: of a guard, not of its room
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_PATIENCE = 30.0  # seconds that a guard may take to take its order, and to end
_PART = 1 << 16


@contextmanager
def guarded(environment: Mapping[str, str] = os.environ) -> Iterator[socket.socket]:
    """A connection with a new guard, which ends when the block does, and with it whatever it ran. Raises
    UnsupportedError and FailedError."""
    path = environment.get(SOCKET)
    with _of_the_unit(path) if path else _of_a_child() as connection:
        connection.settimeout(_PATIENCE)
        yield connection


@contextmanager
def _of_the_unit(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError as error:
            raise UnsupportedError(
                f"nobody builds initrds at {path}: {error.strerror}", "systemctl start osrd-build.socket"
            ) from error
        try:
            yield connection
        finally:
            with suppress(OSError):  # it is gone already
                connection.shutdown(socket.SHUT_WR)
            _wait_for_end(connection)


def _wait_for_end(connection: socket.socket) -> None:
    """systemd closes its end when nothing of the unit runs any more."""
    deadline = time.monotonic() + _PATIENCE
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    with suppress(ConnectionResetError):
        while (left := deadline - time.monotonic()) > 0:
            if poll.poll(left * 1000) and not connection.recv(_PART):
                return


@contextmanager
def _of_a_child() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = _started(theirs)
        theirs.close()
        try:
            yield ours
        finally:
            ours.close()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _started(stdin: socket.socket) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-I", "-S", "-B", guard.__file__]
    try:
        return subprocess.Popen(
            argv,
            stdin=stdin.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        raise FailedError(f"{sys.executable} cannot be started: {error.strerror}") from error
