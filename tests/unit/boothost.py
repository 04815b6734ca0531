# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot host in a directory, without servers: for tests of the engine that publish real files."""

from pathlib import Path

from osrd.engine.pipeline import Pipeline, Run, Scope

_CONF = """[cluster]
config = {d}/etc/cluster.conf
[paths]
state = {d}/state
runtime = {d}/run
cache = {d}/cache
templates = {d}/etc/templates
[tftp]
root = {d}/tftp
[boot]
server = 10.0.0.254
loader-directories = {d}/loaders
[root web]
volume = 10.0.0.254:/srv/web
path = /srv/web
kernel = {d}/boot/vmlinuz
initrd = {d}/boot/initrd
[dhcp]
check = no
config = {d}/dhcp/osrd.conf
hosts = {d}/dhcp/hosts
reload = none
[nfs]
exports = {d}/exports.d/osrd.exports
reload = none
[hosts]
file = {d}/hosts
"""

QUICK = Scope(full=False)


def node_text(number: int, *, name: str = "", mac: str = "", nodeid: str | None = None, ip: str = "") -> str:
    name = name or f"node{number}"
    mac = mac or f"02:00:00:00:00:{number:02X}"
    ip = ip or f"10.0.0.{number}"
    return f"""    <clusternode name="{name}" nodeid="{number if nodeid is None else nodeid}" votes="1">
      <com_info>
        <rootvolume fstype="nfs" name="10.0.0.254:/srv/web"/>
        <eth name="eth0" ip="{ip}" mac="{mac}" mask="255.255.255.0" gateway="10.0.0.254"/>
      </com_info>
    </clusternode>
"""


class BootHost:
    """``with BootHost(tmp_path) as host``: nothing is running; ``pipeline`` is made when it is asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cluster_conf = directory / "etc/cluster.conf"
        self.osrd_conf = directory / "etc/osrd.conf"
        self.tftp = directory / "tftp/osr"
        self._pipeline: Pipeline | None = None
        for name in ("etc", "tftp", "boot", "loaders", "dhcp", "exports.d"):
            (directory / name).mkdir()
        (directory / "boot/vmlinuz").write_bytes(b"kernel one")
        (directory / "boot/initrd").write_bytes(b"initrd one")
        for name in ("PXELINUX/pxelinux.0", "syslinux/ldlinux.c32"):
            (directory / "loaders" / name).parent.mkdir()
            (directory / "loaders" / name).write_bytes(name.encode())
        self.osrd_conf.write_text(self.configuration().replace("[boot]", "[boot]\narchitectures = bios"))
        self.write(1, 2)

    def __enter__(self) -> "BootHost":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pipeline(self) -> Pipeline:
        if self._pipeline is None:
            self._pipeline = Pipeline(str(self.osrd_conf), required=True)
        return self._pipeline

    def close(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    def restart(self) -> Pipeline:
        self.close()
        return self.pipeline

    def configuration(self) -> str:
        return _CONF.format(d=self.directory)

    def configure(self, before: str, after: str) -> None:
        """Edit osrd.conf; nobody is told."""
        text = self.osrd_conf.read_text()
        assert before in text
        self.osrd_conf.write_text(text.replace(before, after))

    def write(self, *nodes: int | str, version: int = 1) -> None:
        """Write cluster.conf with these nodes: numbers, or texts of elements."""
        body = "".join(node if isinstance(node, str) else node_text(node) for node in nodes)
        self.cluster_conf.write_text(
            f'<?xml version="1.0"?>\n<cluster config_version="{version}" name="test">\n'
            f"  <clusternodes>\n{body}  </clusternodes>\n</cluster>\n"
        )

    def run(self, scope: Scope | None = None) -> Run:
        return self.pipeline.run(scope or Scope(), "test")

    def published(self) -> dict[str, bytes]:
        """Everything that is served: path in the directory to content."""
        places = [self.directory / name for name in ("tftp", "dhcp", "exports.d", "hosts")]
        files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place])]
        return {str(file.relative_to(self.directory)): file.read_bytes() for file in files if file.is_file()}

    def entry(self, number: int) -> Path:
        """The PXELINUX entry of the node with this number's hardware address."""
        return self.tftp / f"pxelinux.cfg/01-02-00-00-00-00-{number:02x}"


def codes(run: Run) -> set[str]:
    return {finding.code for finding in run.snapshot.findings}
