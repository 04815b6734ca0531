# SPDX-License-Identifier: GPL-3.0-or-later
"""The real servers on the files osrd wrote, asked by real clients."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from osrd.apply.dhcp import dhcp_server
from osrd.model.settings import DhcpBackend, Reload, ReloadMethod
from osrd.model.view import ServiceState
from tests.dhcp import servers
from tests.dhcp.cluster import LOADERS, MACS, RANGE, SCRIPT, UNKNOWN, Host, host, node, seed
from tests.dhcp.network import IPXE, SERVER, InNetwork, Network, firmware
from tests.dhcp.servers import Program
from tests.eventually import eventually

pytestmark = [pytest.mark.root, pytest.mark.needs("ip", "dhclient")]

Started = Callable[[Network, Host], AbstractContextManager[None]]
MAC3, MAC4 = "00:0c:29:c9:c6:f7", "00:0c:29:c9:c6:f8"


@contextmanager
def served(program: Program, network: Network) -> Iterator[None]:
    program.prepare()
    with network.running(program.argv):
        eventually(program.ready, "the server serving")
        yield
    assert program.log is None or "rror" not in program.log.read_text()


def dnsmasq(network: Network, on: Host) -> AbstractContextManager[None]:
    return served(servers.dnsmasq(on.directory, on.config), network)


def dhcpd(network: Network, on: Host) -> AbstractContextManager[None]:
    return served(servers.dhcpd(on.directory, on.config), network)


def kea(network: Network, on: Host) -> AbstractContextManager[None]:
    return served(servers.kea(on.directory, on.config), network)


def reload_of(backend: DhcpBackend, directory: Path) -> Reload:
    if backend is DhcpBackend.KEA:
        return Reload(ReloadMethod.SOCKET, (f"{directory}/kea.socket",))
    return Reload(ReloadMethod.PIDFILE, (f"{directory}/pid",))


SERVERS = [
    pytest.param(DhcpBackend.DNSMASQ, dnsmasq, marks=pytest.mark.needs("dnsmasq"), id="dnsmasq"),
    pytest.param(DhcpBackend.ISC, dhcpd, marks=pytest.mark.needs("dhcpd"), id="isc"),
    pytest.param(DhcpBackend.KEA, kea, marks=pytest.mark.needs("kea-dhcp4"), id="kea"),
]


@pytest.mark.parametrize(("backend", "started"), SERVERS)
def test_every_node_is_answered_as_its_firmware_needs(
    backend: DhcpBackend, started: Started, network: Network, tmp_path: Path
) -> None:
    on = host(tmp_path, backend, reload_of(backend, tmp_path), http=True)
    cluster = seed(node("node3", 3, MAC3, "dhcp"))
    candidates = on.publish(cluster)
    assert dhcp_server(on.settings, InNetwork(network), str(tmp_path)).check(candidates) == ()
    with started(network, on):
        first = eventually(lambda: network.ask(MACS[0], firmware(0), 3), "the first answer", 20)
        assert first.address == "192.168.122.171"
        assert first.server == SERVER
        assert first.file == "osr/pxelinux.0"
        assert first.name == "node1"
        assert first.router == SERVER
        second = network.ask(MACS[1], firmware(7))
        assert second is not None
        assert (second.address, second.server, second.file) == ("192.168.122.172", SERVER, "osr/grubx64.efi")
        assert second.name == "node2"
        for arch, file in ((9, "osr/grubx64.efi"), (11, "osr/grubaa64.efi")):
            answer = network.ask(MACS[0], firmware(arch))
            assert answer is not None
            assert answer.file == file
        script = network.ask(MACS[0], IPXE)
        assert script is not None
        assert (script.address, script.file) == ("192.168.122.171", f"http://{SERVER}/{SCRIPT}")
        http = network.ask(MACS[1], 'send osr-arch 16;\nsend vendor-class-identifier "HTTPClient:Arch:00016";\n')
        assert http is not None
        assert http.file == f"http://{SERVER}/osr/grubx64.efi"
        pooled = network.ask(MAC3, firmware(0))
        assert pooled is not None
        assert pooled.address in {f"192.168.122.{n}" for n in range(100, 111)}
        assert (pooled.file, pooled.name) == ("osr/pxelinux.0", "node3")
        assert network.ask(UNKNOWN, firmware(0), 3) is None


@pytest.mark.parametrize(("backend", "started"), SERVERS)
@pytest.mark.parametrize("options", [firmware(0), IPXE], ids=["firmware", "ipxe"])
def test_a_subnet_with_an_address_of_its_own_is_sent_there(
    backend: DhcpBackend, started: Started, options: str, network: Network, tmp_path: Path
) -> None:
    """Its nodes may not reach the other addresses of the boot host at all."""
    on = host(tmp_path, backend, reload_of(backend, tmp_path))
    on.settings = replace(on.settings, subnets=(replace(RANGE, next_server=IPv4Address("192.168.122.9")),))
    on.publish(seed())
    with started(network, on):
        told = eventually(lambda: network.ask(MACS[0], options, 3), "the answer", 20)
        assert (told.server, told.file) == ("192.168.122.9", SCRIPT if options == IPXE else "osr/pxelinux.0")


@pytest.mark.needs("dnsmasq", "tftp")
def test_loaders_are_fetched_by_the_names_dhcp_told(network: Network, tmp_path: Path) -> None:
    on = host(tmp_path, DhcpBackend.DNSMASQ)
    on.publish(seed())
    with dnsmasq(network, on):
        for name in LOADERS.values():
            assert network.fetch(name, tmp_path / "got") == (Path(on.settings.tftp.root) / name).read_bytes()
            (tmp_path / "got").unlink()


@pytest.mark.needs("dnsmasq")
def test_a_new_node_is_answered_after_one_hang_up(network: Network, tmp_path: Path) -> None:
    on = host(tmp_path, DhcpBackend.DNSMASQ, reload_of(DhcpBackend.DNSMASQ, tmp_path))
    server = dhcp_server(on.settings, InNetwork(network), str(tmp_path))
    on.publish(seed())
    with dnsmasq(network, on):
        pid = (tmp_path / "pid").read_text()
        assert network.ask(MAC3, firmware(0), 3) is None
        before = Path(on.config).read_bytes()
        candidates = on.candidates(seed(node("node3", 3, MAC3, "192.168.122.173")))
        hosts_only = {on.hosts: candidates[on.hosts]}
        assert Path(candidates[on.config]).read_bytes() == before
        assert server.check(hosts_only) == ()
        on.publish(seed(node("node3", 3, MAC3, "192.168.122.173")))
        reloaded = server.reload(frozenset({on.hosts}))
        assert (reloaded.state, reloaded.ok, reloaded.findings) == (ServiceState.RUNNING, True, ())
        answer = eventually(lambda: network.ask(MAC3, firmware(0), 3), "node3's answer", 15)
        assert (answer.address, answer.name) == ("192.168.122.173", "node3")
        assert (tmp_path / "pid").read_text() == pid


@pytest.mark.needs("kea-dhcp4")
def test_kea_takes_a_new_node_over_its_socket_and_says_so(network: Network, tmp_path: Path) -> None:
    on = host(tmp_path, DhcpBackend.KEA, reload_of(DhcpBackend.KEA, tmp_path))
    server = dhcp_server(on.settings, InNetwork(network), str(tmp_path))
    assert server.reload(frozenset()).state is ServiceState.ABSENT
    on.publish(seed())
    with kea(network, on):
        assert network.ask(MAC3, firmware(0), 3) is None
        grown = seed(node("node3", 3, MAC3, "192.168.122.173"))
        assert server.check(on.publish(grown)) == ()
        reloaded = server.reload(frozenset({on.config}))
        assert (reloaded.state, reloaded.ok, reloaded.findings) == (ServiceState.RUNNING, True, ())
        answer = eventually(lambda: network.ask(MAC3, firmware(0), 3), "node3's answer", 15)
        assert answer.address == "192.168.122.173"
        # A file Kea cannot take: told so, the server goes on with what it has, and going back works.
        good = Path(on.config).read_text()
        broken = json.loads(good)
        broken["Dhcp4"]["subnet4"][0]["reservations"][0]["ip-address"] = "not an address"
        Path(on.config).write_text(json.dumps(broken))
        refused = server.reload(frozenset({on.config}))
        assert (refused.state, refused.ok) == (ServiceState.FAILED, False)
        assert "not an address" in refused.findings[0].message
        Path(on.config).write_text(good)
        assert server.reload(frozenset({on.config})).ok
        answer = network.ask(MACS[0], firmware(0))
        assert answer is not None
        assert answer.address == "192.168.122.171"


@pytest.mark.parametrize(("backend", "started"), SERVERS)
@pytest.mark.parametrize("address", ["10.9.9.9", "192.168.122.77"])
def test_a_strange_machine_is_not_even_refused(
    backend: DhcpBackend, started: Started, address: str, network: Network, tmp_path: Path
) -> None:
    """Another server on the same wire may well know it; a refusal from us would take its address away."""
    on = host(tmp_path, backend, reload_of(backend, tmp_path))
    on.publish(seed())
    with started(network, on):
        assert eventually(lambda: network.ask(MACS[0], firmware(0), 3), "the first answer", 20)
        said = network.return_with(UNKNOWN, address)
        assert "DHCPREQUEST" in said
        assert "DHCPNAK" not in said
