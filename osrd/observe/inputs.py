# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading one input file whole, with a limit, and only when it may have changed."""

import os
import stat
from dataclasses import dataclass
from hashlib import sha256

from osrd.model.errors import InvalidConfigError, NotFoundError


@dataclass(frozen=True, slots=True)
class InputFile:
    """The bytes of a file and their sha256 in hex."""

    data: bytes
    digest: str


def read_input(path: str, limit: int) -> InputFile:
    """All of a regular file of at most ``limit`` bytes. Raises NotFoundError, or InvalidConfigError naming the reason.

    Opened non-blocking: a FIFO put in the place of cluster.conf must not hang the daemon.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        raise NotFoundError(f"{path}: there is no such file") from None
    except OSError as error:
        raise InvalidConfigError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidConfigError(f"{path}: is not a regular file")
        if status.st_size > limit:
            raise InvalidConfigError(f"{path}: has {status.st_size} bytes; at most {limit} are read")
        data = _read_all(descriptor, limit)
    except OSError as error:
        raise InvalidConfigError(f"{path}: cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise InvalidConfigError(f"{path}: is longer than {limit} bytes")
    return InputFile(data, sha256(data).hexdigest())


def _read_all(descriptor: int, limit: int) -> bytes:
    """Everything up to one byte more than ``limit``, so that a file that grows meanwhile is noticed."""
    parts: list[bytes] = []
    length = 0
    while length <= limit and (part := os.read(descriptor, 1 << 20)):
        parts.append(part)
        length += len(part)
    return b"".join(parts)
