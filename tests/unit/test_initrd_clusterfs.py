# SPDX-License-Identifier: GPL-3.0-or-later
"""Who the others are, for a node that mounts GFS2 or OCFS2: the whole cluster, nobody twice, and no secret."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.cdsl import Layout
from osrd.model.cluster import Filesystem, Nic, Node, RootVolume
from osrd.model.finding import Severity
from osrd.model.settings import BootWay, Settings
from osrd.parse.clusterconf import parse_cluster
from osrd.plan.initrd.clusterfs import ClusterFiles, clusterfs_files, needs
from osrd.plan.initrd.data import initrd_data
from tests.unit import planning
from tests.unit.planning import cluster


def volume(fstype: str, options: str = "", device: str = "/dev/vg/root") -> RootVolume:
    return RootVolume(device, fstype, "", device, options)


def eth(number: int, network: int = 99, **others: object) -> Nic:
    ip = f"10.0.{network}.{number}"
    return planning.eth(number, f"eth{network}", **{"ip": ip, "mask": "255.255.255.0", "gateway": "", **others})


def node(number: int, fstype: str = "gfs2", **others: object) -> Node:
    made = planning.node(number, **{"nics": (eth(number),), "root": volume(fstype), **others})
    return replace(made, source=b"<clusternode/>")


def corosync(*nodes: Node) -> str:
    return clusterfs_files(cluster(*nodes)).files["corosync/corosync.conf"].decode()


def told(made: ClusterFiles, severity: Severity) -> list[tuple[str, str]]:
    return [(finding.code, finding.node) for finding in made.findings if finding.severity is severity]


def test_two_nodes_with_gfs2() -> None:
    assert corosync(node(2), node(1)) == (
        "# Made by osrd from cluster.conf.\n"
        "totem {\n\tversion: 2\n\tcluster_name: web\n\ttransport: knet\n"
        "\tcrypto_cipher: none\n\tcrypto_hash: none\n}\n"
        "nodelist {\n"
        "\tnode {\n\t\tring0_addr: 10.0.99.1\n\t\tnodeid: 1\n\t\tname: node1\n\t\tquorum_votes: 1\n\t}\n"
        "\tnode {\n\t\tring0_addr: 10.0.99.2\n\t\tnodeid: 2\n\t\tname: node2\n\t\tquorum_votes: 1\n\t}\n"
        "}\n"
        "quorum {\n\tprovider: corosync_votequorum\n\twait_for_all: 1\n\ttwo_node: 1\n}\n"
        "logging {\n\tto_stderr: yes\n\tto_syslog: no\n\tto_logfile: no\n\ttimestamp: off\n}\n"
    )
    made = clusterfs_files(cluster(node(1), node(2)))
    assert set(made.files) == {"corosync/corosync.conf", "dlm/dlm.conf"}
    assert b"\nenable_startup_fencing=0\n" in made.files["dlm/dlm.conf"]
    assert [finding.code for finding in made.findings] == ["corosync-unencrypted"]


@pytest.mark.parametrize("count", [1, 3])
def test_two_node_is_for_two_nodes(count: int) -> None:
    assert "two_node" not in corosync(*map(node, range(1, count + 1)))


def test_two_nodes_with_unequal_votes_are_not_two_node() -> None:
    assert "two_node" not in corosync(node(1), node(2, votes="2"))
    assert "quorum_votes: 2" in corosync(node(1), node(2, votes="2"))


def test_how_long_a_member_may_be_silent() -> None:
    made = clusterfs_files(replace(cluster(node(1), node(2)), totem=(("token", "21000"),)))
    assert b"\ttoken: 21000\n}\nnodelist" in made.files["corosync/corosync.conf"]
    assert told(made, Severity.WARNING) == []


@pytest.mark.parametrize("text", ["", "99", "900001", "5s", "-1000", "\u0661\u0660\u0660\u0660"])
def test_no_time_to_be_silent(text: str) -> None:
    made = clusterfs_files(replace(cluster(node(1), node(2)), totem=(("token", text),)))
    assert b"token" not in made.files["corosync/corosync.conf"]
    assert told(made, Severity.WARNING) == [("initrd-cluster", "")]


def test_a_link_for_each_network_that_all_are_in() -> None:
    made = corosync(node(1, nics=(eth(1, 7), eth(1, 8), eth(1, 9))), node(2, nics=(eth(2, 9), eth(2, 6), eth(2, 7))))
    assert [line.strip() for line in made.splitlines() if "_addr" in line] == [
        *("ring0_addr: 10.0.7.1", "ring1_addr: 10.0.9.1"),
        *("ring0_addr: 10.0.7.2", "ring1_addr: 10.0.9.2"),
    ]


def test_without_a_common_network_the_first_addresses() -> None:
    made = corosync(node(1, nics=(eth(1, 7), eth(1, 8))), node(2, nics=(eth(2, 9),)))
    assert [line.strip() for line in made.splitlines() if "_addr" in line] == [
        *("ring0_addr: 10.0.7.1", "ring0_addr: 10.0.9.2")
    ]


def test_who_cannot_be_a_member() -> None:
    made = clusterfs_files(
        cluster(
            node(1),
            node(2, nics=(eth(2, ip="dhcp"),)),
            node(3, nics=(eth(1),)),
            node(4, "ext4", nics=()),
            node(5, votes="many"),
            node(6, name="node one"),
        )
    )
    assert b"nodeid: 1\n" in made.files["corosync/corosync.conf"]
    assert made.files["corosync/corosync.conf"].count(b"nodeid:") == 1
    assert told(made, Severity.ERROR) == [("initrd-member", name) for name in ("node2", "node3", "node5", "node one")]
    assert told(made, Severity.WARNING) == [("initrd-member", "node4")], "it mounts no GFS2, and is missed as a voter"


def test_a_cluster_name_that_gfs2_cannot_have() -> None:
    made = clusterfs_files(replace(cluster(node(1)), name="a cluster"))
    assert made.files == {}
    assert told(made, Severity.ERROR) == [("initrd-cluster", "")]


def test_ocfs2() -> None:
    made = clusterfs_files(cluster(node(1, "ocfs2"), node(2, "ext4"), node(3, "ocfs2", nics=())))
    assert made.files == {
        "ocfs2/cluster.conf": b"cluster:\n\tnode_count = 2\n\tname = web\n\n"
        b"node:\n\tip_port = 7777\n\tip_address = 10.0.99.1\n\tnumber = 1\n\tname = node1\n\tcluster = web\n\n"
        b"node:\n\tip_port = 7777\n\tip_address = 10.0.99.2\n\tnumber = 2\n\tname = node2\n\tcluster = web\n"
    }
    assert told(made, Severity.ERROR) == [("initrd-member", "node3")]
    assert all(finding.place is not None and finding.fix for finding in made.findings)


def test_a_disk_beside_the_root_counts() -> None:
    data = Filesystem("/data", "/dev/vg/data", "gfs2")
    assert needs(node(1, "nfs4", filesystems=(data,)), "gfs2")
    assert "nodeid: 1" in corosync(node(1, "nfs4", filesystems=(data,)))


@pytest.mark.parametrize("fstype", ["nfs4", "ext4", "gfs"])
def test_nobody_needs_it(fstype: str) -> None:
    assert clusterfs_files(cluster(node(1, fstype), node(2, fstype))) == ClusterFiles()


def test_without_locks_for_one_node_alone() -> None:
    unlocked = volume("gfs2", "noatime,lockproto=lock_nolock")
    assert clusterfs_files(cluster(node(1, root=unlocked))) == ClusterFiles()
    both = clusterfs_files(cluster(node(1, root=unlocked), node(2, root=unlocked)))
    assert told(both, Severity.ERROR) == [("gfs2-nolock", "node1"), ("gfs2-nolock", "node2")]
    other = volume("gfs2", "lockproto=lock_nolock", "/dev/vg/other")
    assert clusterfs_files(cluster(node(1, root=unlocked), node(2, root=other))).findings == ()


def test_nothing_of_the_fences_gets_in() -> None:
    text = b"""<cluster name="web" config_version="3"><clusternodes><clusternode name="a" nodeid="1">
      <fence><method name="1"><device name="f" passwd="hunter2"/></method></fence>
      <com_info><rootvolume name="/dev/sda" fstype="gfs2"/><eth name="eth0" mac="00:16:3e:00:00:01" ip="10.0.0.1"
      mask="255.0.0.0"/></com_info></clusternode></clusternodes>
      <fencedevices><fencedevice name="f" agent="fence_ipmilan" passwd="hunter2"/></fencedevices></cluster>"""
    made = clusterfs_files(parse_cluster(text, "cluster.conf"))
    assert set(made.files) == {"corosync/corosync.conf", "dlm/dlm.conf"}
    assert b"hunter2" not in b"".join(made.files.values())


names = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(names, names, st.integers(1, 6), st.sampled_from(("gfs2", "ocfs2", "nfs"))), max_size=6))
def test_whatever_the_names_are_nobody_is_there_twice(given: list[tuple[str, str, int, str]]) -> None:
    nodes = [node(number, kind, name=name, votes=votes) for name, votes, number, kind in given]
    made = clusterfs_files(cluster(*nodes))
    for path, key in (("corosync/corosync.conf", b"\t\tnodeid: "), ("ocfs2/cluster.conf", b"\tnumber = ")):
        lines = made.files.get(path, b"").split(b"\n")
        ids = [line for line in lines if line.startswith(key)]
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize("way", list(BootWay))
def test_the_data_of_an_image_has_it_in_both_ways(way: BootWay) -> None:
    other = node(2, "nfs4", root=planning.VOLUME)
    made = initrd_data(cluster(node(1), other, node(3, nics=(eth(3, ip="dhcp"),))), Settings(), None, Layout(), way)
    assert {"corosync/corosync.conf", "dlm/dlm.conf"} <= made.files.keys()
    assert made.files["cmdline"] == b"", "nobody mounts it before corosync runs"
    assert ("nodes.d/1.conf" in made.files) == (way is BootWay.FULL)
    assert "nodes.d/3.conf" not in made.files
    assert ("initrd-member", "node3") in [(finding.code, finding.node) for finding in made.findings]


def test_the_data_of_other_images_does_not() -> None:
    made = initrd_data(cluster(node(1, "ext4")), Settings(), None, Layout(), BootWay.FULL)
    assert made.files["cmdline"].startswith(b"root=/dev/vg/root\nrootfstype=ext4\n")
    assert not [path for path in made.files if path.startswith(("corosync", "dlm", "ocfs2"))]
