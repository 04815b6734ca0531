# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl doctor on a boot host that is real as far as a network namespace goes: osrd's own files, a real dnsmasq."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from osrd.observe.host import _answers, look, within
from osrd.observe.hostsockets import sockets
from tests.conftest import REPOSITORY
from tests.dhcp.network import NIC, Network
from tests.end_to_end.serving import DNSMASQ, BootHost
from tests.eventually import eventually

#: something else at a port
_OTHER = """
import socket
taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taken.bind(("", {port}))
print("taken", flush=True)
taken.recv(1)
"""


def real(test: Callable[..., None]) -> Callable[..., None]:
    """Needs a namespace, and the programs that run in it."""
    marked: Callable[..., None] = pytest.mark.root(pytest.mark.needs("ip", "dnsmasq", "nft", "setpriv")(test))
    return marked


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    built = Network(tmp_path)
    try:
        built.build()
        yield built
    finally:
        built.remove()


def examined(box: BootHost, *before: str) -> tuple[int, dict[str, str], dict[str, dict[str, Any]]]:
    """Exit status, result of each check, findings by code; ``before`` comes before the program's own words."""
    argv = ["ip", "netns", "exec", box.network.server, *before, sys.executable, "-m", "osrd.cli"]
    done = subprocess.run(
        [*argv, "--config", str(box.osrd_conf), "doctor", "--json"],
        capture_output=True,
        text=True,
        env=box.environment,
        cwd=REPOSITORY,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    answer = json.loads(done.stdout)
    results = {each["name"]: each["result"] for each in answer["checks"]}
    return done.returncode, results, {each["code"]: each for each in answer["findings"]}


@real
def test_from_nothing_to_serving(network: Network) -> None:
    with BootHost(network, DNSMASQ) as box:
        status, results, found = examined(box)
        assert status == 2
        assert {"osrd-not-running", "dhcp-not-running", "tftp-not-running"} <= found.keys()
        assert results["networks of nodes"] == "ok"
        assert results["firewall"] == "ok"
        box.once()
        box.start_server()
        eventually(lambda: examined(box)[1]["DHCP server"] == "ok", "the DHCP server seen")
        _, results, found = examined(box)
        assert (results["DHCP server"], results["TFTP server"]) == ("ok", "ok"), found
        where = ["ip", "netns", "exec", network.server]
        rules = "table inet f {\nchain in {\ntype filter hook input priority 0; policy drop;\n}\n}"
        subprocess.run([*where, "nft", "-f", "-"], input=rules.encode(), check=True)
        _, results, found = examined(box)
        assert results["firewall"] == "error"
        assert f"UDP port 67, UDP port 69, TCP port 2049 on {NIC}" in found["firewall-blocks"]["message"]


@real
@pytest.mark.parametrize(("port", "code"), [(67, "dhcp-other-server"), (69, "tftp-other-server")])
def test_somebody_else_has_the_port(network: Network, port: int, code: str) -> None:
    where = ["ip", "netns", "exec", network.server]
    with (
        BootHost(network, DNSMASQ) as box,
        subprocess.Popen([*where, sys.executable, "-c", _OTHER.format(port=port)], stdout=subprocess.PIPE) as other,
    ):
        try:
            assert other.stdout is not None
            assert other.stdout.readline()
            found = examined(box)[2]
            assert found[code]["value"].startswith("python")
        finally:
            other.kill()


@real
def test_a_dnsmasq_of_libvirt_is_told_from_the_others(network: Network, tmp_path: Path) -> None:
    configuration = tmp_path / "libvirt/dnsmasq/default.conf"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(f"port=0\nleasefile-ro\ninterface={NIC}\ndhcp-range=192.168.122.60,192.168.122.70\n")
    code = "from osrd.observe.hostsockets import sockets; print(*{each.program for each in sockets(frozenset({67}))})"

    def seen() -> str:
        argv = ["ip", "netns", "exec", network.server, sys.executable, "-c", code]
        return subprocess.run(argv, capture_output=True, text=True, cwd=REPOSITORY, check=True).stdout.strip()

    with network.running(["dnsmasq", "--keep-in-foreground", f"--conf-file={configuration}"]):
        eventually(lambda: seen() == "dnsmasq of libvirt", "the server at its port")


@real
def test_a_full_file_system(network: Network) -> None:
    with BootHost(network, DNSMASQ) as box:
        state = box.directory / "state"
        state.mkdir(exist_ok=True)
        mount = f'mount -t tmpfs -o size=1m,nr_inodes=90 none {state} && exec "$@"'
        found = examined(box, "unshare", "-m", "sh", "-c", mount, "sh")[2]
        assert found["space-low"]["value"] == found["inodes-low"]["value"] == str(state)
        mount = f'mount -t tmpfs -o ro none {state} && exec "$@"'
        assert "space-read-only" in examined(box, "unshare", "-m", "sh", "-c", mount, "sh")[2]


@real
def test_a_closed_directory(network: Network) -> None:
    with BootHost(network, DNSMASQ) as box:
        box.directory.chmod(0o700)
        assert examined(box)[2]["directory-closed"]["value"] == str(box.directory)


@real
def test_a_user_sees_less_and_is_told(network: Network) -> None:
    with BootHost(network, DNSMASQ) as box:
        (box.directory / "etc").chmod(0o755)
        _, results, _ = examined(box, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        assert results["firewall"] == "unknown"
        assert results["inotify"] in ("unknown", "warning")


@pytest.mark.root
def test_the_watches_of_root_are_counted(tmp_path: Path) -> None:
    from osrd.model.settings import Settings

    before = look(Settings()).inotify
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    assert descriptor >= 0
    try:
        for number in range(50):
            (tmp_path / str(number)).mkdir()
            assert libc.inotify_add_watch(descriptor, os.fsencode(tmp_path / str(number)), 2) > 0
        after = look(Settings()).inotify
    finally:
        os.close(descriptor)
    assert before.used_watches is not None
    assert after.used_watches is not None
    # Others on this machine come and go; fifty are more than they.
    assert after.used_watches - before.used_watches > 25
    assert after.watches == int(Path("/proc/sys/fs/inotify/max_user_watches").read_text())


def test_a_root_that_does_not_answer_holds_nobody_up() -> None:
    never = Event()
    assert within(0.05, never.wait, False) is False
    assert within(5, lambda: "here", "gone") == "here"
    assert within(5, partial(_answers, "/nonexistent"), False) is True
    never.set()


def test_the_program_behind_a_socket() -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
        found = [each for each in sockets(frozenset({port})) if each.protocol == "udp"]
        program = Path("/proc/self/comm").read_text().strip()
        assert port in {each.port for each in sockets(frozenset({67}), program)}
        assert port not in {each.port for each in sockets(frozenset({67}), "rpc.mountd")}
    assert [(each.address, each.is_local) for each in found] == [("127.0.0.1", True)]
    assert found[0].program == program
