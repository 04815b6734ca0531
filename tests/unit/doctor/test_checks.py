# SPDX-License-Identifier: GPL-3.0-or-later
"""Each check of osrctl doctor, from facts: what it finds, how bad that is, and which command mends it."""

import json
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from osrd.model.cluster import Cluster
from osrd.model.finding import Finding, Severity
from osrd.model.host import Checked, Daemon, Host, Inotify, Lease, Network, PacketFilter, RootOnHost, Socket, Space
from osrd.model.netboot import HostFacts
from osrd.model.rootcare import Family
from osrd.model.settings import BuildSettings, BuildUse, DhcpBackend, DhcpSettings, RootSettings, Settings
from osrd.parse.clusterconf import parse_cluster
from osrd.parse.ruleset import parse_nft
from osrd.plan.doctor.diagnosis import diagnose
from osrd.plan.doctor.needs import needs_of

VOLUME = '<rootvolume name="10.0.0.1:/srv/web" fstype="{fstype}"/>'
NODE = (
    '<clusternode name="n{n}" nodeid="{n}"><com_info>{volume}'
    '<eth name="eth0" ip="10.0.0.1{n}" mac="02:00:00:00:00:0{n}" mask="255.255.255.0"/></com_info></clusternode>'
)
SETTINGS = Settings(roots=(RootSettings("web", "10.0.0.1:/srv/web", "/srv/web"),))
ENOUGH = 1 << 40
#: a host on which everything is well
WELL = Host(
    family=Family.DEBIAN,
    kernel="6.1.0-18-amd64",
    programs=frozenset({"dnsmasq", "exportfs", "polkitd"}),
    sockets=(Socket("udp", "0.0.0.0", 67, "dnsmasq"), Socket("udp", "0.0.0.0", 69, "dnsmasq")),
    networks=(Network("eth1", IPv4Network("10.0.0.0/24")),),
    nfs_threads=8,
    nfs_versions=frozenset({"3", "4", "4.2"}),
    inotify=Inotify(100_000, 128, 10, 10),
    directories=200,
    spaces=(Space("/var/lib/osrd", 1, ENOUGH, 10**6), Space("/srv/web", 2, ENOUGH, None)),
    memory=4096,
    synchronised=True,
    roots=(RootOnHost("web", "/srv/web", "", Family.DEBIAN, "059", frozenset({"nfs"})),),
)
RUNS = Daemon("", "", "ready", True, 0, "inotify")
QUIET = replace(RUNS, watch="polling")
#: a chain that drops what no rule accepts
CHAIN = {
    "chain": {
        "family": "inet", "table": "t", "name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"
    }
}  # fmt: skip


def accepting(protocol: str, port: int) -> dict[str, object]:
    match = {"op": "==", "left": {"payload": {"protocol": protocol, "field": "dport"}}, "right": port}
    return {"rule": {"family": "inet", "table": "t", "chain": "in", "expr": [{"match": match}, {"accept": None}]}}


def cluster(*numbers: int, fstype: str = "nfs4") -> Cluster:
    nodes = "".join(NODE.format(n=number, volume=VOLUME.format(fstype=fstype)) for number in numbers or (1,))
    text = f'<cluster name="c" config_version="1"><clusternodes>{nodes}</clusternodes></cluster>'
    return parse_cluster(text.encode(), "cluster.conf")


def checks(
    host: Host = WELL,
    settings: Settings = SETTINGS,
    known: Cluster | None = None,
    daemon: Daemon = RUNS,
    inputs: tuple[Finding, ...] = (),
) -> dict[str, Checked]:
    """All but the boot loaders, of which other tests know everything."""
    found = diagnose(settings, known or cluster(), host, HostFacts(), daemon=daemon, inputs=inputs)
    return {each.name: each for each in found if each.name != "boot loaders"}


def findings(*arguments: object, **options: object) -> list[Finding]:
    return [finding for check in checks(*arguments, **options).values() for finding in check.findings]  # type: ignore[arg-type]


def only(*arguments: object, **options: object) -> Finding:
    (finding,) = findings(*arguments, **options)
    return finding


