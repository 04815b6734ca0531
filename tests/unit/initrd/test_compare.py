# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed between two initrds."""

import stat

from osrd.model.image import ImageFile
from osrd.plan.initrd.compare import compare, lines


def regular(path: str, size: int = 1, digest: str = "a", mode: int = 0o644) -> ImageFile:
    return ImageFile(path, stat.S_IFREG | mode, size, digest)


def link(path: str, target: str) -> ImageFile:
    return ImageFile(path, stat.S_IFLNK | 0o777, target=target)


OLD = [
    regular("usr/lib/libc.so.6", 2 << 20),
    regular("usr/bin/mount", 50_000),
    regular("usr/bin/gone", 3000),
    regular("usr/bin/same", 9),
    regular("usr/bin/chmodded", 9),
    link("bin", "usr/bin"),
    regular("usr/lib/modules/6.1/kernel/fs/nfs/nfs.ko", 1000),
    regular("usr/lib/modules/6.1/kernel/fs/same.ko", 1000),
    regular("usr/lib/modules/6.1/kernel/fs/gone.ko.xz", 1000),
    regular("usr/lib/modules/6.1/modules.dep", 10),
]
NEW = [
    regular("usr/lib/libc.so.6", 3 << 20, "b"),
    regular("usr/bin/mount", 50_000, "b"),
    regular("usr/bin/new", 100),
    regular("usr/bin/same", 9),
    regular("usr/bin/chmodded", 9, mode=0o755),
    link("bin", "bin.new"),
    regular("usr/lib/modules/6.2/kernel/fs/nfs/nfs.ko", 1500, "b"),
    regular("usr/lib/modules/6.2/kernel/fs/same.ko", 1000),
    regular("usr/lib/modules/6.2/kernel/fs/new.ko", 200),
    regular("usr/lib/modules/6.2/modules.dep", 10),
]


def test_the_largest_first_and_modules_in_one_line() -> None:
    assert lines(compare(OLD, NEW)) == (
        "unpacked 2.1 MiB before, 3.1 MiB after (+1020.9 KiB)",
        "kernel modules: 1 added, 1 removed, 1 changed (-300 bytes)",
        "  usr/lib/libc.so.6 (3.0 MiB, +1.0 MiB)",
        "  usr/bin/mount (48.8 KiB, +0 bytes)",
        "- usr/bin/gone (2.9 KiB)",
        "+ usr/bin/new (100 bytes)",
        "  usr/bin/chmodded: mode 755 instead of 644",
        "  bin: leads to bin.new instead of usr/bin",
    )


def test_nothing() -> None:
    assert not compare(OLD, reversed(OLD))
    assert lines(compare(OLD, OLD)) == ("nothing differs",)


def test_many_are_counted() -> None:
    many = [regular(f"usr/bin/{number:03}", number) for number in range(100)]
    told = lines(compare([], many), most=3)
    assert told[1:] == (
        "+ usr/bin/099 (99 bytes)",
        "+ usr/bin/098 (98 bytes)",
        "+ usr/bin/097 (97 bytes)",
        "97 more files: 97 added (+4.5 KiB)",
    )


def test_names_that_cannot_be_shown() -> None:
    assert lines(compare([], [regular("a\udcff")]))[1] == r"+ a\xff (1 bytes)"


def test_a_file_that_becomes_a_link() -> None:
    assert lines(compare([regular("a")], [link("a", "b")]))[1] == "  a: leads to b instead of itself"
