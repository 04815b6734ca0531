# SPDX-License-Identifier: GPL-3.0-or-later
"""The mount table is read as the kernel writes it, whatever bytes are in it."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.errors import InvalidConfigError
from osrd.model.mount import Mount
from osrd.parse.mountinfo import parse_mountinfo

_ESCAPED = b" \t\n\\#"


def escaped(text: str) -> bytes:
    """As mangle_path() of the kernel does."""
    return b"".join(b"\\%03o" % byte if byte in _ESCAPED else bytes((byte,)) for byte in os.fsencode(text))


def line(mount: Mount) -> bytes:
    fields = [b"%d" % mount.id, b"%d" % mount.parent, mount.device.encode()]
    fields += [escaped(each) for each in (mount.root, mount.point, mount.options, *mount.tags)]
    fields += [b"-", *(escaped(each) for each in (mount.fstype, mount.source, mount.super_options))]
    return b" ".join(fields) + b"\n"


names = st.binary(min_size=1, max_size=20).map(lambda name: os.fsdecode(name.replace(b"\0", b"x")))
paths = names.map(lambda name: "/" + name)
numbers = st.integers(min_value=1, max_value=2**31)
tags = st.lists(st.sampled_from(["shared:1", "master:2", "propagate_from:3", "unbindable", "new_field:x"]), max_size=3)
mounts = st.builds(
    Mount,
    id=numbers,
    parent=numbers,
    device=st.tuples(numbers, numbers).map(lambda pair: f"{pair[0]}:{pair[1]}"),
    root=paths,
    point=paths,
    options=st.sampled_from(["rw", "ro,nosuid", "rw,relatime"]),
    tags=tags.map(tuple),
    fstype=names,
    source=st.one_of(names, st.just(""), st.just("-")),
    super_options=st.one_of(names, st.just("")),
)


@given(st.lists(mounts, max_size=5))
def test_what_the_kernel_writes_is_read_back(table: list[Mount]) -> None:
    assert parse_mountinfo(b"".join(map(line, table))) == tuple(table)


def test_a_line_of_the_manual_page() -> None:
    text = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
    (mount,) = parse_mountinfo(text)
    assert mount == Mount(
        36, 35, "98:0", "/mnt1", "/mnt2", "rw,noatime", ("master:1",), "ext3", "/dev/root", "rw,errors=continue"
    )
    assert mount.slave
    assert not mount.shared


def test_escapes_and_bytes() -> None:
    (mount,) = parse_mountinfo(b"1 0 0:1 / /a\\040b\\011c\\012d\\134040\xff rw shared:3 - tmpfs none rw,x=\\040\n")
    assert mount.point == "/a b\tc\nd\\040\udcff"
    assert mount.super_options == "rw,x= "
    assert mount.shared


def test_a_mount_without_a_source_and_fields_of_the_future() -> None:
    (mount,) = parse_mountinfo(b"1 0 0:1 / /x rw - tmpfs  rw later=1\n")
    assert (mount.source, mount.super_options) == ("", "rw")


@pytest.mark.parametrize(
    "bad", [b"1 0 0:1 / /x rw tmpfs none rw", b"x 0 0:1 / /x rw - tmpfs none", b"1 2", b"1 0 0:1 / /x rw - t"]
)
def test_nonsense_is_told_with_its_line(bad: bytes) -> None:
    with pytest.raises(InvalidConfigError, match=r"^mountinfo:2: "):
        parse_mountinfo(b"1 0 0:1 / / rw - tmpfs none rw\n" + bad + b"\n")


def test_the_table_of_this_machine() -> None:
    with open("/proc/self/mountinfo", "rb") as stream:
        data = stream.read()
    table = parse_mountinfo(data)
    assert len(table) == data.count(b"\n")
    assert any(mount.point == "/proc" and mount.fstype == "proc" for mount in table)
