# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole life of a kernel: boot, an update in the root, an initrd by osrd, a boot into it, and back; osrd is killed
at random moments of it."""

import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.boot.cluster import PATIENCE, machine_one, nfs_cluster
from tests.boot.lab import Lab
from tests.boot.machine import Machine
from tests.boot.roots import install_another_kernel
from tests.end_to_end.serving import MAC1
from tests.eventually import eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.matrix,
    pytest.mark.needs("qemu-system-x86_64", "ganesha.nfsd", "rpcbind", "dnsmasq", "debootstrap", "nsenter"),
]


class Killer:
    """Kills osrd, and starts it again as the service manager would. OSRD_TEST_SEED brings the same moments back."""

    def __init__(self, lab: Lab) -> None:
        seed = int(os.environ.get("OSRD_TEST_SEED", random.randrange(1 << 32)))
        print(f"OSRD_TEST_SEED={seed}", flush=True)
        self._random = random.Random(seed)
        self._lab = lab
        self.count = 0

    def kill(self, earliest: float, latest: float) -> None:
        """After some seconds: the moments are what is tried."""
        threading.Event().wait(self._random.uniform(earliest, latest))
        assert self._lab.stop(signal.SIGKILL) == -signal.SIGKILL
        self._lab.start()
        self.count += 1


def test_a_new_kernel_and_back(bootable: Path, tmp_path: Path) -> None:
    with nfs_cluster(bootable, tmp_path) as lab, machine_one(lab) as machine:
        killer = Killer(lab)
        old = booted(machine)
        machine.shut_down(PATIENCE)
        before = lab.entry(MAC1).read_bytes()
        new = installed_while_osrd_dies(lab, killer, old)
        assert new != old
        begun = f"building an initrd for {new}"
        told = lab.log.read_text().count(begun)
        eventually(
            lambda: before != lab.entry(MAC1).read_bytes() or lab.log.read_text().count(begun) > told,
            "a build",
            PATIENCE,
        )
        killer.kill(0, 5)  # while it builds, or checks, or publishes
        eventually(lambda: lab.entry(MAC1).read_bytes() != before, "the new kernel in node1's menu", PATIENCE)
        killer.kill(0, 1)
        machine.switch_on()
        killer.kill(5, 60)
        assert booted(machine) == new
        machine.shut_down(PATIENCE)
        assert [image["kernel"] for image in lab.ask("initrd", "list")["images"]] == [new, old]
        lab.osrctl("initrd", "rollback", "fc11")
        killer.kill(0, 0.2)
        eventually(lambda: lab.entry(MAC1).read_bytes() == before, "the old kernel in node1's menu", PATIENCE)
        machine.switch_on()
        assert booted(machine) == old
        machine.shut_down(PATIENCE)
        assert killer.count >= 5


def booted(machine: Machine) -> str:
    """The kernel that the machine came up with."""
    machine.wait_until_up(PATIENCE)
    return machine.ask("uname -r")


def installed_while_osrd_dies(lab: Lab, killer: Killer, old: str) -> str:
    """A kernel package; osrd is killed again and again meanwhile, and sees half of it each time."""
    with ThreadPoolExecutor(1) as pool:
        installing = pool.submit(install_another_kernel, lab, old)
        while not installing.done():
            killer.kill(1, 10)
        return installing.result()
