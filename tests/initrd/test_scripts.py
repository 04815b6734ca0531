# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters, the identity, the network and the root of one boot: a table, each line under dash and busybox sh."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.initrd.initramfs import CLUSTER, FIRST, FOREIGN, SECOND, SERVER, SHELLS, STATIC, Boot, node

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("unshare", "ip", "dash", "busybox", "/usr/lib/dracut/dracut-util", "/sbin/mount.nfs"),
    pytest.mark.slow,
]

UUID = "4C4C4544-0042-3510-8051-B4C04F4A3132"
LEGACY = {"network/legacy/1": f"ip=192.168.122.171::192.168.122.1:255.255.255.0:node1:@IF:{FIRST}@:none\n"}
BOND = {
    "nodeids": f"1 {FIRST} {SECOND}\n",
    "nodenames": "1 node1\n",
    "network/legacy/1": f"ifname=bootnet0:{FIRST}\nifname=bootnet1:{SECOND}\nbond=bond0:bootnet0,bootnet1:mode=1\n"
    "vlan=bond0.45:bond0\nbridge=br0:bond0.45\nip=br0:dhcp\nbootdev=br0\nrd.bootif=0\n",
}
NETWORKD = {
    "network/systemd/80-osr-1-eth0.network": f"[Match]\nMACAddress={FIRST}\n",
    "network/systemd/2/80-osr-2-bond0.netdev": "[NetDev]\nName=bond0\nKind=bond\n",
}


@dataclass(frozen=True)
class Case:
    """What must have become of a boot. ``osr`` are values of /run/osr ("" for none), ``words`` what dracut's scripts
    are told, ``without`` what not, ``says`` parts of the log, ``mounted`` the requests to the NFS server."""

    name: str
    cmdline: str = ""
    script: tuple[str, ...] = ("cmdline",)
    boot: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    osr: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    mounted: tuple[str, ...] | None = None
    asked: int = 0
    died: bool = False
    files: Mapping[str, str] = field(default_factory=dict)


BOOTED = ("cmdline", "netroot eth0")
NOBODY: Mapping[str, Any] = {"nics": {}}
FROM_STATIC: Mapping[str, Any] = {"data": STATIC, "modules": "osr network-legacy"}
#: the words that osrd puts into a static menu
MENU = (
    f"nodeid=2 nfs.nfs4_unique_id=osr:web:2 root={SERVER} rw cdsltree=/cluster/cdsl cdsllink=/cdsl.local rd.neednet=1"
)

