# SPDX-License-Identifier: GPL-3.0-or-later
"""Network configuration of the source machine, in every distribution's spelling; services that fight with the root."""

from collections.abc import Iterator

import pytest

from osrd.model.finding import Severity
from osrd.model.rootcare import CommentOut, Family, Link, SetAside, Write
from osrd.plan.rootcare import network, services
from osrd.plan.rootcare.preparation import prepare
from osrd.plan.rootcare.survey import survey
from tests.conftest import REPOSITORY
from tests.unit.rootcare.trees import To, codes, found, root

OTHER = "52:54:00:00:00:99"
IFCFG = "etc/sysconfig/network-scripts"
KEYFILES = "etc/NetworkManager/system-connections"


def test_ifcfg_files_of_the_nodes_go_those_of_the_source_machine_are_told() -> None:
    tree = {
        f"{IFCFG}/ifcfg-eth0": b'DEVICE="eth0"\nONBOOT=yes\n',
        f"{IFCFG}/ifcfg-lan": b"DEVICE=eth0\n",
        f"{IFCFG}/ifcfg-mac": b"HWADDR=00:0C:29:C9:C6:F5\nDEVICE=p1p1\n",
        f"{IFCFG}/ifcfg-ens3": f"DEVICE=ens3\nHWADDR={OTHER}\n".encode(),
        f"{IFCFG}/ifcfg-eth1": b"DEVICE=eth1\n",
        f"{IFCFG}/ifcfg-lo": b"DEVICE=lo\n",
        f"{IFCFG}/ifcfg-eth0.bak": b"DEVICE=eth0\n",
        f"{IFCFG}/ifup": b"#!/bin/sh\nDEVICE=eth0\n",
    }
    remarks = found(network.ifcfg, tree)
    assert [each.finding.value.rpartition("/")[2] for each in remarks if each.repairs] == [
        "ifcfg-eth0",
        "ifcfg-lan",
        "ifcfg-mac",
    ]
    told = [each.finding for each in remarks if not each.repairs]
    assert [each.code for each in told] == ["root-ifcfg-mac"]
    assert OTHER in told[0].message
    assert told[0].severity is Severity.WARNING


def test_without_cluster_conf_the_seeds_nic_is_meant() -> None:
    tree = {f"{IFCFG}/ifcfg-eth0": b"", f"{IFCFG}/ifcfg-eth1": b""}
    assert [each.finding.value for each in found(network.ifcfg, tree, nics=(), macs=())] == [f"{IFCFG}/ifcfg-eth0"]


def test_network_manager_profiles() -> None:
    tree = {
        f"{KEYFILES}/a.nmconnection": b"[connection]\nid=x\ntype=ethernet\ninterface-name=eth0\n",
        f"{KEYFILES}/b.nmconnection": b"[connection]\ntype=ethernet\n",
        f"{KEYFILES}/c.nmconnection": b"[connection]\ntype=ethernet\ninterface-name=eth7\n",
        f"{KEYFILES}/d.nmconnection": f"[connection]\ntype=ethernet\nmac-address={OTHER.upper()}\n".encode(),
        f"{KEYFILES}/wlan": b"[connection]\ntype=wifi\n",
    }
    remarks = found(network.keyfiles, tree)
    assert codes(remarks) == ["root-keyfile", "root-keyfile", "root-keyfile-mac"]
    assert [each.repairs for each in remarks] == [
        (SetAside(f"{KEYFILES}/a.nmconnection"),),
        (SetAside(f"{KEYFILES}/b.nmconnection"),),
        (),
    ]


@pytest.mark.parametrize(
    ("text", "code", "repaired"),
    [
        ("network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n", "root-netplan", True),
        (
            'network:\n  ethernets:\n    "eth0":\n      dhcp4: true\n    eth1:\n      dhcp4: true\n',
            "root-netplan",
            False,
        ),
        (f"network:\n ethernets:\n  lan:\n   match:\n    macaddress: {OTHER}\n", "root-netplan-mac", False),
        ("network:\n ethernets:\n  lan:\n   match: {macaddress: '00:0c:29:c9:c6:f5'}\n", "root-netplan", False),
        ("network:\n  ethernets:\n    eth1:\n      addresses: []\n  # eth0:\n", "", False),
        ("network:\n  ethernets:\n    eth1:\n      routes:\n        - eth0: 1\n", "", False),
    ],
)
def test_netplan(text: str, code: str, repaired: bool) -> None:
    remarks = found(network.netplan, {"etc/netplan/01.yaml": text.encode()})
    assert codes(remarks) == ([code] if code else [])
    assert [bool(each.repairs) for each in remarks] == ([repaired] if code else [])


