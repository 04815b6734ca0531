# SPDX-License-Identifier: GPL-3.0-or-later
"""An initrd that is not booted: the real scripts of our dracut modules and of dracut itself, run under one of the
shells that an initrd may have, in a network, mount and process namespace of their own, with interfaces of their own.

What is not real is a machine: udev, systemd, the NFS server and the administrator at the console (rig/build.sh).
"""

import functools
import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = REPOSITORY / "data/dracut"
RIG = Path(__file__).parent / "rig"
SHELLS = ("dash", "busybox")

FIRST, SECOND, FOREIGN = "00:0c:29:c9:c6:f5", "00:0c:29:c9:c6:f6", "52:54:00:00:00:09"
SERVER = "nfs4:192.168.122.1:/srv/root:rw,vers=4.2"


def node(nodeid: int, **values: str) -> str:
    """A file of nodes.d; more keys by keyword, in lower case and without OSR_."""
    keys = {"nodeid": str(nodeid), "nodename": f"node{nodeid}", "hostname": f"node{nodeid}", "root": SERVER}
    return "".join(f"OSR_{key.upper()}='{value}'\n" for key, value in (keys | values).items() if value)


#: what osrd bakes for a cluster of two nodes
CLUSTER: Mapping[str, str] = {
    "format": "2\n",
    "build": "f1f1\n",
    "osr.conf": "OSR_CLUSTER='web'\nOSR_CDSLTREE='/cluster/cdsl'\nOSR_CDSLLINK='/cdsl.local'\n",
    "nodeids": f"1 {FIRST}\n2 {SECOND}\n",
    "nodenames": "1 node1\n2 node2\n",
    "nodes.d/1.conf": node(1),
    "nodes.d/2.conf": node(2),
}
#: the same for an initrd that serves every cluster
STATIC: Mapping[str, str] = {"format": "2\n", "build": "f1f1\n"}


_bases = tempfile.TemporaryDirectory(prefix="osrd-initrd-")


@functools.cache
def base(shell: str, modules: str) -> str:
    """What all initrds with this shell and these modules have in common, made once."""
    place = tempfile.mkdtemp(dir=_bases.name)
    argv = ["bash", str(RIG / "build.sh"), "base", place, str(SOURCES), shell, *modules.split()]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@dataclass
