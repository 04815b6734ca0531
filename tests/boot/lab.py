# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot host with a wire: osrd, a DHCP and TFTP server and an NFS server in namespaces of their own, and machines
that are switched on. The servers run on what osrd wrote and on nothing else.

    machines --tap-- bridge osr0 192.168.122.1 --- dnsmasq (or dhcpd, Kea, tftpd), ganesha, rpcbind, osrd

Mounts and the network exist in the namespaces only, and end with the process that holds them. What everybody said is
kept in the directory ``Lab.logs``.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from tests.boot.ganesha import configuration
from tests.dhcp.servers import Program
from tests.end_to_end.sandbox import Sandbox
from tests.eventually import eventually

SERVER = "192.168.122.1"
BRIDGE = "osr0"
#: where the wiki page has its root on the server
PLACE = "/mnt/virtual/nfsosr/fc11"

_HOLD = """set -e
ip link set lo up
ip link add {bridge} type bridge
ip addr add {server}/24 dev {bridge}
ip link set {bridge} up
mount -t tmpfs -o mode=755 none /mnt
mkdir -p {place}
mount -t tmpfs -o mode=755 none /run
mount -t tmpfs -o mode=755 none /var/lib/nfs
mkdir -p /run/rpcbind /run/ganesha /var/lib/nfs/ganesha
echo ready
exec sleep infinity
"""

CONF = """[cluster]
config = {directory}/etc/cluster.conf
[paths]
state = {directory}/state
runtime = {directory}/run
cache = {directory}/cache
templates = {directory}/etc/templates
[tftp]
root = {directory}/tftp
[boot]
server = 192.168.122.1
timeout = 0
append = {append}
{boot}
[root fc11]
path = /mnt/virtual/nfsosr/fc11
{root}
[dhcp]
config = {directory}/dnsmasq/osrd.conf
hosts = {directory}/dnsmasq/hosts
{dhcp}
[nfs]
exports = {directory}/exports.d/osrd.exports
reload = none
[watch]
server-log = {directory}/servers.log
[hosts]
file = {directory}/hosts
"""


class Lab(Sandbox):
    """The shared root is to be mounted at PLACE, where the servers and osrd see it."""

    #: where consoles and logs stay when the lab is gone; None for nowhere
    logs: ClassVar[Path | None] = None

    def __init__(self, cluster_conf: bytes, configuration_text: str) -> None:
        super().__init__(cluster_conf, configuration_text)
        self.directory.chmod(0o755)  # the TFTP server is not root
        #: what the DHCP and TFTP servers do, for osrd and for people
        self.server_log = self.directory / "servers.log"
        self._taps = 0
        self._nfs: subprocess.Popen[bytes] | None = None
        try:
            holder = self._hold()
        except BaseException:
            self.close()  # nobody else does: there is no lab yet
            raise
        self.wrapper = ["nsenter", f"--target={holder}", "--mount", "--net", "--"]
        #: the same with this machine's network
        self.mounts = ["nsenter", f"--target={holder}", "--mount", "--"]

    def _hold(self) -> int:
        """Make the namespaces; the process in them."""
        hold = _HOLD.format(bridge=BRIDGE, server=SERVER, place=PLACE)
        argv = ["unshare", "--mount", "--net", "--propagation", "private", "--", "sh", "-c", hold]
        holder = self.spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert holder.stdout is not None
        said = b""
        while (line := holder.stdout.readline()) != b"ready\n":
            said += line
            assert line, f"this machine does not let a lab be made: {said.decode(errors='replace')}"
        return holder.pid

    def inside(self, *argv: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a program in the namespaces."""
        done = subprocess.run(
            [*self.wrapper, *argv], capture_output=True, text=True, check=False, env=self.environment, timeout=600
        )
        assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def command(self, *arguments: str, check: bool = True) -> str:
        """An osrctl command of this host's administrator, who sees the mounts that osrd sees; what it printed."""
        argv = [sys.executable, "-m", "osrd.cli.main", "--config", str(self.osrd_conf), *arguments]
        return self.inside(*argv, check=check).stdout

    def unmount(self, place: str) -> None:
        """Also when osrd has a look at it in this moment."""
        eventually(
            lambda: self.inside("umount", "--recursive", place, check=False).returncode == 0, f"{place} unmounted", 60
        )

    def tap(self) -> str:
        """A new cable; the name of its end for a machine."""
        self._taps += 1
        name = f"osrtap{self._taps}"
        self.inside("ip", "tuntap", "add", "dev", name, "mode", "tap")
        self.inside("ip", "link", "set", name, "master", BRIDGE, "up")
        return name

    def start_server(self, program: Program) -> "subprocess.Popen[bytes]":
        """Start a DHCP or TFTP server on osrd's files."""
        program.prepare()
        with self.server_log.open("ab") as output:
            process = self.spawn([*self.wrapper, *program.argv], stdout=output, stderr=output)

        def serving() -> object:
            assert process.poll() is None, f"{program.argv} ended:\n{self.server_log.read_text()[-3000:]}"
            return program.ready()

        eventually(serving, f"{program.argv[0]} serves", 60)
        return process

    def close(self) -> None:
        try:
            if self.logs is not None:
                self.logs.mkdir(parents=True, exist_ok=True)
                for file in [*self.directory.glob("*.log"), *self.directory.glob("nfs/log"), self.cluster_conf]:
                    shutil.copy(file, self.logs)
        finally:
            super().close()

    def start_nfs(self) -> None:
        """Start the NFS server on osrd's list of exports, also once more. Version 3 finds its services through
        rpcbind."""
        work = self.directory / "nfs"
        work.mkdir(exist_ok=True)
        exports = (self.directory / "exports.d/osrd.exports").read_text()
        (work / "ganesha.conf").write_text(configuration(exports, str(work)))
        log = work / "log"
        before = log.stat().st_size if log.exists() else 0
        with (work / "output").open("ab") as output:
            if self._nfs is None:
                self.spawn([*self.wrapper, "rpcbind", "-f", "-w"], stdout=output, stderr=output)
                # The NFS server ends when it cannot register.
                eventually(lambda: self.inside("rpcinfo", check=False).returncode == 0, "rpcbind serves", 60)
            argv = ["ganesha.nfsd", "-F", "-f", f"{work}/ganesha.conf", "-L", str(log), "-p", f"{work}/pid"]
            server = self._nfs = self.spawn([*self.wrapper, *argv], stdout=output, stderr=output)

        def serving() -> bool:
            said = log.read_bytes()[before:].decode(errors="replace") if log.exists() else ""
            assert server.poll() is None, (work / "output").read_text() + said[-3000:]
            return "NFS SERVER INITIALIZED" in said

        eventually(serving, "the NFS server serves", 60)

    def stop_nfs(self) -> None:
        """From now on mounts are refused."""
        assert self._nfs is not None
        self._nfs.kill()
        self._nfs.wait()
