# SPDX-License-Identifier: GPL-3.0-or-later
"""The exports file: exact clients, exact syntax."""

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.cluster import RootVolume
from osrd.model.finding import Severity
from osrd.model.output import Kind, Output
from osrd.model.settings import NfsSettings, RootSettings, Settings, SubnetSettings
from osrd.plan.desired import Desirer, Inputs
from osrd.plan.exports import Export, escaped, export_of, exports_file
from tests.unit.planning import ROOT, VOLUME, eth, inputs, node, settings

SERVER = "192.168.122.1"
SUBNET = SubnetSettings(IPv4Network("10.0.0.0/16"), (IPv4Address("10.0.9.1"), IPv4Address("10.0.9.9")))


def exported(made: Inputs) -> str | None:
    desired = Desirer().desire(made)
    output: Output | None = desired.outputs.get(made.settings.nfs.exports)
    if output is None:
        return None
    content = desired.contents[output.recipe]
    assert isinstance(content, bytes)
    return content.decode().partition("\n")[2]


def test_one_line_per_root_with_exactly_its_nodes() -> None:
    other = RootVolume(f"{SERVER}:/srv/b", "nfs", SERVER, "/srv/b")
    options = "rw,sync,no_root_squash,no_subtree_check"
    assert exported(inputs(node(3), node(1), node(2, root=other))) == (
        f"/srv/b 10.0.0.2({options})\n/srv/root 10.0.0.1({options}) 10.0.0.3({options})\n"
    )


def test_a_root_of_another_host_is_not_exported() -> None:
    away = RootVolume("10.9.9.9:/srv/b", "nfs", "10.9.9.9", "/srv/b")
    assert exported(inputs(node(1, root=away))) is None
    # Its path says that it is here after all, under a name or an address that only the administrator knows.
    assert export_of(settings(), away, replace(ROOT, path="/exports/b"), SERVER) == Export(
        "/exports/b", NfsSettings().options
    )


def test_a_root_that_is_here_since_this_host_mounts_it_is_left_to_its_server() -> None:
    """exportfs refuses a file system that is mounted by NFS, and with it osrd went back to the exports before."""
    away = RootVolume("nas:/vol/b", "nfs", "nas", "/vol/b")
    section = RootSettings("nas", volume="nas:/vol/b", path="/srv/b", export_options="")
    made = inputs(node(1), node(2, root=away))
    with_nas = replace(made.settings, roots=(*made.settings.roots, section))
    assert exported(replace(made, settings=with_nas)) == (
        "/srv/root 10.0.0.1(rw,sync,no_root_squash,no_subtree_check)\n"
    )
    pathless = replace(with_nas, roots=(replace(section, path=""),), boot=replace(with_nas.boot, server=None))
    alone = replace(inputs(node(1, root=away)), settings=pathless)
    assert Kind.EXPORTS not in Desirer().desire(alone).frozen_kinds, "nothing is unknown about it"


def test_a_local_root_is_not_exported() -> None:
    assert export_of(settings(), RootVolume("/dev/sda", "ext4", "", "/dev/sda"), ROOT, SERVER) is None


def test_options_of_the_root_section_win_untouched() -> None:
    root = RootSettings("web", export_options="ro,fsid=0,sec=krb5:krb5i")
    assert export_of(settings(), VOLUME, root, SERVER) == Export("/srv/root", "ro,fsid=0,sec=krb5:krb5i")


def test_options_that_would_end_the_line_freeze_the_file() -> None:
    made = inputs(node(1))
    bad = replace(made.settings, nfs=NfsSettings(options="rw) *(rw"))
    desired = Desirer().desire(replace(made, settings=bad))
    assert Kind.EXPORTS in desired.frozen_kinds
    assert "/etc/exports.d/osrd.exports" not in desired.outputs
    assert [finding.code for finding in desired.findings] == ["export-options"]


def test_a_dhcp_node_is_exported_to_its_subnet() -> None:
    made = inputs(node(1, nics=(eth(1, ip="dhcp"),)))
    text = exported(replace(made, settings=replace(made.settings, subnets=(SUBNET,))))
    assert text == "/srv/root 10.0.0.0/16(rw,sync,no_root_squash,no_subtree_check)\n"


def test_a_dhcp_node_without_subnet_is_a_warning() -> None:
    desired = Desirer().desire(inputs(node(1, nics=(eth(1, ip="dhcp"),))))
    found = [finding for finding in desired.findings if finding.code == "export-no-address"]
    assert [(finding.node, finding.severity) for finding in found] == [("node1", Severity.WARNING)]


def test_without_a_server_address_running_nodes_keep_their_access() -> None:
    made = inputs(node(1), node(2, root=RootVolume("nas:/x", "nfs", "nas", "/x")))
    unknown: Settings = replace(made.settings, boot=replace(made.settings.boot, server=None))
    desired = Desirer().desire(replace(made, settings=unknown))
    assert {Kind.EXPORTS, Kind.DHCP} <= desired.frozen_kinds
    assert [finding.code for finding in desired.findings] == ["no-boot-server"]
    assert any(output.kind is Kind.PXELINUX and output.node for output in desired.outputs.values())


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/srv/a b", "/srv/a\\040b"), ('/q"#(', "/q\\042\\043\\050"), ("/\n*", "/\\012\\052"), ("/ü", "/\\303\\274")],
)
def test_paths_are_escaped(path: str, expected: str) -> None:
    assert escaped(path) == expected


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_escaping_is_reversible_and_one_word(path: str) -> None:
    text = escaped(path)
    assert len(text.split()) == 1
    back = re.sub(rb"\\(\d{3})", lambda match: bytes([int(match[1], 8)]), text.encode())
    assert back.decode() == path


@given(st.permutations(range(6)))
def test_the_order_of_nodes_does_not_matter(order: list[int]) -> None:
    clients = [(number, f"10.0.0.{number}") for number in order]
    assert exports_file({Export("/a", "rw"): clients}, "/c") == exports_file(
        {Export("/a", "rw"): sorted(clients)}, "/c"
    )


def test_two_names_of_one_path_make_one_line() -> None:
    made = exports_file(
        {Export("/a", "rw"): [(1, "0.0.0.1"), (2, "0.0.0.2")], Export("/a", "ro"): [(2, "0.0.0.2"), (3, "0.0.0.3")]},
        "/c",
    )
    assert made.decode().splitlines()[1:] == ["/a 0.0.0.1(rw) 0.0.0.2(ro) 0.0.0.3(ro)"]
