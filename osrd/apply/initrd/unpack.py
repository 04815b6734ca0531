# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking into a finished initrd: unpacked on the way, never to the disk. Python's library knows gzip, bzip2, xz and
lzma; for the others this host's program is called. Everything is bounded: what is looked at was made by programs of a
root that is not trusted."""

import bz2
import lzma
import mmap
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, Protocol

from osrd.apply.initrd.filtering import Bounds, filtered
from osrd.model.errors import FailedError, InvalidConfigError
from osrd.model.image import ImageContent
from osrd.parse.compressed import Compression, compression, segment_end
from osrd.parse.initramfs import DEFAULT_LIMITS, Archive, ArchiveLimits, Source
from osrd.parse.kernelimage import kernel_version

_PART = 1 << 18
#: what all compressed segments together may become, and how many there may be
_MOST_UNPACKED = 4 << 30
_MOST_SEGMENTS = 64
_HINT = "the initrd is damaged or hostile; build it again"
#: how a segment is unpacked by a program of this host, and the package that has it
_PROGRAMS = {
    Compression.ZSTD: (("zstd", "-dcq"), "zstd"),
    Compression.LZ4: (("lz4", "-dcq"), "lz4"),
    Compression.LZO: (("lzop", "-dcq"), "lzop"),
}
#: longer images are no kernels
_LARGEST_KERNEL = 256 << 20


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def read_image(path: str, limits: ArchiveLimits = DEFAULT_LIMITS, seconds: float = 300.0) -> ImageContent:
    """What is in the initrd ``path``, a file of this host. Raises InvalidConfigError for what is no initrd or beyond
    ``limits``; UnsupportedError naming the package when the program to unpack it is missing; FailedError."""
    archive = Archive(limits)
    with _mapped(path) as image:
        at = segments = unpacked = 0
        while at < image.size:
            source = Source(image.parts(at, image.size))
            archive.read(source)
            at += source.position
            if at < image.size:
                segments += 1
                if segments > _MOST_SEGMENTS:
                    raise InvalidConfigError(f"the initrd has more than {_MOST_SEGMENTS} compressed segments", _HINT)
                at, size = _compressed(archive, image, at, Bounds(seconds, _MOST_UNPACKED - unpacked))
                unpacked += size
    return archive.content()


def image_kernel_version(path: str) -> str:
    """The version that the kernel image ``path``, a file of this host, says of itself, as ``uname -r`` will. Raises
    InvalidConfigError when it says none."""
    with _mapped(path) as image:
        if image.size > _LARGEST_KERNEL:
            raise InvalidConfigError(f"{path} has {image.size} bytes: that is no kernel image")
        return kernel_version(image.data[:], _unpacked_kernel)


def _unpacked_kernel(kind: Compression, data: bytes) -> bytes:
    if kind not in _PROGRAMS:
        parts = _Stream(_decompressor(kind), data, 0, _MOST_UNPACKED).unpacked()
        return _joined(parts)
    end = segment_end(kind, data, 0)
    with tempfile.TemporaryFile() as file:
        file.write(data[:end])
        file.flush()
        with _program(kind, file, (0, end), Bounds(60.0, _MOST_UNPACKED)) as parts:
            return _joined(parts)


def _joined(parts: Iterator[bytes]) -> bytes:
    whole = bytearray()
    for part in parts:
        whole += part
        if len(whole) > _LARGEST_KERNEL:
            raise InvalidConfigError(f"the kernel image unpacks to more than {_LARGEST_KERNEL} bytes", _HINT)
    return bytes(whole)


class _Mapped:
    """A file of this host in memory, as far as it is looked at."""

    def __init__(self, file: BinaryIO, data: mmap.mmap | bytes) -> None:
        self.file = file
        self.data = data
        self.size = len(data)

    def parts(self, start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, _PART):
            yield self.data[at : min(at + _PART, end)]


@contextmanager
def _mapped(path: str) -> Iterator[_Mapped]:
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise FailedError(f"{path}: {error.strerror}", passing=True) from error
    with file:
        if not os.fstat(file.fileno()).st_size:
            yield _Mapped(file, b"")
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield _Mapped(file, data)


def _compressed(archive: Archive, image: _Mapped, start: int, bounds: Bounds) -> tuple[int, int]:
    """Read the compressed segment at ``start``; where it ends, and how many bytes it unpacked to."""
    kind = compression(image.data[start : start + 16])
    if kind is None:
        raise InvalidConfigError(f"byte {start} of the initrd begins no archive and no compressed one", _HINT)
    if kind in _PROGRAMS:
        with memoryview(image.data) as view:
            end = segment_end(kind, view, start)
        with _program(kind, image.file, (start, end), bounds) as unpacked:
            return end, _read_all(archive, unpacked)
    stream = _Stream(_decompressor(kind), image.data, start, bounds.bytes)
    size = _read_all(archive, stream.unpacked())
    return stream.end, size


def _program(
    kind: Compression, file: BinaryIO, part: tuple[int, int], bounds: Bounds
) -> AbstractContextManager[Iterator[bytes]]:
    argv, package = _PROGRAMS[kind]
    return filtered(argv, package, file, part, bounds)


def _read_all(archive: Archive, unpacked: Iterator[bytes]) -> int:
    source = Source(unpacked)
    archive.read(source)
    if source.peek():
        raise InvalidConfigError(f"byte {source.position} of the unpacked initrd begins no archive", _HINT)
    return source.position


def _decompressor(kind: Compression) -> _Decompressor:
    if kind is Compression.GZIP:
        return _Zlib()
    if kind is Compression.BZIP2:
        return bz2.BZ2Decompressor()
    form = lzma.FORMAT_XZ if kind is Compression.XZ else lzma.FORMAT_ALONE
    return lzma.LZMADecompressor(form, memlimit=1 << 30)


class _Zlib:
    """zlib's object with the manners of the others: input that was not used yet is kept by it."""

    def __init__(self) -> None:
        self._object = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._object.decompress(self._object.unconsumed_tail + data, max_length)


class _Stream:
    """A segment unpacked bit by bit, ``most`` bytes; ``end`` is where it ended, once it is all unpacked."""

    def __init__(self, decompressor: _Decompressor, data: mmap.mmap | bytes, start: int, most: int) -> None:
        self._decompressor = decompressor
        self._data = data
        self._start = start
        self._most = most
        self.end = start

    def unpacked(self) -> Iterator[bytes]:
        at, total = self._start, 0
        try:
            while not self._decompressor.eof:
                part = self._data[at : at + _PART]
                at += len(part)
                plain = self._decompressor.decompress(part, _PART)
                while plain:
                    total += len(plain)
                    if total > self._most:
                        raise InvalidConfigError(f"the initrd unpacks to more than {_MOST_UNPACKED} bytes", _HINT)
                    yield plain
                    plain = b"" if self._decompressor.eof else self._decompressor.decompress(b"", _PART)
                if not part and not self._decompressor.eof:
                    raise InvalidConfigError("the initrd ends within a compressed segment", _HINT)
        except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
            raise InvalidConfigError(f"the initrd cannot be unpacked: {error}", _HINT) from error
        self.end = at - len(self._decompressor.unused_data)
