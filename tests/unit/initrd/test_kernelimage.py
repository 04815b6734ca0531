# SPDX-License-Identifier: GPL-3.0-or-later
"""The version that a kernel image says of itself, in the formats that kernels come in."""

import gzip
import lzma
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.apply.initrd.unpack import image_kernel_version
from osrd.model.errors import InvalidConfigError, OsrdError
from osrd.parse.compressed import Compression
from osrd.parse.kernelimage import kernel_version

VERSION = "6.1.0-56-amd64"
BANNER = (
    b"Linux version %s (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0) #1 SMP\n" % VERSION.encode()
)
#: the format string is in every kernel, too
FORMAT = b"Linux version %s (%s)\n\0"


def bz_image(version: bytes = b"6.1.0-56-amd64 (debian-kernel@lists.debian.org) #1 SMP") -> bytes:
    """A boot sector, the header at 0x1f1, and the version somewhere behind it."""
    image = bytearray(0x1000)
    image[0x202:0x206] = b"HdrS"
    image[0x20E:0x210] = (0x3C0 - 0x200 + 0x200).to_bytes(2, "little")
    image[0x5C0 : 0x5C0 + len(version)] = version
    return bytes(image)


def elf() -> bytes:
    return b"\x7fELF" + bytes(100) + FORMAT + bytes(100) + BANNER + bytes(100)


def arm64() -> bytes:
    return bytes(0x38) + b"ARM\x64" + bytes(100) + BANNER


def zboot(packed: bytes, kind: bytes) -> bytes:
    """An EFI program that unpacks the kernel behind its header."""
    offset = 0x200
    start = b"MZ\0\0zimg" + offset.to_bytes(4, "little") + len(packed).to_bytes(4, "little") + bytes(8) + kind
    return start + bytes(offset - len(start)) + packed + b"signature"


def by_program(*argv: str, data: bytes) -> bytes:
    return subprocess.run(argv, input=data, stdout=subprocess.PIPE, check=True).stdout


def said(tmp_path: Path, image: bytes) -> str:
    file = tmp_path / "vmlinuz"
    file.write_bytes(image)
    return image_kernel_version(str(file))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(bz_image(), id="bzImage"),
        pytest.param(bz_image(b"6.1.0-56-amd64\0"), id="bzImage-bare"),
        pytest.param(elf(), id="elf"),
        pytest.param(arm64(), id="arm64"),
        pytest.param(gzip.compress(arm64()), id="arm64-gz"),
        pytest.param(lzma.compress(arm64()), id="arm64-xz"),
        pytest.param(zboot(gzip.compress(arm64()), b"gzip"), id="zboot-gzip"),
        pytest.param(zboot(lzma.compress(arm64()), b"xzkern"), id="zboot-xz"),
        pytest.param(gzip.compress(zboot(gzip.compress(arm64()), b"gzip")), id="zboot-gz"),
    ],
)
def test_the_version(tmp_path: Path, image: bytes) -> None:
    assert said(tmp_path, image) == VERSION


@pytest.mark.needs("zstd", "lz4", "lzop")
@pytest.mark.parametrize("argv", [("zstd", "-qc"), ("lz4", "-qlc"), ("lzop", "-qc")], ids=lambda argv: argv[0])
def test_the_version_in_what_a_program_unpacks(tmp_path: Path, argv: tuple[str, ...]) -> None:
    assert said(tmp_path, zboot(by_program(*argv, data=arm64()), b"zstd")) == VERSION


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"#!/bin/sh\n", id="script"),
        pytest.param(FORMAT, id="format-only"),
        pytest.param(bz_image(b""), id="no-text"),
        pytest.param(bz_image(b"6.1.0" + b"9" * 500), id="no-end"),
        pytest.param(bz_image(b"../../etc/passwd "), id="path"),
        pytest.param(gzip.compress(gzip.compress(gzip.compress(gzip.compress(arm64())))), id="packed-without-end"),
        pytest.param(gzip.compress(arm64())[:-30], id="cut"),
        pytest.param(zboot(b"nothing", b"gzip"), id="zboot-of-nothing"),
    ],
)
def test_what_says_none(tmp_path: Path, image: bytes) -> None:
    with pytest.raises(InvalidConfigError):
        said(tmp_path, image)


def test_a_kernel_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osrd.apply.initrd.unpack._LARGEST_KERNEL", 1 << 20)
    with pytest.raises(InvalidConfigError, match="unpacks to more than"):
        said(tmp_path, gzip.compress(bytes(1 << 21)))


@given(st.sampled_from([bz_image(), elf(), gzip.compress(arm64()), zboot(b"", b"gzip")]), st.data())
def test_damaged_images_are_told_and_nothing_else_happens(image: bytes, data: st.DataObject) -> None:
    changed = bytearray(image)
    for _ in range(data.draw(st.integers(0, 5))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))

    def unpack(kind: Compression, packed: bytes) -> bytes:
        raise InvalidConfigError("not here")

    try:
        version = kernel_version(bytes(changed), unpack)
    except OsrdError:
        return
    assert version.isascii()
    assert "/" not in version