INTERFACES = b"""# interfaces(5)
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback

allow-hotplug eth0
iface eth0 inet static
\taddress 10.0.0.5
# why
\tgateway 10.0.0.1

auto eth0 eth1
iface eth1 inet dhcp
"""


def test_debian_stanzas_become_comments() -> None:
    (remark,) = found(network.interfaces, {"etc/network/interfaces": INTERFACES}, family=Family.DEBIAN)
    assert remark.repairs == (CommentOut("etc/network/interfaces", INTERFACES, (7, 8, 9, 11)),)
    assert "eth0" in remark.finding.message
    here = root({"etc/network/interfaces": INTERFACES})
    (change,) = prepare(here, [remark]).edits
    after = change.repair.data  # type: ignore[union-attr]
    assert b"\n# iface eth0 inet static\n# \taddress 10.0.0.5\n" in after
    assert b"\nauto eth0 eth1\niface eth1 inet dhcp\n" in after
    assert found(network.interfaces, {"etc/network/interfaces": after}) == []


def test_debian_drop_ins() -> None:
    tree = {"etc/network/interfaces.d/setup": b"auto eth0\niface eth0 inet dhcp\n"}
    (remark,) = found(network.interfaces, tree)
    assert remark.finding.value == "etc/network/interfaces.d/setup"


def test_names_that_udev_remembers() -> None:
    rule = b'SUBSYSTEM=="net", ATTR{address}=="52:54:00:00:00:99", NAME="eth0"\n'
    tree = {
        "etc/udev/rules.d/70-persistent-net.rules": rule,
        "etc/udev/rules.d/70-mine.rules": rule,
        "lib/udev/rules.d/75-persistent-net-generator.rules": b"",
        "etc/systemd/network/10-lan.link": f"[Match]\nMACAddress={OTHER}\n".encode(),
    }
    remarks = found(network.persistent, tree)
    assert [each.repairs for each in remarks] == [
        (SetAside("etc/udev/rules.d/70-persistent-net.rules"),),
        (Write("etc/udev/rules.d/75-persistent-net-generator.rules", None, b""),),
        (),
    ]
    quiet = {"etc/udev/rules.d/75-persistent-net-generator.rules": b""}
    assert found(network.persistent, {**quiet, "lib/udev/rules.d/75-persistent-net-generator.rules": b""}) == []


def test_a_directory_that_is_a_symlink_is_refused_by_name() -> None:
    with pytest.raises(Exception, match=r"etc/network.* symlink"):
        found(
            network.interfaces, {"etc/network": To("/etc/network"), "etc/network/interfaces": b"iface eth0 inet dhcp"}
        )


CONFIG = b"# SELINUX=enforcing\nSELINUX=enforcing # here\nSELINUXTYPE=targeted\n"


def test_selinux_is_disabled_where_it_is_enforcing() -> None:
    tree = {"etc/selinux/config": CONFIG, "etc/sysconfig/selinux": To("../selinux/config")}
    (remark,) = found(services.selinux, tree)
    after = b"# SELINUX=enforcing\nSELINUX=disabled\nSELINUXTYPE=targeted\n"
    assert remark.repairs == (Write("etc/selinux/config", CONFIG, after),)
    assert remark.finding.place is not None
    assert remark.finding.place.line == 2
    for word in (b"permissive", b"disabled"):
        assert found(services.selinux, {"etc/selinux/config": CONFIG.replace(b"enforcing #", word + b" #")}) == []
    assert codes(found(services.selinux, {"etc/sysconfig/selinux": CONFIG})) == ["root-selinux"]


WANTS = "etc/systemd/system/multi-user.target.wants/NetworkManager.service"


def test_network_manager_of_systemd() -> None:
    tree = {WANTS: To("/usr/lib/systemd/system/NetworkManager.service")}
    (remark,) = found(services.network_manager, tree)
    assert remark.repairs == (SetAside(WANTS),)
    assert "--keep-networkmanager" in remark.finding.fix
    here = root(tree)
    change = prepare(here, [remark], keep_networkmanager=True).edits[-1]
    kept = change.repair
    assert isinstance(kept, Write)
    assert b"unmanaged-devices=mac:00:0c:29:c9:c6:f5\n" in kept.data
    assert found(services.network_manager, {**tree, kept.path: kept.data}) == []
    assert codes(found(services.network_manager, {**tree, kept.path: kept.data}, macs=("aa:bb:cc:dd:ee:ff",)))


