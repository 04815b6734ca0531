# SPDX-License-Identifier: GPL-3.0-or-later
"""Candidates before the servers' own checkers and before ours: what one lets pass, the other finds."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from osrd.apply.dhcp import dhcp_server
from osrd.apply.runner import SubprocessRunner
from osrd.model.finding import Severity
from osrd.model.settings import DhcpBackend, Settings, SubnetSettings
from tests.dhcp.cluster import MACS, Host, host, seed

KINDS = [
    pytest.param(DhcpBackend.DNSMASQ, marks=pytest.mark.needs("dnsmasq")),
    pytest.param(DhcpBackend.ISC, marks=pytest.mark.needs("dhcpd")),
    pytest.param(DhcpBackend.KEA, marks=pytest.mark.needs("kea-dhcp4")),
]


def on_loopback(on: Host) -> Host:
    """Kea's checker wants interfaces to exist."""
    on.settings = replace(on.settings, dhcp=replace(on.settings.dhcp, interfaces=("lo",)))
    return on


def spoil(candidates: dict[str, str], old: str, new: str) -> None:
    """Replace ``old`` in the candidates; it must be there."""
    found = False
    for path in map(Path, candidates.values()):
        text = path.read_text()
        found |= old in text
        path.write_text(text.replace(old, new))
    assert found


def check(settings: Settings, candidates: dict[str, str], directory: Path) -> list[str]:
    return [finding.code for finding in dhcp_server(settings, SubprocessRunner(), str(directory)).check(candidates)]


@pytest.mark.parametrize("backend", KINDS)
@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (MACS[1], MACS[0], "dhcp-duplicate-mac"),
        ("192.168.122.172", "192.168.122.171", "dhcp-duplicate-ip"),
        ("node2", "node1", "dhcp-duplicate-name"),
        (MACS[1], "00:0c:29:c9:c6:xx", "dhcp-bad-mac"),
        ("192.168.122.172", "192.168.123.172", "dhcp-outside-subnets"),
        ("192.168.122.172", "192.168.122.105", "dhcp-inside-range"),
    ],
)
def test_our_own_reading_finds_what_servers_accept(
    backend: DhcpBackend, old: str, new: str, code: str, tmp_path: Path
) -> None:
    on = on_loopback(host(tmp_path, backend))
    candidates = on.candidates(seed())
    assert check(on.settings, candidates, tmp_path) == []
    # Only the name that is handed out: a node may have its own name twice.
    handed_out = {DhcpBackend.DNSMASQ: "{}", DhcpBackend.ISC: 'host-name "{}"', DhcpBackend.KEA: '"hostname": "{}"'}
    form = handed_out[backend] if code == "dhcp-duplicate-name" else "{}"
    spoil(candidates, form.format(old), form.format(new))
    assert code in check(on.settings, candidates, tmp_path)
    assert not Path(on.config).exists()


@pytest.mark.parametrize("backend", KINDS)
def test_the_servers_checker_has_the_last_word(backend: DhcpBackend, tmp_path: Path) -> None:
    """Faults that look like what osrd writes and are none: only the server itself can know."""
    on = on_loopback(host(tmp_path, backend))
    candidates = on.candidates(seed())
    spoil(
        candidates,
        *{
            DhcpBackend.DNSMASQ: ("option:router,192.168.122.1", "option:router,192.168.122.999"),
            DhcpBackend.ISC: ("option routers 192.168.122.1;", "option routers 192.168.122.999;"),
            DhcpBackend.KEA: ('"data": "192.168.122.1"', '"data": "192.168.122.999"'),
        }[backend],
    )
    server = dhcp_server(on.settings, SubprocessRunner(), str(tmp_path))
    (finding,) = server.check(candidates)
    assert (finding.code, finding.severity) == ("dhcp-refused", Severity.ERROR)
    assert finding.place is not None
    assert finding.place.file == on.config
    lines = Path(candidates[on.config]).read_text().splitlines()
    around = "".join(lines[finding.place.line - 1 : finding.place.line + 3])  # Kea names the line of the object
    assert "192.168.122.999" in around
    assert candidates[on.config] not in finding.message
    unchecked = replace(on.settings, dhcp=replace(on.settings.dhcp, check=False))
    assert check(unchecked, candidates, tmp_path) == []


