# SPDX-License-Identifier: GPL-3.0-or-later
"""From cluster.conf to the machine that boots: real osrd, real DHCP and TFTP servers on its files, real clients."""

import posixpath
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dhcp.network import IPXE, SERVER, Answer, Network, firmware
from tests.end_to_end.serving import (
    DNSMASQ,
    ISC,
    KEA,
    MAC1,
    MAC2,
    MAC3,
    MAC4,
    MAC5,
    SCRIPT,
    Backend,
    BootHost,
    names_in_grub,
    names_in_ipxe,
    names_in_menu,
)
from tests.eventually import eventually

pytestmark = [pytest.mark.root, pytest.mark.needs("ip", "dhclient", "dbus-daemon")]

UNKNOWN = "00:0c:29:00:00:99"
BACKENDS = [
    pytest.param(DNSMASQ, marks=pytest.mark.needs("dnsmasq"), id="dnsmasq"),
    pytest.param(ISC, marks=pytest.mark.needs("dhcpd"), id="isc"),
    pytest.param(KEA, marks=pytest.mark.needs("kea-dhcp4"), id="kea"),
]


@pytest.fixture
def backend() -> Backend:
    return DNSMASQ


@pytest.fixture
def box(backend: Backend, tmp_path: Path) -> Iterator[BootHost]:
    network = Network(tmp_path)
    try:
        network.build()
        with BootHost(network, backend) as host:
            host.start_bus()
            yield host
    finally:
        network.remove()


def told(box: BootHost, mac: str, options: str = firmware(0)) -> Answer:
    """What the machine ``mac`` is told; a server that was only just told of it gets several attempts."""
    return eventually(lambda: box.network.ask(mac, options, 3), f"an answer to {mac}", 15)


def ignored(box: BootHost, mac: str) -> bool:
    return box.network.ask(mac, firmware(0), 2) is None


def troubles(box: BootHost) -> dict[str, str]:
    """Code to message of what is wrong now; the seed has remarks of its own."""
    findings = box.ask("status")["findings"]
    return {finding["code"]: finding["message"] for finding in findings if finding["severity"] != "info"}


