# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared roots under the running daemon: real trees, real mounts, the real bus. Everything is mounted in a mount
namespace of its own, which a sleeping process keeps while osrd comes and goes."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.sandbox import CONF, Sandbox
from tests.eventually import eventually

pytestmark = [pytest.mark.root, pytest.mark.needs("unshare", "nsenter", "gdbus", "dbus-daemon", "umount", "mount")]

_NODE3 = """<clusternode name="node3" nodeid="3" votes="1"><com_info>
  <rootvolume fstype="nfs" name="192.168.122.1:/mnt/virtual/nfsosr/fc11"/>
  <eth name="eth0" ip="192.168.122.173" mac="00:0C:29:C9:C6:F7" mask="255.255.255.0" gateway="192.168.122.1"/>
  </com_info></clusternode></clusternodes>"""


class RootHost(Sandbox):
    """A boot host with one shared root, ``root``, whose mounts nobody else sees."""

    def __init__(self) -> None:
        super().__init__(configuration=CONF.replace("path = /mnt/virtual/nfsosr/fc11", "path = {directory}/shared"))
        self.root = self.directory / "shared"
        for name in ("var/lib/rpm", "var/log", "etc/sysconfig"):
            (self.root / name).mkdir(parents=True)
        (self.root / "etc/sysconfig/network").write_text("HOSTNAME=node1\n")
        (self.root / "var/lib/rpm/Packages").write_bytes(b"packages")
        keeper = self.spawn(["unshare", "--mount", "--propagation", "private", "sleep", "infinity"])
        self._namespace = f"/proc/{keeper.pid}/ns/mnt"
        here = os.readlink("/proc/self/ns/mnt")
        eventually(lambda: os.readlink(self._namespace) != here, "a mount namespace of its own")
        self.wrapper = ["nsenter", f"--mount={self._namespace}"]
        self.start_bus()

    def call(self, member: str, *arguments: str) -> str:
        return self.gdbus(f"SharedRoot.{member}", *arguments, path="/roots/fc11")

    def job(self, member: str, *arguments: str) -> dict[str, Any]:
        """Call what makes a job and wait for its end."""
        answer = self.call(member, *arguments)
        number = answer.partition("/jobs/")[2].partition("'")[0]
        return eventually(lambda: self._ended(number), f"the end of {member}", 30)

    def _ended(self, number: str) -> dict[str, Any] | None:
        found = {
            name: self.gdbus_property(f"/jobs/{number}", "Job", name) for name in ("State", "Message", "Error", "Kind")
        }
        return found if found["State"] in ("done", "failed", "cancelled") else None

    def gdbus_property(self, path: str, interface: str, name: str) -> str:
        argv = ["busctl", "--address", self.address, "--json=short", "get-property", "org.opensharedroot.Osrd1"]
        argv += [f"/org/opensharedroot/Osrd1{path}", f"org.opensharedroot.Osrd1.{interface}", name]
        value = json.loads(self._run(argv, check=True).stdout)["data"]
        return str(value)

    def shown(self, name: str) -> str:
        """A property of the root."""
        return self.gdbus_property("/roots/fc11", "SharedRoot", name)

    def inside(self, *argv: str) -> str:
        """Run a program in the namespace."""
        return subprocess.run(
            [*self.wrapper, *argv], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
        ).stdout

    def mounted_trees(self) -> list[str]:
        """The node trees that are mounted at the link."""
        point = str(self.root / "cluster/cdsl/local")
        lines = [line.split() for line in self.inside("cat", "/proc/self/mountinfo").splitlines()]
        return [fields[3].rpartition("/")[2] for fields in lines if fields[4] == point]

    def state(self) -> dict[str, tuple[int, int, int]]:
        """Everything in the root, with what would betray a write."""
        found = {}
        for path in (self.root, *self.root.rglob("*")):
            status = path.lstat()
            found[str(path)] = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        return found

    def configure(self, before: str, after: str) -> None:
        """Edit osrd.conf and have it read."""
        text = self.osrd_conf.read_text()
        assert before in text
        self.osrd_conf.write_text(text.replace(before, after))
        assert self.osrd is not None
        self.osrd.send_signal(signal.SIGHUP)


