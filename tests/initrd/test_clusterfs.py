# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes with GFS2 and OCFS2 are told, read by the programs that it is for; and a cluster of two initrds.

The kernel of this machine need not have either file system: membership and quorum are corosync's alone, and OCFS2's
part is looked at in a directory that stands for configfs.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from osrd.model.settings import BootWay
from tests.debian import entered, overlaid
from tests.eventually import eventually
from tests.initrd.nodes import Built, build, dracut_of, prepare

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("debootstrap", "unshare", "chroot", "ip")]

_DRACUT = (
    'dracut -f --no-hostonly --compress "zstd -1" -o systemd -m "base osr-network osr osr-cluster" /boot/i $(uname -r)'
)


@pytest.fixture(scope="module")
def image(debian: Path, debian_kernel: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """An initrd for three nodes: two with GFS2, one with OCFS2."""
    place = tmp_path_factory.mktemp("clusterfs")
    with overlaid(debian, place / "overlay") as root:
        prepare(root, BootWay.FULL, "gfs2", "gfs2", "ocfs2", dracut=dracut_of(root))
        yield build(root, place / "image", _DRACUT, "/boot/i", debian_kernel)


def test_o2cb_reads_its_file(image: Built) -> None:
    said = entered(
        image.root, "o2cb", "--config-file=/etc/osr/initrd/ocfs2/cluster.conf", "list-cluster", "web"
    ).stdout
    nodes = [set(block.split("\n")) for block in said.replace("\t", "").split("\n\n")]
    for number in (1, 2, 3):
        node = {f"number = {number}", f"name = node{number}", "cluster = web", f"ip_address = 10.77.0.{number}"}
        assert [node for found in nodes if node <= found] == [node], said


_APART = ("unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
#: one machine: its own network, processes and host name, the image as its root, an /etc/osr like that of the image
_MACHINE = """set -e
mount --bind "$1" "$1"
cd "$1"
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs dev
mkdir dev/shm
mount -t tmpfs tmpfs dev/shm
for name in null zero random urandom; do
    touch "dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
mount -t proc proc proc
mount -t sysfs sysfs sys
mkdir -p run/osr
echo "$2" > run/osr/nodeid
echo cluster > run/osr/mode
echo web > run/osr/cluster
ip link set lo up
exec chroot . /bin/sh
"""


class Machine:
    """A shell in a machine of its own, ended with all that it started."""

    def __init__(self, directory: Path, nodeid: int) -> None:
        self._shell = subprocess.Popen(
            [*_APART, "sh", "-c", _MACHINE, "sh", str(directory), str(nodeid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.nodeid = nodeid
        assert self.run("echo there") == (0, "there\n")

    @property
    def process(self) -> int:
        """The shell itself, a child of unshare."""
        children = Path(f"/proc/{self._shell.pid}/task/{self._shell.pid}/children")
        return int(children.read_text().split()[0])

    def run(self, script: str) -> tuple[int, str]:
        """The exit status and the output of a script."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"( {script}\n) < /dev/null 2>&1; printf '\\n=%s\\n' $?\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.startswith("="):
                return int(line[1:]), "".join(lines)[:-1]
            lines.append(line)
        raise AssertionError("".join(lines))

    def start(self) -> None:
        """Begins what osr-retry does, in the background."""
        self.run("(osr-fs-gfs2 start /dev/none rw > /run/said 2>&1; echo $? > /run/status) &")

    def answered(self) -> None:
        eventually(lambda: self.run("cat /run/status")[0] == 0, f"an answer of machine {self.nodeid}", 60)

    def end(self) -> None:
        self._shell.kill()
        self._shell.communicate()


@pytest.fixture
def machine(image: Built, tmp_path: Path) -> Iterator[Callable[[int], Machine]]:
    """Boots node N of the image; all nodes are on one network."""
    with ExitStack() as stack:

        def boot(nodeid: int) -> Machine:
            root = stack.enter_context(overlaid(image.content, tmp_path / f"node{nodeid}"))
            made = Machine(root, nodeid)
            stack.callback(made.end)
            return made

        yield boot


@contextmanager
def joined(one: Machine, two: Machine) -> Iterator[None]:
    """Two machines and a wire between them."""
    name = f"osr{one.process}"
    argv = ["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}b"]
    subprocess.run(argv, check=True)
    try:
        for machine, nic in ((one, name), (two, f"{name}b")):
            subprocess.run(["ip", "link", "set", nic, "netns", str(machine.process)], check=True)
            status, said = machine.run(f"ip addr add 10.77.0.{machine.nodeid}/24 dev {nic} && ip link set {nic} up")
            assert status == 0, said
        yield
    finally:
        subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)


def test_two_initrds_are_a_cluster_and_one_is_not(machine: Callable[[int], Machine]) -> None:
    one, two = machine(1), machine(2)
    with joined(one, two):
        # node1 and node2 have votes, and node3, which is off; wait_for_all says that it has to be seen first.
        for each in (one, two):
            each.run("sed -i '/wait_for_all/d' /usr/lib/osr/cluster/etc/corosync/corosync.conf")
        status, said = one.run("osr-fs-gfs2 start /dev/none rw")
        assert status != 0
        assert "the cluster has no quorum: 1 of 3 votes" in said
        two.start()
        one.start()
        for each in (one, two):
            each.answered()
            # With quorum, what is missing here is the kernel's part.
            assert re.search("lock manager|configfs|dlm_controld", each.run("cat /run/said")[1])
        said = one.run("cat /run/osr/initrd/quorum")[1]
        assert "Quorate:          Yes" in said
        assert "node2" in said
        _look_at_the_daemon(one)


def _look_at_the_daemon(one: Machine) -> None:
    """What systemd spares, and where it lives when the initrd is gone."""
    pid = one.run("cat /run/osr/corosync.pid")[1].strip()
    assert one.run(f"tr '\\0' ' ' < /proc/{pid}/cmdline")[1] == "@corosync -f "
    assert one.run(f"readlink /proc/{pid}/root")[1].endswith("/run/osr/daemons\n")
    unit = one.run("cat /run/systemd/system/corosync.service")[1]
    assert "DefaultDependencies=no" in unit
    # Mounts that nobody else has cannot be unmounted by anybody else.
    assert "/run/osr/daemons" not in one.run("cat /proc/mounts")[1]
    assert " /sys sysfs " in one.run(f"cat /proc/{pid}/mounts")[1]
    again = one.run("osr-fs-gfs2 start /dev/none rw; cat /run/osr/corosync.pid")[1].splitlines()[-1]
    assert again == pid, "what runs is left alone"


def test_corosync_takes_its_file(machine: Callable[[int], Machine]) -> None:
    one = machine(1)
    assert one.run("ip addr add 10.77.0.1/24 dev lo") == (0, "")
    check = "chroot /usr/lib/osr/cluster corosync -t"
    assert one.run(check)[0] == 0
    one.run("sed -i 's/nodeid: 2/nodeid: 1/' /usr/lib/osr/cluster/etc/corosync/corosync.conf")
    assert one.run(check)[0] != 0, "it does look"


def test_gfs2_of_one_node_needs_nobody(machine: Callable[[int], Machine]) -> None:
    one = machine(1)
    assert one.run("osr-fs-gfs2 start /dev/none rw,lockproto=lock_nolock") == (0, "")
    assert one.run("ls /run/osr/daemons")[0] != 0


def test_a_file_system_of_another_cluster(image: Built, machine: Callable[[int], Machine]) -> None:
    mkfs = "truncate -s 100M /disk && mkfs.gfs2 -O -q -p lock_dlm -t other:root -j 1 /disk && "
    entered(image.root, "sh", "-c", f"{mkfs} truncate -s 100M /own && mkfs.gfs2 -O -q -p lock_nolock -j 1 /own")
    one = machine(1)
    for name in ("disk", "own"):
        subprocess.run(["cp", "--sparse=always", image.root / name, f"/proc/{one.process}/root/{name}"], check=True)
    status, said = one.run("osr-fs-gfs2 start /disk rw")
    assert status != 0
    assert "/disk belongs to the cluster other, and this node to web" in said
    assert "tunegfs2 -o locktable=web:root /disk" in one.run("cat /run/osr/diagnosis")[1]
    assert one.run("osr-fs-gfs2 start /own rw") == (0, ""), "its superblock says that it is one node's"


def test_ocfs2_is_told_of_all_nodes(machine: Callable[[int], Machine]) -> None:
    """Directories instead of configfs: every entry and the order of what is written into it."""
    three = machine(3)
    three.run(
        "mkdir -p /fake/cluster /fake/fs; sed -i -e s,/sys/kernel/config/cluster,/fake/cluster, "
        "-e s,/sys/fs/ocfs2,/fake/fs, -e 's/^    osr_fs_configfs/    true/' "
        '-e \'s/ && osr_times "$of";/;/\' -e \'s/mkdir "$dir"/mkdir -p "$dir"/\' '
        "-e 's,read -r name < \"$self/local\",name=,' /sbin/osr-fs-ocfs2"
    )
    status, said = three.run("osr-fs-ocfs2 start /dev/none rw")
    assert status == 0, said
    listed = three.run("cd /fake; grep -r . | sort")[1].splitlines()
    assert listed == sorted(
        [
            "fs/cluster_stack:o2cb",
            "cluster/web/node/node3/local:1",
            *(
                f"cluster/web/node/node{number}/{name}"
                for number in (1, 2, 3)
                for name in (f"ipv4_address:10.77.0.{number}", "ipv4_port:7777", f"num:{number}")
            ),
        ]
    )
    # What it goes back to at its end can unmount, call OCFS2's program, and is small.
    there = "command -v umount; command -v ocfs2_hb_ctl; test -x /shutdown && ls -d /usr/lib/modules/* 2>&1"
    status, said = three.run(f"chroot /run/initramfs /bin/sh -c '{there}'")
    assert said.splitlines()[:2] == ["/usr/bin/umount", "/usr/sbin/ocfs2_hb_ctl"], said
    assert "/usr/lib/modules/*" in said
    assert (three.run("cat /run/initramfs/.need_shutdown")[0]) == 0


def test_ocfs2_on_this_kernel_says_what_is_missing(machine: Callable[[int], Machine]) -> None:
    three = machine(3)
    if three.run("test -d /sys/fs/ocfs2")[0] == 0:
        return
    status, said = three.run("osr-fs-ocfs2 start /dev/none rw")
    assert status != 0
    assert "the kernel has no" in said
