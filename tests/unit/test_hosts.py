# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts fragment."""

from ipaddress import AddressValueError, IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from osrd.plan.hosts import addresses, hosts_file, packed
from tests.unit.planning import eth, node


def test_the_first_address_has_the_name_and_the_others_their_nic() -> None:
    machine = node(5, nics=(eth(5, ip=""), eth(6, "bond0"), eth(7, "ib0"), eth(8, "eth3", ip="dhcp")))
    lines = addresses(machine).hosts
    assert hosts_file(reversed(lines), "/c").decode() == (
        "# Made by osrd from /c; edits are undone.\n10.0.0.6 node5\n10.0.0.7 node5-ib0\n"
    )
    assert addresses(machine).dynamic == ("10.0.0.1",)


def test_lines_are_in_the_order_of_addresses() -> None:
    nodes = [node(number) for number in (300, 20, 3)]
    lines = [line for each in nodes for line in addresses(each).hosts]
    text = hosts_file(lines, "/c").decode().splitlines()[1:]
    assert text == ["10.0.0.3 node3", "10.0.0.20 node20", "10.0.1.44 node300"]


@given(st.text(), st.text())
def test_no_name_makes_a_second_entry(name: str, nic: str) -> None:
    machine = node(1, name=name, nics=(eth(1), eth(2, nic)))
    lines = hosts_file(addresses(machine).hosts, "/c").decode().splitlines()[1:]
    assert all(len(line.split()) == 2 for line in lines if line.split()[1:])
    assert len(lines) <= 2


@given(st.one_of(st.ip_addresses(v=4).map(str), st.text("0123456789.", max_size=16), st.text(max_size=8)))
def test_packed_agrees_with_the_library(text: str) -> None:
    try:
        expected = int(IPv4Address(text))
    except AddressValueError:
        expected = None
    assert packed(text) == expected
