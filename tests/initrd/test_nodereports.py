# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes say of themselves, and what else can be found where they say it."""

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.cdsl import Inventory, Layout, Members
from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding
from osrd.model.image import NodeReport
from osrd.model.view import BootState
from osrd.observe.inside import Inside
from osrd.observe.nodereports import ReportReader
from osrd.parse.nodereport import LIMIT, parse_report
from osrd.plan.initrd.reports import boot_state, report_trees

TREE = "cluster/cdsl"
PRINT = "ab" * 32
GOOD = (
    f"step=root\ntime=1795341958\nkernel=6.1.0-18-amd64\nbuild={PRINT}\n"
    "boot_id=0b7c0b52-9fa5-4a0f-8d3c-2d6f9f4f0f11\nattempts=2\n"
).encode()
PARSED = NodeReport("node1", "root", 1795341958.0, "6.1.0-18-amd64", PRINT, "0b7c0b52-9fa5-4a0f-8d3c-2d6f9f4f0f11", 2)
LATER = time.time_ns() + 10**15


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        (tmp_path / "root" / TREE / str(number)).mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def inside(root: Path) -> Iterator[Inside]:
    with Inside.open(str(root)) as opened:
        yield opened


NODES = {f"node{number}": str(number) for number in (1, 2, 3)}


def write(root: Path, number: int, data: bytes = GOOD) -> Path:
    """As a node does: another file, then a rename."""
    file = root / TREE / str(number) / ".osr/report"
    file.parent.mkdir(exist_ok=True)
    file.with_suffix(".new").write_bytes(data)
    file.with_suffix(".new").rename(file)
    return file


def read(inside: Inside) -> tuple[dict[str, NodeReport], list[Finding]]:
    reports, findings = ReportReader().read(inside, TREE, NODES, LATER)
    return dict(reports), list(findings)


def test_a_report_is_read_and_its_absence_is_no_finding(root: Path, inside: Inside) -> None:
    write(root, 1)
    (root / TREE / "2/.osr").mkdir()
    (root / TREE / "3").rmdir()
    assert read(inside) == ({"node1": PARSED}, [])


def test_less_and_more_than_this_version_knows() -> None:
    assert parse_report(b"step=up\ntime=1\nfuture=yes\n\n", "n") == NodeReport("n", "up", 1.0)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "has no step"),
        (b"step=up\n", "has no time"),
        (GOOD.replace(b"step=root", b"step=down"), r"a wrong step \(line 1\)"),
        (GOOD.replace(b"attempts=2", b"attempts=-2"), r"a wrong attempts \(line 6\)"),
        (GOOD.replace(b"attempts=2", b"attempts=99999999"), "a wrong attempts"),
        (GOOD.replace(b"time=1", b"time=1e99"), "a wrong time"),
        (GOOD.replace(b"kernel=6", b"kernel=../6"), "a wrong kernel"),
        (GOOD.replace(b"kernel=6", b"kernel=\x1b[2J6"), "a wrong kernel"),
        (GOOD.replace(PRINT.encode(), b"a" * 65), "a wrong build"),
        (GOOD + b"step=up\n", "has step twice"),
        (b"step\n" + GOOD, "no KEY=VALUE in line 1"),
        (GOOD + b"x=\xff\n", "no ASCII"),
        (GOOD.replace(b"step=root", "step=ro\u043et".encode()), "no ASCII"),
        (b"step=up\ntime=1\n" + b"#" * LIMIT, "has more than"),
    ],
)
def test_what_has_not_the_right_form_is_not_believed(data: bytes, why: str) -> None:
    with pytest.raises(InvalidConfigError, match=why):
        parse_report(data, "n")


@given(st.binary(max_size=300) | st.text(alphabet="=\nsteptimup0123ab", max_size=60).map(str.encode))
def test_no_bytes_do_anything_else_than_fail_or_be_a_report(data: bytes) -> None:
    try:
        report = parse_report(data, "n")
    except InvalidConfigError:
        return
    assert report.step in ("root", "up")


def test_hostile_content_is_a_finding_and_the_others_are_read(root: Path, inside: Inside) -> None:
    write(root, 1, b"\0" * 100)
    write(root, 2)
    reports, (finding,) = read(inside)
    assert reports == {"node2": replace(PARSED, node="node2")}
    assert (finding.code, finding.node) == ("node-report-ignored", "node1")
    assert finding.value == str(root / TREE / "1/.osr/report")
    assert finding.fix


