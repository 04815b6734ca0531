# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared root made only for measuring: many kernels, and what their initrds are made from, in the numbers that
Debian 12 with dracut 059 has (an initrd for all machines with the network: 1,150 files, 700 of them kernel modules in
233 directories). The files are small: what is not read again costs the same whatever its size.
"""

import os
from pathlib import Path

from osrd.observe.buildinputs import DEPMOD

_MODULES, _MODULE_DIRECTORIES = 700, 233
_SHARED, _SHARED_DIRECTORIES, _LINKS = 450, 42, 118
_DRACUT_FILES, _DRACUT_DIRECTORIES = 370, 105


def version(number: int) -> str:
    return f"6.1.0-{number}-amd64"


def make_root(root: Path, kernels: int) -> dict[str, tuple[str, ...]]:
    """The root, and what the image of each kernel holds of it."""
    shared = _shared(root)
    _dracut(root)
    (root / "boot").mkdir()
    return {version(number): (*shared, *_kernel(root, version(number))) for number in range(1, kernels + 1)}


def _shared(root: Path) -> list[str]:
    names = []
    for number in range(_SHARED):
        directory = f"usr/lib/area{number % _SHARED_DIRECTORIES}"
        (root / directory).mkdir(parents=True, exist_ok=True)
        name = f"{directory}/lib{number}.so.1"
        if number < _LINKS:
            (root / f"{name}.0").write_bytes(b"%d" % number)
            os.symlink(f"lib{number}.so.1.0", root / name)
            names.append(f"{name}.0")
        else:
            (root / name).write_bytes(b"%d" % number)
        names.append(name)
    return names


def _dracut(root: Path) -> None:
    top = root / "usr/lib/dracut"
    for number in range(_DRACUT_FILES):
        directory = top / f"modules.d/{number % _DRACUT_DIRECTORIES:02}module"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file{number}.sh").write_bytes(b"%d" % number)
    (top / "dracut-version.sh").write_text("#!/bin/sh\nDRACUT_VERSION=059-4\n")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/dracut").write_text("#!/bin/bash\n")
    (root / "etc/dracut.conf.d").mkdir(parents=True)
    (root / "etc/dracut.conf.d/10-debian.conf").write_text("hostonly=no\n")


def _kernel(root: Path, name: str) -> list[str]:
    (root / f"boot/vmlinuz-{name}").write_bytes(name.encode())
    top = f"usr/lib/modules/{name}"
    names = []
    for number in range(_MODULES):
        kind = number % _MODULE_DIRECTORIES
        directory = f"{top}/kernel/drivers/group{kind % 20}/kind{kind}"
        (root / directory).mkdir(parents=True, exist_ok=True)
        names.append(f"{directory}/module{number}.ko")
        (root / names[-1]).write_bytes(b"%d" % number)
    for table in DEPMOD:
        (root / top / table).write_bytes(name.encode())
    return names
