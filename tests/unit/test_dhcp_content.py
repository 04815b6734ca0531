# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own validator finds what the servers' own tests let pass, in all three syntaxes."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.alike import common_head, common_tail
from osrd.model.finding import Finding
from osrd.parse import dhcp_dnsmasq, dhcp_isc, dhcp_kea
from osrd.parse.dhcp_content import Judge, judge

Row = tuple[str, str, str, str]  # hardware address, address, name, owner
Write = Callable[[list[Row], int], tuple[Finding, ...]]
A: Row = ("00:0c:29:c9:c6:f5", "192.168.122.171", "node1", "node1")
B: Row = ("00:0c:29:c9:c6:f6", "192.168.122.172", "node2", "node2")


def dnsmasq(rows: list[Row], claimed: int) -> tuple[Finding, ...]:
    lines = [",".join(field for field in row[:3] if field) for row in rows]
    config = "dhcp-range=set:osr-net-x,192.168.122.100,192.168.122.110,255.255.255.0,43200\n"
    hosts = "\n".join(["# Made by osrd", f"# {claimed} reservations", *lines, ""])
    return judge(dhcp_dnsmasq.read_hosts(hosts, "h"), dhcp_dnsmasq.read_config(config, "c"), "h")


def isc(rows: list[Row], claimed: int) -> tuple[Finding, ...]:
    lines = []
    for mac, ip, name, owner in rows:
        fixed = f" fixed-address {ip};" if ip else ""
        option = f' option host-name "{name}";' if name else ""
        lines.append(f"host osr-0 {{ hardware ethernet {mac};{fixed}{option} }} # {owner}")
    head = [
        "# Made by osrd",
        f"# {claimed} reservations",
        "subnet 192.168.122.0 netmask 255.255.255.0 {",
        "  pool {",
        "    range 192.168.122.100 192.168.122.110;",
        "  }",
        "}",
    ]
    return judge(*dhcp_isc.read("\n".join([*head, *lines, ""]), "c"), "c")


def kea(rows: list[Row], claimed: int) -> tuple[Finding, ...]:
    keys = ("hw-address", "ip-address", "hostname")
    reservations = [
        {**{key: value for key, value in zip(keys, row, strict=False) if value}, "user-context": {"node": row[3]}}
        for row in rows
    ]
    subnet = {
        "id": 1,
        "subnet": "192.168.122.0/24",
        "pools": [{"pool": "192.168.122.100 - 192.168.122.110", "client-class": "KNOWN"}],
        "reservations": reservations,
    }
    text = json.dumps({"Dhcp4": {"user-context": {"osrd": {"reservations": claimed}}, "subnet4": [subnet]}})
    return judge(*dhcp_kea.read(text, "c"), "c")


@pytest.mark.parametrize("write", [dnsmasq, isc, kea])
@pytest.mark.parametrize(
    ("rows", "claimed", "codes"),
    [
        ([A, B], 2, []),
        ([], 0, []),
        ([A, (A[0], *B[1:])], 2, ["dhcp-duplicate-mac"]),
        ([A, (A[0].upper(), *B[1:])], 2, ["dhcp-duplicate-mac"]),
        ([A, (B[0], A[1], *B[2:])], 2, ["dhcp-duplicate-ip"]),
        ([A, (*B[:2], "node1", "node2")], 2, ["dhcp-duplicate-name"]),
        ([A, (*B[:2], "NODE1", "node2")], 2, ["dhcp-duplicate-name"]),
        ([A, ("00:0c:29:c9:c6:fz", *B[1:])], 1, ["dhcp-bad-mac"]),
        ([A, ("00:0c:29:c9:c6", *B[1:])], 1, ["dhcp-bad-mac"]),
        ([A, (B[0], "192.168.123.5", *B[2:])], 2, ["dhcp-outside-subnets"]),
        ([A, (B[0], "192.168.122.105", *B[2:])], 2, ["dhcp-inside-range"]),
        ([A, (B[0], "192.168.122.300", *B[2:])], 2, ["dhcp-bad-ip"]),
        ([A, (B[0], "192.168.122.017", *B[2:])], 2, ["dhcp-bad-ip"]),
        ([A], 2, ["dhcp-count"]),
        ([], 2, ["dhcp-count"]),
    ],
)
def test_every_fault_is_found(write: Write, rows: list[Row], claimed: int, codes: list[str]) -> None:
    if write is isc and rows and len(rows) > 1 and rows[1][0].isupper():
        rows = [rows[0], (rows[1][0].lower(), *rows[1][1:])]
    assert [finding.code for finding in write(rows, claimed)] == codes