@pytest.fixture
def host() -> Iterator[RootHost]:
    with RootHost() as host:
        host.start()
        yield host


@pytest.fixture
def ready(host: RootHost) -> RootHost:
    """With CDSLs, as the seed's page makes them, and node 1's tree mounted."""
    for member, *arguments in (
        ("CreateInfrastructure",),
        ("MakeHostDependent", "b'/var'", "[]"),
        ("MakeShared", "b'/var/lib'", ""),
        ("MakeHostDependent", "b'/etc/sysconfig/network'", "[]"),
    ):
        done = host.job(member, *arguments, "{}")
        assert done["State"] == "done", done
    eventually(lambda: host.mounted_trees() == ["1"], "the tree of node 1 is mounted")
    eventually(lambda: host.shown("CdslCount") == "3", "three CDSLs are shown")
    return host


def tree(host: RootHost, node: str) -> Path:
    return host.root / "cluster/cdsl" / node


def fill(directory: Path, count: int) -> None:
    """Files enough to be caught while they are copied."""
    directory.mkdir()
    for number in range(count):
        (directory / str(number)).write_bytes(b"x" * 20000)


def test_a_root_without_cdsls_is_left_alone(host: RootHost) -> None:
    eventually(lambda: host.shown("State") == "plain", "the root was looked at")
    before = host.state()
    host.gdbus("Manager.Reconcile", "{}")
    host.replace("</clusternodes>", _NODE3)
    eventually(lambda: host.shown("NodeCount") == "3", "the new node is known")
    assert host.state() == before
    assert host.shown("FindingsTotal") == "0"


def test_the_seeds_scenario(ready: RootHost) -> None:
    assert (ready.root / "var").is_symlink()
    for node in ("1", "2", "default"):
        assert (tree(ready, node) / "etc/sysconfig/network").read_text() == "HOSTNAME=node1\n"
        assert (tree(ready, node) / "var/lib/rpm/Packages").read_bytes() == b"packages"
    assert ready.inside("cat", str(ready.root / "etc/sysconfig/network")) == "HOSTNAME=node1\n"
    assert (ready.shown("LinkNode"), ready.shown("LinkMounted")) == ("1", "True")
    assert "b'var'" in ready.call("ListCdsls", "{}") or "0x76" in ready.call("ListCdsls", "{}")
    assert "uint32 0" in ready.call("CheckCdsls", "{}")


def test_a_new_node_has_its_tree_within_a_second(ready: RootHost) -> None:
    (tree(ready, "default") / "etc/sysconfig/network").write_text("HOSTNAME=new\n")
    start = time.monotonic()
    ready.replace("</clusternodes>", _NODE3)
    eventually((tree(ready, "3") / "etc/sysconfig/network").exists, "the tree of node 3")
    took = time.monotonic() - start
    print(f"the tree of a new node after {took:.2f} s")
    assert (tree(ready, "3") / "etc/sysconfig/network").read_text() == "HOSTNAME=new\n"
    eventually(lambda: 'ref="3"' in (ready.root / ".cdsl_inventory.xml").read_text(), "an entry in every CDSL")
    assert (ready.root / ".cdsl_inventory.xml").read_text().count('ref="3"') == 3
    ready.replace(_NODE3, "</clusternodes>")
    eventually(lambda: "cdsl-orphaned-tree" in ready.osrctl("status", check=False).stdout, "the orphan is told")
    assert (tree(ready, "3") / "etc/sysconfig/network").exists()


