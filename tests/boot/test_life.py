# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole life of a kernel: boot, an update in the root, an initrd by osrd, a boot into it, and back; osrd is killed
in between."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.boot.cluster import PATIENCE, machine_one, nfs_cluster
from tests.boot.lab import PLACE, Lab
from tests.boot.machine import Machine
from tests.end_to_end.serving import MAC1
from tests.eventually import eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.matrix,
    pytest.mark.needs("qemu-system-x86_64", "ganesha.nfsd", "rpcbind", "dnsmasq", "debootstrap", "nsenter", "apt-get"),
]


def test_a_new_kernel_and_back(bootable: Path, tmp_path: Path) -> None:
    with nfs_cluster(bootable, tmp_path) as lab, machine_one(lab) as machine:
        old = booted(machine)
        machine.shut_down(PATIENCE)
        before = lab.entry(MAC1).read_bytes()
        new = install_another_kernel(lab, old, tmp_path)
        killed_while_it_builds(lab, new)
        eventually(lambda: lab.entry(MAC1).read_bytes() != before, "the new kernel in node1's menu", PATIENCE)
        machine.switch_on()
        assert booted(machine) == new
        machine.shut_down(PATIENCE)
        assert [image["kernel"] for image in lab.ask("initrd", "list")["images"]] == [new, old]
        lab.osrctl("initrd", "rollback", "fc11")
        eventually(lambda: lab.entry(MAC1).read_bytes() == before, "the old kernel in node1's menu")
        machine.switch_on()
        assert booted(machine) == old
        machine.shut_down(PATIENCE)


def booted(machine: Machine) -> str:
    """The kernel that the machine came up with."""
    machine.wait(f"^OSR-UP {machine.name}$", PATIENCE)
    return machine.ask("uname -r")


def install_another_kernel(lab: Lab, old: str, work: Path) -> str:
    """The distribution's newest package, as an administrator installs it in the root; its version."""
    package = newest_package()
    new = package.removeprefix("linux-image-")
    assert new != old
    subprocess.run(["apt-get", "-q", "download", package], cwd=work, check=True, capture_output=True)
    (file,) = work.glob(f"{package}_*.deb")
    lab.inside("cp", str(file), f"{PLACE}/root/kernel.deb")
    # Its initrd is osrd's business; in the root nobody else makes one (Debian's hooks look at INITRD).
    argv = ["env", "INITRD=No", "dpkg", "--install", "--force-depends", "/root/kernel.deb"]
    lab.command("shell", PLACE, "--node", "node1", "--", *argv)
    return new


def newest_package() -> str:
    """Of the kernels that this machine's package lists have for Debian's own abi numbers."""
    argv = ["apt-cache", "pkgnames", "linux-image-6.1.0-"]
    names = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    return max((name for name in names if re.fullmatch(r"linux-image-6\.1\.0-\d+-amd64", name)), key=abi)


def abi(package: str) -> int:
    return int(package.split("-")[3])


def killed_while_it_builds(lab: Lab, kernel: str) -> None:
    """SIGKILL, as soon as the build runs; osrd is started again, as the service manager would."""
    begun = f"building an initrd for {kernel}"
    eventually(lambda: begun in lab.log.read_text(), "a build that runs", PATIENCE)
    lab.stop(signal.SIGKILL)
    lab.start()
