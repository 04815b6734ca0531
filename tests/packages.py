# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd's packages, made once in a run as `make deb` and `make rpm` make them; `built_debs` in tests/conftest.py."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def build_debs(directory: Path) -> Mapping[str, Path]:
    """The packages by name, without version."""
    _build("deb", directory)
    return {path.name.partition("_")[0]: path for path in sorted(directory.glob("*.deb"))}


def build_rpms(directory: Path) -> Mapping[str, Path]:
    """The packages by name; without that of the source."""
    _build("rpm", directory)
    return {path.name.rsplit("-", 2)[0]: path for path in sorted(directory.glob("*.noarch.rpm"))}


def _build(kind: str, directory: Path) -> None:
    done = subprocess.run(
        [REPOSITORY / "packaging/packages.sh", kind, directory],
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
