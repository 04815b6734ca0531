# SPDX-License-Identifier: GPL-3.0-or-later
"""A root in which a few lines of shell are the dracut: what its real one would do to osrd, in milliseconds."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

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


def make_order(root: Path, **more: object) -> BuildOrder:
    """An order for that root."""
    image = f"boot/vmlinuz-{VERSION}"
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