def test_nothing_to_do_writes_nothing(ready: RootHost) -> None:
    eventually(lambda: ready.shown("State") == "ready", "the root was looked at")
    before = ready.state()
    answer = ready.gdbus("Manager.Reconcile", "{}")
    number = answer.partition("/jobs/")[2].partition("'")[0]
    eventually(lambda: ready._ended(number), "the run")
    assert "uint32 0" in ready.call("CheckCdsls", "{}")
    assert ready.state() == before


def test_a_root_that_other_programs_made_is_only_read(ready: RootHost) -> None:
    ready.stop()
    shutil.rmtree(ready.root / ".osrd")
    before = ready.state()
    ready.start()
    eventually(lambda: ready.shown("State") == "ready", "the root was looked at")
    assert ready.state() == before
    assert ready.shown("FindingsTotal") == ready.call("CheckCdsls", "{}").rpartition(" ")[2].strip(")\n,") == "0"


def test_the_mount_is_kept(ready: RootHost) -> None:
    point = str(ready.root / "cluster/cdsl/local")
    ready.inside("umount", point)
    eventually(lambda: ready.mounted_trees() == ["1"], "it is mounted again")
    assert ready.job("BindLink", "2", "{}")["State"] == "done"
    assert ready.mounted_trees() == ["2"]
    ready.stop()
    assert ready.mounted_trees() == ["2"], "mounts survive a stop"
    ready.start()
    eventually(lambda: ready.mounted_trees() == ["1"], "osrd.conf counts again")
    ready.configure("[root fc11]\n", "[root fc11]\nlink = none\n")
    eventually(lambda: ready.mounted_trees() == [], "none is wanted")
    ready.configure("link = none\n", "link = node2\n")
    eventually(lambda: ready.mounted_trees() == ["2"], "the node that is named")
    section = "[root fc11]" + ready.osrd_conf.read_text().partition("[root fc11]")[2].partition("[dhcp]")[0]
    ready.configure(section, "")
    eventually(lambda: ready.mounted_trees() == [], "the root left the configuration")
    with pytest.raises(AssertionError, match="no object"):
        ready.shown("State")


def test_a_cancelled_job_rolls_back(ready: RootHost) -> None:
    fill(ready.root / "opt", 600)
    answer = ready.call("MakeHostDependent", "b'/opt'", "[]", "{}")
    number = answer.partition("/jobs/")[2].partition("'")[0]
    ready.gdbus("Job.Cancel", "{}", path=f"/jobs/{number}")
    done = eventually(lambda: ready._ended(number), "the end of the job")
    assert done["State"] == "cancelled", done
    assert not (ready.root / "opt").is_symlink()
    assert not (tree(ready, "1") / "opt").exists()
    assert sum(1 for _ in (ready.root / "opt").rglob("*")) == 600
    assert ready.job("MakeHostDependent", "b'/opt'", "[]", "{}")["State"] == "done"


def test_a_copy_holds_up_no_edit(ready: RootHost) -> None:
    fill(ready.root / "opt", 600)
    ready.call("MakeHostDependent", "b'/opt'", "[]", "{}")
    ready.replace("00:0C:29:C9:C6:F5", "00:0C:29:C9:C6:F6", 1)
    eventually(ready.entry("00:0C:29:C9:C6:F6").exists, "the edit is published while files are copied", 5)


def test_an_interrupted_osrd_leaves_what_was(ready: RootHost) -> None:
    fill(ready.root / "opt", 600)
    ready.call("MakeHostDependent", "b'/opt'", "[]", "{}")
    ready.stop(signal.SIGKILL)
    ready.start()
    eventually(lambda: ready.shown("State") == "ready", "the root is looked at")
    whole = (ready.root / "opt").is_symlink()
    place = tree(ready, "1") / "opt" if whole else ready.root / "opt"
    assert sum(1 for _ in place.iterdir()) == 600
    if not whole:
        assert not (tree(ready, "1") / "opt").exists()
    assert ready.job("RepairCdsls", "{}")["State"] == "done"
