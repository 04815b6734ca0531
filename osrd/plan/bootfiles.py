# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels and initrds with known content, and the content-addressed names that they are published under."""

from collections.abc import Iterable
from dataclasses import dataclass

from osrd.model.netboot import StoredPair
from osrd.model.output import Content, CopyOf, Kind, StaysAs


@dataclass(frozen=True, slots=True)
class BootFile:
    """A kernel or an initrd. ``source`` is "" when it is only known as published; ``shared`` says that it is in
    a shared root."""

    kind: Kind
    digest: str
    source: str = ""
    size: int = 0
    shared: bool = False

    @property
    def name(self) -> str:
        return published_name(self.kind, self.digest)

    @property
    def content(self) -> Content:
        return CopyOf(self.source, self.digest, self.size, self.shared) if self.source else StaysAs(self.digest)


#: A kernel, and its initrd when it has one.
Pair = tuple[BootFile, BootFile | None]


def published_name(kind: Kind, digest: str) -> str:
    """The name inside the owned directory of the kernel or initrd with this sha256."""
    return f"kernels/vmlinuz-{digest[:16]}" if kind is Kind.KERNEL else f"kernels/initrd-{digest[:16]}.img"


def as_stored(pair: Pair) -> StoredPair:
    return StoredPair(pair[0].digest, pair[1].digest if pair[1] else "")


def from_stored(pair: StoredPair) -> Pair:
    """A pair that was published before, and of which nothing else is known."""
    return BootFile(Kind.KERNEL, pair.kernel), BootFile(Kind.INITRD, pair.initrd) if pair.initrd else None


def contents_of(files: Iterable[BootFile]) -> dict[str, Content]:
    """By recipe; what can be copied wins over what is only known as published."""
    return {file.digest: file.content for file in sorted(files, key=lambda file: bool(file.source))}
