# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking into initrds in every packing that kernels take, with the real programs."""

import bz2
import gzip
import lzma
import random
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.apply.initrd import unpack
from osrd.apply.initrd.unpack import read_image
from osrd.model.errors import InvalidConfigError, OsrdError, UnsupportedError
from osrd.parse.compressed import Compression, compression, segment_end
from osrd.parse.initramfs import ArchiveLimits
from tests.unit.initrd.archives import Entry, archive, directory, link

EARLY = archive([Entry("early_cpio", b"1\n"), Entry("kernel/x86/microcode/GenuineIntel.bin", b"\0microcode")])
MAIN = archive([directory("etc"), Entry("etc/a", b"some text\n" * 5000), link("lib", "usr/lib")])
LATER = archive([Entry("etc/osr/nodeids", b"1 00:0c:29:c9:c6:f5\n")])


def program(*argv: str) -> Callable[[bytes], bytes]:
    def pack(data: bytes) -> bytes:
        return subprocess.run(argv, input=data, stdout=subprocess.PIPE, check=True).stdout

    return pack


LIBRARY = {
    Compression.GZIP: gzip.compress,
    Compression.BZIP2: bz2.compress,
    Compression.XZ: lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    Compression.LZMA: lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}
PROGRAMS = {
    Compression.ZSTD: program("zstd", "-qc", "-15", "-T0"),
    Compression.LZ4: program("lz4", "-qlc", "-9"),
    Compression.LZO: program("lzop", "-qc", "-9"),
}
PACKINGS = [
    *(pytest.param(kind, pack, id=kind) for kind, pack in LIBRARY.items()),
    pytest.param(Compression.ZSTD, PROGRAMS[Compression.ZSTD], id="zstd", marks=pytest.mark.needs("zstd")),
    pytest.param(Compression.LZ4, PROGRAMS[Compression.LZ4], id="lz4", marks=pytest.mark.needs("lz4")),
    pytest.param(Compression.LZO, PROGRAMS[Compression.LZO], id="lzo", marks=pytest.mark.needs("lzop")),
]
BY_PROGRAM = PACKINGS[len(LIBRARY) :]
Pack = Callable[[bytes], bytes]


def paths(image: Path) -> list[str]:
    return [file.path for file in read_image(str(image)).files]


@pytest.mark.parametrize(("kind", "pack"), PACKINGS)
def test_a_packed_image(tmp_path: Path, kind: Compression, pack: Pack) -> None:
    image = tmp_path / "image"
    image.write_bytes(pack(MAIN))
    assert compression(image.read_bytes()[:16]) is kind
    content = read_image(str(image))
    assert [(file.path, stat.S_IFMT(file.mode)) for file in content.files] == [
        ("etc", stat.S_IFDIR),
        ("etc/a", stat.S_IFREG),
        ("lib", stat.S_IFLNK),
    ]
    assert content.texts["etc/a"] == b"some text\n" * 5000


@pytest.mark.parametrize(("kind", "pack"), PACKINGS)
def test_microcode_before_it_and_segments_after_it(tmp_path: Path, kind: Compression, pack: Pack) -> None:
    """As dracut puts microcode first, and data of nodes may be put behind."""
    image = tmp_path / "image"
    image.write_bytes(EARLY + bytes(2048) + pack(MAIN) + bytes(0 if kind is Compression.LZ4 else 8) + LATER)
    assert paths(image) == [
        *("early_cpio", "etc", "etc/a", "etc/osr/nodeids", "kernel/x86/microcode/GenuineIntel.bin", "lib"),
    ]


@pytest.mark.parametrize(("kind", "pack"), PACKINGS)
def test_what_cannot_be_packed_any_smaller(tmp_path: Path, kind: Compression, pack: Pack) -> None:
    """Programs store it as it is, in blocks of another form."""
    noise = random.Random(1).randbytes(600_000)
    image = tmp_path / "image"
    image.write_bytes(pack(archive([Entry("noise", noise)])) + LATER)
    assert [file.size for file in read_image(str(image)).files] == [20, 600_000]


@pytest.mark.parametrize(("kind", "pack"), PACKINGS)
def test_two_packed_segments(tmp_path: Path, kind: Compression, pack: Pack) -> None:
    image = tmp_path / "image"
    image.write_bytes(pack(MAIN) + pack(LATER))
    if kind is Compression.LZ4:
        # Frames of lz4 that follow each other are one stream for lz4 itself; so they are for osrd.
        assert segment_end(kind, image.read_bytes(), 0) == image.stat().st_size
    assert paths(image) == ["etc", "etc/a", "etc/osr/nodeids", "lib"]


