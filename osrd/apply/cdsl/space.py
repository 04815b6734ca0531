# SPDX-License-Identifier: GPL-3.0-or-later
"""Is there room for the copies: asked before anything is written, so that a full disk is an answer and no accident."""

import fcntl
import os
from collections.abc import Iterable

from osrd.model.cdsl import WORK
from osrd.model.errors import FailedError
from osrd.observe.copies import Measured
from osrd.observe.inside import Inside

#: Room that stays free: a hundredth of the file system, but no more than this.
_RESERVE = 256 << 20
_FICLONE = 0x40049409
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def check_space(inside: Inside, copies: Iterable[Measured], others: int) -> None:
    """Raises FailedError with what ``copies`` and ``others`` small objects need and what is free, if that is less."""
    measured = list(copies)
    found = os.fstatvfs(inside.fd)
    blocks = sum(each.bytes for each in measured) + others * found.f_frsize
    inodes = sum(each.inodes for each in measured) + others
    free = max(0, found.f_bavail * found.f_frsize - min(_RESERVE, found.f_blocks * found.f_frsize // 100))
    if blocks > free and not _shares_blocks(inside):
        raise FailedError(
            f"{inside.path}: {len(measured)} copies need {size(blocks)}, and {size(free)} are free",
            "make room, or change fewer nodes",
        )
    # File systems without a table of inodes say 0 of 0.
    if found.f_files and inodes > found.f_favail:
        raise FailedError(
            f"{inside.path}: {len(measured)} copies need {inodes} inodes, and {found.f_favail} are free",
            "remove files, or change fewer nodes",
        )


def _shares_blocks(inside: Inside) -> bool:
    """Whether a copy costs no blocks here (cp --reflink=auto): tried with two files that have no names."""
    try:
        with inside.holding(f"{WORK}/x") as (fd, _):
            flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
            with open(os.open(".", flags, 0o600, dir_fd=fd), "r+b") as one:
                one.write(bytes(4096))
                one.flush()
                with open(os.open(".", flags, 0o600, dir_fd=fd), "r+b") as other:
                    fcntl.ioctl(other.fileno(), _FICLONE, one.fileno())
    except OSError:
        return False
    return True


def size(count: int) -> str:
    """A number of bytes for people."""
    power = max(0, (count.bit_length() - 1) // 10)
    power = min(power, len(_UNITS) - 1)
    return f"{count / (1 << 10 * power):.1f} {_UNITS[power]}" if power else f"{count} bytes"