def test_a_host_that_is_well() -> None:
    assert findings() == []
    assert {check.result for check in checks().values()} == {"ok"}


def without(*ports: int) -> Host:
    return replace(WELL, sockets=tuple(each for each in WELL.sockets if each.port not in ports))


ISC = replace(SETTINGS, dhcp=DhcpSettings(DhcpBackend.ISC))
KEA = replace(SETTINGS, dhcp=DhcpSettings(DhcpBackend.KEA))
OTHERS = replace(SETTINGS, dhcp=DhcpSettings(DhcpBackend.NONE))
NO_TFTP = replace(SETTINGS, dhcp=DhcpSettings(serve_tftp=False))
E, W, I = Severity.ERROR, Severity.WARNING, Severity.INFO  # noqa: E741

#: host, settings, the only finding, its severity, words of message and fix
CASES = {
    "no dhcp": (without(67), SETTINGS, "dhcp-not-running", E, "systemctl enable --now dnsmasq"),
    "no dhcp on fedora": (
        replace(without(67), family=Family.REDHAT, programs=WELL.programs | {"dhcpd"}),
        ISC,
        "dhcp-not-running",
        E,
        "systemctl enable --now dhcpd,",
    ),
    "no dhcpd": (without(67), ISC, "dhcp-not-installed", E, "apt-get install isc-dhcp-server"),
    "no kea": (replace(without(67), family=Family.REDHAT), KEA, "dhcp-not-installed", E, "dnf install kea"),
    "no kea anywhere": (replace(without(67), family=Family.OTHER), KEA, "dhcp-not-installed", E, "Fedora: kea"),
    "only for this host": (
        replace(without(67), sockets=(Socket("udp", "127.0.0.1", 67, "dnsmasq"), *without(67).sockets)),
        SETTINGS,
        "dhcp-not-running",
        E,
        "dnsmasq",
    ),
    "two dhcp servers": (
        replace(WELL, sockets=(*WELL.sockets, Socket("udp", "0.0.0.0", 67, "dhcpd"))),
        SETTINGS,
        "dhcp-other-server",
        E,
        "stop dhcpd",
    ),
    "an address by dhcp": (
        replace(WELL, leases=(Lease("eth1", "10.0.0.254", "/f"), Lease("eth0", "192.0.2.1", "/g"))),
        SETTINGS,
        "dhcp-elsewhere",
        W,
        "have 10.0.0.254 ignore",
    ),
    "no tftp by dnsmasq": (without(69), SETTINGS, "tftp-not-running", E, "dnsmasq"),
    "no tftp": (without(69), NO_TFTP, "tftp-not-running", E, "apt-get install tftpd-hpa"),
    "no tftp on fedora": (replace(without(69), family=Family.REDHAT), NO_TFTP, "tftp-not-running", E, "tftp.socket"),
    "another tftp": (
        replace(WELL, sockets=(*without(69).sockets, Socket("udp", "::", 69, "in.tftpd"))),
        SETTINGS,
        "tftp-other-server",
        W,
        "serve-tftp = no",
    ),
    "no exportfs": (
        replace(WELL, programs=WELL.programs - {"exportfs"}),
        SETTINGS,
        "nfs-no-exportfs",
        E,
        "apt-get install nfs-kernel-server",
    ),
    "no nfs": (replace(WELL, nfs_threads=0), SETTINGS, "nfs-not-running", E, "systemctl enable --now nfs-server"),
    "nfs 4 off": (replace(WELL, nfs_versions=frozenset({"3"})), SETTINGS, "nfs-version-off", E, "nfsd vers4 y"),
    "ganesha": (
        replace(WELL, nfs_threads=None, sockets=(*WELL.sockets, Socket("tcp", "::", 2049, "ganesha.nfsd"))),
        SETTINGS,
        "nfs-other-server",
        W,
        "its own configuration",
    ),
    "selinux": (
        replace(WELL, selinux="enforcing", labels={"/srv/tftp": "var_t"}),
        SETTINGS,
        "selinux-tftp-label",
        E,
        "semanage fcontext -a -t tftpdir_t '/srv/tftp(/.*)?' && restorecon -R /srv/tftp",
    ),
    "selinux is patient": (
        replace(WELL, selinux="permissive", labels={"/srv/tftp/osr": "var_t"}),
        SETTINGS,
        "selinux-tftp-label",
        W,
        "restorecon",
    ),
    "selinux and dnsmasq": (
        replace(WELL, selinux="enforcing", labels={"/var/lib/osrd": "var_lib_t", "/srv/tftp": "tftpdir_t"}),
        SETTINGS,
        "selinux-dnsmasq-label",
        E,
        "set hosts = /var/lib/dnsmasq/osrd.hosts in [dhcp]",
    ),
    "selinux and nfs": (
        replace(WELL, selinux="enforcing", nfs_may_export_all=False),
        SETTINGS,
        "selinux-nfs-export",
        E,
        "setsebool -P nfs_export_all_rw on",
    ),
    "apparmor": (
        replace(WELL, confined=frozenset({"dnsmasq"})),
        SETTINGS,
        "apparmor-forbids",
        W,
        "echo '/var/lib/osrd/dnsmasq.hosts r,' >> /etc/apparmor.d/local/usr.sbin.dnsmasq; apparmor_parser -r",
    ),
    "closed": (replace(WELL, closed=("/srv/my tftp",)), SETTINGS, "directory-closed", E, "chmod o+x '/srv/my tftp'"),
    "old kernel": (replace(WELL, kernel="5.10.0-28"), SETTINGS, "kernel-old", E, "5.12"),
    "no clock": (replace(WELL, synchronised=False), SETTINGS, "clock-free", W, "apt-get install chrony"),
    "little memory": (replace(WELL, memory=1024), SETTINGS, "memory-low", W, "memory in [build]"),
    "no polkit": (replace(WELL, programs=WELL.programs - {"polkitd"}), SETTINGS, "polkit-missing", I, "polkitd"),
    "no root": (
        replace(WELL, roots=(RootOnHost("web", "/srv/web", "/srv/web: there is no such directory"),)),
        SETTINGS,
        "root-absent",
        E,
        "mount it at /srv/web",
    ),
    "no dracut": (
        replace(WELL, roots=(RootOnHost("web", "/srv/web", "", Family.DEBIAN),)),
        SETTINGS,
        "root-no-dracut",
        E,
        "osrctl shell /srv/web --node NODE apt-get install dracut dracut-network",
    ),
    "no dracut somewhere": (
        replace(WELL, roots=(RootOnHost("web", "/srv/web"),)),
        SETTINGS,
        "root-no-dracut",
        E,
        "install dracut and its network modules in /srv/web",
    ),
    "no dracut-network": (
        replace(WELL, roots=(RootOnHost("web", "/srv/web", "", Family.REDHAT, "059"),)),
        SETTINGS,
        "root-no-dracut-nfs",
        E,
        "dnf install dracut-network",
    ),
    "little space": (
        replace(WELL, spaces=(Space("/srv/tftp", 1, 100 << 20, 10**6),)),
        SETTINGS,
        "space-low",
        W,
        "du -xh --max-depth=2 /srv/tftp",
    ),
    "no space": (replace(WELL, spaces=(Space("/run", 1, 1 << 20, None),)), SETTINGS, "space-low", E, "du -xh"),
    "no inodes": (replace(WELL, spaces=(Space("/srv/tftp", 1, ENOUGH, 7),)), SETTINGS, "inodes-low", E, "du -xh"),
    "read-only": (
        replace(WELL, spaces=(Space("/srv/tftp", 1, ENOUGH, 10**6, True),)),
        SETTINGS,
        "space-read-only",
        E,
        "mount -o remount,rw /srv/tftp",
    ),
    "far nodes": (replace(WELL, networks=()), SETTINGS, "node-network-far", W, "DHCP relay"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_thing_is_wrong(name: str) -> None:
    host, settings, code, severity, fix = CASES[name]
    finding = only(host, settings)
    assert (finding.code, finding.severity) == (code, severity), finding
    assert fix in finding.fix
    worst = {E: "error", W: "warning", I: "info"}[severity]
    assert [check.result for check in checks(host, settings).values() if check.findings] == [worst]


def test_what_is_not_needed_is_not_missed() -> None:
    bare = replace(WELL, nfs_threads=None, programs=frozenset({"polkitd", "dnsmasq"}))
    local = cluster(fstype="gfs2")
    assert findings(bare, known=local) == []
    assert "not needed" in checks(bare, known=local)["NFS server"].summary
    never = replace(SETTINGS, build=BuildSettings(BuildUse.NO))
    assert findings(replace(WELL, memory=10, roots=(RootOnHost("web", "/srv/web"),)), never) == []
    assert findings(without(67), OTHERS) == []


def test_version_3_of_nfs_needs_rpcbind() -> None:
    old = cluster(fstype="nfs3")
    finding = only(known=old)
    assert (finding.code, "apt-get install rpcbind" in finding.fix) == ("nfs-no-rpcbind", True)
    with_rpcbind = replace(WELL, sockets=(*WELL.sockets, Socket("tcp", "0.0.0.0", 111, "rpcbind")))
    assert findings(with_rpcbind, known=old) == []
    off = replace(with_rpcbind, nfs_versions=frozenset({"4"}))
    assert only(off, known=old).message.startswith("nodes mount by NFS version 3")
    asked = {(packet.protocol, packet.port) for _, packet in needs_of(SETTINGS, old, WELL).packets()}
    assert asked == {("udp", 67), ("udp", 69), ("tcp", 111), ("tcp", 2049), ("tcp", 20048)}


def test_the_place_that_doctor_advises_is_a_good_one() -> None:
    place = "/var/lib/dnsmasq/osrd.hosts"
    moved = replace(SETTINGS, dhcp=DhcpSettings(hosts=place))
    labels = {"/var/lib/dnsmasq": "dnsmasq_lease_t", "/srv/tftp": "tftpdir_t", "/var/lib/osrd": "var_lib_t"}
    assert findings(replace(WELL, selinux="enforcing", labels=labels), moved) == []
    assert findings(replace(WELL, selinux="enforcing", labels={**labels, place: "dnsmasq_lease_t"}), moved) == []
    assert findings(replace(WELL, selinux="enforcing", labels=labels), OTHERS) == [], "no dnsmasq, no file"


def test_the_server_of_a_network_of_libvirt_is_not_the_nodes() -> None:
    """The wiki page's own host: KVM with its default network, in which a dnsmasq of libvirt's answers."""
    libvirt = Socket("udp", "0.0.0.0", 67, "dnsmasq of libvirt")
    elsewhere = replace(WELL, sockets=(*WELL.sockets, libvirt))
    assert findings(elsewhere) == [], "its bridge is none of the nodes'"
    here = replace(elsewhere, networks=(Network("virbr0", IPv4Network("10.0.0.0/24")),))
    finding = only(here)
    assert (finding.code, "virsh net-edit" in finding.fix) == ("dhcp-other-server", True)
    alone = replace(WELL, sockets=(libvirt, *without(67).sockets))
    assert only(alone).code == "dhcp-not-running"


def test_mountd_is_asked_where_it_is() -> None:
    """Debian has no port for it in /etc/services, so that it takes any."""
    old = cluster(fstype="nfs3")
    mountd = (Socket("tcp", "::", 50123, "rpc.mountd"), Socket("tcp", "0.0.0.0", 41021, "rpc.mountd"))
    host = replace(WELL, sockets=(*WELL.sockets, Socket("tcp", "0.0.0.0", 111, "rpcbind"), *mountd))
    assert ("tcp", 41021) in {(packet.protocol, packet.port) for _, packet in needs_of(SETTINGS, old, host).packets()}
    rules = parse_nft(json.dumps({"nftables": [CHAIN, *(accepting(*each) for each in (("udp", 67), ("udp", 69)))]}))
    finding = only(replace(host, filter=PacketFilter((rules,), "", ufw=True)), known=old)
    assert "TCP port 2049, TCP port 111, TCP port 41021 on eth1" in finding.message
    assert finding.fix == (
        "have mountd keep to one port: nfsconf --set mountd port 20048 && systemctl restart nfs-server;"
        " ufw allow 111/tcp && ufw allow 2049/tcp && ufw allow 20048/tcp"
    )


def test_every_zone_of_firewalld_is_opened() -> None:
    """Its chain drops for all interfaces, but the services are opened zone by zone."""
    two = replace(
        WELL,
        networks=(Network("eth1", IPv4Network("10.0.0.8/29")), Network("eth2", IPv4Network("10.0.0.16/29"))),
        filter=PacketFilter((parse_nft(json.dumps({"nftables": [CHAIN]})),), "", firewalld=True),
    )
    finding = only(two, known=cluster(1, 7))
    assert finding.fix == (
        'firewall-cmd --permanent --zone="$(firewall-cmd --get-zone-of-interface=eth1)"'
        " --add-service=nfs --add-service=dhcp --add-service=tftp && "
        'firewall-cmd --permanent --zone="$(firewall-cmd --get-zone-of-interface=eth2)"'
        " --add-service=nfs --add-service=dhcp --add-service=tftp && firewall-cmd --reload"
    )


def test_inotify_is_estimated_only_where_osrd_does_not_use_it() -> None:
    tight = replace(WELL, inotify=Inotify(8192, 128, 8100, 126))
    assert findings(tight) == []
    watches, instances = findings(tight, daemon=QUIET)
    assert "root uses 8100 of 8192 watches, and osrd needs up to 200" in watches.message
    assert watches.fix.startswith("echo fs.inotify.max_user_watches = 524288 > /etc/sysctl.d/60-osrd-watches.conf")
    assert instances.fix.endswith("60-osrd-instances.conf && sysctl --system")
    unseen = replace(WELL, inotify=Inotify(8192, 128))
    assert checks(unseen, daemon=QUIET)["inotify"].result == "unknown"


def test_who_may_not_see_everything_is_told_so() -> None:
    user = replace(WELL, confined=None, filter=PacketFilter((), "only root may see the rules"))
    results = {name: check.result for name, check in checks(user).items()}
    assert [name for name, result in results.items() if result != "ok"] == ["firewall", "AppArmor"]
    assert results["firewall"] == results["AppArmor"] == "unknown"


def test_a_user_is_not_told_that_the_nfs_server_does_not_run() -> None:
    """/proc/fs/nfsd/threads and versions are for root only, and so is whose a socket is."""
    user = replace(WELL, privileged=False, nfs_threads=None, nfs_versions=frozenset())
    serving = replace(user, sockets=(*user.sockets, Socket("tcp", "0.0.0.0", 2049)))
    assert findings(serving) == []
    assert checks(serving)["NFS server"].result == "unknown"
    assert only(user).code == "nfs-not-running"


def test_osrd_itself() -> None:
    finding = only(daemon=Daemon("no osrd here", "systemctl enable --now osrd", watch="inotify"))
    assert (finding.code, finding.severity, finding.message) == ("osrd-not-running", W, "no osrd here")
    finding = only(daemon=replace(RUNS, state="degraded", in_sync=False, findings=3))
    assert (finding.code, finding.severity, finding.fix) == ("osrd-findings", I, "osrctl status")
    assert checks()["osrd"].summary == "ready, in sync"


def test_mistakes_in_the_configuration_are_among_them() -> None:
    wrong = Finding("unknown-key", E, "what?", "correct it")
    assert only(inputs=(wrong,)) == wrong
    found = diagnose(SETTINGS, None, WELL, HostFacts(), daemon=RUNS)
    assert next(each for each in found if each.name == "configuration").summary == "no usable cluster.conf"


def test_boot_loaders_name_their_packages() -> None:
    found = diagnose(SETTINGS, cluster(), WELL, HostFacts(), daemon=RUNS)
    loaders = next(each for each in found if each.name == "boot loaders")
    assert loaders.result == "error"
    assert any("pxelinux" in finding.fix for finding in loaders.findings)
