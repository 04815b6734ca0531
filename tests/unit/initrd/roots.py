# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared roots with kernels, as small as they can be."""

from pathlib import Path

MACHINE = "0123456789abcdef0123456789abcdef"


def write(root: Path, path: str, data: bytes | str = b"") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


def modules(root: Path, version: str, top: str = "usr/lib/modules", *, complete: bool = True) -> None:
    write(root, f"{top}/{version}/kernel/fs/nfs/nfs.ko", version)
    write(root, f"{top}/{version}/modules.order", "kernel/fs/nfs/nfs.ko\n")
    if complete:
        write(root, f"{top}/{version}/modules.dep", "kernel/fs/nfs/nfs.ko:\n")


def kernel(root: Path, version: str) -> None:
    """As Debian has it."""
    write(root, f"boot/vmlinuz-{version}", f"kernel {version}")
    modules(root, version)


def dracut(root: Path, version: str = "059-4") -> None:
    write(
        root, "usr/lib/dracut/dracut-version.sh", f"#!/bin/sh\n# shellcheck disable=SC2034\nDRACUT_VERSION={version}\n"
    )
    write(root, "usr/lib/dracut/modules.d/99base/module-setup.sh", "check() { return 0; }\n")
    write(root, "usr/bin/dracut", "#!/bin/bash\n")


def merged(root: Path) -> None:
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
