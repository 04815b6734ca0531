# SPDX-License-Identifier: GPL-3.0-or-later
"""A network of its own for DHCP tests: a server and a client namespace joined by a cable, and machines that ask."""

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from osrd.apply.runner import Completed, SubprocessRunner
from tests.eventually import eventually

SERVER = "192.168.122.1"
NIC = "osr0"
_numbers = itertools.count()


@dataclass(frozen=True)
class Answer:
    """What a machine was told; "" for what the server did not say."""

    address: str
    server: str
    file: str
    name: str
    router: str


class Network:
    """Two network namespaces. Programs run in them end with the test that started them."""

    def __init__(self, directory: Path) -> None:
        number = f"{os.getpid()}-{next(_numbers)}"
        self.server, self.client = f"osrd-s-{number}", f"osrd-c-{number}"
        self._directory = directory
        self._requests = itertools.count()

    def build(self) -> None:
        for name in (self.server, self.client):
            _ip("netns", "add", name)
        _ip("-n", self.server, "link", "add", NIC, "type", "veth", "peer", "name", NIC, "netns", self.client)
        for name, address in ((self.server, SERVER), (self.client, "192.168.122.50")):
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", NIC)
            _ip("-n", name, "link", "set", NIC, "up")

    def remove(self) -> None:
        for name in (self.server, self.client):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    @contextmanager
    def running(self, argv: Sequence[str]) -> "Iterator[subprocess.Popen[bytes]]":
        """A server in the server's namespace, ended with the block."""
        log = self._directory / f"server-{next(self._requests)}.log"
        with log.open("wb") as output:
            inside = ["ip", "netns", "exec", self.server, *argv]
            process = subprocess.Popen(inside, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
            assert process.poll() is None, f"the server ended: {log.read_text(errors='replace')[-3000:]}"
        finally:
            _end(process)

    def ask(self, mac: str, options: str = "", seconds: int = 8) -> Answer | None:
        """Be the machine ``mac`` and ask for an address; None when nobody answers within ``seconds``. ``options`` are
        statements of dhclient.conf(5)."""
        work, _ = self._talk(mac, options, "", seconds)
        if not (work / "env").exists():
            return None
        said = dict(line.partition("=")[::2] for line in (work / "env").read_text().splitlines())
        keys = ("new_ip_address", "new_next_server", "new_filename", "new_host_name", "new_routers")
        return Answer(*(said.get(key, "") for key in keys))

    def return_with(self, mac: str, address: str, seconds: int = 3) -> str:
        """Be the machine ``mac`` that had ``address`` elsewhere and wants it again (INIT-REBOOT, RFC 2131 3.2); the
        client's log."""
        lease = (
            f'lease {{ interface "{NIC}"; fixed-address {address}; option dhcp-lease-time 3600;'
            " renew never; rebind never; expire never; }\n"
        )
        return self._talk(mac, "", lease, seconds, lambda log: log.count("DHCPREQUEST") > 1 or "DHCPNAK" in log)[1]

    def _talk(
        self, mac: str, options: str, leases: str, seconds: int, heard: Callable[[str], bool] = lambda log: False
    ) -> tuple[Path, str]:
        work = self._directory / f"client-{next(self._requests)}"
        work.mkdir()
        (work / "report").write_text(
            f"#!/bin/sh\n[ $reason = BOUND ] && env > {work}/env.new && mv {work}/env.new {work}/env\nexit 0\n"
        )
        (work / "report").chmod(0o755)
        (work / "conf").write_text(
            f"option osr-arch code 93 = unsigned integer 16;\noption osr-ipxe code 175 = string;\n"
            f"timeout {seconds};\ninitial-interval 1;\nbackoff-cutoff 2;\nselect-timeout 0;\n"
            f"request subnet-mask, routers, host-name, root-path, domain-name, vendor-class-identifier;\n{options}"
        )
        (work / "leases").write_text(leases)
        _ip("-n", self.client, "link", "set", NIC, "address", mac)
        argv = ["dhclient", "-4", "-1", "-d", "-sf", f"{work}/report", "-cf", f"{work}/conf", "-lf", f"{work}/leases"]
        argv += ["-pf", f"{work}/pid", NIC]
        with (work / "log").open("wb") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.client, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            eventually(
                lambda: (work / "env").exists() or process.poll() is not None or heard((work / "log").read_text()),
                "an answer, or the client giving up",
                seconds + 10,
            )
        finally:
            _end(process)
        return work, (work / "log").read_text()

    def fetch(self, name: str, target: Path) -> bytes:
        """Get ``name`` from the server by TFTP."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.client, "tftp", "-m", "binary", SERVER, "-c", "get", name, str(target)],
            capture_output=True,
            timeout=20,
            check=True,
        )
        assert target.exists(), done
        return target.read_bytes()


class InNetwork:
    """Runs programs in the server's namespace, where the interfaces of the configuration exist."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._runner = SubprocessRunner()

    def run(self, argv: Sequence[str], *, timeout: float = 60, input: bytes = b"") -> Completed:  # noqa: A002
        inside = ["ip", "netns", "exec", self._network.server, *argv]
        return self._runner.run(inside, timeout=timeout, input=input)


def firmware(arch: int) -> str:
    """The options of a PXE firmware with this option 93."""
    return f'send osr-arch {arch};\nsend vendor-class-identifier "PXEClient:Arch:{arch:05}:UNDI:003016";\n'


IPXE = firmware(0) + 'send user-class "iPXE";\nsend osr-ipxe "x";\n'


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
