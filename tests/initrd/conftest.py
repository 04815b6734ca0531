# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian root with everything that a node's initrd is made from: made once, an overlay of it for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.debian import BOOKWORM, FORKY, TRIXIE, copy, debootstrap, install, kept, overlaid

PACKAGES = (
    *("linux-image-amd64", "kmod", "zstd", "busybox", "dracut", "dracut-network", "systemd-sysv", "dbus"),
    # network-legacy needs these, and says so only by being left out
    *("iproute2", "isc-dhcp-client", "iputils-arping", "procps"),
    *("nfs-common", "e2fsprogs", "gfs2-utils", "ocfs2-tools", "corosync", "dlm-controld"),
)
_LEGACY = ("isc-dhcp-client", "iputils-arping", "procps")
#: Without network-legacy; NetworkManager is the only provider then that needs no systemd in the initrd.
_NEWER_PACKAGES = (*(name for name in PACKAGES if name not in _LEGACY), "network-manager", "util-linux-extra")


@pytest.fixture(scope="session")
def debian(debian_minbase: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root itself: not to be written in."""

    def make(root: Path) -> None:
        copy(debian_minbase, root)
        install(root, PACKAGES)

    return kept("nodes", [BOOKWORM, *PACKAGES], make, tmp_path_factory.mktemp("debian-nodes"))


@pytest.fixture
def debian_root(debian: Path, tmp_path: Path) -> Iterator[Path]:
    """The root as an overlay that is this test's own."""
    with overlaid(debian, tmp_path / "overlay") as root:
        yield root


@pytest.fixture(scope="session")
def debian_kernel(debian: Path) -> str:
    """The version of the root's only kernel."""
    (version,) = [directory.name for directory in (debian / "lib/modules").iterdir()]
    return version


@pytest.fixture(scope="session")
def trixie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of Debian 13, whose dracut is dracut-ng: not to be written in."""

    def make(root: Path) -> None:
        debootstrap(root, TRIXIE)
        install(root, PACKAGES)

    return kept("nodes", [TRIXIE, *PACKAGES], make, tmp_path_factory.mktemp("debian-trixie"))


@pytest.fixture(scope="session")
def forky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of Debian 14, whose dracut-ng has other numbers for its modules: not to be written in. Until it is
    released, its packages are newer from day to day."""

    def make(root: Path) -> None:
        debootstrap(root, FORKY)
        install(root, _NEWER_PACKAGES)
        # Else it is what takes the time in each build.
        (root / "etc/dracut.conf.d/quick.conf").write_text('compress="zstd"\ncompress_level_zstd=1\n')

    return kept("nodes", [FORKY, *_NEWER_PACKAGES], make, tmp_path_factory.mktemp("debian-forky"))