@pytest.mark.parametrize("write", [dnsmasq, isc, kea])
def test_a_duplicate_names_both_parties(write: Write) -> None:
    (finding,) = write([A, (A[0], *B[1:])], 2)
    assert (finding.node, finding.other, finding.value) == ("node2", "node1", A[0])
    if write is not kea:
        assert finding.place is not None
        assert finding.other_place is not None
        assert finding.place.line == finding.other_place.line + 1 > 2


@pytest.mark.parametrize("write", [isc, kea])
def test_the_slaves_of_a_bond_share_an_address_within_one_node(write: Write) -> None:
    assert write([A, (B[0], *A[1:])], 2) == ()


def test_dnsmasq_lines_of_a_bond_are_one_row() -> None:
    shared = (f"{A[0]},{B[0]}", *A[1:])
    assert dnsmasq([shared], 1) == ()
    assert [finding.code for finding in dnsmasq([shared, B], 2)] == ["dhcp-duplicate-mac"]


@pytest.mark.parametrize("line", ["dhcp-script=/bin/sh", "addn-hosts=/etc/shadow", "interface=a,b", "port=53", "x"])
def test_a_statement_that_osrd_never_writes_is_refused_with_its_line(line: str) -> None:
    (finding,) = dhcp_dnsmasq.read_config(f"port=0\n{line}\n", "c").findings
    assert (finding.code, str(finding.place)) == ("dhcp-unexpected", "c:2")
    _, networks = dhcp_isc.read(f"not authoritative;\n{line};\n", "c")
    assert [(f.code, str(f.place)) for f in networks.findings] == [("dhcp-unexpected", "c:2")]


def test_a_file_cut_in_the_middle_of_a_line_is_refused() -> None:
    hosts = dhcp_dnsmasq.read_hosts(f"# 1 reservations\n{A[0]},192.168.122.171,no", "h")
    assert [finding.code for finding in judge(hosts, None, "h")] == ["dhcp-cut-short"]
    hosts, _ = dhcp_isc.read(f"# 1 reservations\nhost osr-0 {{ hardware ethernet {A[0]}; }} # no", "c")
    assert [finding.code for finding in judge(hosts, None, "c")] == ["dhcp-cut-short"]


def test_json_that_is_none_and_keys_that_are_not_ours_are_refused() -> None:
    for text in ("{", "[]", "{}", '{"Dhcp4": 1}', '{"Dhcp4": {"hooks-libraries": []}}'):
        hosts, networks = dhcp_kea.read(text, "c")
        assert judge(hosts, networks, "c")


@given(st.text())
def test_no_text_makes_a_reader_raise(text: str) -> None:
    judge(dhcp_dnsmasq.read_hosts(text, "h"), dhcp_dnsmasq.read_config(text, "c"), "h")
    judge(*dhcp_isc.read(text, "c"), "c")
    judge(*dhcp_kea.read(text, "c"), "c")


_LINES = (
    *("# Made by osrd", "# 1 reservations", "# 2 reservations", "# 3 reservations", "", "x"),
    *(",".join(row[:3]) for row in (A, B, (B[0], *A[1:]), (A[0], *B[1:]), (A[0], "192.168.122.105", "node3"))),
    *(f"{A[0]},{B[0]},{A[1]}", A[0], B[0].upper(), f"{A[0]},{A[1]}"),
)
_TEXTS = st.lists(st.sampled_from(_LINES)).flatmap(
    lambda lines: st.sampled_from(("", "\n")).map("\n".join(lines).__add__)
)
_RANGES = st.sampled_from(
    ("192.168.122.100,192.168.122.110", "192.168.122.200,192.168.122.210", "192.168.122.0,static")
)


@given(st.lists(st.tuples(_TEXTS, _RANGES)))
def test_what_was_read_and_judged_before_makes_no_difference(candidates: list[tuple[str, str]]) -> None:
    reader, remembers = dhcp_dnsmasq.HostsReader(), Judge()
    for text, span in candidates:
        networks = dhcp_dnsmasq.read_config(f"dhcp-range=set:osr-net-x,{span},255.255.255.0,43200\n", "c")
        afresh = dhcp_dnsmasq.read_hosts(text, "h")
        hosts = reader.read(text, "h")
        assert hosts == afresh
        assert remembers.judge(hosts, networks, "h") == judge(afresh, networks, "h")


@given(st.text("ab"), st.text("ab"))
def test_what_texts_have_in_common_at_their_ends(one: str, other: str) -> None:
    shorter = range(min(len(one), len(other)) + 1)
    assert common_head(one, other) == max(size for size in shorter if one[:size] == other[:size])
    assert common_tail(one, other) == max(
        size for size in shorter if one[len(one) - size :] == other[len(other) - size :]
    )