IDENTITY = (
    Case("by-mac", osr={"nodeid": "1", "nodename": "node1", "mode": "cluster", "cluster": "web", "build": "f1f1"}),
    Case("by-the-second-nic", boot={"nics": {"eth0": FOREIGN, "eth1": SECOND}}, osr={"nodeid": "2"}),
    Case("nodeid", "nodeid=2", boot=NOBODY, osr={"nodeid": "2", "nodeid_source": "nodeid=2"}),
    Case("nodeid-other-names", "osr.nodeid=2", boot=NOBODY, osr={"nodeid": "2"}),
    Case("nodeid-of-bootimage", "com-nodeid=2", boot=NOBODY, osr={"nodeid": "2"}),
    Case("nodeid-last-one-wins", "nodeid=1 nodeid=2", boot=NOBODY, osr={"nodeid": "2"}),
    Case(
        "nodeid-beats-the-mac", "nodeid=2", osr={"nodeid": "2"}, says=("belongs to node 1, but nodeid=2 says node 2",)
    ),
    *(
        Case(
            f"nodeid-{text}-is-none",
            f"nodeid={text}",
            boot=NOBODY,
            osr={"nodeid": ""},
            says=("is no node id",),
            died=True,
        )
        for text in ("0", "007", "-1", "abc", "100000", "1;reboot")
    ),
    Case("nodeid-99999", "nodeid=99999", boot=FROM_STATIC, osr={"nodeid": "99999"}),
    Case("nodeid-empty", "nodeid=", osr={"nodeid": "1"}, says=("nodeid= has no value",)),
    Case("nodeid-flag", "nodeid", osr={"nodeid": "1"}, says=("nodeid= has no value",)),
    Case(
        "nodeid-unknown",
        "nodeid=7",
        boot=NOBODY,
        osr={"nodeid": ""},
        says=("is not in this initrd; it knows 1 2",),
        died=True,
    ),
    Case("nodename", "nodename=node2", boot=NOBODY, osr={"nodeid": "2", "nodename": "node2"}),
    Case(
        "nodename-unknown",
        "nodename=node9",
        boot=NOBODY,
        osr={"nodeid": ""},
        says=("nodename=node9 is not in",),
        died=True,
    ),
    Case(
        "nodename-and-other-id",
        "nodeid=1 nodename=node2",
        boot=NOBODY,
        says=("nodename=node2 is node 2, and",),
        died=True,
    ),
    Case("nodename-without-table", "nodeid=3 nodename=n3", boot=FROM_STATIC, osr={"nodeid": "3", "nodename": "n3"}),
    Case("bootif-dashes", "BOOTIF=01-00-0C-29-C9-C6-F6", boot=NOBODY, osr={"nodeid": "2", "bootif": SECOND}),
    Case("bootif-colons", f"BOOTIF=01-{SECOND}", boot=NOBODY, osr={"nodeid": "2"}),
    Case("bootif-off", f"BOOTIF=01-{SECOND} osr.bootif=0", boot=NOBODY, osr={"nodeid": "", "bootif": ""}),
    Case("bootif-off-for-dracut", f"BOOTIF=01-{SECOND} rd.bootif=0", boot=NOBODY, osr={"nodeid": "", "bootif": ""}),
    Case(
        "uuid",
        boot={"nics": {}, "uuid": UUID},
        data={"nodeuuids": f"2 {UUID.lower()}\n"},
        osr={"nodeid": "2", "nodeid_source": f"machine UUID {UUID}"},
    ),
    Case(
        "dhcp-name",
        script=("cmdline", "sh echo new_host_name=node2.example.org > /tmp/dhclient.eth0.dhcpopts", "netroot eth0"),
        boot={"nics": {"eth0": FOREIGN}},
        osr={"nodeid": "2"},
    ),
    Case(
        "dhcp-name-is-data",
        script=("cmdline", "sh echo new_host_name=node2 'touch' > /tmp/dhclient.eth0.dhcpopts", "netroot eth0"),
        boot={"nics": {"eth0": FOREIGN}},
        osr={"nodeid": ""},
    ),
    Case("only-node-without-address", boot=NOBODY, data={"nodeids": "1\n"}, osr={"nodeid": "1"}),
    Case(
        "only-node-whatever-dhcp-calls-it",
        script=(
            "cmdline",
            "sh osr-param del nodeid; echo new_host_name=elsewhere > /tmp/dhclient.eth0.dhcpopts",
            "netroot eth0",
        ),
        boot={"nics": {"eth0": FOREIGN}},
        data={"nodeids": "1\n"},
        osr={"nodeid": "1", "nodeid_source": "the only node"},
    ),
    Case(
        "only-node-with-another-address",
        boot={"nics": {"eth0": FOREIGN}},
        data={"nodeids": f"1 {FIRST}\n"},
        osr={"nodeid": ""},
    ),
    Case(
        "same-address-twice",
        script=("cmdline", "netroot eth0", "settled"),
        data={"nodeids": f"1 {FIRST}\n2 {FIRST}\n"},
        osr={"nodeid": ""},
        says=("is in the table for nodes 1, 2",),
        mounted=(),
        asked=1,
    ),
    Case(
        "two-nics-of-two-nodes",
        script=("cmdline", "netroot eth0", "settled"),
        boot={"nics": {"eth0": FIRST, "eth1": SECOND}},
        says=("says node 1, but NIC eth1",),
        mounted=(),
        asked=1,
    ),
    Case(
        "two-nics-and-nodeid",
        "nodeid=2",
        ("cmdline", "netroot eth0"),
        boot={"nics": {"eth0": FIRST, "eth1": SECOND}},
        osr={"nodeid": "2"},
        mounted=("nfs4 192.168.122.1:/srv/root rw,vers=4.2,retry=0 as osr:web:2 on node2",),
    ),
    Case(
        "unknown-machine",
        script=("cmdline", "netroot eth0", "settled", "timeout"),
        boot={"nics": {"eth0": FOREIGN}},
        osr={"nodeid": ""},
        says=(f"NIC eth0 ({FOREIGN}) is in no node's configuration", "osr-param set nodeid N"),
        mounted=(),
        asked=1,
    ),
    Case(
        "unknown-machine-and-somebody-helps",
        script=("cmdline", "netroot eth0", "timeout", "settled"),
        boot={"nics": {"eth0": FOREIGN}, "admin": ["osr-param set nodeid 2"]},
        osr={"nodeid": "2", "nodeid_source": "osr-param"},
        says=(f"interface:    eth0 {FOREIGN}", "nodes known:  1 2"),
        asked=1,
        mounted=("nfs4 192.168.122.1:/srv/root rw,vers=4.2,retry=0 as osr:web:2 on node2",),
    ),
    Case(
        "conflict-and-somebody-helps",
        script=("cmdline", "netroot eth0", "settled", "settled", "netroot eth0"),
        boot={"nics": {"eth0": FIRST, "eth1": SECOND}, "admin": ["setparameter nodeid 2"]},
        osr={"nodeid": "2"},
        asked=1,
        mounted=("nfs4 192.168.122.1:/srv/root rw,vers=4.2,retry=0 as osr:web:2 on node2",),
    ),
)

