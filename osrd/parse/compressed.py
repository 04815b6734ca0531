# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed segments of an initrd: which program made one, and where one ends whose decompressor does not tell.

Python's library unpacks gzip, bzip2 and xz and says what is left. For zstd, lz4 and lzo the frames are walked here by
their lengths, without unpacking anything, so that a program is given its own segment only.
"""

from enum import StrEnum

from osrd.model.errors import InvalidConfigError

_HINT = "the initrd is damaged or hostile; build it again"
Buffer = bytes | memoryview


class Compression(StrEnum):
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    LZMA = "lzma"
    ZSTD = "zstd"
    LZ4 = "lz4"
    LZO = "lzo"


_MAGICS = {
    b"\x1f\x8b": Compression.GZIP,
    b"BZh": Compression.BZIP2,
    b"\xfd7zXZ\0": Compression.XZ,
    b"\x5d\0\0": Compression.LZMA,
    b"\x28\xb5\x2f\xfd": Compression.ZSTD,
    b"\x02\x21\x4c\x18": Compression.LZ4,  # the old frames, which are the kernel's
    b"\x89LZO\0\r\n\x1a\n": Compression.LZO,
}


def compression(start: bytes) -> Compression | None:
    """What the first bytes (at least 9) of a segment say; None for what is not compressed in a way that kernels
    know."""
    return next((kind for magic, kind in _MAGICS.items() if start.startswith(magic)), None)


def segment_end(kind: Compression, data: Buffer, start: int) -> int:
    """Where the zstd, lz4 or lzo segment that begins at ``start`` ends. Raises InvalidConfigError when it is cut."""
    if kind is Compression.ZSTD:
        return _zstd_end(data, start)
    return _lz4_end(data, start) if kind is Compression.LZ4 else _lzo_end(data, start)


def _zstd_end(data: Buffer, start: int) -> int:
    """RFC 8878, 3.1.1: frames are a header, blocks with 3 bytes of header each, and maybe a checksum."""
    at = start
    while bytes(data[at : at + 4]) == b"\x28\xb5\x2f\xfd":
        descriptor = _byte(data, at + 4)
        single = descriptor >> 5 & 1
        dictionary = (0, 1, 2, 4)[descriptor & 3]
        size = (single, 2, 4, 8)[descriptor >> 6]
        at += 5 + (1 - single) + dictionary + size
        last = 0
        while not last:
            header = _little(data, at, 3)
            last, kind, length = header & 1, header >> 1 & 3, header >> 3
            at += 3 + (1 if kind == 1 else length)  # kind 1 is one byte, repeated
        at += 4 if descriptor & 4 else 0
        if at > len(data):
            raise _cut(len(data))
    return at


def _lz4_end(data: Buffer, start: int) -> int:
    """The old frames: blocks with 4 bytes of length each, up to the end, a zero, or the magic of another frame."""
    at = start + 4
    while at + 4 <= len(data):
        if bytes(data[at : at + 4]) == b"\x02\x21\x4c\x18":
            at += 4
            continue
        length = _little(data, at, 4)
        if length == 0 or _is_archive(data, at):
            break
        at += 4 + length
    if at > len(data):
        raise _cut(len(data))
    return at


def _is_archive(data: Buffer, at: int) -> bool:
    """As a length, the magic of cpio is more than 800 MiB, and a block has at most 8 MiB."""
    return bytes(data[at : at + 6]) in (b"070701", b"070702")


_LZO_NEW = 0x0940
_LZO_ADLER_PLAIN, _LZO_ADLER_PACKED, _LZO_CRC_PLAIN, _LZO_CRC_PACKED = 0x1, 0x2, 0x100, 0x200
_LZO_FILTER, _LZO_EXTRA = 0x800, 0x40


def _lzo_end(data: Buffer, start: int) -> int:
    """lzop's files: a header with the name of the file, blocks of both lengths, checksums and data, and a zero."""
    at = start + 9
    new = _big(data, at, 2) >= _LZO_NEW
    at += 4 + (2 if new else 0) + 1 + (1 if new else 0)
    flags = _big(data, at, 4)
    at += 4 + (4 if flags & _LZO_FILTER else 0) + 4 + 4 + (4 if new else 0)
    at += 1 + _byte(data, at) + 4
    if flags & _LZO_EXTRA:
        at += 4 + _big(data, at, 4) + 4
    plain_sums = 4 * (bool(flags & _LZO_ADLER_PLAIN) + bool(flags & _LZO_CRC_PLAIN))
    packed_sums = 4 * (bool(flags & _LZO_ADLER_PACKED) + bool(flags & _LZO_CRC_PACKED))
    while plain := _big(data, at, 4):
        packed = _big(data, at + 4, 4)
        at += 8 + plain_sums + (packed_sums if packed < plain else 0) + packed
    at += 4
    if at > len(data):
        raise _cut(len(data))
    return at


def _byte(data: Buffer, at: int) -> int:
    if at >= len(data):
        raise _cut(len(data))
    return data[at]


def _little(data: Buffer, at: int, count: int) -> int:
    return int.from_bytes(_exactly(data, at, count), "little")


def _big(data: Buffer, at: int, count: int) -> int:
    return int.from_bytes(_exactly(data, at, count), "big")


def _exactly(data: Buffer, at: int, count: int) -> bytes:
    field = bytes(data[at : at + count])
    if len(field) < count:
        raise _cut(len(data))
    return field


def _cut(size: int) -> InvalidConfigError:
    return InvalidConfigError(f"the initrd ends after {size} bytes within a compressed segment", _HINT)