def test_an_image_that_is_not_packed(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(EARLY + MAIN)
    assert "lib" in paths(image)


def test_an_empty_file_has_nothing_in_it(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    assert read_image(str(image)).files == ()


@pytest.mark.parametrize(("kind", "pack"), PACKINGS)
def test_an_image_that_is_cut(tmp_path: Path, kind: Compression, pack: Pack) -> None:
    image = tmp_path / "image"
    image.write_bytes(pack(MAIN)[:-20])
    with pytest.raises(InvalidConfigError):
        read_image(str(image))


@pytest.mark.parametrize(("kind", "pack"), PACKINGS)
def test_packed_things_that_are_no_archive(tmp_path: Path, kind: Compression, pack: Pack) -> None:
    image = tmp_path / "image"
    image.write_bytes(pack(MAIN + b"and then something else" * 1000))
    with pytest.raises(InvalidConfigError, match="begins no archive"):
        read_image(str(image))


@pytest.mark.parametrize(("kind", "pack"), PACKINGS)
def test_what_unpacks_to_too_much_is_ended(
    tmp_path: Path, kind: Compression, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes that unpack to zeros without end (padding, as far as the format is concerned)."""
    monkeypatch.setattr(unpack, "_MOST_UNPACKED", 1 << 22)
    image = tmp_path / "image"
    image.write_bytes(pack(MAIN + bytes(1 << 23)))
    with pytest.raises(InvalidConfigError, match="unpacks to more than"):
        read_image(str(image))


@pytest.mark.parametrize(("kind", "pack"), PACKINGS)
def test_segments_that_unpack_to_too_much_together_are_ended(
    tmp_path: Path, kind: Compression, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of them fit into an image, each with as many zeros as one may have."""
    monkeypatch.setattr(unpack, "_MOST_UNPACKED", 5 << 20)
    image = tmp_path / "image"
    image.write_bytes(pack(MAIN + bytes(3 << 20)) + bytes(4) + EARLY + pack(LATER + bytes(3 << 20)))
    with pytest.raises(InvalidConfigError, match="unpacks to more than"):
        read_image(str(image))


@pytest.mark.parametrize(
    "pack", [gzip.compress, pytest.param(PROGRAMS[Compression.ZSTD], marks=pytest.mark.needs("zstd"))]
)
def test_segments_without_end_are_ended(tmp_path: Path, pack: Pack) -> None:
    """Empty ones have twenty bytes, and a program is started for each."""
    image = tmp_path / "image"
    image.write_bytes((pack(b"") + bytes(4)) * 200)
    with pytest.raises(InvalidConfigError, match="more than 64 compressed segments"):
        read_image(str(image))


@pytest.mark.parametrize(("kind", "pack"), [BY_PROGRAM[0], BY_PROGRAM[2]])
def test_a_program_that_fails_says_why(tmp_path: Path, kind: Compression, pack: Pack) -> None:
    """The old frames of lz4 have no checksum that would tell."""
    image = tmp_path / "image"
    data = bytearray(pack(archive([Entry("noise", random.Random(1).randbytes(300_000))])))
    data[-60:-30] = b"\xff" * 30
    image.write_bytes(data)
    with pytest.raises(InvalidConfigError) as caught:
        read_image(str(image))
    assert re.fullmatch(r"\w+ cannot unpack the initrd: .+", caught.value.message)


@pytest.mark.parametrize(("kind", "pack"), PACKINGS)
def test_limits_of_the_archive_hold(tmp_path: Path, kind: Compression, pack: Pack) -> None:
    image = tmp_path / "image"
    image.write_bytes(pack(MAIN))
    with pytest.raises(InvalidConfigError):
        read_image(str(image), ArchiveLimits(total=1000))


@pytest.mark.parametrize(("kind", "pack"), BY_PROGRAM)
def test_a_missing_program_is_named_with_its_package(
    tmp_path: Path, kind: Compression, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image"
    image.write_bytes(pack(MAIN))
    monkeypatch.setattr("osrd.apply.initrd.filtering._ENVIRONMENT", {"PATH": str(tmp_path)})
    with pytest.raises(UnsupportedError, match="which this host does not have") as caught:
        read_image(str(image))
    assert "install the package" in caught.value.fix


@pytest.mark.needs("zstd")
def test_a_program_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "image"
    image.write_bytes(PROGRAMS[Compression.ZSTD](MAIN))
    slow = tmp_path / "zstd"
    slow.write_text(f"#!/bin/sh\nexec {shutil.which('sleep')} 1000\n")
    slow.chmod(0o755)
    monkeypatch.setattr("osrd.apply.initrd.filtering._ENVIRONMENT", {"PATH": str(tmp_path)})
    with pytest.raises(InvalidConfigError, match="had not unpacked the initrd after"):
        read_image(str(image), seconds=0.2)


@pytest.mark.parametrize(
    "data", [b"hello", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x89LZO\0\r\n\x1a\n"]
)
def test_what_is_no_image(tmp_path: Path, data: bytes) -> None:
    image = tmp_path / "image"
    image.write_bytes(data)
    with pytest.raises(InvalidConfigError):
        read_image(str(image))


_STARTS = st.sampled_from([b"", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x5d\0\0", EARLY, gzip.compress(MAIN)[:50]])


@given(start=_STARTS, rest=st.binary(max_size=200))
def test_any_file_is_told_and_nothing_else_happens(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes
) -> None:
    image = tmp_path_factory.getbasetemp() / "fuzzed"
    image.write_bytes(start + rest)
    try:
        content = read_image(str(image))
    except OsrdError:
        return
    assert all(file.path for file in content.files)


@given(kind=st.sampled_from(sorted(PROGRAMS)), data=st.binary(max_size=200))
def test_ends_of_segments_in_any_bytes(kind: Compression, data: bytes) -> None:
    magic = {Compression.ZSTD: b"\x28\xb5\x2f\xfd", Compression.LZ4: b"\x02\x21\x4c\x18"}.get(
        kind, b"\x89LZO\0\r\n\x1a\n"
    )
    try:
        end = segment_end(kind, magic + data, 0)
    except InvalidConfigError:
        return
    assert len(magic) <= end <= len(magic + data)
