# SPDX-License-Identifier: GPL-3.0-or-later
"""The root that the tests of initrds start from."""

from pathlib import Path

import pytest

from tests.debian import entered

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("debootstrap", "unshare", "chroot")]


def test_it_has_what_nodes_need(debian: Path, debian_kernel: str) -> None:
    assert (debian / f"boot/vmlinuz-{debian_kernel}").is_file()
    modules = "fs/gfs2/gfs2 fs/ocfs2/ocfs2 fs/dlm/dlm fs/nfs/nfsv4 drivers/net/virtio_net net/8021q/8021q"
    there = debian / "lib/modules" / debian_kernel / "kernel"
    assert [name for name in modules.split() if not (there / f"{name}.ko").is_file()] == []
    programs = "dracut lsinitrd dhclient arping pgrep ip mount.nfs corosync dlm_controld o2cb busybox zstd udevadm"
    for program in programs.split():
        entered(debian, "sh", "-c", f"command -v {program}")
    assert list((debian / "boot").glob("initrd*")) == []


def test_what_a_test_writes_is_its_own(debian: Path, debian_root: Path) -> None:
    entered(debian_root, "sh", "-c", "echo changed > /etc/motd; rm /boot/vmlinuz*; mount -t tmpfs tmpfs /mnt")
    assert (debian_root / "etc/motd").read_text() == "changed\n"
    assert list(debian.glob("boot/vmlinuz-*"))
    assert str(debian_root) + "/" not in Path("/proc/self/mountinfo").read_text()
