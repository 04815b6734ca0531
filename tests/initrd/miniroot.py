# SPDX-License-Identifier: GPL-3.0-or-later
"""A root in which a few lines of shell are the dracut: what its real one would do to osrd, in milliseconds."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from osrd.apply.initrd.build import BuildFailedError, Built, build
from osrd.model.image import BuildLimits, BuildOrder, Kernel
from osrd.model.settings import BootWay

VERSION = "6.1.0-9-amd64"
LIMITS = BuildLimits(timeout=60, memory=256, size=16, nice=0)

#: what every "dracut" begins with: the last argument is the image
_HEAD = "#!/bin/sh\nfor image; do :; done\n"
GOOD = 'echo "dracut: *** Including module: osr ***"\necho initrd > "$image"\n'


def make_root(root: Path, script: str = GOOD) -> Path:
    """A root with busybox, a kernel, and ``script`` as dracut; ``$image`` is where it has to write."""
    busybox = Path(shutil.which("busybox") or "/bin/busybox").resolve()
    for directory in (
        "boot",
        "dev",
        "etc",
        "proc",
        "sys",
        "run",
        "tmp",
        "usr/bin",
        "usr/lib/dracut/modules.d",
        "var/tmp",
    ):
        (root / directory).mkdir(parents=True)
    for name in ("bin", "sbin"):
        (root / name).symlink_to("usr/bin")
    (root / "usr/sbin").symlink_to("bin")
    shutil.copy2(busybox, root / "usr/bin/busybox")
    libraries = subprocess.run(["ldd", busybox], check=False, capture_output=True, text=True).stdout
    for library in re.findall(r"(/\S+) \(0x", libraries):
        place = root / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(library, place)
    for applet in subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if not (root / "usr/bin" / applet).exists():
            (root / "usr/bin" / applet).symlink_to("busybox")
    (root / f"boot/vmlinuz-{VERSION}").write_bytes(b"a kernel")
    set_dracut(root, script)
    return root


def set_dracut(root: Path, script: str) -> None:
    dracut = root / "usr/bin/dracut"
    dracut.unlink(missing_ok=True)
    dracut.write_text(_HEAD + script)
    dracut.chmod(0o755)


def make_order(root: Path, image: str = f"boot/vmlinuz-{VERSION}", **more: object) -> BuildOrder:
    """An order for that root."""
    data = (root / image).read_bytes()
    values: dict[str, object] = {
        "root": "mini",
        "path": str(root),
        "kernel": Kernel(VERSION, image, hashlib.sha256(data).hexdigest(), len(data)),
        "way": BootWay.FULL,
        "fingerprint": "0123abcd",
        "data": {"nodes": b"1 00:11:22:33:44:55\n"},
        "modules": {"modules.d/95osr/module-setup.sh": b"#!/bin/bash\n"},
    }
    return BuildOrder(**(values | more))  # type: ignore[arg-type]


class World:
    """A root, and a directory for its builds."""

    def __init__(self, path: Path, script: str = GOOD) -> None:
        self.root = make_root(path / "root", script)
        self.destination = path / "destination"
        self.destination.mkdir()
        self.told: list[tuple[float, str]] = []

    def build(
        self,
        script: str = GOOD,
        limits: BuildLimits = LIMITS,
        cancelled: Callable[[], bool] = lambda: False,
        **more: object,
    ) -> Built:
        set_dracut(self.root, script)
        order = make_order(self.root, **more)
        return build(order, limits, str(self.destination), lambda *told: self.told.append(told), cancelled)

    def says(self, script: str, **more: object) -> str:
        """What the image has in it when dracut's output is the image."""
        return Path(self.build(f'{{ {script}\n}} > "$image" 2>&1', **more).initrd).read_text()  # type: ignore[arg-type]

    def fails(self, script: str, limits: BuildLimits = LIMITS) -> BuildFailedError:
        with pytest.raises(BuildFailedError) as caught:
            self.build(script, limits)
        assert self.names() == ["log"]
        return caught.value

    def names(self) -> list[str]:
        return sorted(path.name for path in self.destination.iterdir())

    def log(self) -> str:
        return (self.destination / "log").read_text(errors="replace")


def children() -> list[int]:
    """The processes that this one has started and not collected."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def cmdline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""  # it is gone


def running(word: str) -> list[str]:
    """The command lines of this host's processes that have ``word`` in them."""
    found = [cmdline(int(name)) for name in os.listdir("/proc") if name.isdigit()]
    return [line for line in found if word in line]