def test_network_manager_of_chkconfig() -> None:
    tree = {
        "etc/rc.d/rc3.d/S23NetworkManager": To("../init.d/NetworkManager"),
        "etc/rc.d/rc5.d/S23NetworkManager": To("../init.d/NetworkManager"),
        "etc/rc.d/rc3.d/S99local": To("../rc.local"),
        "etc/rc3.d": To("rc.d/rc3.d"),
    }
    (remark,) = found(services.network_manager, tree, macs=(), nics=())
    assert remark.repairs == (
        SetAside("etc/rc.d/rc3.d/S23NetworkManager"),
        Link("etc/rc.d/rc3.d/K77NetworkManager", "../init.d/NetworkManager"),
        SetAside("etc/rc.d/rc5.d/S23NetworkManager"),
        Link("etc/rc.d/rc5.d/K77NetworkManager", "../init.d/NetworkManager"),
    )
    assert "--keep" not in remark.finding.fix


def test_cloud_init() -> None:
    (remark,) = found(services.cloud_init, {"etc/cloud/cloud.cfg": b""})
    assert remark.repairs == (Write("etc/cloud/cloud-init.disabled", None, b""),)
    assert found(services.cloud_init, {"etc/cloud/cloud.cfg": b"", "etc/cloud/cloud-init.disabled": b""}) == []


NETWORKD = {"etc/systemd/system/multi-user.target.wants/systemd-networkd.service": To("/x")}


@pytest.mark.parametrize(
    ("match", "code"),
    [
        ("Name=eth0", "root-networkd"),
        ("Name=en* eth*", "root-networkd"),
        ("Name=lan0\nName=eth0", "root-networkd"),
        ("MACAddress=00:0C:29:C9:C6:F5", "root-networkd"),
        ("Type=ether", "root-networkd"),
        (f"MACAddress={OTHER}", "root-networkd-mac"),
        ("Name=en*", ""),
        ("Type=wlan", ""),
        ("Driver=x\nType=ether", ""),
    ],
)
def test_files_of_networkd(match: str, code: str) -> None:
    text = f"# of the installer\n[Match]\n{match}\n\n[Link]\nMACAddress=00:0c:29:c9:c6:f5\n[Network]\nDHCP=yes\n"
    path = "etc/systemd/network/20-wired.network"
    remarks = found(network.networkd, {**NETWORKD, path: text.encode()})
    assert codes(remarks) == ([code] if code else [])
    if code == "root-networkd":
        assert remarks[0].repairs == (SetAside(path),)
    assert found(network.networkd, {path: text.encode()}) == [], "nobody reads them"


def links_of(*units: str) -> Iterator[str]:
    """What `systemctl enable` makes for osrd's own units: their [Install] sections."""
    for unit in units:
        for line in (REPOSITORY / "data/systemd" / unit).read_text().splitlines():
            key, _, value = line.partition("=")
            if key == "WantedBy":
                yield f"{value}.wants/{unit}"
            elif key == "Alias":
                yield value


def test_a_boot_host_that_was_copied() -> None:
    """A root made by ``cp -ax`` of the machine that osrd runs on."""
    wants = "etc/systemd/system/multi-user.target.wants"
    socket = "etc/systemd/system/sockets.target.wants/osrd-copy.socket"
    tree = {
        f"{wants}/osrd.service": To("/lib/systemd/system/osrd.service"),
        socket: To("/x"),
        f"{wants}/a.service": To("/x"),
    }
    (remark,) = found(services.boot_host, tree)
    assert remark.repairs == (SetAside(f"{wants}/osrd.service"), SetAside(socket))
    every = [
        f"etc/systemd/system/{link}" for link in links_of("osrd.service", "osrd-build.socket", "osrd-copy.socket")
    ]
    (remark,) = found(services.boot_host, dict.fromkeys(every, To("/x")))
    assert sorted(repair.path for repair in remark.repairs if isinstance(repair, SetAside)) == sorted(every)
    assert remark.finding.severity is Severity.ERROR
    assert "disable osrd" in remark.finding.fix
    assert found(services.boot_host, {f"{wants}/a.service": To("/x")}) == []
    own = {f"cluster/cdsl/1/{path}": link for path, link in tree.items()}
    assert found(services.boot_host, own, "etc/systemd") == [], "what each node has its own of is its own business"


def test_a_copied_boot_host_is_prepared() -> None:
    """The rule is one of those that are asked."""
    link = "etc/systemd/system/multi-user.target.wants/osrd.service"
    here = root({link: To("/lib/systemd/system/osrd.service")}, "")
    assert SetAside(link) in [change.repair for change in prepare(here, survey(here)).edits]
