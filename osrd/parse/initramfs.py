# SPDX-License-Identifier: GPL-3.0-or-later
"""Initramfs archives: cpio in its "newc" format, one archive or several after each other (the kernel's
buffer-format.rst). Whoever made them is not trusted: what a root of nodes hands over may hold anything.

Archives are read as a stream; file contents are hashed on the way and only small texts are kept.
"""

import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

from osrd.model.errors import InvalidConfigError
from osrd.model.image import ImageContent, ImageFile

_HEADER = 110
_MAGICS = (b"070701", b"070702")
_TRAILER = "TRAILER!!!"
_PADDING = 4
_PART = 1 << 16
#: a file without one of these is taken as text
_NUL = b"\0"

_HINT = "the initrd is damaged or hostile; build it again"


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Bounds on what is read: numbers of entries, bytes of one path, of all paths together, of one file, of everything
    unpacked; and on what is kept of the contents: bytes of one text, and of all."""

    entries: int = 200_000
    path: int = 4096
    paths: int = 64 << 20
    file: int = 2 << 30
    total: int = 4 << 30
    text: int = 256 << 10
    texts: int = 32 << 20


DEFAULT_LIMITS = ArchiveLimits()


class Source:
    """A stream of bytes that is taken in pieces; ``position`` counts what was taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0
        self.position = 0

    def peek(self) -> bytes:
        """The next byte, b"" at the end."""
        self._fill()
        return self._chunk[self._at : self._at + 1]

    def take(self, count: int) -> bytes:
        """``count`` bytes, or fewer at the end."""
        parts: list[bytes] = []
        self.give(count, parts.append)
        return b"".join(parts)

    def give(self, count: int, sink: Callable[[bytes], object]) -> int:
        """Hand ``count`` bytes to ``sink`` in pieces, or fewer at the end; how many."""
        left = count
        while left > 0 and self._fill():
            part = self._chunk[self._at : self._at + min(left, _PART)]
            self._at += len(part)
            left -= len(part)
            sink(part)
        self.position += count - left
        return count - left

    def skip_zeros(self) -> int:
        """Pass over padding; how many bytes that was."""
        before = self.position
        while self._fill():
            rest = self._chunk[self._at : self._at + _PART]
            zeros = len(rest) - len(rest.lstrip(_NUL))
            self._at += zeros
            self.position += zeros
            if zeros < len(rest):
                break
        return self.position - before

    def _fill(self) -> bool:
        while self._at >= len(self._chunk):
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._chunk, self._at = chunk, 0
        return True


class _Links:
    """The hard links of one file: the one that carries the content, and those that wait for it."""

    def __init__(self) -> None:
        self.carrier: ImageFile | None = None
        self.waiting: list[str] = []


