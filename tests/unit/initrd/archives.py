# SPDX-License-Identifier: GPL-3.0-or-later
"""Initramfs archives made by hand, entry by entry, as the kernel's description of the format has them."""

import stat
from collections.abc import Iterable
from dataclasses import dataclass

TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    name: str
    data: bytes = b""
    mode: int = stat.S_IFREG | 0o644
    inode: int = 0
    links: int = 1


def directory(name: str) -> Entry:
    return Entry(name, mode=stat.S_IFDIR | 0o755)


def link(name: str, target: str) -> Entry:
    return Entry(name, target.encode(), stat.S_IFLNK | 0o777)


def padded(data: bytes, unit: int = 4) -> bytes:
    return data + bytes(-len(data) % unit)


def header(entry: Entry, name: bytes, number: int) -> bytes:
    fields = (
        *(entry.inode or number, entry.mode, 0, 0, entry.links, 0, len(entry.data)),
        *(8, 1, 0, 0, len(name), 0),
    )
    return b"070701" + b"".join(b"%08X" % field for field in fields)


def archive(entries: Iterable[Entry], block: int = 512) -> bytes:
    """A whole archive, filled up with zeros to a multiple of ``block`` as cpio(1) does."""
    parts = []
    for number, entry in enumerate((*entries, Entry(TRAILER, mode=0)), 1):
        name = entry.name.encode("utf-8", "surrogateescape") + b"\0"
        parts += [padded(header(entry, name, number) + name), padded(entry.data)]
    return padded(b"".join(parts), block)
