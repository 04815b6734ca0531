# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading initramfs archives: everything that kernels take, and nothing but a clear error for anything else."""

import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.errors import InvalidConfigError
from osrd.model.image import ImageContent, ImageFile
from osrd.parse.initramfs import DEFAULT_LIMITS, Archive, ArchiveLimits, Source
from tests.unit.initrd.archives import Entry, archive, directory, link


def read(data: bytes, limits: ArchiveLimits = DEFAULT_LIMITS, step: int = 1000) -> ImageContent:
    archived = Archive(limits)
    source = Source(data[at : at + step] for at in range(0, len(data), step))
    archived.read(source)
    assert source.peek() == b""
    return archived.content()


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def test_files_links_and_directories() -> None:
    device = Entry("dev/console", mode=stat.S_IFCHR | 0o600)
    content = read(
        archive([directory("."), directory("usr"), Entry("usr/a", b"text"), link("lib", "usr/lib"), device])
    )
    assert content.files == (
        ImageFile("dev/console", stat.S_IFCHR | 0o600),
        ImageFile("lib", stat.S_IFLNK | 0o777, target="usr/lib"),
        ImageFile("usr", stat.S_IFDIR | 0o755),
        ImageFile("usr/a", stat.S_IFREG | 0o644, 4, digest(b"text")),
    )
    assert content.texts == {"usr/a": b"text"}


@pytest.mark.parametrize("step", [1, 3, 110, 1 << 20])
def test_it_does_not_matter_in_which_pieces_it_comes(step: int) -> None:
    data = archive([Entry(f"f{number}", b"x" * number) for number in range(9)])
    assert read(data, step=step) == read(data)


def test_several_archives_after_each_other_and_the_last_file_of_a_name_counts() -> None:
    first = archive([Entry("etc/osr/nodeids", b"1 old"), Entry("same", b"1")])
    content = read(first + bytes(1024) + archive([Entry("./etc/osr/nodeids", b"1 new")], block=4))
    assert content.texts == {"etc/osr/nodeids": b"1 new", "same": b"1"}
    assert [file.path for file in content.files] == ["etc/osr/nodeids", "same"]


def test_what_replaces_a_text_takes_it_away() -> None:
    content = read(archive([Entry("a", b"secret")]) + archive([link("a", "b")]))
    assert content.texts == {}
    assert content.files == (ImageFile("a", stat.S_IFLNK | 0o777, target="b"),)


@pytest.mark.parametrize("carrier", [0, 1, 2])
def test_hard_links_have_the_content_that_one_of_them_carries(carrier: int) -> None:
    entries = [Entry(name, inode=77, links=3) for name in "abc"]
    entries[carrier] = replace(entries[carrier], data=b"content")
    content = read(archive([*entries, Entry("empty", inode=78, links=2)]))
    assert [(file.path, file.size, file.digest) for file in content.files] == [
        *((name, 7, digest(b"content")) for name in "abc"),
        ("empty", 0, digest(b"")),
    ]
    assert content.texts == dict.fromkeys("abc", b"content")


def test_hard_links_of_different_archives_are_different_files() -> None:
    content = read(archive([Entry("a", b"one", inode=5, links=2)]) + archive([Entry("b", inode=5, links=2)]))
    assert {file.path: file.size for file in content.files} == {"a": 3, "b": 0}


def test_a_hard_link_that_was_replaced_meanwhile_stays_replaced() -> None:
    entries = [Entry("a", inode=7, links=3), Entry("a", b"other"), Entry("b", b"content", inode=7, links=3)]
    content = read(archive(entries))
    assert [(file.path, file.size) for file in content.files] == [("a", 5), ("b", 7)]
    assert content.texts == {"a": b"other", "b": b"content"}


def test_names_padded_with_more_zeros_than_needed() -> None:
    """dracut-cpio aligns data to blocks of the file system in this way."""
    data = archive([Entry("a\0\0\0\0\0\0\0", b"x")])
    assert [file.path for file in read(data).files] == ["a"]


def test_names_of_any_bytes() -> None:
    (file,) = read(archive([Entry("caf\udce9\n", b"x")])).files
    assert file.path == "caf\udce9\n"


def test_binaries_and_long_texts_are_hashed_but_not_kept() -> None:
    long = b"a" * (DEFAULT_LIMITS.text + 1)
    content = read(archive([Entry("binary", b"a\0b"), Entry("long", long)]))
    assert content.texts == {}
    assert [file.digest for file in content.files] == [digest(b"a\0b"), digest(long)]