def make(kind: str, file: Path, outside: Path) -> None:
    file.parent.mkdir()
    if kind == "symlink":
        file.symlink_to(outside)
    elif kind == "relative symlink":
        file.symlink_to("../../2/.osr/report")
    elif kind == "directory":
        file.mkdir()
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "device":
        os.mknod(file, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
    elif kind == "sparse":
        with open(file, "wb") as stream:
            stream.truncate(10 << 30)
    elif kind == "symlinked .osr":
        file.parent.rmdir()
        file.parent.symlink_to(outside.parent)
    elif kind == "symlinked tree":
        file.parent.rmdir()
        file.parent.parent.rmdir()
        file.parent.parent.symlink_to("2")


@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("symlink", "symbolic link"),
        ("relative symlink", "symbolic link"),
        ("directory", "no regular file"),
        ("fifo", "no regular file"),
        ("device", "no regular file"),
        ("sparse", "more than"),
        ("symlinked .osr", "symbolic link"),
        ("symlinked tree", "symbolic link"),
    ],
)
def test_what_is_no_file_of_the_node_is_not_followed_nor_opened(
    root: Path, inside: Inside, tmp_path: Path, kind: str, why: str
) -> None:
    outside = tmp_path / "outside/report"
    outside.parent.mkdir()
    outside.write_bytes(GOOD)
    write(root, 2)
    make(kind, root / TREE / "1/.osr/report", outside)
    reports, (finding,) = read(inside)
    assert list(reports) == ["node2"]
    assert why in finding.message


@pytest.mark.parametrize("directory", ["", "..", "../1", "/etc", "a\0b", "1/../2"])
def test_names_that_are_no_directories_are_left_out(root: Path, inside: Inside, directory: str) -> None:
    write(root, 1)
    write(root, 2)
    assert ReportReader().read(inside, TREE, {"node1": directory}, LATER) == ({}, ())


def test_a_report_is_read_again_when_it_changed_and_only_then(root: Path, inside: Inside) -> None:
    reader = ReportReader()
    for number in NODES.values():
        write(root, int(number))
    for _ in range(3):
        assert len(reader.read(inside, TREE, NODES, LATER)[0]) == 3
    assert reader.read_files == 3
    write(root, 2, GOOD.replace(b"step=root", b"step=up"))
    assert reader.read(inside, TREE, NODES, LATER)[0]["node2"].step == "up"
    assert reader.read_files == 4
    # renamed in cluster.conf
    renamed = reader.read(inside, TREE, {"other": "2"}, LATER)[0]
    assert renamed["other"].node == "other"


def test_what_was_written_just_now_is_read_again(root: Path, inside: Inside) -> None:
    reader = ReportReader()
    write(root, 1)
    for _ in range(2):
        reader.read(inside, TREE, NODES, time.time_ns())
    assert reader.read_files == 2


def test_many_broken_reports_are_few_findings(root: Path, inside: Inside) -> None:
    nodes = {}
    for number in range(1, 101):
        (root / TREE / str(number)).mkdir(exist_ok=True)
        write(root, number, b"?")
        nodes[f"node{number}"] = str(number)
    assert len(ReportReader().read(inside, TREE, nodes, LATER)[1]) == 20


def test_whose_tree_is_whose() -> None:
    members = Members(("1", "2"), ("a", "b"))
    assert report_trees(Inventory(), members) == {"a": "1", "b": "2"}
    assert report_trees(Inventory(use_nodeids=False), members) == {"a": "a", "b": "b"}
    assert report_trees(Inventory(layout=Layout(prefix="n")), members) == {"a": "n1", "b": "n2"}
    assert report_trees(Inventory(maxnodeidnum=1), members) == {"a": "1"}
    assert report_trees(Inventory(use_nodeids=False, layout=Layout(prefix="n")), members) == {}


def test_how_far_a_node_is() -> None:
    assert boot_state(None) is BootState.UNKNOWN
    assert boot_state(PARSED) is BootState.ROOT
    assert boot_state(replace(PARSED, step="up")) is BootState.UP
