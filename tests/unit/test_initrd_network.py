# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a node in the languages of the three providers."""

import configparser
from dataclasses import replace

import pytest

from osrd.model.cluster import Nic, Node
from osrd.model.errors import InvalidConfigError
from osrd.plan.initrd.network import NodeNetwork, node_network
from tests.unit.planning import eth, mac, node

BONDED = (
    eth(5, ip="", mask="", gateway="", master="bond0", slave=True),
    eth(6, "eth1", ip="", mask="", gateway="", master="bond0", slave=True),
    Nic(
        "bond0",
        ip="10.0.0.9",
        mask="255.255.0.0",
        gateway="10.0.0.1",
        properties=(("BONDING_OPTS", '"mode=4 miimon=100 lacp_rate=1 primary=eth1"'), ("MTU", "9000")),
    ),
    Nic("bond0.45", ip="dhcp"),
)


def network(*nics: Nic) -> NodeNetwork:
    return node_network(node(5, nics=nics), "web")


def read(made: NodeNetwork, path: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(made.files[path].decode())
    return {section: dict(parser[section]) for section in parser.sections()}


def test_one_nic() -> None:
    made = network(eth(5))
    assert sorted(made.files) == ["legacy/5", "nm/osr-5-eth0.nmconnection", "systemd/80-osr-5-eth0.network"]
    assert made.files["legacy/5"].decode() == f"ip=10.0.0.5::10.0.0.1:255.255.0.0:node5:@IF:{mac(5)}@:none\n"
    assert read(made, "systemd/80-osr-5-eth0.network") == {
        "Match": {"MACAddress": mac(5)},
        "Network": {"DHCP": "no", "Address": "10.0.0.5/16", "Gateway": "10.0.0.1", "KeepConfiguration": "yes"},
    }
    profile = read(made, "nm/osr-5-eth0.nmconnection")
    assert profile["ethernet"] == {"mac-address": mac(5).upper()}
    assert profile["ipv4"] == {"method": "manual", "address1": "10.0.0.5/16,10.0.0.1", "may-fail": "false"}
    assert (made.wrong, made.unsaid, made.configured) == ((), (), True)


def test_dhcp() -> None:
    made = network(eth(5, ip="DHCP", mask="", gateway=""))
    assert made.files["legacy/5"].decode() == f"ip=@IF:{mac(5)}@:dhcp\n"
    assert read(made, "systemd/80-osr-5-eth0.network")["Network"]["DHCP"] == "ipv4"
    assert read(made, "nm/osr-5-eth0.nmconnection")["ipv4"]["method"] == "auto"


def test_several_nics_say_which_is_the_roots() -> None:
    made = network(eth(5, gateway=""), eth(6, "eth1"), eth(7, "eth2", onboot="no"))
    assert made.files["legacy/5"].decode() == (
        f"ip=10.0.0.5:::255.255.0.0:node5:@IF:{mac(5)}@:none\n"
        f"ip=10.0.0.6::10.0.0.1:255.255.0.0:node5:@IF:{mac(6)}@:none\n"
        f"bootdev=@IF:{mac(6)}@\n"
    )
    assert "systemd/80-osr-5-eth2.network" not in made.files


def test_a_vlan_on_a_bond() -> None:
    made = network(*BONDED)
    assert made.files["legacy/5"].decode().splitlines() == [
        f"ifname=bootnet0:{mac(5)}",
        f"ifname=bootnet1:{mac(6)}",
        "bond=bond0:bootnet0,bootnet1:mode=4,miimon=100,lacp_rate=1,primary=bootnet1",
        "vlan=bond0.45:bond0",
        "ip=10.0.0.9::10.0.0.1:255.255.0.0:node5:bond0:none:9000",
        "ip=bond0.45:dhcp",
        "bootdev=bond0",
        "rd.bootif=0",
    ]
    below = "systemd/5/80-osr-5"
    assert read(made, f"{below}-bond0.netdev") == {
        "NetDev": {"Name": "bond0", "Kind": "bond", "MACAddress": mac(5)},
        "Bond": {"Mode": "802.3ad", "MIIMonitorSec": "100ms", "LACPTransmitRate": "fast"},
    }
    assert read(made, f"{below}-eth1.network") == {
        "Match": {"PermanentMACAddress": mac(6)},
        "Network": {"Bond": "bond0", "PrimarySlave": "yes", "DHCP": "no"},
    }
    assert read(made, f"{below}-bond0.network")["Network"]["VLAN"] == "bond0.45"
    assert read(made, f"{below}-bond0.45.netdev")["VLAN"] == {"Id": "45"}
    profile = read(made, "nm/5/osr-5-bond0.nmconnection")
    assert profile["bond"] == {"mode": "802.3ad", "miimon": "100", "lacp_rate": "1"}
    assert profile["ethernet"] == {"cloned-mac-address": mac(5).upper(), "mtu": "9000"}
    vlan = read(made, "nm/5/osr-5-bond0.45.nmconnection")
    assert vlan["vlan"] == {"id": "45", "parent": profile["connection"]["uuid"]}
    assert not any(path.startswith(("systemd/8", "nm/o")) for path in made.files)
    assert [str(each) for each in made.unsaid] == [
        "NetworkManager of an initrd is not told primary of bond0 of node5; nothing, if the bond works without"
    ]


def test_a_bridge_over_a_vlan() -> None:
    vlan = Nic("eth0.7", bridge="br0")
    bridge = Nic("br0", ip="10.0.0.9", mask="255.255.0.0", type="Bridge", properties=(("STP", "on"), ("DELAY", "2")))
    made = network(eth(5, ip="", mask="", gateway=""), vlan, bridge)
    assert made.files["legacy/5"].decode().splitlines()[1:4] == [
        "vlan=bootnet0.7:bootnet0",
        "bridge=br0:bootnet0.7",
        "ip=10.0.0.9:::255.255.0.0:node5:br0:none",
    ]
    netdev = read(made, "systemd/5/80-osr-5-br0.netdev")
    assert netdev["Bridge"] == {"STP": "yes", "ForwardDelaySec": "2"}
    assert read(made, "systemd/5/80-osr-5-eth0.7.network")["Network"]["Bridge"] == "br0"
    assert read(made, "systemd/5/80-osr-5-eth0.network")["Network"] == {
        "VLAN": "eth0.7",
        "DHCP": "no",
        "LinkLocalAddressing": "no",
    }


@pytest.mark.parametrize(
    ("nic", "reason"),
    [
        (eth(6, "eth1", mask=""), "no mask"),
        (eth(6, "eth1", mac="", mac_text=""), "no hardware address"),
        (eth(6, "eth/1"), "is none"),
        (eth(6, "eth1", gateway="300.1.1.1"), "is no address"),
        (eth(6, "eth1", properties=(("MTU", "1500\n[X]"),)), "is no number"),
        (eth(6, "eth1", master="bond9"), "does not make"),
    ],
)
def test_a_nic_that_cannot_be_said_is_told_and_the_others_are_there(nic: Nic, reason: str) -> None:
    made = network(eth(5), nic)
    assert any(path.endswith("80-osr-5-eth0.network") for path in made.files)
    assert reason in "".join(map(str, (*made.wrong, *made.unsaid)))


def test_several_values_of_a_bond_option_cannot_be_words() -> None:
    bond = replace(BONDED[2], properties=(("BONDING_OPTS", "arp_interval=50 arp_ip_target=10.0.0.1,10.0.0.2"),))
    made = network(*BONDED[:2], bond)
    assert "legacy/5" not in made.files
    assert read(made, "systemd/5/80-osr-5-bond0.netdev")["Bond"] == {
        "ARPIntervalSec": "50ms",
        "ARPIPTargets": "10.0.0.1 10.0.0.2",
    }
    assert "arp_ip_target" in str(made.unsaid[0])


def test_masters_in_a_circle_end() -> None:
    made = network(eth(5, "a", ip="", master="b"), eth(6, "b", ip="", master="a"))
    assert not made.configured


def test_identities_differ_and_stay() -> None:
    def identity(owner: Node, cluster: str) -> str:
        made = node_network(owner, cluster)
        (path,) = [path for path in made.files if path.startswith("nm/")]
        return read(made, path)["connection"]["uuid"]

    assert identity(node(5), "web") == identity(node(5), "web")
    assert len({identity(node(5), "web"), identity(node(6), "web"), identity(node(5), "db")}) == 3


def test_a_nic_that_the_initrd_cannot_describe_raises_nothing() -> None:
    made = network(eth(5, name="", ip="x"))
    assert isinstance(made.wrong[0], InvalidConfigError)