ROOT = (
    Case(
        "full",
        script=BOOTED,
        state={"root": "osr", "netroot": "osr"},
        words=("rd.neednet=1",),
        without=("rw",),
        osr={"root": SERVER, "nfsid": "osr:web:1"},
        mounted=("nfs4 192.168.122.1:/srv/root rw,vers=4.2,retry=0 as osr:web:1 on node1",),
    ),
    *(
        Case(f"root-is-{text or 'empty'}", f"root={text}", state={"root": "osr", "netroot": "osr"})
        for text in ("", "osr", "/dev/root", "autodetect")
    ),
    Case(
        "ro",
        "ro",
        BOOTED,
        without=("rw",),
        says=("will be read-only",),
        mounted=("nfs4 192.168.122.1:/srv/root ro,vers=4.2,retry=0 as osr:web:1 on node1",),
    ),
    Case(
        "rw-and-no-options",
        script=BOOTED,
        data={"nodes.d/1.conf": node(1, root="nfs:192.168.122.1:/srv/root")},
        mounted=("nfs 192.168.122.1:/srv/root rw,retry=0,nolock as osr:web:1 on node1",),
    ),
    Case(
        "ro-of-the-node",
        script=BOOTED,
        data={"nodes.d/1.conf": node(1, root="nfs4:192.168.122.1:/srv/root:ro,vers=4.2")},
        without=("rw",),
        mounted=("nfs4 192.168.122.1:/srv/root ro,vers=4.2,retry=0 as osr:web:1 on node1",),
    ),
    Case(
        "ro-of-the-node-and-rw",
        "rw",
        BOOTED,
        data={"nodes.d/1.conf": node(1, root="nfs4:192.168.122.1:/srv/root:ro,vers=4.2")},
        mounted=("nfs4 192.168.122.1:/srv/root rw,vers=4.2,retry=0 as osr:web:1 on node1",),
    ),
    Case(
        "version-three",
        script=BOOTED,
        data={"nodes.d/1.conf": node(1, root="nfs:10.0.0.1:/r:rw,vers=3,nolock")},
        mounted=("nfs 10.0.0.1:/r rw,vers=3,retry=0,nolock as osr:web:1 on node1",),
    ),
    Case(
        "ipv6",
        script=BOOTED,
        data={"nodes.d/1.conf": node(1, root="nfs4:[2001:db8::1]:/r:rw,vers=4.2")},
        mounted=("nfs4 [2001:db8::1]:/r rw,vers=4.2,retry=0 as osr:web:1 on node1",),
    ),
    Case(
        "identity-of-the-node",
        script=BOOTED,
        data={"nodes.d/1.conf": node(1, nfsid="osr:other:one")},
        mounted=("nfs4 192.168.122.1:/srv/root rw,vers=4.2,retry=0 as osr:other:one on node1",),
    ),
    Case(
        "identity-given",
        "nfs.nfs4_unique_id=mine",
        BOOTED,
        mounted=("nfs4 192.168.122.1:/srv/root rw,vers=4.2,retry=0 as mine on node1",),
    ),
    Case(
        "quote-in-a-value",
        script=BOOTED,
        data={"nodes.d/1.conf": node(1, root="nfs:10.0.0.1:/a'\"'\"'b:rw")},
        mounted=("nfs 10.0.0.1:/a'b rw,retry=0,nolock as osr:web:1 on node1",),
    ),
    Case(
        "values-are-data",
        script=BOOTED,
        data={"nodes.d/1.conf": node(1, root="nfs:10.0.0.1:/$(touch /log/hacked):rw", nfsid="`touch /log/hacked`")},
        mounted=("nfs 10.0.0.1:/$(touch /log/hacked) rw,retry=0,nolock as `touch /log/hacked` on node1",),
        files={"log/hacked": ""},
    ),
    Case(
        "no-root-volume",
        script=("cmdline", "netroot eth0", "timeout"),
        data={"nodes.d/1.conf": node(1, root="")},
        says=("node 1 has no root volume in this initrd",),
        asked=1,
    ),
    Case(
        "unknown-kind-of-root",
        script=BOOTED,
        data={"nodes.d/1.conf": node(1, root="gluster:srv:/vol")},
        says=("cannot mount a root of the kind gluster",),
        mounted=(),
    ),
    Case(
        "rootvolume",
        "rootvolume=10.0.0.9:/other rootfs=nfs4 mountopts=vers=4.1",
        BOOTED,
        mounted=("nfs4 10.0.0.9:/other rw,vers=4.1,retry=0 as osr:web:1 on node1",),
    ),
    Case(
        "com-rootvolume",
        "com-rootvolume=nfs:10.0.0.9:/other",
        BOOTED,
        mounted=("nfs 10.0.0.9:/other rw,retry=0,nolock as osr:web:1 on node1",),
    ),
    Case(
        "server-comes-later",
        "mountwait=0",
        ("cmdline", "netroot eth0", "settled", "settled"),
        boot={"down": 2},
        says=("failed: mount.nfs: Connection refused",),
        files={"log/main_loop": "0\n"},
        mounted=("nfs4 192.168.122.1:/srv/root rw,vers=4.2,retry=0 as osr:web:1 on node1",) * 3,
    ),
    Case(
        "server-never-comes",
        "osr.tries=2 osr.wait=0",
        ("cmdline", "netroot eth0", "settled", "settled"),
        boot={"down": 9},
        says=(
            "could not be mounted in 2 attempts: mount.nfs: Connection refused",
            "what to do: look after the server and the network",
        ),
        asked=1,
    ),
    Case(
        "waits-between-attempts",
        "osr.wait=60",
        ("cmdline", "netroot eth0", "settled", "settled"),
        boot={"down": 9},
        files={"log/main_loop": "0\n"},
        mounted=("nfs4 192.168.122.1:/srv/root rw,vers=4.2,retry=0 as osr:web:1 on node1",),
    ),
    Case(
        "disk",
        data={"nodes.d/1.conf": node(1, root="block:/dev/vda1", rootfstype="ext4", rootflags="rw,noatime")},
        state={"root": "osr", "netroot": ""},
        without=("rd.neednet=1",),
    ),
    Case(
        "disk-does-not-appear",
        script=("cmdline", "settled", "timeout"),
        data={"nodes.d/1.conf": node(1, root="block:/dev/vda1", rootfstype="ext4")},
        says=("the device of the root (/dev/vda1) did not appear",),
        asked=1,
    ),
    Case(
        "cluster-file-system",
        data={"nodes.d/1.conf": node(1, root="block:/dev/vda1", rootfstype="gfs2")},
        state={"root": "osr", "netroot": "osr"},
        words=("rd.neednet=1",),
    ),
    Case(
        "cluster-file-system-of-one",
        data={"nodes.d/1.conf": node(1, root="block:/dev/a", rootfstype="gfs2", rootflags="rw,lockproto=lock_nolock")},
        state={"netroot": ""},
        without=("rd.neednet=1",),
    ),
    Case(
        "static",
        MENU,
        BOOTED,
        boot=FROM_STATIC,
        state={"root": "nfs4"},
        osr={"mode": "static", "nodeid": "2", "nfsid": "osr:web:2"},
        mounted=("nfs4 192.168.122.1:/srv/root rw,vers=4.2 as osr:web:2 on localhost",),
    ),
    Case(
        "static-without-nodeid",
        f"root={SERVER}",
        BOOTED,
        boot=FROM_STATIC,
        mounted=(f"nfs4 192.168.122.1:/srv/root rw,vers=4.2 as osr:mac:{FIRST} on localhost",),
    ),
    Case(
        "static-is-rw",
        "nodeid=1 root=nfs:10.0.0.1:/r",
        BOOTED,
        boot=FROM_STATIC,
        words=("rw",),
        mounted=("nfs 10.0.0.1:/r rw,nolock as osr:static:1 on localhost",),
    ),
    Case(
        "static-is-ro",
        "nodeid=1 root=nfs:10.0.0.1:/r:ro",
        BOOTED,
        boot=FROM_STATIC,
        without=("rw",),
        mounted=("nfs 10.0.0.1:/r ro,nolock as osr:static:1 on localhost",),
    ),
    Case(
        "static-tries-again",
        f"{MENU} osr.wait=0",
        ("cmdline", "netroot eth0", "settled"),
        boot={**FROM_STATIC, "down": 1},
        mounted=("nfs4 192.168.122.1:/srv/root rw,vers=4.2 as osr:web:2 on localhost",) * 2,
    ),
    Case("static-nowhere", "root=osr", boot=FROM_STATIC, says=("root= does not say where the root is",), died=True),
    Case(
        "static-disk",
        "nodeid=1 root=/dev/vda1 rw",
        boot={**FROM_STATIC, "init": "systemd"},
        state={"root": "block:/dev/vda1"},
    ),
    Case(
        "full-and-root-given",
        "root=nfs4:10.0.0.5:/mine:rw",
        BOOTED,
        state={"root": "nfs4"},
        mounted=("nfs4 10.0.0.5:/mine rw as osr:web:1 on node1",),
    ),
    Case(
        "full-and-root-given-and-a-late-nic",
        "root=nfs4:10.0.0.5:/mine:rw",
        ("cmdline", f"sh ip link set eth0 address {FIRST}", "netroot eth0"),
        boot={"nics": {"eth0": FOREIGN}},
        osr={"nodeid": "1", "nfsid": "osr:web:1"},
    ),
    Case(
        "off",
        "osr=0 nodeid=1 root=nfs:10.0.0.1:/r",
        BOOTED,
        osr={"mode": "", "nodeid": ""},
        without=("rw",),
        mounted=("nfs 10.0.0.1:/r ro,nolock as nobody on localhost",),
    ),
    Case("other-format", data={"format": "3\n"}, says=("has format 3",), died=True),
    Case("no-table", script=("sh rm /etc/osr/nodeids", "cmdline"), says=("/etc/osr/nodeids is missing",), died=True),
)