def untroubled(box: BootHost) -> bool:
    return not troubles(box) and box.ask("status")["state"] == "ready" and box.ask("status")["in_sync"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_machine_gets_its_own_answer_while_the_cluster_changes(box: BootHost, backend: Backend) -> None:
    box.start()
    if backend is not ISC:  # a command's exit status does not tell whether there is a server
        assert box.ask("status")["dhcp"] == "not-running"
    assert box.ask("status")["state"] == "ready", "no server is a state, not a failure"
    box.start_server()
    first = told(box, MAC1)
    assert first == Answer("192.168.122.171", SERVER, "osr/pxelinux.0", "node1", SERVER)
    second = told(box, MAC2, firmware(7))
    assert second == Answer("192.168.122.172", SERVER, "osr/grubx64.efi", "node2", SERVER)
    ipxe = told(box, MAC1, IPXE)
    assert (ipxe.address, ipxe.file) == ("192.168.122.171", SCRIPT)
    assert ignored(box, UNKNOWN)
    assert ignored(box, MAC3)

    pid = box.server_pid()
    box.osrctl("node", "add", "node3", "ip=192.168.122.173", f"mac={MAC3}")
    third = told(box, MAC3)
    assert (third.address, third.file, third.name) == ("192.168.122.173", "osr/pxelinux.0", "node3")
    assert box.ask("status")["dhcp"] == "running"
    box.osrctl("node", "set", "node2", f"mac={MAC5}", "ip=192.168.122.182")
    assert told(box, MAC5).address == "192.168.122.182"
    assert ignored(box, MAC2)
    assert not box.entry(MAC2).exists()
    box.osrctl("node", "remove", "--yes", "node3")
    assert ignored(box, MAC3)
    assert not box.entry(MAC3).exists()
    assert box.server_pid() is not None
    assert (box.server_pid() == pid) is backend.live, "a restart where there is a way without"

    box.kill_server()
    box.osrctl("node", "add", "node4", "ip=192.168.122.174", f"mac={MAC4}")
    if backend is not ISC:
        assert box.ask("status")["dhcp"] == "not-running"
    assert box.ask("status")["state"] == "ready"
    assert box.ask("status")["in_sync"]
    assert box.entry(MAC4).exists()
    box.start_server()
    assert told(box, MAC4).address == "192.168.122.174"
    box.osrctl("node", "set", "node4", "ip=192.168.122.175")
    assert eventually(lambda: told(box, MAC4).address == "192.168.122.175", "the new address", 15)
    assert box.ask("status")["dhcp"] == "running"
    assert untroubled(box)


@pytest.mark.needs("dnsmasq", "tftp")
def test_every_boot_file_comes_over_tftp_by_the_names_loaders_use(box: BootHost, tmp_path: Path) -> None:
    box.start()
    box.start_server()
    published = box.published()
    fetched: set[str] = set()

    def fetch(name: str) -> bytes:
        target = tmp_path / "got"
        target.unlink(missing_ok=True)
        content = box.network.fetch(name, target)
        assert content == published[f"tftp/{name.lstrip('/')}"], name
        assert content
        fetched.add(f"tftp/{name.lstrip('/')}")
        return content

    for mac, number in ((MAC1, 1), (MAC2, 2)):
        bootif = f"01-{mac.replace(':', '-')}"
        loader = told(box, mac).file
        fetch(loader)
        here = posixpath.dirname(loader)
        fetch(f"{here}/ldlinux.c32")
        menu = fetch(f"{here}/pxelinux.cfg/{bootif}")
        assert f"nodeid={number} ".encode() in menu
        names = names_in_menu(menu)
        assert len(names) == 2
        for name in names:  # relative to the directory of pxelinux.0, unless they begin with a slash
            assert fetch(posixpath.join(here, name)).startswith(b"a stand-in for ")

        fetch(told(box, mac, firmware(7)).file)
        menu = fetch(f"/osr/grub/grub.cfg-{bootif}")
        assert f"nodeid={number} ".encode() in menu
        assert len(names_in_grub(menu)) == 2
        for name in names_in_grub(menu):
            fetch(name)

        script = told(box, mac, IPXE).file
        chain = fetch(script)
        assert b"chain --autofree 01-${netX/mac:hexhyp}.ipxe" in chain
        script = posixpath.join(posixpath.dirname(script), f"{bootif}.ipxe")
        names = names_in_ipxe(fetch(script))
        assert len(names) == 2
        for name in names:
            fetch(posixpath.normpath(posixpath.join(posixpath.dirname(script), name)))

    for name in ("osr/pxelinux.cfg/default", "osr/grub/grub.cfg", "osr/ipxe/default.ipxe"):
        fetch(name)
    assert fetched == {name for name in published if name.startswith("tftp/")}, "nothing is served in vain"


def test_exports_and_hosts_of_the_seed(box: BootHost) -> None:
    box.once()
    root = "/mnt/virtual/nfsosr/fc11"
    options = "(rw,sync,no_root_squash,no_subtree_check)"
    head = f"# Made by osrd from {box.cluster_conf}; edits are undone.\n"
    exports = (box.directory / "exports.d/osrd.exports").read_text()
    assert exports == f"{head}{root} 192.168.122.171{options} 192.168.122.172{options}\n"
    assert (box.directory / "hosts").read_text() == f"{head}192.168.122.171 node1\n192.168.122.172 node2\n"


# What each server (or its checker) refuses although nothing in osrd.conf is wrong by itself: an option of 280 bytes;
# an interface that this host does not have.
_REFUSED_SETTINGS = {
    "dnsmasq": "[subnet 192.168.122.0/24]\ndns = " + " ".join(f"192.168.122.{n}" for n in range(20, 90)) + "\n",
    "kea": "[dhcp]\ninterfaces = osrd-none\n",
}


@pytest.mark.parametrize("backend", [BACKENDS[0], BACKENDS[2]])
def test_what_the_checker_refuses_is_not_published_and_the_rest_is(box: BootHost, backend: Backend) -> None:
    box.start()
    box.start_server()
    assert told(box, MAC1)
    good = Path(box.config).read_bytes()
    box.configure("refused", _REFUSED_SETTINGS[backend.name])
    box.hang_up()
    eventually(lambda: {"dhcp-refused", "kept-back"} <= troubles(box).keys(), "the server's own words")
    box.osrctl("node", "add", "node3", "ip=192.168.122.173", f"mac={MAC3}", check=False)
    eventually(box.entry(MAC3).exists, "node3's menu is published all the same")
    assert "192.168.122.173(" in (box.directory / "exports.d/osrd.exports").read_text()
    assert Path(box.config).read_bytes() == good
    assert box.ask("status")["state"] == "degraded"
    assert not box.ask("status")["in_sync"]
    assert told(box, MAC2).address == "192.168.122.172"
    box.configure("refused", "")
    box.hang_up()
    eventually(lambda: untroubled(box), "everything is well again")
    assert told(box, MAC3).address == "192.168.122.173"


@pytest.mark.parametrize("backend", [BACKENDS[1], BACKENDS[2]])
def test_what_only_the_running_server_refuses_is_taken_back(box: BootHost, backend: Backend) -> None:
    """The checker passes it; but dhcpd has no subnet of its own interface, and Kea's interface is elsewhere."""
    box.start()
    box.start_server()
    assert told(box, MAC1)
    good = Path(box.config).read_bytes()
    if backend is ISC:
        right = box.cluster_conf.read_text()
        moved = right.replace("192.168.122.17", "192.168.123.17")
        box.replace(right, moved.replace('gateway="192.168.122.1"', 'gateway="192.168.123.1"'))
        words = "No subnet declaration for osr0"
    else:
        words = next(name for name in sorted(path.name for path in Path("/sys/class/net").iterdir()) if name != "lo")
        box.configure("refused", f"[dhcp]\ninterfaces = {words}\n")
        box.hang_up()
    eventually(lambda: "refused" in troubles(box), "the refusal")
    box.osrctl("node", "set", "node2", "votes=5")  # a run that changes nothing of DHCP hides nothing
    assert words in troubles(box)["dhcp-reload"], "the server's own words stay"
    assert Path(box.config).read_bytes() == good
    assert box.ask("status")["state"] == "degraded"
    assert box.server_pid() is not None
    assert told(box, MAC1).address == "192.168.122.171"
    if backend is ISC:
        hosts = (box.directory / "hosts").read_text()
        assert "192.168.123.171 node1" in hosts, "what is no server's goes on"
        box.replace(box.cluster_conf.read_text(), right)
    else:
        box.configure("refused", "")
        box.hang_up()
    eventually(lambda: untroubled(box), "everything is well again")
    assert told(box, MAC2).address == "192.168.122.172"
