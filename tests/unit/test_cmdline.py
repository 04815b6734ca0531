# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel command line: what dracut is told, and that nothing can break out of it."""

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.cluster import Nic, RootVolume
from osrd.model.errors import InvalidConfigError
from osrd.model.settings import BootWay
from osrd.plan.cmdline import append_words, grub_words, node_words, word
from osrd.plan.nicwords import nic_words
from tests.unit.planning import eth, mac, node


def root_word(volume: RootVolume) -> str:
    return next(text for text in node_words(node(1, root=volume), "web", BootWay.STATIC) if text.startswith("root="))


def test_a_full_boot_says_who_the_node_is_and_its_nfs_identity() -> None:
    assert node_words(node(7), "web", BootWay.FULL) == (
        "nodeid=7",
        "nfs.nfs4_unique_id=osr:web:7",
        "rd.neednet=1",
    )


def test_a_static_boot_has_root_and_cdsl_names_too() -> None:
    assert node_words(node(7), "web", BootWay.STATIC) == (
        "nodeid=7",
        "nfs.nfs4_unique_id=osr:web:7",
        "root=nfs4:192.168.122.1:/srv/root:rw,vers=4.2",
        "rw",
        "cdsltree=/cluster/cdsl",
        "cdsllink=/cdsl.local",
        "rd.neednet=1",
    )


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (RootVolume("s:/p", "nfs", "s", "/p"), "root=nfs:s:/p:rw"),
        (RootVolume("s:/p", "nfs", "s", "/p", "ro,nolock"), "root=nfs:s:/p:ro,nolock"),
        (RootVolume("s:/p", "nfs3", "s", "/p"), "root=nfs:s:/p:rw,vers=3"),
        (RootVolume("s:/p", "nfs4", "s", "/p", "nolock,vers=4.1"), "root=nfs4:s:/p:rw,vers=4.1"),
        (RootVolume("[fd00::1]:/p", "nfs4", "[fd00::1]", "/p"), "root=nfs4:[fd00::1]:/p:rw,vers=4.2"),
        (RootVolume("/p", "nfs", "", "/p"), "root=nfs:/p:rw"),
        (RootVolume("/dev/vg/root", "ext4", "", "/dev/vg/root", "noatime"), "root=/dev/vg/root"),
    ],
)
def test_the_root_word_by_file_system(volume: RootVolume, expected: str) -> None:
    assert root_word(volume) == expected


def test_a_block_device_root_has_type_and_flags() -> None:
    volume = RootVolume("LABEL=root", "gfs2", "", "LABEL=root", "noatime,ro")
    words = node_words(node(1, root=volume), "web", BootWay.STATIC)
    assert words[1:5] == ("root=LABEL=root", "rootfstype=gfs2", "ro", "rootflags=noatime")
    assert not any("nfs4_unique_id" in text for text in words)


def test_a_static_boot_without_root_volume_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="no rootvolume"):
        node_words(node(1, root=None), "web", BootWay.STATIC)


def test_one_nic_needs_no_name() -> None:
    assert nic_words(node(5), node(5).nics[0]) == ("ip=10.0.0.5::10.0.0.1:255.255.0.0:node5::none",)


def test_dhcp() -> None:
    machine = node(5, nics=(eth(5, ip="DHCP", mask="", gateway=""),))
    assert nic_words(machine, machine.nics[0]) == ("ip=dhcp",)


def test_several_nics_are_told_apart_by_hardware_address() -> None:
    machine = node(5, nics=(eth(5), eth(6, "ens4", ip="dhcp")))
    first, second = machine.nics
    assert nic_words(machine, first) == (
        f"ifname=bootnet0:{mac(5)}",
        "ip=10.0.0.5::10.0.0.1:255.255.0.0:node5:bootnet0:none",
    )
    assert nic_words(machine, second) == (f"ifname=ens4:{mac(6)}", "ip=ens4:dhcp")