PARAMETERS = (
    Case(
        "cdsl-names",
        "cdsltree=/.cluster//cdsl/ osr.cdsllink=/./.cdsl.local cdslsharedtree=/.cluster/shared",
        osr={"cdsltree": "/.cluster/cdsl", "cdsllink": "/.cdsl.local", "cdslsharedtree": "/.cluster/shared"},
    ),
    Case("cdsl-names-baked", osr={"cdsltree": "/cluster/cdsl", "cdsllink": "/cdsl.local"}),
    Case("cdsl-names-default", "nodeid=1 root=/dev/a", boot=FROM_STATIC, osr={"cdsllink": "/cdsl.local"}),
    Case("cdsl-up", "cdsltree=/cluster/../etc", says=("cdsltree=/cluster/../etc is no path below /",), died=True),
    Case("cdsl-relative", "cdsllink=cdsl.local", says=("cdsllink=cdsl.local is no path below /",), died=True),
    Case("debug", "com-debug", words=("rd.debug",)),
    Case("step", "com-step", words=("rd.break=pre-mount", "rd.break=pre-pivot")),
    Case("expert", "com-expert", boot={"admin": ["true"]}, asked=1),
    Case(
        "forgotten",
        "chrootneeded=0 quorumack votes=3 rootsource=iscsi://a/b",
        says=(
            "chrootneeded is of an older initrd",
            "quorumack is of",
            "votes is of",
            "rootsource is of",
            "netroot=iscsi:",
        ),
    ),
    Case(
        "syslog",
        "syslogserver=10.0.0.7 syslogfilter=kern.info",
        files={"tmp/syslog.server": "10.0.0.7\n", "tmp/syslog.filters": "kern.info\n"},
    ),
    Case(
        "syslog-baked",
        data={"nodes.d/1.conf": node(1, syslog_server="10.0.0.8")},
        files={"tmp/syslog.server": "10.0.0.8\n"},
    ),
    Case(
        "iscsi",
        data={"nodes.d/1.conf": node(1, iscsi_initiator="iqn.2026-01.org:n1")},
        words=("rd.iscsi.initiator=iqn.2026-01.org:n1",),
    ),
)

