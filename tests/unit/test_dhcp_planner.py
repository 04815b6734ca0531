# SPDX-License-Identifier: GPL-3.0-or-later
"""What the DHCP planner makes of nodes and settings, in all three syntaxes."""

import json
import time
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.cluster import Cluster, Nic, Node
from osrd.model.finding import Severity
from osrd.model.netboot import BootFiles
from osrd.model.settings import Architecture, DhcpBackend, DhcpSettings, Paths, Settings, SubnetSettings, TftpSettings
from osrd.parse import dhcp_dnsmasq, dhcp_isc, dhcp_kea
from osrd.parse.dhcp_content import Hosts, Networks, judge
from osrd.plan.dhcp import DhcpPlanner, DhcpResult
from osrd.plan.dhcp.kea import subnet_ids

BOOT = BootFiles(
    "10.0.0.1",
    {Architecture.BIOS: "osr/pxelinux.0", Architecture.X86_64: "osr/grubx64.efi"},
    "osr/ipxe/boot.ipxe",
)
BACKENDS = [DhcpBackend.DNSMASQ, DhcpBackend.ISC, DhcpBackend.KEA]
RANGE = SubnetSettings(IPv4Network("10.0.0.0/24"), range=(IPv4Address("10.0.0.200"), IPv4Address("10.0.0.220")))


def nic(number: int, ip: str | None = None, name: str = "eth0", **more: object) -> Nic:
    mac = f"00:0c:29:00:{number >> 8:02x}:{number & 255:02x}"
    address = f"10.0.{number >> 8}.{number & 255}" if ip is None else ip
    nic = Nic(name, mac=mac, ip=address, mask="255.255.255.0", gateway="10.0.0.1", line=2)
    return replace(nic, **more)  # type: ignore[arg-type]


def node(name: str, *nics: Nic) -> Node:
    return Node(name, 1, nics=nics, source=f"{name} {nics!r}".encode())


def cluster(*nodes: Node) -> Cluster:
    return Cluster("/etc/cluster/cluster.conf", "c", 1, nodes=nodes, lines=tuple(range(10, 10 + len(nodes))))


def settings(backend: DhcpBackend, *subnets: SubnetSettings, **more: object) -> Settings:
    dhcp = replace(DhcpSettings(backend=backend), **more)  # type: ignore[arg-type]
    return Settings(dhcp=dhcp, subnets=subnets)


def plan(backend: DhcpBackend, nodes: tuple[Node, ...], *subnets: SubnetSettings, **more: object) -> DhcpResult:
    return DhcpPlanner().plan(nodes, settings(backend, *subnets, **more), BOOT, cluster(*nodes))


def read_back(backend: DhcpBackend, result: DhcpResult) -> tuple[Hosts, Networks]:
    texts = [file.content.decode() for file in result.files]
    if backend is DhcpBackend.DNSMASQ:
        return dhcp_dnsmasq.read_hosts(texts[1], "hosts"), dhcp_dnsmasq.read_config(texts[0], "config")
    return (dhcp_isc.read if backend is DhcpBackend.ISC else dhcp_kea.read)(texts[0], "config")


def rows(hosts: Hosts) -> list[tuple[str, str, str]]:
    return list(zip(hosts.macs, hosts.addresses, hosts.names, strict=True))


def test_nothing_is_planned_without_a_back_end() -> None:
    assert plan(DhcpBackend.NONE, (node("a", nic(5)),)) == DhcpResult((), ())


