# SPDX-License-Identifier: GPL-3.0-or-later
"""The second half of `make demo`: host-dependent files in one shared root.

It needs mounts, which are made in a mount namespace that ends with the demo (``own_namespace``): nothing is mounted on
the machine, whatever happens. Where neither root's rights nor user namespaces are to be had, the half is left out.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from tests.end_to_end.sandbox import CONF, Sandbox
from tests.end_to_end.stage import Monitor, osrctl, say, show, within_a_second
from tests.eventually import eventually

#: The shared root, as the commands name it: their current directory is the sandbox.
_ROOT = "./shared"
_CONF = CONF.replace("path = /mnt/virtual/nfsosr/fc11", "path = {directory}/shared").replace(
    "{directory}/etc/cluster.conf", "{directory}/shared/etc/cluster/cluster.conf"
)
_MAC4 = "00:0C:29:C9:C6:F8"
_INSIDE = "OSRD_DEMO_IN_ITS_NAMESPACE"
#: Files in a directory that takes a moment to copy, and of the copies (for four nodes and the template) how many are
#: there when the plug is pulled.
_MANY, _SOME = 1500, 100


def own_namespace() -> None:
    """Start this program again in a mount namespace of its own, if that is permitted."""
    if _INSIDE in os.environ:
        return
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    argv = ["unshare", *user, "--mount", "--propagation", "private"]
    if shutil.which("unshare") and subprocess.run([*argv, "true"], check=False, capture_output=True).returncode == 0:
        os.environ[_INSIDE] = "1"
        os.execvp(argv[0], [*argv, sys.executable, *sys.orig_argv[1:]])


class SharedHost(Sandbox):
    """A boot host that has the shared root itself: ``root``, with the cluster.conf in it and a few programs."""

    def __init__(self) -> None:
        super().__init__(configuration=_CONF)
        self.root = self.directory / "shared"
        for name in ("var/lib/rpm", "var/log", "etc/sysconfig", "etc/cluster", "proc", "sys", "dev", "tmp"):
            (self.root / name).mkdir(parents=True)
        self.cluster_conf = self.cluster_conf.rename(self.root / "etc/cluster/cluster.conf")
        (self.root / "var/lib/rpm/Packages").write_text("what is installed is the same for all\n")
        (self.root / "etc/sysconfig/network").write_text("HOSTNAME=localhost\n")
        for name in ("sh", "cat"):
            _provide(self.root, name)

    def fill(self, name: str) -> str:
        """A directory of many files in the root; a digest of them."""
        (self.root / name).mkdir()
        for number in range(_MANY):
            (self.root / name / f"page-{number}.html").write_text(f"<p>{number}</p>" * 50)
        return self.digest(name)

    def digest(self, name: str) -> str:
        """Of the names and contents of all files in the directory, and how many they are."""
        files = sorted((self.root / name).iterdir())
        total = sha256(b"".join(bytes(file) + file.read_bytes() for file in files))
        return f"{len(files)} files, sha256 {total.hexdigest()[:16]}"

    def staged(self) -> int:
        """How many files are copied by a change that has not happened yet."""
        return sum(1 for _ in self.root.glob(".osrd/tx/*/new/*/page-*"))


def _provide(root: Path, name: str) -> None:
    """Copy a program of this machine, and the libraries that it needs."""
    program = shutil.which(name)
    assert program is not None, f"{name} is needed"
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for source, place in [(program, f"bin/{name}"), *((path, path) for path in re.findall(r"/\S+", libraries))]:
        target = root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(source, target)


def play(box: SharedHost, monitor: Monitor) -> None:
    """Go on where the main job ended: three nodes, osrd runs."""
    if _INSIDE not in os.environ:
        say("Host-dependent files are left out: neither root's rights nor user namespaces are permitted here")
        return
    _make(box)
    _look(box)
    _grow(box, monitor)
    _keep_mounted(box)
    _pull_the_plug(box)
    say("One root for all, and every node has its own files in it; `osrctl cdsl --help` has the rest.")


def _make(box: SharedHost) -> None:
    say(f"And the root itself: {box.root}, one file system that all three nodes run from")
    show("But each node needs a /var and a network name of its own, and all need the same list of packages:")
    osrctl(box, "cdsl", "init", _ROOT)
    osrctl(box, "cdsl", "make", _ROOT, "/var")
    osrctl(box, "cdsl", "share", _ROOT, "/var/lib")
    osrctl(box, "cdsl", "make", _ROOT, "/etc/sysconfig/network")
    osrctl(box, "cdsl", "list", _ROOT)


def _look(box: SharedHost) -> None:
    say("The root as each node sees it: one name, one file per node; mounts are private and gone afterwards")
    network = "/etc/sysconfig/network"
    osrctl(box, "shell", _ROOT, "--node", "node2", "--", "sh", "-c", f"echo HOSTNAME=two >{network}")
    for node, name in (("node1", "localhost"), ("node2", "two")):
        seen = osrctl(box, "shell", _ROOT, "--node", node, "--", "cat", network, "/var/lib/rpm/Packages")
        assert f"HOSTNAME={name}\n" in seen, seen
        assert "the same for all" in seen, seen


def _grow(box: SharedHost, monitor: Monitor) -> None:
    say("A fourth node, written into cluster.conf in an editor: it has a tree with everything that nodes have")
    monitor.lines.clear()
    text = box.cluster_conf.read_text()
    third = text[text.rindex("<clusternode ") : text.index("</clusternodes>")]
    fourth = third.replace("node3", "node4").replace('nodeid="3"', 'nodeid="4"').replace(".173", ".174")
    box.replace("</clusternodes>", re.sub('mac="[^"]*"', f'mac="{_MAC4}"', fourth) + "</clusternodes>")
    own = box.root / "cluster/cdsl/4/etc/sysconfig/network"
    within_a_second("node4 has its tree", own.exists)
    monitor.wait_for("root fc11: nodes: 4", "the root has a node more")


def _keep_mounted(box: SharedHost) -> None:
    say("The tree of this host's node is mounted at the link, and stays there whoever unmounts it")
    point = str(box.root / "cluster/cdsl/local")
    eventually(lambda: point in box.mounted, "it is mounted")
    show(f"$ umount {point}")
    subprocess.run(["umount", point], check=True)
    within_a_second("mounted again", lambda: point in box.mounted)


def _pull_the_plug(box: SharedHost) -> None:
    say("The plug is pulled in the middle: osrd is killed while it copies a directory for every node")
    before = box.fill("srv")
    show(f"/srv has {before}")
    show(f"$ osrctl cdsl make {_ROOT} /srv")
    command = box.spawn(
        [sys.executable, "-m", "osrd.cli.main", "cdsl", "make", _ROOT, "/srv"],
        cwd=box.directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: box.staged() > _SOME, "some of it is copied")
    assert box.stop(signal.SIGKILL) == -signal.SIGKILL
    show(f"killed when {box.staged()} of {5 * _MANY} files were copied; osrctl ended with {command.wait(30)}")
    show(f"/srv has {box.digest('srv')}")
    assert box.digest("srv") == before, "a byte of /srv is lost"
    box.start()
    show("osrd is started again, and removes what was only half done:")
    eventually(lambda: not box.staged(), "what was staged is removed")
    osrctl(box, "cdsl", "check", _ROOT)
    say("Once more, without an accident; and taken back")
    osrctl(box, "cdsl", "make", _ROOT, "/srv")
    assert (box.root / "srv").is_symlink()
    osrctl(box, "cdsl", "undo", _ROOT)
    assert not (box.root / "srv").is_symlink()
    show(f"/srv has {box.digest('srv')}")
    assert box.digest("srv") == before, "a byte of /srv is lost"