@pytest.mark.parametrize("backend", [DhcpBackend.DNSMASQ, DhcpBackend.ISC, DhcpBackend.KEA])
def test_a_checker_that_is_not_installed_is_no_obstacle(backend: DhcpBackend, tmp_path: Path) -> None:
    on = on_loopback(host(tmp_path, backend))
    missing = replace(on.settings, dhcp=replace(on.settings.dhcp, program="/usr/sbin/osrd-no-such-server"))
    (finding,) = dhcp_server(missing, SubprocessRunner(), str(tmp_path)).check(on.candidates(seed()))
    assert (finding.code, finding.severity) == ("dhcp-no-checker", Severity.INFO)
    assert "install" in finding.fix


def test_a_hosts_file_alone_is_judged_against_the_published_subnets(tmp_path: Path) -> None:
    on = host(tmp_path, DhcpBackend.DNSMASQ)
    candidates = on.publish(seed())
    hosts_only = {on.hosts: candidates[on.hosts]}
    assert check(on.settings, hosts_only, tmp_path) == []
    spoil(hosts_only, "192.168.122.172", "192.168.99.172")
    assert check(on.settings, hosts_only, tmp_path) == ["dhcp-outside-subnets"]


def test_a_candidate_that_is_gone_is_a_finding(tmp_path: Path) -> None:
    on = host(tmp_path, DhcpBackend.ISC)
    assert check(on.settings, {on.config: str(tmp_path / "gone")}, tmp_path) == ["dhcp-unreadable"]


@pytest.mark.parametrize("backend", KINDS)
def test_bonds_many_subnets_and_nodes_without_addresses_pass_both(backend: DhcpBackend, tmp_path: Path) -> None:
    on = on_loopback(host(tmp_path, backend, http=True))
    second = SubnetSettings(
        IPv4Network("10.1.0.0/16"),
        router=IPv4Address("10.1.0.1"),
        dns=(IPv4Address("10.1.0.2"), IPv4Address("10.1.0.3")),
        domain="cluster.example",
        next_server=IPv4Address("10.1.0.9"),
    )
    on.settings = replace(on.settings, subnets=(*on.settings.subnets, second))
    bond = (
        '<clusternode name="node3.cluster.example" nodeid="3"><com_info>'
        '<eth name="eth0" mac="00:0c:29:00:00:03" master="bond0" slave="yes"/>'
        '<eth name="eth1" mac="00:0c:29:00:00:04" master="bond0" slave="yes"/>'
        '<eth name="bond0" ip="10.1.0.3" mask="255.255.0.0" gateway="10.1.0.1"/>'
        '<eth name="eth2" mac="00:0c:29:00:00:05" ip="10.2.0.3" mask="255.255.255.0"/>'
        '<eth name="eth3" mac="00:0c:29:00:00:06" ip="dhcp"/>'
        "</com_info></clusternode>"
    )
    candidates = on.candidates(seed(bond))
    assert check(on.settings, candidates, tmp_path) == []
    spoil(candidates, "10.2.0.3", "10.1.0.3")
    if backend is DhcpBackend.DNSMASQ:
        assert check(on.settings, candidates, tmp_path) == ["dhcp-duplicate-ip"]


def test_a_checker_that_may_not_read_the_candidate_is_no_obstacle(tmp_path: Path) -> None:
    """AppArmor confines dhcpd and kea-dhcp4 to their own directories; there is none here, so a program says it."""
    on = host(tmp_path, DhcpBackend.ISC)
    program = tmp_path / "dhcpd"
    program.write_text("#!/bin/sh\necho Can\\'t open $3: Permission denied >&2\nexit 1\n")
    program.chmod(0o755)
    confined = replace(on.settings, dhcp=replace(on.settings.dhcp, program=str(program)))
    (finding,) = dhcp_server(confined, SubprocessRunner(), str(tmp_path)).check(on.candidates(seed()))
    assert (finding.code, finding.severity) == ("dhcp-check-denied", Severity.WARNING)
    assert "apparmor.d/local/usr.sbin.dhcpd" in finding.fix