class Boot:
    """A boot that can be looked at: ``cmdline`` the kernel's, ``nics`` names and addresses, ``root`` what is in the
    shared root (a text is a file, "->TARGET" a link, None a directory), ``admin`` what is typed into one emergency
    shell after the other, ``down`` how many mounts the server refuses. ``image`` is an unpacked initrd with its own
    shell, modules and data."""

    place: Path
    shell: str = "dash"
    init: str = "systemd"
    cmdline: str = ""
    nics: Mapping[str, str] = field(default_factory=lambda: {"eth0": FIRST})
    data: Mapping[str, str] = field(default_factory=lambda: CLUSTER)
    modules: str = "osr osr-cluster network-legacy"
    admin: Iterable[str] = ()
    down: int = 0
    uuid: str = ""
    image: Path | None = None
    log: str = ""

    def __post_init__(self) -> None:
        self.base = self.place / "root"
        for name in (
            "build",
            "dev",
            "proc",
            "sys",
            "run",
            "tmp",
            "etc/cmdline.d",
            "sysroot",
            "log",
            "usr",
            "var",
            "shared",
        ):
            (self.base / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.base / name).symlink_to(f"usr/{name}")
        for name in ("null", "kmsg", "console"):
            (self.base / "dev" / name).touch()
        (self.base / "etc/mtab").symlink_to("../proc/self/mounts")
        self.share({"proc": None, "usr": None, "etc/fstab": "", "etc/hostname": "-> ../cdsl.local/etc/hostname"})
        self.share({"etc/machine-id": "-> ../cdsl.local/etc/machine-id", "cdsl.local": "-> cluster/cdsl/local"})
        self.share({"cluster/cdsl/local": None, "cluster/shared": None})
        for number, letter in ((1, "a"), (2, "b")):
            own = f"cluster/cdsl/{number}/etc"
            self.share({f"{own}/machine-id": letter * 32 + "\n", f"{own}/hostname": f"node{number}\n"})

    def share(self, files: Mapping[str, str | None]) -> None:
        """Puts something into the shared root in the place of what is there."""
        for name, text in files.items():
            path = self.base / "shared" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink() or path.is_file():
                path.unlink()
            if text is None:
                path.mkdir(exist_ok=True)
            elif text.startswith("-> "):
                path.symlink_to(text.removeprefix("-> "))
            else:
                path.write_text(text)

    def shared(self, name: str) -> Path:
        return self.base / "shared" / name

    def run(self, *script: str) -> "Boot":
        """Runs stages: cmdline, pre-udev, pre-mount, pre-pivot, netroot IF, osr-nic IF, settled, timeout, sh TEXT."""
        for name, text in self.data.items():
            path = self.base / "build/etc/osr/initrd" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (self.place / "cmdline").write_text(f"{self.cmdline}\n")
        (self.place / "nics").write_text("".join(f"{name} {mac}\n" for name, mac in self.nics.items()))
        if self.uuid:
            (self.place / "uuid").write_text(f"{self.uuid}\n")
        log = self.base / "log"
        (log / "init").write_text(f"{self.init}\n")
        (log / "script").write_text("".join(f"{line}\n" for line in script))
        (log / "admin").write_text("".join(f"{line}\n" for line in self.admin))
        (log / "down").write_text("down\n" * self.down)
        namespaces = ("--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
        argv = ["unshare", *namespaces, str(RIG / "run.sh"), str(self.place), self._lower()]
        argv += [str(SOURCES), self.shell, "" if self.image else self.modules]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        self.log = (log / "out").read_text()
        return self

    def _lower(self) -> str:
        return base(self.shell, self.modules) if self.image is None else str(self.image)

    # --- what became of it ---

    def text(self, name: str) -> str:
        """A file of the initrd, "" when there is none."""
        below = name.startswith("usr/") and self.image is None
        path = self.place / "upper" / name.removeprefix("usr/") if below else self.base / name
        return path.read_text() if path.is_file() else ""

    def osr(self, key: str) -> str:
        return self.text(f"run/osr/{key}").strip()

    @property
    def words(self) -> list[str]:
        """What dracut's scripts are told beside the kernel command line."""
        files = sorted((self.base / "etc/cmdline.d").glob("2*-osr*.conf"))
        return [word for path in files for word in path.read_text().split()]

    def state(self, name: str) -> str:
        """A variable that dracut's stages hand on."""
        for line in self.text("dracut-state.sh").splitlines():
            if line.startswith(f"export {name}="):
                return line.partition("=")[2].strip("'\"")
        return ""

    @property
    def mounts(self) -> list[tuple[str, str]]:
        """(mount point, root in its file system) of the mounts below the new root."""
        lines = [line.split() for line in self.text("log/mountinfo").splitlines()]
        return [(fields[4], fields[3]) for fields in lines if fields[4].startswith("/sysroot")]

    def bound(self, point: str) -> str:
        """What of the shared root is mounted at ``point`` of the new root, "" for nothing."""
        found = [inside for where, inside in self.mounts if where == f"/sysroot{point}"]
        return found[-1].rpartition("/shared")[2] if found else ""

    @property
    def console(self) -> str:
        """What was written on the consoles (which are files here, that the next one writes anew)."""
        return self.text("run/osr/initrd/report")

    @property
    def asked(self) -> int:
        """How often somebody was asked to help."""
        return len(self.text("log/emergency").splitlines())

    @property
    def died(self) -> bool:
        """Whether dracut refused to go on."""
        return (self.base / "run/initramfs/.die").exists()

    @property
    def diagnosis(self) -> str:
        return self.text("run/osr/diagnosis")

    def dump(self) -> str:
        state = {path.name: path.read_text() for path in (self.base / "run/osr").glob("*") if path.is_file()}
        return json.dumps(state, indent=1) + self.log
