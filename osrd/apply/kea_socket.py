# SPDX-License-Identifier: GPL-3.0-or-later
"""Kea's control channel: one JSON command, one JSON answer, over a Unix socket (Kea ARM, "Management API")."""

import json
import socket
import time

from osrd.model.errors import FailedError, NotFoundError, OsrdError

_CHUNK = 1 << 20
#: far above the answer to config-get for 10,000 nodes (2 MiB)
_LIMIT = 1 << 28


class KeaRefusedError(OsrdError):
    """The server understood the command and did not do it; the message is its own text."""


def kea_command(path: str, command: str, timeout: float = 30.0) -> object:
    """The ``arguments`` of the answer to ``command``. Raises NotFoundError when nobody listens at ``path``,
    KeaRefusedError for a result other than 0, FailedError when the talk breaks down or lasts longer than ``timeout``
    seconds."""
    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(timeout)
        try:
            channel.connect(path)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotFoundError(f"no Kea server listens at {path}") from error
        except OSError as error:
            raise FailedError(f"cannot reach Kea at {path}: {error}") from error
        try:
            channel.sendall(json.dumps({"command": command}).encode())
            answer = _answer(channel, deadline)
        except OSError as error:
            raise FailedError(f"Kea at {path} broke off while answering {command}: {error}") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("result"), int):
        raise FailedError(f"Kea at {path} answered {command} with nothing that is an answer")
    if answer["result"] != 0:
        raise KeaRefusedError(str(answer.get("text", f"result {answer['result']}")))
    return answer.get("arguments")


def _answer(channel: socket.socket, deadline: float) -> object:
    """One JSON document. Some versions close the connection behind it and some wait for us to: it is complete when it
    parses, which can only be where a brace closes."""
    received = bytearray()
    while len(received) <= _LIMIT:
        channel.settimeout(max(0.001, deadline - time.monotonic()))
        data = channel.recv(_CHUNK)
        received += data
        if not data or received.rstrip().endswith(b"}"):
            try:
                return json.loads(received)
            except ValueError:
                if not data:
                    return None
    return None