def test_a_bond_slave_boots_the_bond() -> None:
    slaves = (
        eth(5, ip="", mask="", gateway="", master="bond0", slave=True),
        eth(6, "eth1", ip="", mask="", gateway="", master="bond0", slave=True),
    )
    bond = Nic("bond0", ip="10.0.0.9", mask="255.255.0.0", properties=(("BONDING_OPTS", '"mode=1 miimon=100"'),))
    machine = node(5, nics=(*slaves, bond))
    for nic in machine.boot_nics:
        assert nic_words(machine, nic) == (
            f"ifname=bootnet0:{mac(5)}",
            f"ifname=bootnet1:{mac(6)}",
            "bond=bond0:bootnet0,bootnet1:mode=1,miimon=100",
            "ip=10.0.0.9:::255.255.0.0:node5:bond0:none",
            "rd.bootif=0",
        )


def test_a_vlan_on_a_bond() -> None:
    slave = eth(5, ip="", mask="", gateway="", master="bond0", slave=True)
    vlan = Nic("bond0.45", ip="10.0.0.9", mask="255.255.0.0")
    machine = node(5, nics=(slave, Nic("bond0"), vlan))
    words = nic_words(machine, slave)
    assert "bond=bond0:bootnet0" in words
    assert "vlan=bond0.45:bond0" in words
    assert "ip=10.0.0.9:::255.255.0.0:node5:bond0.45:none" in words


def test_a_bridge_port_boots_the_bridge() -> None:
    port = eth(5, ip="", mask="", gateway="", bridge="br0")
    machine = node(5, nics=(port, Nic("br0", ip="10.0.0.9", mask="255.255.0.0", type="BRIDGE")))
    words = nic_words(machine, port)
    assert "bridge=br0:bootnet0" in words
    assert "ip=10.0.0.9:::255.255.0.0:node5:br0:none" in words


@pytest.mark.parametrize(
    ("nic", "reason"),
    [
        (eth(5, ip="", mask=""), "no address"),
        (eth(5, mask=""), "no mask"),
        (eth(5, ip="10.0.0.300"), "no IPv4 address"),
        (eth(5, ip="", master="bond0"), "no address"),
        (eth(5, gateway="10.0.0.1 init=/bin/sh"), "cannot be passed"),
    ],
)
def test_what_cannot_be_said_is_refused(nic: Nic, reason: str) -> None:
    machine = node(5, nics=(nic,))
    with pytest.raises(InvalidConfigError, match=reason):
        nic_words(machine, nic)


def test_masters_in_a_circle_end() -> None:
    nics = (eth(5, "a", ip="", master="b"), eth(6, "b", ip="", master="a"))
    with pytest.raises(InvalidConfigError, match="no address"):
        nic_words(node(5, nics=nics), nics[0])


@given(st.text())
def test_a_word_is_one_word_for_a_shell_and_for_the_kernel(text: str) -> None:
    try:
        word(text, "x")
    except InvalidConfigError:
        return
    assert shlex.split(text) == [text] == text.split()
    assert grub_words((text,)).strip("'") == text


@given(st.text())
def test_append_never_ends_the_line(text: str) -> None:
    try:
        words = append_words(text, "[boot]")
    except InvalidConfigError:
        return
    joined = " ".join(words) + grub_words(words)
    assert not any(ord(character) < 32 for character in joined)
    assert "${" not in joined


def test_append_keeps_quoted_blanks_together() -> None:
    words = append_words('quiet dyndbg="file drivers/usb/* +p"', "[boot]")
    assert words == ("quiet", 'dyndbg="file drivers/usb/* +p"')
    assert grub_words(words) == "quiet 'dyndbg=file drivers/usb/* +p'"


@pytest.mark.parametrize("append", ["a\nb", "a'b", "a\\b", 'a"b', "a && b", "a ; b", "${net0/ip}", "\x00"])
def test_append_that_a_loader_would_obey_is_refused(append: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"\[root web\]"):
        append_words(append, "[root web]")


def test_a_cluster_name_with_a_blank_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="cluster name"):
        node_words(node(1), "my cluster", BootWay.FULL)


def test_the_hostname_of_an_unsafe_node_is_refused() -> None:
    machine = replace(node(1), name="n1 init=/bin/sh")
    with pytest.raises(InvalidConfigError, match="cannot be passed"):
        nic_words(machine, machine.nics[0])
