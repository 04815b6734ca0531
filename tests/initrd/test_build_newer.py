# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox with a dracut-ng that packs with another program, and that says what it does only when asked."""

from pathlib import Path

import pytest

from osrd.apply.initrd.unpack import read_image
from tests.debian import overlaid
from tests.initrd.test_build_debian import made, order_of

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("debootstrap", "unshare", "chroot")]


def test_the_same_bytes_twice_and_what_it_says(forky: Path, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    with overlaid(forky, tmp_path / "overlay") as root:
        first, second = (made(order_of(root), tmp_path / name, told) for name in ("first", "second"))
        assert list((tmp_path / "overlay/upper").rglob("*")) == []
    assert first.initrd_digest == second.initrd_digest
    assert any(file.path.endswith("/osrroot") for file in read_image(first.initrd).files)
    log = Path(first.log).read_text()
    assert "*** Creating initramfs image file '/run/osrd/initrd' done ***" in log
    complaints = ("FAILED", "ERROR", "not permitted", "Permission denied", "Read-only", "ldconfig exited")
    assert [line for line in log.splitlines() if any(each in line for each in complaints)] == []
    assert max(fraction for fraction, _ in told) == 0.98
    assert {"module osr", "Resolving dependencies for executables and libraries"} <= {message for _, message in told}
