# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ends of a node's report: what the initrd's own program writes is what osrd reads."""

import subprocess
import time
from pathlib import Path

import pytest

from osrd.model.image import NodeReport
from osrd.observe.inside import Inside
from osrd.observe.nodereports import ReportReader
from tests.conftest import REPOSITORY

PROGRAM = REPOSITORY / "data/dracut/osr/osr-report.sh"
ONE, OTHER = "ab" * 32, "cd" * 32
#: /run/osr is the node's own
SCRIPT = 'mount -t tmpfs none /run; mkdir /run/osr; echo "$1" > /run/osr/build; exec sh "$2" "$3" "$4"'

pytestmark = [pytest.mark.root, pytest.mark.needs("unshare", "mount")]


def says(root: Path, step: str, build: str) -> NodeReport:
    """A node comes as far as ``step`` with the image ``build``; what osrd reads afterwards."""
    tree = root / "cluster/cdsl/1"
    tree.mkdir(parents=True, exist_ok=True)
    arguments = [build, str(PROGRAM), step, str(tree)]
    subprocess.run(["unshare", "-m", "sh", "-euc", SCRIPT, "sh", *arguments], check=True)
    with Inside.open(str(root)) as inside:
        reports, findings = ReportReader().read(inside, "cluster/cdsl", {"node1": "1"}, time.time_ns())
    assert findings == ()
    return reports["node1"]


def test_a_node_that_comes_up(tmp_path: Path) -> None:
    first = says(tmp_path, "root", ONE)
    assert (first.step, first.fingerprint, first.attempts) == ("root", ONE, 1)
    assert first.kernel == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert first.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert abs(first.time - time.time()) < 60
    up = says(tmp_path, "up", ONE)
    assert (up.step, up.attempts) == ("up", 0)


def test_boots_in_vain_are_counted_for_each_image(tmp_path: Path) -> None:
    assert [says(tmp_path, "root", ONE).attempts for _ in range(3)] == [1, 2, 3]
    # What the image before did is not held against the new one.
    assert says(tmp_path, "root", OTHER).attempts == 1
    assert says(tmp_path, "root", OTHER).attempts == 2
    (tmp_path / "cluster/cdsl/1/.osr/report").write_text(f"build={OTHER}\nattempts=-9\n")
    assert says(tmp_path, "root", OTHER).attempts == 1