def test_more_text_than_is_kept_is_counted() -> None:
    content = read(archive([Entry(f"{number}", b"a" * 10) for number in range(5)]), ArchiveLimits(texts=35))
    assert len(content.texts) == 3
    assert content.unsearched == 2


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"0", "no cpio header"),
        (b"07070" + b"x" * 200, "no cpio header"),
        (b"070707" + b"0" * 200, "no cpio header"),
        (b"070701" + b"g" * 104, "a number"),
        (b"070701" + b"-0000001" * 13, "a number"),
        (b"070701" + b"0000_001" * 13, "a number"),
        (archive([Entry("a", b"x" * 50)])[:140], "ends within"),
        (archive([Entry("a", b"x")])[:112], "name has|ends within"),
        (archive([Entry("a", b"x")])[:116], "no cpio header"),
        (archive([link("a", "b" * 50)])[:130], "ends within"),
        (archive([directory("a")])[:112], "no cpio header"),
        (archive([Entry("a/../../etc/passwd", b"x")]), "leads out of it"),
        (archive([Entry("a" * 5000, b"x")]), "name has 5001 bytes"),
        (archive([link("a", "b" * 5000)]), "target of 5000 bytes"),
    ],
)
def test_what_is_no_archive_is_told(data: bytes, problem: str) -> None:
    with pytest.raises(InvalidConfigError, match=problem) as caught:
        read(data)
    assert caught.value.fix


@pytest.mark.parametrize(
    "limits",
    [ArchiveLimits(entries=5), ArchiveLimits(paths=20), ArchiveLimits(file=9), ArchiveLimits(total=50)],
    ids=["entries", "paths", "file", "total"],
)
def test_limits(limits: ArchiveLimits) -> None:
    data = archive([Entry(f"file{number}", b"x" * 10) for number in range(6)])
    read(data)
    with pytest.raises(InvalidConfigError):
        read(data, limits)


def test_targets_of_links_count_as_names() -> None:
    data = archive([link(f"{number}", "x" * 100) for number in range(6)])
    with pytest.raises(InvalidConfigError):
        read(data, ArchiveLimits(paths=400))


def test_a_size_that_is_only_claimed_is_refused_before_it_is_read() -> None:
    huge = archive([Entry("a")]).replace(b"%08X" % 0, b"FFFFFFFF", 7)
    with pytest.raises(InvalidConfigError):
        read(huge)


def test_many_hard_links_do_not_take_the_square_of_their_number() -> None:
    count = 20_000
    entries = [Entry(f"{number}", inode=7, links=count) for number in range(count - 1)]
    content = read(archive([*entries, Entry("last", b"x", inode=7, links=count)]))
    assert {file.size for file in content.files} == {1}


_ENTRIES = st.lists(
    st.one_of(
        st.builds(Entry, st.text("ab/.", min_size=1, max_size=8), st.binary(max_size=40), inode=st.integers(0, 3)),
        st.builds(link, st.text("ab", min_size=1, max_size=3), st.text("ab/", max_size=5)),
        st.builds(directory, st.text("ab", min_size=1, max_size=3)),
    ),
    max_size=6,
)


@given(_ENTRIES, st.data())
def test_damaged_archives_are_told_and_nothing_else_happens(entries: list[Entry], data: st.DataObject) -> None:
    """Bytes changed, cut out or put in anywhere."""
    whole = bytearray(archive(entries, block=4))
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(start, min(len(whole), start + 8)))
        whole[start:end] = data.draw(st.binary(max_size=8))
    told(bytes(whole))


@given(st.binary(max_size=300))
def test_any_bytes_are_told_and_nothing_else_happens(data: bytes) -> None:
    told(b"070701" + data)


def told(data: bytes) -> None:
    archived = Archive(ArchiveLimits(entries=50, path=64, paths=500, file=1000, total=2000, text=100, texts=300))
    source = Source(iter([data]))
    with suppress(InvalidConfigError):
        archived.read(source)
    content = archived.content()
    assert sum(map(len, content.texts.values())) <= 2000
    assert all(not file.path.startswith("/") and ".." not in file.path.split("/") for file in content.files)


def endless() -> Iterator[bytes]:
    """Entries without end."""
    yield from iter(lambda: archive([Entry("a", b"x")], block=4), b"")


def test_an_archive_without_end_is_ended_by_the_limits() -> None:
    with pytest.raises(InvalidConfigError, match="more than 1000 files"):
        Archive(ArchiveLimits(entries=1000)).read(Source(endless()))
