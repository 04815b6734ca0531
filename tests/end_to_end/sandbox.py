# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot host in a directory: its own configuration, its own message bus, the real osrd. Needs no root and touches
nothing outside; used by the demo and by the end-to-end tests."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.eventually import eventually

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SEED = REPOSITORY / "tests/fixtures/seed.conf"

_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={directory}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow eavesdrop="false"/>
  </policy>
</busconfig>
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
[root fc11]
volume = 192.168.122.1:/mnt/virtual/nfsosr/fc11
path = /mnt/virtual/nfsosr/fc11
kernel = {directory}/root/boot/vmlinuz-1
initrd = {directory}/root/boot/initrd_sr-1.img
[dhcp]
config = {directory}/dnsmasq/osrd.conf
hosts = {directory}/dnsmasq/hosts
reload = none
[nfs]
exports = {directory}/exports.d/osrd.exports
reload = none
[hosts]
file = {directory}/hosts
"""


class Sandbox:
    """``with Sandbox() as box``: everything is stopped and removed at the end."""

    def __init__(self, cluster_conf: bytes | None = None, configuration: str = CONF) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="osrd-sandbox-"))
        self.cluster_conf = self.directory / "etc/cluster.conf"
        self.osrd_conf = self.directory / "etc/osrd.conf"
        self.tftp = self.directory / "tftp/osr"
        self.address = f"unix:path={self.directory}/bus"
        self.log = self.directory / "osrd.log"
        #: before the command line of osrd: it runs in another mount namespace
        self.wrapper: list[str] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self.osrd: subprocess.Popen[bytes] | None = None
        for name in ("etc", "root/boot", "dnsmasq", "exports.d", "tftp"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "root/boot/vmlinuz-1").write_bytes(b"a stand-in for a kernel\n" * 1000)
        (self.directory / "root/boot/initrd_sr-1.img").write_bytes(b"a stand-in for an initrd\n" * 4000)
        self.osrd_conf.write_text(configuration.format(directory=self.directory))
        self.cluster_conf.write_bytes(SEED.read_bytes() if cluster_conf is None else cluster_conf)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if process.stdout:
                process.stdout.close()
        for point in reversed(self.mounted):  # what osrd mounts in a shared root stays when it ends
            subprocess.run(["umount", "--lazy", point], check=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def mounted(self) -> list[str]:
        """Where something is mounted in the sandbox, in the order in which it was."""
        with open("/proc/self/mountinfo", "rb") as table:
            points = [os.fsdecode(line.split()[4]) for line in table]
        return [point for point in points if point.startswith(f"{self.directory}/")]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DBUS_SYSTEM_BUS_ADDRESS": self.address,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
        }

    def start_bus(self) -> None:
        configuration = self.directory / "bus.conf"
        configuration.write_text(_BUS.format(directory=self.directory))
        with (self.directory / "bus.log").open("wb") as log:
            self.spawn(["dbus-daemon", "--nofork", f"--config-file={configuration}"], stderr=log)
        eventually((self.directory / "bus").exists, "the private bus listens")

    def start(self, *arguments: str) -> None:
        """Start osrd and wait until it tells the service manager that it is ready."""
        path = str(self.directory / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(path)
            ready.settimeout(60)
            with self.log.open("ab") as log:
                self.osrd = self.spawn(
                    [*self.wrapper, sys.executable, "-m", "osrd", "--config", str(self.osrd_conf), *arguments],
                    stderr=log,
                    environment={**self.environment, "NOTIFY_SOCKET": path},
                )
            try:
                while b"READY=1" not in ready.recv(4096):
                    pass
            except TimeoutError:
                raise AssertionError(f"osrd did not become ready:\n{self.log.read_text()}") from None
        os.unlink(path)

    def spawn(
        self, argv: list[str], stderr: Any = None, environment: dict[str, str] | None = None, **more: Any
    ) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stderr=stderr, env=environment or self.environment, **more
        )
        self._processes.append(process)
        return process

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        assert self.osrd is not None
        self.osrd.send_signal(by)
        return self.osrd.wait(30)

    def once(self, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self._run([sys.executable, "-m", "osrd", "--config", str(self.osrd_conf), "--once"], check)

    def osrctl(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self._run([sys.executable, "-m", "osrd.cli.main", *arguments], check)

    def ask(self, *arguments: str) -> Any:
        """The JSON answer of an osrctl command."""
        return json.loads(self.osrctl("--json", *arguments).stdout)

    def gdbus(self, member: str, *arguments: str, path: str = "") -> str:
        """A call as a script would make it."""
        argv = ["gdbus", "call", "--address", self.address, "--dest", "org.opensharedroot.Osrd1"]
        argv += ["--object-path", f"/org/opensharedroot/Osrd1{path}", "--method", f"org.opensharedroot.Osrd1.{member}"]
        return self._run([*argv, *arguments], check=True).stdout

    def _run(self, argv: list[str], check: bool) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.directory,
            timeout=60,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def replace(self, before: str, after: str, count: int = -1) -> None:
        """Edit cluster.conf the way editors do: a new file renamed over the old one."""
        text = self.cluster_conf.read_text()
        assert before in text
        temporary = self.cluster_conf.with_suffix(".tmp")
        temporary.write_text(text.replace(before, after, count))
        temporary.rename(self.cluster_conf)

    def entry(self, mac: str) -> Path:
        """The PXELINUX entry of a hardware address."""
        return self.tftp / "pxelinux.cfg" / f"01-{mac.lower().replace(':', '-')}"

    def published(self) -> dict[str, bytes]:
        """Everything that osrd serves: path inside the sandbox to content."""
        places = [self.tftp, self.directory / "dnsmasq", self.directory / "exports.d"]
        files = [file for place in places for file in place.rglob("*") if file.is_file()]
        files += [file for file in [self.directory / "hosts"] if file.exists()]
        return {str(file.relative_to(self.directory)): file.read_bytes() for file in files}
