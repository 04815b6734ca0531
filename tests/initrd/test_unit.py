# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox under the shipped unit: a systemd of its own applies its restrictions to a process that builds."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.root, pytest.mark.needs("busybox", "systemd-nspawn", "unshare")]

_UNIT = """[Unit]
DefaultDependencies=no
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
StandardOutput=file:/out/said
StandardError=file:/out/said
Environment=PYTHONPATH={repository}
ExecStart={python} -B -m tests.initrd.test_unit
"""

#: the host's own files below, what is written above is gone with the mount namespace; $1: a directory, $2: the unit
_BOOT = """set -e
cd "$1"
mount -t tmpfs tmpfs over
mkdir over/upper over/work
mount -t overlay -o lowerdir=/,upperdir=over/upper,workdir=over/work overlay root
mkdir -p root/etc/systemd/system
cp unit root/etc/systemd/system/trial.service
shift
exec systemd-nspawn -q -D root --register=no --keep-unit "$@" -b systemd.unit=trial.service
"""

#: a dracut that does what the real one needs rights for, and tells which it has
_DRACUT = """mkdir -p /tmp/r/bin; cp /usr/bin/busybox /tmp/r/bin; cp -a /lib* /usr/lib /tmp/r 2>/dev/null
chroot /tmp/r /bin/busybox chown 12:13 /bin/busybox
ls -ln /tmp/r/bin
grep -E 'CapEff|NoNewPrivs' /proc/self/status
echo x > "$image"
"""


def test_the_unit_allows_what_a_build_needs(tmp_path: Path) -> None:
    for name in ("over", "root", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "out").chmod(0o777)
    shipped = (REPOSITORY / "data/systemd/osrd.service").read_text()
    restrictions = shipped[shipped.index("\nNoNewPrivileges=") : shipped.index("[Install]")]
    assert "SystemCallFilter=" in restrictions
    unit = _UNIT.format(repository=REPOSITORY, python=sys.executable)
    (tmp_path / "unit").write_text(unit + restrictions)
    binds = [f"--bind-ro={path}" for path in {str(REPOSITORY), sys.prefix, sys.base_prefix}]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", _BOOT, "sh", tmp_path, f"--bind={tmp_path}/out:/out", *binds],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = tmp_path / "out/said"
    assert said.exists(), done.stdout + done.stderr
    lines = said.read_text().splitlines()
    assert lines[-1] == "built", "\n".join(lines)
    assert any(line.split()[2:4] == ["12", "13"] for line in lines if line.endswith("busybox"))
    assert "CapEff:\t000000000004001b" in lines
    assert "NoNewPrivs:\t1" in lines


def _main() -> None:
    import tempfile

    from osrd.apply.initrd.build import build
    from tests.initrd.miniroot import LIMITS, make_order, make_root

    with tempfile.TemporaryDirectory() as name:
        root = make_root(Path(name, "root"), _DRACUT)
        destination = Path(name, "destination")
        destination.mkdir()
        try:
            build(make_order(root), LIMITS, str(destination))
        finally:
            print((destination / "log").read_text(), flush=True)
    print("built")


if __name__ == "__main__":
    _main()
