# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a tree is to copy, and whether it stayed the same meanwhile. Memory does not grow with the files.

Which copies of a path differ is in differing.py, and to be had from here.
"""

import os
import stat
from dataclasses import dataclass
from hashlib import blake2b

from osrd.model.errors import NotFoundError
from osrd.observe.descent import Descent, descent
from osrd.observe.differing import differing
from osrd.observe.inside import Inside

__all__ = ["Measured", "differing", "measure"]

#: Hard links are counted once as long as no more than these many files have some; beyond, each counts: rather ask
#: for too much room than for too little.
_LINKED = 50_000
_SUM = 1 << 128
_BLOCK = 512  # unit of st_blocks, whatever the file system (stat(2))


@dataclass(frozen=True, slots=True)
class Measured:
    """What is at a path. ``bytes`` are allocated ones: holes cost nothing. ``leaving`` are the symlinks (relative to
    the path, "" itself) whose relative text climbs out of the tree. ``newest`` is what changed last below the top, at
    ``changed`` (ns, the file system's clock; 0: nothing is below).

    Equal ``signature``: nothing was written, moved, added or removed (names, inodes, sizes, times, modes, owners).
    """

    bytes: int
    inodes: int
    signature: str
    leaving: tuple[str, ...] = ()
    newest: str = ""
    changed: int = 0


class _Sum:
    """The numbers while they grow. The signature is a sum of hashes, so that it does not depend on the order in
    which a directory tells its names: sorting them would need memory for all of them."""

    def __init__(self) -> None:
        self.bytes = 0
        self.inodes = 0
        self.signature = 0
        self.leaving: list[str] = []
        self.newest = ""
        self.changed = 0
        self._linked: set[int] = set()

    def count(self, key: bytes, name: str, found: os.stat_result) -> None:
        """One object; ``key`` stands for the directory that it is in."""
        mode = found.st_mode
        fields = (
            f"{found.st_ino} {mode} {found.st_uid} {found.st_gid} {found.st_rdev} {found.st_size}"
            f" {found.st_mtime_ns} {found.st_ctime_ns} "
        ).encode()
        digest = blake2b(fields + os.fsencode(name), digest_size=16, key=key).digest()
        self.signature = (self.signature + int.from_bytes(digest, "little")) % _SUM
        if found.st_nlink > 1 and not stat.S_ISDIR(mode):
            if found.st_ino in self._linked:
                return
            if len(self._linked) < _LINKED:
                self._linked.add(found.st_ino)
        self.bytes += found.st_blocks * _BLOCK
        self.inodes += 1

    def done(self) -> Measured:
        return Measured(
            self.bytes, self.inodes, f"{self.signature:032x}", tuple(self.leaving), self.newest, self.changed
        )


def measure(inside: Inside, path: str) -> Measured:
    """Measure what is at ``path`` and below. Raises NotFoundError when nothing is there; ConflictError naming a
    mount point or another file system below, or a directory that is moved away meanwhile; FailedError."""
    top = inside.status(path)
    if top is None:
        raise NotFoundError(f"{inside.name(path)}: No such file or directory")
    total = _Sum()
    total.count(b"", "", top)
    if stat.S_ISLNK(top.st_mode) and _leaves(inside.link(path) or "", -1):
        total.leaving.append("")
    if stat.S_ISDIR(top.st_mode):
        with descent(inside, path) as walk:
            _walk(walk, total, top.st_dev)
    return total.done()


def _walk(walk: Descent, total: _Sum, device: int) -> None:
    """Everything below. ``levels`` has, per directory on the way down, its key and the subdirectories to come."""
    levels = [(b"top", _scan(walk, total, device, b"top"))]
    while levels:
        key, pending = levels[-1]
        if not pending:
            levels.pop()
            if levels:
                walk.up()
            continue
        name = pending.pop()
        try:
            walk.down(name)
        except FileNotFoundError:
            continue  # gone since it was counted: the signature will tell
        below = blake2b(os.fsencode(name), digest_size=16, key=key).digest()
        levels.append((below, _scan(walk, total, device, below)))


def _scan(walk: Descent, total: _Sum, device: int, key: bytes) -> list[str]:
    """Count what is in the directory; its subdirectories."""
    below = []
    try:
        with os.scandir(walk.fd) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if found.st_dev != device:
                    raise walk.mounted(entry.name)
                total.count(key, entry.name, found)
                if found.st_ctime_ns > total.changed:
                    total.changed, total.newest = found.st_ctime_ns, walk.relative(entry.name)
                if stat.S_ISDIR(found.st_mode):
                    below.append(entry.name)
                elif stat.S_ISLNK(found.st_mode) and _leads_out(walk, entry.name):
                    total.leaving.append(walk.relative(entry.name))
    except OSError as error:
        raise walk.failed(error) from error
    return below


def _leads_out(walk: Descent, name: str) -> bool:
    try:
        return _leaves(os.readlink(name, dir_fd=walk.fd), walk.depth)
    except OSError:
        return False  # replaced meanwhile: the signature will tell


def _leaves(text: str, depth: int) -> bool:
    """Whether the link text of a symlink in a directory ``depth`` levels below the top climbs above the top."""
    if text.startswith("/"):
        return False
    if depth < 0:
        return True
    for part in text.split("/"):
        if part == "..":
            depth -= 1
            if depth < 0:
                return True
        elif part not in ("", "."):
            depth += 1
    return False
