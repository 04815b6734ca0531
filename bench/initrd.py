# SPDX-License-Identifier: GPL-3.0-or-later
"""What building an initrd costs beside dracut itself: CPU seconds of everything that runs, against dracut in a bare
chroot of the same root in the same run.

A part of `make bench`, which makes a Debian for it. `python -m bench.initrd [ROOT]` is this part alone, with a copy of
ROOT.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measure import Clock
from osrd.apply.initrd.build import build
from osrd.model.image import BuildLimits, BuildOrder, Dracut, Kernel
from osrd.model.settings import BootWay
from osrd.observe.dracutmodules import module_sources
from osrd.observe.kernels import survey
from osrd.plan.initrd.dracut import dracut_argv
from osrd.plan.initrd.modules import module_files, module_mode
from tests.debian import debootstrap, entered, install

_PACKAGES = ("linux-image-amd64", "kmod", "dracut", "dracut-network", "systemd-sysv", "udev", "iproute2", "procps")
_MORE = ("nfs-common", "isc-dhcp-client", "iputils-arping")
_TURNS = 3
_DATA = {"osr.conf": b"OSR_CLUSTER='bench'\n"}


def measure(root: Path | None = None) -> dict[str, Any] | None:
    """All figures, the best of some turns each; None where that cannot be measured. Nothing is left behind."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        return None
    with tempfile.TemporaryDirectory(prefix="osrd-bench-") as name:
        copy = Path(name) / "root"
        if root is None:
            debootstrap(copy)
            install(copy, [*_PACKAGES, *_MORE])
        else:
            subprocess.run(["cp", "-a", "--reflink=auto", root, copy], check=True)
        return _measured(copy, Path(name) / "destination")


def _measured(root: Path, destination: Path) -> dict[str, Any]:
    destination.mkdir()
    found = survey(str(root))
    assert found.dracut is not None
    order = _order(root, found.kernels[0], found.dracut)
    _install_modules(root, order)
    bare, built = [], []
    for _turn in range(_TURNS):
        bare.append(_bare(root, order))
        with Clock() as clock:
            done = build(order, BuildLimits(nice=0), str(destination))
        built.append(clock)
    best, floor = min(built, key=lambda each: each.cpu), min(bare, key=lambda each: each.cpu)
    return {
        "cpu_s": best.cpu,
        "wall_s": min(each.wall for each in built),
        "floor_cpu_s": floor.cpu,
        "floor_wall_s": min(each.wall for each in bare),
        "floor_ratio": round(best.cpu / floor.cpu, 3),
        "image_mib": round(done.initrd_size / (1 << 20), 1),
    }


def _order(root: Path, kernel: Kernel, dracut: Dracut) -> BuildOrder:
    modules = module_files(module_sources(), dracut)
    return BuildOrder("bench", str(root), kernel, BootWay.STATIC, "0123456789abcdef", _DATA, modules)


def _install_modules(root: Path, order: BuildOrder) -> None:
    """What a build shows its dracut, for the bare one to find."""
    files = {f"usr/lib/dracut/{path}": data for path, data in order.modules.items()}
    files |= {f"etc/osr/initrd/{path}": data for path, data in {**order.data, "build": b"bench\n"}.items()}
    for path, data in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(module_mode(data))


def _bare(root: Path, order: BuildOrder) -> Clock:
    with Clock() as clock:
        entered(root, *dracut_argv(order, "/boot/bench", "/var/tmp"))
    (root / "boot/bench").unlink()
    return clock


def table(figures: dict[str, Any]) -> Table:
    shown = Table("an initrd", f"{figures['image_mib']} MiB")
    shown.add_row("built, CPU s", f"{figures['cpu_s']}")
    shown.add_row("bare dracut, CPU s", f"{figures['floor_cpu_s']}")
    shown.add_row("built / bare, CPU", f"{figures['floor_ratio']}")
    shown.add_row("built, wall s", f"{figures['wall_s']}")
    shown.add_row("bare dracut, wall s", f"{figures['floor_wall_s']}")
    return shown


def main() -> None:
    figures = measure(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    if figures is None:
        sys.exit("an initrd is built by root only, in a Debian that debootstrap makes")
    print(json.dumps(figures, indent=1))
    Console(width=110).print(table(figures))


if __name__ == "__main__":
    main()
