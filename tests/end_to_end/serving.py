# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot host that really serves: osrd in a sandbox, and a real DHCP (and TFTP) server in a network namespace of its
own that runs on nothing but the files osrd wrote and is told of changes the way osrd.conf says."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from osrd.apply.process import Process, read_pid
from tests.dhcp import servers
from tests.dhcp.network import NIC, Network
from tests.dhcp.servers import Program
from tests.end_to_end.sandbox import SEED, Sandbox
from tests.eventually import eventually

MAC1, MAC2, MAC3, MAC4, MAC5 = (f"00:0c:29:c9:c6:f{digit}" for digit in (5, 6, 7, 8, 9))
SCRIPT = "osr/ipxe/boot.ipxe"

# What `systemctl restart` does with an enabled unit: dhcpd cannot be told anything. A dead child that nobody has
# waited for yet is gone all the same, hence the look at its state.
_RESTART = """#!/bin/sh
cd {run} || exit 1
[ -e enabled ] || exit 0
alive() {{ grep -q '^Name:.dhcpd' /proc/$1/status && grep -q '^State:.[RSD]' /proc/$1/status; }} 2>/dev/null
if pid=$(cat pid 2>/dev/null) && alive "$pid"; then
    kill "$pid"
    while alive "$pid"; do :; done
fi
rm -f pid
exec ip netns exec {namespace} dhcpd -4 -cf {config} -lf {run}/leases -pf {run}/pid {nic}
"""


@dataclass(frozen=True)
class Backend:
    """``reload`` is a setting of osrd.conf, {run} the server's private directory; ``live``: it needs no restart."""

    name: str
    program: Callable[[Path, str], Program]
    reload: str
    live: bool


DNSMASQ = Backend("dnsmasq", servers.dnsmasq, "pidfile:{run}/pid", live=True)
ISC = Backend("isc", servers.dhcpd, "command:{run}/restart", live=False)
KEA = Backend("kea", servers.kea, "socket:{run}/kea.socket", live=True)


def corrected() -> bytes:
    """The wiki page's own cluster.conf with node2's address corrected."""
    head, _, tail = SEED.read_bytes().rpartition(MAC1.upper().encode())
    return head + MAC2.upper().encode() + tail


def node_xml(name: str, number: int, ip: str, mac: str, mask: str = "255.255.255.0") -> str:
    return (
        f'  <clusternode name="{name}" nodeid="{number}" votes="1">\n   <com_info>\n'
        '    <rootvolume fstype="nfs" name="192.168.122.1:/mnt/virtual/nfsosr/fc11"/>\n'
        f'    <eth name="eth0" ip="{ip}" mac="{mac}" mask="{mask}" gateway="192.168.122.1"/>\n'
        "   </com_info>\n  </clusternode>\n"
    )


def cluster_xml(nodes: Iterable[str], version: int) -> str:
    return (
        f'<?xml version="1.0"?>\n<cluster config_version="{version}" name="axqad109" type="gfs">\n <clusternodes>\n'
        + "".join(nodes)
        + " </clusternodes>\n</cluster>\n"
    )


class BootHost(Sandbox):
    """``backend``'s server is started and killed by the test; osrd knows it by its pid file, socket or command."""

    def __init__(self, network: Network, backend: Backend) -> None:
        super().__init__(corrected())
        self.network, self.backend = network, backend
        # dnsmasq reads its hosts file and the TFTP files as its own user.
        self.directory.chmod(0o755)
        self.run_directory = self.directory / "server"
        self.run_directory.mkdir()
        self.config = str(self.directory / "dnsmasq/osrd.conf")
        self._server: subprocess.Popen[bytes] | None = None
        script = self.run_directory / "restart"
        script.write_text(
            _RESTART.format(run=self.run_directory, namespace=network.server, config=self.config, nic=NIC)
        )
        script.chmod(0o755)
        reload = backend.reload.format(run=self.run_directory)
        self.configure("backend", f"[dhcp]\nbackend = {backend.name}\nreload = {reload}\n")

    def configure(self, name: str, text: str) -> None:
        """Write a drop-in of osrd.conf; osrd reads it when it starts or is told to."""
        directory = Path(f"{self.osrd_conf}.d")
        directory.mkdir(exist_ok=True)
        (directory / f"{name}.conf").write_text(text)

    def hang_up(self) -> None:
        assert self.osrd is not None
        self.osrd.send_signal(signal.SIGHUP)

    def launch(self) -> None:
        """Start osrd without waiting for anything."""
        with self.log.open("ab") as log:
            self.osrd = self.spawn([sys.executable, "-m", "osrd", "--config", str(self.osrd_conf)], stderr=log)

    def start_server(self) -> None:
        """The server of the host, on the files that are published now."""
        if self.backend is ISC:
            (self.run_directory / "leases").touch()
            (self.run_directory / "enabled").touch()
            done = subprocess.run([self.run_directory / "restart"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return
        program = self.backend.program(self.run_directory, self.config)
        program.prepare()
        with (self.run_directory / "output").open("ab") as output:
            argv = ["ip", "netns", "exec", self.network.server, *program.argv]
            self._server = self.spawn(argv, stderr=output, stdout=output)
        eventually(program.ready, f"{self.backend.name} serving")

    def server_pid(self) -> int | None:
        """The process id of the server, None while it does not run."""
        if self.backend is ISC:
            return read_pid(str(self.run_directory / "pid"))
        return self._server.pid if self._server and self._server.poll() is None else None

    def kill_server(self) -> None:
        """SIGKILL, as the kernel does it when memory ends; nobody starts it again."""
        (self.run_directory / "enabled").unlink(missing_ok=True)
        pid = self.server_pid()
        if pid is None:
            return
        try:
            with Process(pid) as process:
                assert process.runs("dhcpd") or self.backend is not ISC
                os.kill(pid, signal.SIGKILL)
                process.stays(5)
        except ProcessLookupError:
            return
        if self._server:
            self._server.wait(5)

    def close(self) -> None:
        self.kill_server()
        super().close()


def names_in_menu(menu: bytes) -> set[str]:
    """The kernel and initrd names of a PXELINUX menu, in all its entries."""
    return {name.decode() for name in re.findall(rb"(?m)^\s+(?:KERNEL|INITRD) (\S+)$", menu)}


def names_in_grub(menu: bytes) -> set[str]:
    return {name.decode() for name in re.findall(rb"(?m)^\s+(?:linux|initrd) (\S+)", menu)}


def names_in_ipxe(script: bytes) -> set[str]:
    """Relative to the script's own directory."""
    return {name.decode() for name in re.findall(rb"(?m)^(?:kernel|initrd --name \S+) (\S+)", script)}
