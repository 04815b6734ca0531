# SPDX-License-Identifier: GPL-3.0-or-later
"""The version that a kernel image says of itself: what ``uname -r`` prints once it runs.

x86 bzImage: the boot header has it (the kernel's arch/x86/boot.rst). Elsewhere it is in the banner that the kernel
prints first: directly in an ELF vmlinux and in arm64's Image, and after unpacking in Image.gz and in EFI images that
unpack themselves ("zimg", the kernel's drivers/firmware/efi/libstub/zboot-header.S).
"""

import re
from collections.abc import Callable

from osrd.model.errors import InvalidConfigError
from osrd.parse.compressed import Compression, compression

_SETUP, _SETUP_MAGIC = 0x200, b"HdrS"
_SETUP_MAGIC_AT, _VERSION_POINTER_AT = 0x202, 0x20E
_BANNER = re.compile(rb"Linux version ([0-9][A-Za-z0-9._+~-]{0,127}) \(")
_TEXT = re.compile(rb"[0-9][A-Za-z0-9._+~-]{0,127}(?=[ \0])")
_EFI_MAGIC, _ZBOOT_MAGIC = b"MZ", b"zimg"
_MOST_LAYERS = 2

#: unpacks a compressed kernel that is in memory; the bytes after it may be anything
Unpack = Callable[[Compression, bytes], bytes]


def kernel_version(data: bytes, unpack: Unpack) -> str:
    """Raises InvalidConfigError when ``data`` is no kernel image, or none that says its version."""
    for _ in range(_MOST_LAYERS + 1):
        version = _setup_version(data) or _banner_version(data)
        if version:
            return version
        packed = _packed(data)
        if packed is None:
            break
        data = unpack(*packed)
    raise InvalidConfigError(
        "the kernel image says no version", "look whether it is a kernel, and install its package again"
    )


def _setup_version(data: bytes) -> str:
    if data[_SETUP_MAGIC_AT : _SETUP_MAGIC_AT + 4] != _SETUP_MAGIC:
        return ""
    pointer = int.from_bytes(data[_VERSION_POINTER_AT : _VERSION_POINTER_AT + 2], "little")
    match = _TEXT.match(data, _SETUP + pointer) if pointer else None
    return match[0].decode("ascii") if match else ""


def _banner_version(data: bytes) -> str:
    match = _BANNER.search(data)
    return match[1].decode("ascii") if match else ""


def _packed(data: bytes) -> tuple[Compression, bytes] | None:
    """The compressed kernel inside an image."""
    if data[:2] == _EFI_MAGIC and data[4:8] == _ZBOOT_MAGIC:
        start, size = (int.from_bytes(data[at : at + 4], "little") for at in (8, 12))
        data = data[start : start + size]
    kind = compression(data[:16])
    return None if kind is None else (kind, data)
