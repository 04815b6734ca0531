# SPDX-License-Identifier: GPL-3.0-or-later
"""One node whose root is a file system on a disk: the kernel and the initrd still come from the boot host."""

import subprocess
from pathlib import Path

import pytest

from tests.boot.cluster import PATIENCE, disk_cluster, machine_one
from tests.boot.lab import PLACE
from tests.boot.watch import SERVED, Watch, says_that_it_is_up

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "debootstrap", "nsenter", "ip", "mkfs.ext4", "losetup"),
]


@pytest.mark.parametrize("fstype", ["ext4", pytest.param("ext3", marks=pytest.mark.matrix)])
def test_a_node_boots_from_its_disk(fstype: str, bootable: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk_cluster(bootable, disk, fstype) as lab:
        watch = Watch(lab)
        with watch.kept(), machine_one(lab, disks=(disk,)) as machine:
            machine.wait_until_up(PATIENCE)
            assert watch.states(1) == SERVED
            says_that_it_is_up(machine)
            assert machine.ask("cat /run/osr/nodeid; hostname") == "1\nnode1"
            assert machine.ask("findmnt -no FSTYPE,SOURCE,OPTIONS /").split(",")[0].split() == [
                fstype,
                "/dev/vda",
                "rw",
            ]
            assert machine.ask("cat /etc/sysconfig/network") == "HOSTNAME=node1"
            assert machine.ask("systemctl --failed --no-legend --plain") == ""
            machine.ask("echo of node1 >/var/log/own; echo for all >/var/lib/shared")
            machine.shut_down(PATIENCE)
        checked = subprocess.run(
            ["fsck", f"-t{fstype}", "-fn", str(disk)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout
        lab.inside("mount", "-o", "loop", str(disk), PLACE)
        assert lab.inside("cat", f"{PLACE}/cluster/cdsl/1/var/log/own").stdout == "of node1\n"
        assert lab.inside("cat", f"{PLACE}/cluster/shared/var/lib/shared").stdout == "for all\n"
        lab.unmount(PLACE)
