# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster with a node of every kind, put into a root as osrd puts it there, and images built and taken apart."""

import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from osrd.model.cdsl import Layout
from osrd.model.finding import Severity
from osrd.model.image import Dracut
from osrd.model.settings import BootWay, Settings
from osrd.observe.dracutmodules import module_sources
from osrd.parse.clusterconf import parse_cluster
from osrd.plan.initrd.data import PLACE, initrd_data, mode_of
from osrd.plan.initrd.modules import module_files, module_mode
from tests.debian import entered

#: what must never get into an image
SECRET = "hunter2-fence"

_NODE = """
    <clusternode name="node{number}" nodeid="{number}" votes="1">
      <fence><method name="1"><device name="ipmi{number}" passwd="{secret}"/></method></fence>
      <com_info><rootvolume {volume}/>
        <eth name="eth0" mac="52:54:00:00:00:0{number}" ip="10.77.0.{number}" mask="255.255.255.0"/>
      </com_info>
    </clusternode>"""
_VOLUMES = {
    "nfs4": 'name="10.77.0.254:/srv/root" fstype="nfs4"',
    "nfs": 'name="10.77.0.254:/srv/root" fstype="nfs" mountopts="nolock"',
    "gfs2": 'name="/dev/disk/by-label/gfs" fstype="gfs2" mountopts="noatime"',
    "ocfs2": 'name="/dev/disk/by-label/ocfs" fstype="ocfs2"',
    "ext4": 'name="LABEL=root" fstype="ext4"',
}
ALL = tuple(_VOLUMES)
#: a line of ls -l
_LISTED = re.compile(r"[-dlcbps][-rwxsStT]{9} +\d+ .*? [A-Z][a-z]{2} +\d+ +(?:\d\d:\d\d|\d{4}) (.*)")


def cluster_conf(*fstypes: str) -> bytes:
    nodes = "".join(
        _NODE.format(number=number, volume=_VOLUMES[fstype], secret=SECRET) for number, fstype in enumerate(fstypes, 1)
    )
    fences = "".join(
        f'<fencedevice name="ipmi{number}" agent="fence_ipmilan" login="root" passwd="{SECRET}"/>'
        for number in range(1, len(fstypes) + 1)
    )
    return (
        f'<?xml version="1.0"?>\n<cluster name="web" config_version="7"><clusternodes>{nodes}\n</clusternodes>'
        f"<fencedevices>{fences}</fencedevices></cluster>\n"
    ).encode()


def prepare(root: Path, way: BootWay, *fstypes: str, dracut: Dracut) -> None:
    """The modules and the data of a cluster whose nodes have these roots, and cluster.conf itself, in ``root``."""
    text = cluster_conf(*fstypes)
    _write(root / "etc/cluster/cluster.conf", text, 0o640)
    for path, data in module_files(module_sources(), dracut).items():
        _write(root / "usr/lib/dracut" / path, data, module_mode(data))
    made = initrd_data(parse_cluster(text, "cluster.conf"), Settings(), None, Layout(), way)
    assert [finding for finding in made.findings if finding.severity is Severity.ERROR] == []
    for path, data in made.files.items():
        _write(root / PLACE / path, data, mode_of(path))


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def dracut_of(root: Path) -> Dracut:
    text = entered(root, "dracut", "--version", check=False).stdout.strip().removeprefix("dracut ")
    found = re.match(r"\d+", text)
    assert found, text
    return Dracut(int(found[0]), text)


@dataclass(frozen=True)
class Built:
    """An image in a root, and what dracut said. ``content`` is the image unpacked below ``directory``."""

    root: Path
    path: str
    log: str
    directory: Path

    @cached_property
    def listing(self) -> dict[str, str]:
        """What lsinitrd of the root shows: path to the line that ls would print for it."""
        lines = entered(self.root, "lsinitrd", self.path).stdout.split("=" * 72)[-2].splitlines()
        found = {}
        for line in lines:
            if match := re.match(
                r"([-dlcbps][-rwxsStT]{9}) +\d+ .*? [A-Z][a-z]{2} +\d+ +(?:\d\d:\d\d|\d{4}) (.*)", line
            ):
                found[match[2].partition(" -> ")[0]] = line
        return found

    @cached_property
    def modules(self) -> list[str]:
        return (
            entered(self.root, "lsinitrd", "-m", self.path)
            .stdout.partition("dracut modules:\n")[2]
            .split("=")[0]
            .split()
        )

    @cached_property
    def content(self) -> Path:
        inside = self.directory / "unpacked"
        entered(self.root, "sh", "-ec", 'mkdir /unpacked; cd /unpacked; lsinitrd --unpack "$0"', self.path)
        subprocess.run(["cp", "-a", self.root / "unpacked", inside], check=True)
        subprocess.run(["rm", "-rf", self.root / "unpacked"], check=True)
        return inside

    def hooks(self, stage: str) -> list[str]:
        """The scripts of a stage in the order in which they run."""
        pattern = re.compile(rf"(?:usr|var)/lib/dracut/hooks/{stage}/([^/]+)")
        return sorted(match[1] for path in self.listing if (match := pattern.fullmatch(path)))


def build(root: Path, directory: Path, command: str, path: str, kernel: str, *, check: bool = True) -> Built:
    """What an administrator types, as it is; ``uname -r`` says what it does on a node."""
    script = f"uname() {{ echo {kernel}; }}; export -f uname; {command}"
    done = entered(root, "bash", "-c", script, check=check)
    log = done.stdout + done.stderr
    assert check or done.returncode != 0, log
    directory.mkdir(exist_ok=True)
    return Built(root, path, log, directory)
