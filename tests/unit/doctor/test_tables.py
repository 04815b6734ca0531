# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables that osrctl doctor reads, as kernels and DHCP clients write them."""

from ipaddress import IPv4Network

import pytest

from osrd.model.errors import InvalidConfigError
from osrd.model.firewall import Packet
from osrd.parse.hosttables import (
    parse_apparmor,
    parse_dhclient_leases,
    parse_networkd_lease,
    parse_routes,
    parse_sockets,
)
from osrd.parse.ruleset import parse_iptables, parse_nft
from osrd.plan.doctor.packet import fate

UDP = """   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer
  345: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21001 2 0000000000000000 0
  346: 0A00000A:D431 0100000A:0045 01 00000000:00000000 00:00000000 00000000     0        0 21002 2 0000000000000000 0
  347: 0100007F:0045 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21003 2 0000000000000000 0
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue rx_queue tr
   0: 00000000000000000000000000000000:0801 00000000000000000000000000000000:0000 0A 00000000:00000000 00:0 0 0 0 77
   1: 0000000000000000FFFF00000A00000A:0801 0000000000000000FFFF00000B00000A:0300 01 00000000:00000000 00:0 0 0 0 78
   2: 00000000000000000000000001000000:006F 00000000000000000000000000000000:0000 0A 00000000:00000000 00:0 0 0 0 79
"""
ROUTE = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100000A	0003	0	0	100	00000000	0	0	0
eth0	0000000A	00000000	0001	0	0	100	00FFFFFF	0	0	0
eth1	00107AC0	00000000	0001	0	0	0	00F0FFFF	0	0	0
"""
LEASES = """lease {
  interface "eth0";
  fixed-address 10.0.0.10;
  option dhcp-server-identifier 10.0.0.1;
}
lease {
  interface "eth0";
  option dhcp-server-identifier 10.0.0.2;
}
lease { interface "eth1"; }
"""


def test_sockets_that_anybody_may_send_to() -> None:
    found = [(each.address, each.port, each.inode) for each in parse_sockets(UDP, "udp")]
    assert found == [("0.0.0.0", 67, 21001), ("127.0.0.1", 69, 21003)]
    found = [(each.address, each.port, each.inode) for each in parse_sockets(TCP6, "tcp")]
    assert found == [("::", 2049, 77), ("::1", 111, 79)]
    assert list(parse_sockets("head\nshort line\n", "udp")) == []


def test_networks_of_this_host() -> None:
    assert list(parse_routes(ROUTE)) == [
        ("eth0", IPv4Network("10.0.0.0/24")),
        ("eth1", IPv4Network("192.122.16.0/20")),
    ]


def test_leases() -> None:
    assert parse_networkd_lease("# private\nADDRESS=10.0.0.10\nSERVER_ADDRESS=10.0.0.1\n") == "10.0.0.1"
    assert parse_networkd_lease("ADDRESS=10.0.0.10\n") == ""
    assert parse_dhclient_leases(LEASES, "2026/01/01 00:00:00") == {"eth0": "10.0.0.2"}


def test_a_lease_of_long_ago_says_nothing_of_now() -> None:
    """eth0 has a fixed address since then, as doctor advises; nobody takes the file away."""
    text = LEASES.replace("10.0.0.2;", "10.0.0.2;\n  renew 5 2026/02/27 08:00:00;\n  expire 5 2026/02/27 09:30:00;")
    assert parse_dhclient_leases(text, "2026/02/27 09:29:59") == {"eth0": "10.0.0.2"}
    assert parse_dhclient_leases(text, "2026/02/27 09:30:00") == {}
    endless = text.replace("5 2026/02/27 09:30:00", "never")
    assert parse_dhclient_leases(endless, "2036/01/01 00:00:00") == {"eth0": "10.0.0.2"}


def test_apparmor() -> None:
    text = "/usr/sbin/dnsmasq (enforce)\n/usr/sbin/dhcpd (complain)\nusr.kea-dhcp4 (enforce)\nlsb_release (enforce)\n"
    assert parse_apparmor(text) == {"dnsmasq", "kea-dhcp4", "lsb_release"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"nftables": 7}', '{"nftables": [{"rule": {}}]}', '{"nftables": [{}]}']
)
def test_what_is_no_ruleset(text: str) -> None:
    with pytest.raises(InvalidConfigError):
        parse_nft(text)


def test_what_no_iptables_prints() -> None:
    with pytest.raises(InvalidConfigError):
        parse_iptables("*filter\n-A INPUT 'unfinished\n")


def test_a_chain_that_jumps_in_a_circle_ends() -> None:
    ruleset = parse_iptables("*filter\n:INPUT DROP [0:0]\n:a - [0:0]\n-A INPUT -j a\n-A a -j a\nCOMMIT\n")
    assert fate(Packet("udp", 67), [ruleset]).unclear


def test_an_unknown_interface_leaves_it_open() -> None:
    text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -i eth0 -j ACCEPT\n"
    ruleset = parse_iptables(text)
    assert fate(Packet("udp", 67), [ruleset]).unclear
    assert fate(Packet("udp", 67, "eth0"), [ruleset]).dropped_by == ()
    assert fate(Packet("udp", 67, "eth1"), [ruleset]).blocked
    assert fate(Packet("udp", 67), []).accepted