class Archive:
    """What was read of an initramfs so far. ``read`` it once for each segment, in their order."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._files: dict[str, ImageFile] = {}
        self._texts: dict[str, bytes] = {}
        self._entries = self._path_bytes = self._total = self._text_bytes = self._unsearched = 0

    def read(self, source: Source) -> None:
        """The archives at the start of ``source`` and the zeros after and between them; it is left where something
        else begins (a compressed segment), or at its end. Raises InvalidConfigError for what is no archive."""
        source.skip_zeros()
        while source.peek() == b"0":
            self._archive(source)
            source.skip_zeros()

    def content(self) -> ImageContent:
        files = tuple(self._files[path] for path in sorted(self._files))
        texts = {path: text for path, text in self._texts.items() if path in self._files}
        return ImageContent(files, texts, self._unsearched)

    def _archive(self, source: Source) -> None:
        start = source.position
        linked: dict[tuple[int, int, int], _Links] = {}
        while True:
            header = source.take(_HEADER)
            if len(header) < _HEADER or header[:6] not in _MAGICS:
                raise self._odd(source, "there is no cpio header")
            try:
                fields = [_number(header[at : at + 8]) for at in range(6, _HEADER, 8)]
            except ValueError:
                raise self._odd(source, "a number in a cpio header is none") from None
            name = self._name(source, fields[11], start)
            if name == _TRAILER:
                return
            self._entry(source, _path(name, source), fields, start, linked)

    def _name(self, source: Source, size: int, start: int) -> str:
        if not 0 < size <= self._limits.path:
            raise self._odd(source, f"a file's name has {size} bytes")
        self._entries += 1
        self._path_bytes += size
        if self._entries > self._limits.entries or self._path_bytes > self._limits.paths:
            raise self._odd(source, f"there are more than {self._limits.entries} files, or their names are too long")
        name = self._exactly(source, size).split(_NUL, 1)[0]
        self._align(source, start)
        return name.decode("utf-8", "surrogateescape")

    def _entry(
        self,
        source: Source,
        path: str,
        fields: list[int],
        start: int,
        linked: dict[tuple[int, int, int], _Links],
    ) -> None:
        inode, mode, links, size = fields[0], fields[1], fields[4], fields[6]
        self._total += size
        if size > self._limits.file or self._total > self._limits.total:
            raise self._odd(source, f"{path!r} has {size} bytes, which is too much")
        self._texts.pop(path, None)
        if stat.S_ISLNK(mode):
            if size > self._limits.path:
                raise self._odd(source, f"the link {path!r} has a target of {size} bytes")
            target = self._exactly(source, size).split(_NUL, 1)[0].decode("utf-8", "surrogateescape")
            self._path_bytes += size
            self._put(ImageFile(path, mode, target=target))
        elif stat.S_ISREG(mode):
            self._regular(source, path, mode, size)
            if links > 1:
                self._share(linked.setdefault((inode, fields[7], fields[8]), _Links()), path)
        else:
            self._skip(source, size)
            self._put(ImageFile(path, mode))
        self._align(source, start)

    def _put(self, file: ImageFile) -> None:
        if file.path:
            self._files[file.path] = file

    def _regular(self, source: Source, path: str, mode: int, size: int) -> None:
        digest = sha256()
        kept: list[bytes] = []
        small = size <= self._limits.text

        def sink(part: bytes) -> None:
            digest.update(part)
            if small:
                kept.append(part)

        if source.give(size, sink) < size:
            raise self._odd(source, f"it ends within {path!r}")
        self._put(ImageFile(path, mode, size, digest.hexdigest()))
        text = b"".join(kept)
        if size and small and _NUL not in text:
            if self._text_bytes + size > self._limits.texts:
                self._unsearched += 1
            else:
                self._text_bytes += size
                self._texts[path] = text

    def _share(self, links: _Links, path: str) -> None:
        """Give the hard links of a file the content that one of them has, which may be the first or the last."""
        here = self._files[path] if path else None
        if here is None:
            return
        if here.size:
            links.carrier = here
        elif links.carrier is None:
            links.waiting.append(path)
        else:
            self._like(path, links.carrier)
        if links.carrier is not None:
            for each in links.waiting:
                self._like(each, links.carrier)
            links.waiting.clear()

    def _like(self, path: str, carrier: ImageFile) -> None:
        file = self._files[path]
        if not file.digest or file.size:
            return  # replaced by something else since
        self._files[path] = replace(file, size=carrier.size, digest=carrier.digest)
        if carrier.path in self._texts:
            self._texts[path] = self._texts[carrier.path]

    def _skip(self, source: Source, size: int) -> None:
        if source.give(size, lambda _: None) < size:
            raise self._odd(source, "it ends within a file")

    def _exactly(self, source: Source, size: int) -> bytes:
        data = source.take(size)
        if len(data) < size:
            raise self._odd(source, "it ends within an entry")
        return data

    def _align(self, source: Source, start: int) -> None:
        source.take(-(source.position - start) % _PADDING)

    def _odd(self, source: Source, problem: str) -> InvalidConfigError:
        return InvalidConfigError(f"byte {source.position} of the unpacked initrd: {problem}", _HINT)


def _number(field: bytes) -> int:
    if b"_" in field or not field.isalnum():
        raise ValueError(field)
    return int(field, 16)


def _path(name: str, source: Source) -> str:
    """The path without leading ``./`` and slashes, "" the root itself."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidConfigError(f"byte {source.position} of the unpacked initrd: {name!r} leads out of it", _HINT)
    return "/".join(parts)