NETWORK = (
    Case(
        "static-address",
        script=("cmdline", "osr-nic eth0"),
        data=LEGACY,
        words=("ip=192.168.122.171::192.168.122.1:255.255.255.0:node1:eth0:none", "rd.bootif=0"),
    ),
    Case(
        "static-address-other-name",
        script=("cmdline", "osr-nic ens3"),
        data=LEGACY,
        boot={"nics": {"ens3": FIRST}},
        words=("ip=192.168.122.171::192.168.122.1:255.255.255.0:node1:ens3:none",),
    ),
    Case(
        "dhcp",
        script=("cmdline", "osr-nic eth0"),
        data={"network/legacy/1": f"ip=@IF:{FIRST}@:dhcp\n"},
        words=("ip=eth0:dhcp",),
    ),
    Case(
        "nic-appears-later",
        script=("cmdline", f"sh ip link set eth1 address {SECOND}", "osr-nic eth1"),
        boot={"nics": {"eth0": FOREIGN, "eth1": "52:54:00:00:00:08"}},
        data={"network/legacy/2": f"ip=@IF:{SECOND}@:dhcp\n"},
        osr={"nodeid": "2"},
        words=("ip=eth1:dhcp",),
    ),
    Case(
        "several-addresses",
        script=("cmdline", "osr-nic eth0"),
        boot={"nics": {"eth0": FIRST, "eth1": SECOND}},
        data={
            "nodeids": f"1 {FIRST} {SECOND}\n",
            "network/legacy/1": f"ip=@IF:{FIRST}@:dhcp\nip=@IF:{SECOND}@:dhcp\nbootdev=@IF:{SECOND}@\n",
        },
        words=("ip=eth0:dhcp", "ip=eth1:dhcp", "bootdev=eth1"),
        files={"tmp/net.bootdev": "eth1\n"},
    ),
    Case(
        "slave-is-missing",
        script=("cmdline", "osr-nic eth0"),
        data={**BOND, "network/legacy/1": f"bond=bond0:@IF:{FIRST}@,@IF:{SECOND}@\nip=bond0:dhcp\n"},
        words=("bond=bond0:eth0,osr000c29c9c6f6",),
    ),
    Case("ip-given", "ip=dhcp", ("cmdline", "osr-nic eth0"), data=LEGACY, without=("rd.bootif=0",)),
    Case(
        "ip-cluster",
        "ip=cluster",
        ("cmdline", "osr-nic eth0"),
        data=LEGACY,
        words=("ip=192.168.122.171::192.168.122.1:255.255.255.0:node1:eth0:none",),
    ),
    Case(
        "ip-cluster-is-seen-by-the-running-system",
        "quiet ip=cluster ip=cluster splash",
        ("cmdline", "sh cat /proc/cmdline", "netroot eth0", "pre-pivot", "sh cat /proc/cmdline"),
        data=LEGACY,
        says=("\n quiet splash \n", "\nquiet ip=cluster ip=cluster splash\n"),
    ),
    Case(
        "bond-vlan-bridge-known-at-once",
        "nodeid=1",
        ("cmdline",),
        boot={"nics": {}},
        data=BOND,
        words=("bond=bond0:bootnet0,bootnet1:mode=1", "vlan=bond0.45:bond0", "bridge=br0:bond0.45", "ip=br0:dhcp"),
        files={
            "tmp/bond.bond0.info": 'bondname=bond0\nbondslaves="bootnet0 bootnet1"\nbondoptions="mode=1"\n'
            'bondmtu=""\n',
            "tmp/vlan.bond0.phy": 'phydevice="bond0"\n',
            "tmp/net.bootdev": "br0\n",
        },
    ),
    Case(
        "bond-vlan-bridge-known-late",
        script=(
            "cmdline",
            "sh ip link set eth9 name eth0; ip link set eth8 name eth1",
            f"sh ip link set eth0 address {FIRST}",
            "osr-nic eth0",
            f"sh ip link set eth1 address {SECOND}",
            "osr-nic eth1",
        ),
        boot={"nics": {"eth9": FOREIGN, "eth8": "52:54:00:00:00:08"}},
        data=BOND,
        osr={"nodeid": "1"},
        words=("bond=bond0:bootnet0,bootnet1:mode=1", "ip=br0:dhcp"),
        files={
            "tmp/vlan.bond0.phy": 'phydevice="bond0"\n',
            "usr/lib/dracut/hooks/initqueue/ifup-bootnet1.sh": '[ -e "$job" ] && rm -f -- "$job"\n'
            "/sbin/ifup bootnet1\n",
        },
    ),
    Case(
        "networkd",
        "nodeid=2",
        boot={"modules": "osr osr-cluster systemd-networkd"},
        data=NETWORKD,
        files={
            "etc/systemd/network/80-osr-1-eth0.network": f"[Match]\nMACAddress={FIRST}\n",
            "run/systemd/network/80-osr-2-bond0.netdev": "[NetDev]\nName=bond0\nKind=bond\n",
        },
    ),
    Case(
        "networkd-late",
        script=("cmdline", "osr-nic eth0"),
        boot={"modules": "osr osr-cluster systemd-networkd", "nics": {"eth0": SECOND}},
        data=NETWORKD,
        files={"run/systemd/network/80-osr-2-bond0.netdev": "[NetDev]\nName=bond0\nKind=bond\n"},
    ),
    Case(
        "networkd-ip-given",
        "ip=dhcp nodeid=2",
        boot={"modules": "osr osr-cluster systemd-networkd"},
        data=NETWORKD,
        files={"etc/systemd/network/80-osr-1-eth0.network": "", "run/systemd/network/80-osr-2-bond0.netdev": ""},
    ),
    Case(
        "manager",  # whose own hook of the same stage removes what is there
        "nodeid=2",
        ("cmdline", "pre-udev"),
        boot={"modules": "osr osr-cluster network-manager"},
        data={"network/nm/2/osr-2-bond0.nmconnection": "[connection]\nid=bond0\n"},
        files={"run/NetworkManager/system-connections/osr-2-bond0.nmconnection": "[connection]\nid=bond0\n"},
    ),
    Case(
        "manager-late",  # no file that is for all nodes says that it is there
        script=("cmdline", "pre-udev", f"sh ip link set eth0 address {SECOND}", "osr-nic eth0"),
        boot={"modules": "osr osr-cluster network-manager", "nics": {"eth0": FOREIGN}},
        data={"network/nm/2/osr-2-bond0.nmconnection": "[connection]\nid=bond0\n"},
        files={
            "run/NetworkManager/system-connections/osr-2-bond0.nmconnection": "[connection]\nid=bond0\n",
            "log/calls": "systemctl --no-block try-restart nm-initrd.service NetworkManager-initrd.service\n",
        },
    ),
    Case(
        "udev-rule",
        script=("cmdline", "pre-udev"),
        files={
            "etc/udev/rules.d/59-osr.rules": 'ACTION=="add|move", SUBSYSTEM=="net", KERNEL!="lo", '
            'RUN+="/sbin/osr-nic $name"\n'
        },
    ),
)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("case", [*IDENTITY, *ROOT, *PARAMETERS, *NETWORK], ids=lambda case: case.name)
def test_table(case: Case, shell: str, tmp_path: Path) -> None:
    init = "plain" if len(case.name) % 2 and shell == "dash" else "systemd"
    boot = Boot(tmp_path, shell, cmdline=case.cmdline, **({"data": CLUSTER, "init": init} | dict(case.boot)))
    boot.data = {**boot.data, **case.data}
    boot.run(*case.script)
    what = boot.dump()
    assert {key: boot.osr(key) for key in case.osr} == case.osr, what
    assert {key: boot.state(key) for key in case.state} == case.state, what
    assert set(case.words) <= set(boot.words), f"{boot.words}\n{what}"
    assert not set(case.without) & set(boot.words), f"{boot.words}\n{what}"
    told = boot.log + boot.console
    assert [text for text in case.says if text not in told] == [], what
    if case.mounted is not None:
        assert tuple(boot.text("log/mounts").splitlines()) == case.mounted, what
    assert boot.asked == case.asked, what
    assert boot.died == case.died, what
    assert {name: boot.text(name) for name in case.files} == case.files, what