def test_the_default_places_are_the_documented_ones() -> None:
    paths = [[file.path for file in plan(backend, (node("a", nic(5)),)).files] for backend in BACKENDS]
    assert paths == [
        ["/etc/dnsmasq.d/osrd.conf", "/var/lib/osrd/dnsmasq.hosts"],
        ["/etc/dhcp/osrd-dhcpd.conf"],
        ["/etc/kea/osrd-dhcp4.conf"],
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_written_reads_back_without_complaint(backend: DhcpBackend) -> None:
    second = SubnetSettings(
        IPv4Network("10.1.0.0/16"),
        router=IPv4Address("10.1.0.1"),
        dns=(IPv4Address("10.1.0.2"), IPv4Address("10.1.0.3")),
        domain="cluster.example",
        next_server=IPv4Address("10.1.0.9"),
        interface="eth1",
    )
    nodes = (
        node("a", nic(5), nic(6, "10.1.0.6", "eth1")),
        node("b", nic(7, "dhcp")),
        node(
            "c", nic(8, "", master="bond0"), nic(9, "", "eth1", master="bond0"), Nic("bond0", ip="10.0.0.8", mask="24")
        ),
    )
    result = plan(backend, nodes, RANGE, second)
    assert result.findings == ()
    hosts, networks = read_back(backend, result)
    assert judge(hosts, networks, "f") == ()
    bond = {"00:0c:29:00:00:08", "00:0c:29:00:00:09"}
    assert {mac for joined in hosts.macs for mac in joined.split(",")} == {
        "00:0c:29:00:00:05",
        "00:0c:29:00:00:06",
        "00:0c:29:00:00:07",
        *bond,
    }
    found = rows(hosts)
    assert ("00:0c:29:00:00:05", "10.0.0.5", "a") in found
    assert ("00:0c:29:00:00:06", "10.1.0.6", "") in found  # a name is given once
    assert ("00:0c:29:00:00:07", "", "b") in found
    assert {mac for macs, ip, _ in found if ip == "10.0.0.8" for mac in macs.split(",")} == bond
    assert networks.subnets == (IPv4Network("10.0.0.0/24"), IPv4Network("10.1.0.0/16"))
    assert networks.ranges == ((IPv4Address("10.0.0.200"), IPv4Address("10.0.0.220")),)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_vlan_or_bridge_on_the_same_address_makes_no_second_reservation(backend: DhcpBackend) -> None:
    nodes = (
        node("a", nic(5, "10.9.0.5", "eth0.45"), nic(5), nic(5, "", "br0")),
        node("b", nic(6, "", bridge="br0"), Nic("br0", ip="10.0.0.6", mask="255.255.255.0")),
    )
    hosts, networks = read_back(backend, plan(backend, nodes))
    assert rows(hosts) == [("00:0c:29:00:00:05", "10.0.0.5", "a"), ("00:0c:29:00:00:06", "10.0.0.6", "b")]
    assert networks.subnets == (IPv4Network("10.0.0.0/24"),)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dhcp_without_a_range_is_a_warning_with_its_line(backend: DhcpBackend) -> None:
    result = plan(backend, (node("a", nic(5)), node("b", nic(6, "DHCP"))))
    (finding,) = result.findings
    assert (finding.code, finding.severity, finding.node) == ("dhcp-no-range", Severity.WARNING, "b")
    assert str(finding.place) == "/etc/cluster/cluster.conf:13"
    assert rows(read_back(backend, result)[0]) == [("00:0c:29:00:00:05", "10.0.0.5", "a")]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (nic(9, "10.0.0.300"), "dhcp-address"),
        (nic(9, mask=""), "dhcp-address"),
        (nic(9, mask="255.0.255.0"), "dhcp-address"),
        (nic(210, "10.0.0.210"), "dhcp-address"),  # inside the range
        (nic(9, mac="00:0c:29:ff:fe:00:00:05"), "dhcp-not-ethernet"),
        (nic(9, "10.0.3.3", mask="255.255.0.0"), "dhcp-subnet-overlap"),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_bad_node_is_left_out_and_the_others_stay(backend: DhcpBackend, wrong: Nic, code: str) -> None:
    subnets = () if wrong.mask in ("", "255.0.255.0") else (RANGE,)
    result = plan(backend, (node("good", nic(5)), node("bad", wrong), node("fine", nic(6))), *subnets)
    assert [(finding.code, finding.node) for finding in result.findings] == [(code, "bad")]
    hosts, networks = read_back(backend, result)
    assert [name for name in hosts.names if name] == ["good", "fine"]
    assert judge(hosts, networks, "f") == ()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mistyped_mask_is_served_with_the_majority(backend: DhcpBackend) -> None:
    nodes = (node("a", nic(5)), node("b", nic(6)), node("c", nic(7, mask="255.255.0.0")))
    result = plan(backend, nodes)
    assert [(finding.code, finding.severity) for finding in result.findings] == [
        ("dhcp-subnet-overlap", Severity.WARNING)
    ]
    hosts, networks = read_back(backend, result)
    assert len(hosts.macs) == 3
    assert networks.subnets == (IPv4Network("10.0.0.0/24"),)


@pytest.mark.parametrize(
    "name", ["10", "12h", "infinite", "IGNORE", "10.0.0.9", "a b", 'x"; }', "ä", "a\nb", "-a", ""]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_names_that_a_server_would_misread_are_not_given_out(backend: DhcpBackend, name: str) -> None:
    result = plan(backend, (node(name, nic(5)),))
    assert [finding.code for finding in result.findings] == ["dhcp-name"]
    hosts, networks = read_back(backend, result)
    assert rows(hosts) == [("00:0c:29:00:00:05", "10.0.0.5", "")]
    assert judge(hosts, networks, "f") == ()


@pytest.mark.parametrize("backend", BACKENDS)
def test_control_characters_in_settings_publish_nothing(backend: DhcpBackend) -> None:
    evil = replace(RANGE, domain="x\ndhcp-script=/bin/sh")
    result = plan(backend, (node("a", nic(5)),), evil)
    assert result.files == ()
    assert [finding.code for finding in result.findings] == ["dhcp-text"]


@given(text=st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20))
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_printable_text_stays_inside_its_quotes(backend: DhcpBackend, text: str) -> None:
    made = (node("a", nic(5)),)
    configured = replace(
        settings(backend, replace(RANGE, domain=text)), tftp=TftpSettings(root=f"/srv/{text}"), paths=Paths()
    )
    result = DhcpPlanner().plan(made, configured, BOOT, cluster(*made))
    hosts, networks = read_back(backend, result)
    assert judge(hosts, networks, "f") == ()
    if backend is DhcpBackend.KEA:
        options = json.loads(result.files[0].content)["Dhcp4"]["subnet4"][0]["option-data"]
        assert {"name": "domain-name", "data": text} in options


def test_without_a_router_dnsmasq_is_told_not_to_name_itself() -> None:
    text = plan(DhcpBackend.DNSMASQ, (node("a", nic(5, gateway="")),)).files[0].content.decode()
    assert "dhcp-option=tag:osr-net-10.0.0.0-24,option:router\n" in text


def test_the_router_is_the_gateway_of_most_nodes_and_the_others_are_named() -> None:
    nodes = (node("a", nic(5)), node("b", nic(6)), node("c", nic(7, gateway="10.0.0.254")))
    result = plan(DhcpBackend.ISC, nodes)
    assert b"option routers 10.0.0.1;" in result.files[0].content
    assert [(finding.code, finding.other) for finding in result.findings] == [("dhcp-several-gateways", "10.0.0.254")]


def test_subnet_ids_are_stable_and_distinct() -> None:
    networks = [IPv4Network(f"10.{number}.0.0/16") for number in range(200)]
    ids = subnet_ids(networks)
    assert len(set(ids.values())) == 200
    assert all(1 <= number <= 2**31 for number in ids.values())
    assert subnet_ids(networks[100:])[networks[150]] == ids[networks[150]]
    assert ids[IPv4Network("10.0.0.0/16")] == 1670254898  # leases on disk are stored under it: never change this


def test_kea_has_no_pool_for_strangers_and_a_socket_only_when_configured() -> None:
    kea = json.loads(plan(DhcpBackend.KEA, (node("a", nic(5)),), RANGE).files[0].content)["Dhcp4"]
    assert [pool["client-class"] for subnet in kea["subnet4"] for pool in subnet["pools"]] == ["KNOWN"]
    assert "control-socket" not in kea


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_second_plan_is_identical_and_settings_are_never_stale(backend: DhcpBackend) -> None:
    planner = DhcpPlanner()
    nodes = (node("a", nic(5)), node("b", nic(6, "dhcp")))
    first = planner.plan(nodes, settings(backend, RANGE), BOOT, cluster(*nodes))
    assert planner.plan(nodes, settings(backend, RANGE), BOOT, cluster(*nodes)) == first
    without = planner.plan(nodes, settings(backend), BOOT, cluster(*nodes))
    assert without == DhcpPlanner().plan(nodes, settings(backend), BOOT, cluster(*nodes))
    assert without != first


def test_one_edit_among_ten_thousand_nodes_is_cheap() -> None:
    nodes = tuple(
        node(f"n{i}", replace(nic(i), ip=f"10.0.{i >> 8}.{i & 255}", mask="255.255.0.0")) for i in range(2, 10002)
    )
    configured = settings(DhcpBackend.DNSMASQ)
    planner = DhcpPlanner()
    planner.plan(nodes, configured, BOOT, cluster(*nodes))
    edited = (*nodes[:5000], node("new", nic(9, "10.0.200.200", mask="255.255.0.0")), *nodes[5001:])
    changed = cluster(*edited)
    times = []
    for candidates in (edited, nodes, edited):
        start = time.process_time()
        result = planner.plan(candidates, configured, BOOT, changed)
        times.append(time.process_time() - start)
    assert result.files[1].content.count(b"\n") == 10002
    assert min(times) < 0.015 * 2  # the budget, and as much again for a busy machine
