# SPDX-License-Identifier: GPL-3.0-or-later
"""The real dracut of a real Debian, with osrd's modules, in the sandbox."""

from pathlib import Path

import pytest

from osrd.apply.initrd.build import INITRD, KERNEL, LOG, Built, build
from osrd.apply.initrd.unpack import read_image
from osrd.model.image import BuildLimits, BuildOrder
from osrd.model.settings import BootWay
from osrd.observe.dracutmodules import module_sources
from osrd.observe.kernels import survey
from osrd.plan.initrd.modules import module_files
from tests.initrd.miniroot import children
from tests.systemd import PROGRAMS, WELL, restricted

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("debootstrap", "chroot", *PROGRAMS)]

LIMITS = BuildLimits(nice=0)


def order_of(root: Path) -> BuildOrder:
    found = survey(str(root))
    assert found.dracut is not None
    modules = module_files(module_sources(), found.dracut)
    data = {"osr.conf": b"OSR_CLUSTER='demo'\n"}
    return BuildOrder("debian", str(root), found.kernels[0], BootWay.STATIC, "0123abcd", data, modules)


def made(order: BuildOrder, destination: Path, told: list[tuple[float, str]]) -> Built:
    destination.mkdir()
    return build(order, LIMITS, str(destination), lambda *progress: told.append(progress))


def test_a_debian(debian_root: Path, tmp_path: Path, debian_kernel: str) -> None:
    """What is written into the root would be in the upper directory of its overlay. Two hosts make the same bytes, one
    of them in osrd-build@.service."""
    upper = tmp_path / "overlay/upper"
    told: list[tuple[float, str]] = []
    first = made(order_of(debian_root), tmp_path / "first", told)
    (tmp_path / "host").mkdir()
    restricted(tmp_path / "host", "tests.initrd.test_build_debian", f"{debian_root}:/debian")
    second = tmp_path / "host/out/second"
    for name in (INITRD, KERNEL):
        assert (second / name).read_bytes() == (tmp_path / "first" / name).read_bytes(), name
    assert list(upper.rglob("*")) == []
    assert children() == []
    assert Path(first.kernel).read_bytes() == (debian_root / f"boot/vmlinuz-{debian_kernel}").read_bytes()
    files = {file.path: file for file in read_image(first.initrd).files}
    assert f"usr/lib/modules/{debian_kernel}/modules.dep" in files
    assert any(path.endswith("/osrroot") for path in files)
    for log in (Path(first.log).read_text(), (second / LOG).read_text()):
        assert "*** Creating initramfs image file '/run/osrd/initrd' done ***" in log
        complaints = ("FAILED", "ERROR", "not permitted", "Permission denied", "Read-only", "ldconfig exited")
        assert [line for line in log.splitlines() if any(each in line for each in complaints)] == []
    fractions = [fraction for fraction, _ in told]
    assert fractions[0] < 0.1
    assert max(fractions) == 0.98
    assert files["etc/osr/build"].size == len("0123abcd\n")
    assert any(message == "module osr" for _, message in told)


if __name__ == "__main__":
    made(order_of(Path("/debian")), Path("/out/second"), [])
    print(WELL)
