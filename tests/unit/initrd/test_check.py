# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of a finished initrd: a good one has no findings, and each thing that is wrong has its own."""

import stat
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

import pytest

from osrd.model.cluster import Cluster, FenceDevice, FenceMethod, Filesystem, Nic, Node, RootVolume
from osrd.model.finding import Severity
from osrd.model.image import BuildLimits, BuildOrder, Dracut, Image, ImageContent, ImageFile, Kernel
from osrd.model.settings import BootWay
from osrd.parse.kernelmodules import KernelModules
from osrd.plan.initrd.check import blocks, check, room
from osrd.plan.initrd.subject import Subject

VERSION = "6.1.0-50-amd64"
TREE = f"usr/lib/modules/{VERSION}"
PASSWORD = "Tr0ub4dor&3"
SETUP = b"""\
install() {
    inst_hook cmdline 12 "$moddir/osr-cmdline.sh"
    inst_hook initqueue/settled 60 "${moddir}/osr-retry.sh"
    # inst_hook cmdline 03 "$moddir/never.sh"
}
"""
CLUSTER_SETUP = b'install() {\n    inst_hook pre-udev 59 "$moddir/osr-net-rules.sh"\n}\n'
DATA = {
    "format": b"2\n",
    "cmdline": b"rd.retry=60\n",
    "osr.conf": b"OSR_CLUSTER='demo'\n",
    "nodeids": b"1 00:0c:29:00:00:01\n2 00:0c:29:00:00:02\n",
    "nodes.d/1.conf": b"OSR_NODEID='1'\n",
    "network/nm/empty": b"",
}
MODULES = {"modules.d/95osr/module-setup.sh": SETUP, "modules.d/95osr-cluster/module-setup.sh": CLUSTER_SETUP}
ORDER = BuildOrder(
    root="demo",
    path="/srv/root",
    kernel=Kernel(VERSION, f"boot/vmlinuz-{VERSION}", "d", 8 << 20, TREE),
    way=BootWay.FULL,
    fingerprint="f",
    data=DATA,
    modules=MODULES,
)
NODES = (
    Node("node1", 1, root=RootVolume("", "nfs4", "10.0.0.1", "/srv"), nics=(Nic("eth0", driver="virtio-net"),)),
    Node("node2", 2, root=RootVolume("", "nfs4", "10.0.0.1", "/srv"), nics=(Nic("eth0", driver="e1000"),)),
)
CLUSTER = Cluster(
    "cluster.conf",
    "demo",
    1,
    nodes=NODES,
    lines=(1, 2),
    fencedevices=(FenceDevice("ipmi1", (("agent", "fence_ipmilan"), ("login", "admin"), ("passwd", PASSWORD))),),
)
LIST = "usr/lib/dracut/modules.txt"
TEXTS = {
    LIST: b"systemd\nnetwork-legacy\nnetwork\nnfs\nosr\nosr-cluster\nbase\n",
    "etc/osr/format": DATA["format"],
    "etc/osr/osr.conf": DATA["osr.conf"],
    "etc/osr/nodeids": DATA["nodeids"],
    "etc/osr/nodes.d/1.conf": DATA["nodes.d/1.conf"],
    "etc/cmdline.d/10-osr.conf": DATA["cmdline"],
    "usr/lib/dracut/hooks/cmdline/12-osr-cmdline.sh": b"#!/bin/sh\n",
    "usr/lib/dracut/hooks/initqueue/settled/60-osr-retry.sh": b"#!/bin/sh\n",
    "usr/lib/dracut/hooks/pre-udev/59-osr-net-rules.sh": b"#!/bin/sh\n",
    "usr/sbin/osrroot": b"#!/bin/sh\n",
    "usr/share/doc/admin": b"the password is not here\n",
}
BINARIES = ("usr/sbin/mount.nfs", f"{TREE}/kernel/fs/nfs/nfs.ko", f"{TREE}/kernel/fs/nfs/nfsv4.ko.xz")
BINARIES = (*BINARIES, f"{TREE}/kernel/drivers/net/virtio_net.ko")
KERNEL = KernelModules(frozenset({"nfs", "nfsv3", "nfsv4", "virtio_net", "ext4", "gfs2", "dlm"}), frozenset({"e1000"}))


def content(texts: Mapping[str, bytes] = TEXTS, binaries: tuple[str, ...] = BINARIES) -> ImageContent:
    files = [
        ImageFile(path, stat.S_IFREG | 0o644, len(data), sha256(data).hexdigest()) for path, data in texts.items()
    ]
    files += [ImageFile(path, stat.S_IFREG | 0o755, 100, "d") for path in binaries]
    return ImageContent(tuple(sorted(files, key=lambda file: file.path)), texts)


GOOD = Subject(ORDER, Dracut(59, "059-4"), 40 << 20, content(), VERSION, CLUSTER, NODES, KERNEL)


def image(size: int, way: BootWay = BootWay.FULL, kernel: str = VERSION) -> Image:
    return Image("0123456789abcdef", "demo", kernel, way, "f", 0.0, 1.0, "", "", 1, "", "", size, 1)


def without(*parts: str) -> ImageContent:
    return content(
        {path: text for path, text in TEXTS.items() if not any(part in path for part in parts)},
        tuple(path for path in BINARIES if not any(part in path for part in parts)),
    )


def adding(**texts: bytes) -> ImageContent:
    return content({**TEXTS, **texts})


def with_root(*roots: RootVolume) -> tuple[Node, ...]:
    return tuple(replace(NODES[0], name=f"node{number}", root=root) for number, root in enumerate(roots, 1))


def listing(*modules: str) -> ImageContent:
    return adding(**{LIST: "\n".join(modules).encode()})


def found(subject: Subject) -> list[tuple[str, str]]:
    return [(finding.code, finding.value) for finding in check(subject)]


def test_a_good_one() -> None:
    assert check(GOOD) == ()
    assert not blocks(())


LOCAL = RootVolume("", "ext3", "", "/dev/vda1")
GFS2 = RootVolume("", "gfs2", "", "/dev/vda1")
OCFS2 = RootVolume("", "ocfs2", "", "/dev/vda1")
RETRY = "initqueue/settled/60-osr-retry.sh"
NO_ID = {"etc/machine-id": b"0123456789abcdef" * 2 + b"\n"}
HASH = {"etc/shadow": b"root:$y$j9T$abc$def:1:0:::::\n"}
KEY = {"root/k": b"-----BEGIN PRIVATE KEY-----\nMII"}
CONF_D = {"etc/conf.d/osr-1.conf": b"a=b c\n"}
BUILT_IN = KernelModules(frozenset(), frozenset({"ext4", "e1000"}))
E, W = Severity.ERROR, Severity.WARNING


@pytest.mark.parametrize(
    ("subject", "severity", "code", "value"),
    [
        # size
        (replace(GOOD, size=0), E, "initrd-empty", ""),
        (replace(GOOD, size=(512 << 20) + 1), E, "initrd-too-big", ""),
        (replace(GOOD, size=0, history=(image(81 << 20),)), E, "initrd-empty", ""),
        (replace(GOOD, limits=BuildLimits(size=39)), E, "initrd-too-big", ""),
        (replace(GOOD, history=(image(81 << 20),)), W, "initrd-size-jump", "0123456789abcdef"),
        (replace(GOOD, history=(image(19 << 20),)), W, "initrd-size-jump", "0123456789abcdef"),
        (replace(GOOD, history=(image(81 << 20, kernel="6.0"),)), W, "initrd-size-jump", "0123456789abcdef"),
        # kernel and modules
        (replace(GOOD, own_version="6.1.0-51-amd64"), E, "initrd-kernel-mismatch", "6.1.0-51-amd64"),
        (
            replace(GOOD, content=content(TEXTS, (*BINARIES, "usr/lib/modules/6.0/kernel/a.ko"))),
            W,
            "initrd-foreign-modules",
            "",
        ),
        # osrd's modules
        (replace(GOOD, content=listing("systemd", "connman", "osr-cluster")), E, "initrd-module-missing", "osr"),
        (replace(GOOD, content=listing("systemd", "connman", "osr")), E, "initrd-module-missing", "osr-cluster"),
        (replace(GOOD, content=without("modules.txt")), E, "initrd-not-of-dracut", ""),
        (replace(GOOD, content=without("60-osr-retry")), E, "initrd-hook-missing", RETRY),
        (replace(GOOD, content=without("59-osr")), E, "initrd-hook-missing", "pre-udev/59-osr-net-rules.sh"),
        (replace(GOOD, content=without("osrroot")), E, "initrd-hook-missing", "osrroot"),
        # network
        (
            replace(GOOD, content=listing("systemd", "osr", "osr-cluster", "network-legacy", "systemd-networkd")),
            E,
            "initrd-network-providers",
            "network-legacy systemd-networkd",
        ),
        (replace(GOOD, content=listing("systemd", "osr", "osr-cluster", "base")), E, "initrd-no-network", ""),
        (replace(GOOD, content=listing("osr", "osr-cluster", "network-legacy")), E, "initrd-no-switch-root", ""),
        # data
        (replace(GOOD, content=without("nodeids")), E, "initrd-data-missing", "etc/osr/nodeids"),
        (replace(GOOD, content=adding(**{"etc/osr/nodeids": b"1 x\n"})), E, "initrd-data-missing", "etc/osr/nodeids"),
        (replace(GOOD, content=without("10-osr")), E, "initrd-data-missing", "etc/cmdline.d/10-osr.conf"),
        (
            replace(GOOD, order=replace(ORDER, data={"format": b"2\n"})),
            E,
            "initrd-without-nodes",
            "",
        ),
        # drivers
        (replace(GOOD, content=without("virtio_net")), E, "initrd-no-driver", "virtio_net"),
        (
            replace(GOOD, nodes=(replace(NODES[0], nics=(Nic("eth0", driver="e1000x"),)),)),
            W,
            "initrd-unknown-driver",
            "e1000x",
        ),
        (replace(GOOD, modules=KernelModules()), W, "initrd-unknown-driver", "e1000"),
        (replace(GOOD, content=without("nfsv4")), E, "initrd-no-filesystem", "nfsv4"),
        (replace(GOOD, content=without("/nfs.ko")), E, "initrd-no-filesystem", "nfs"),
        (replace(GOOD, content=without("mount.nfs")), E, "initrd-no-filesystem", "mount.nfs"),
        (
            replace(GOOD, nodes=with_root(RootVolume("", "nfs", "s", "/p", "vers=3"))),
            E,
            "initrd-no-filesystem",
            "nfsv3",
        ),
        (replace(GOOD, nodes=with_root(LOCAL)), E, "initrd-no-filesystem", "ext3"),
        (replace(GOOD, nodes=with_root(replace(LOCAL, fstype="reiserfs"))), E, "initrd-no-filesystem", "reiserfs"),
        (
            replace(GOOD, nodes=(replace(NODES[0], filesystems=(Filesystem("/data", "/dev/vdb", "xfs"),)),)),
            W,
            "initrd-no-filesystem",
            "xfs",
        ),
        # nobody's identity, no secrets
        (replace(GOOD, content=adding(**NO_ID)), E, "initrd-machine-id", "etc/machine-id"),
        (replace(GOOD, content=adding(**CONF_D)), E, "initrd-conf-d", "etc/conf.d/osr-1.conf"),
        (replace(GOOD, content=adding(**{"usr/x": f"x='{PASSWORD}'".encode()})), E, "initrd-secret", "usr/x"),
        (replace(GOOD, content=adding(**KEY)), E, "initrd-secret", "root/k"),
        (replace(GOOD, content=adding(k=b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3")), E, "initrd-secret", "k"),
        (
            replace(GOOD, content=content(TEXTS, (*BINARIES, "etc/corosync/authkey"))),
            E,
            "initrd-secret",
            "etc/corosync/authkey",
        ),
        (replace(GOOD, content=content(TEXTS, (*BINARIES, "etc/krb5.keytab"))), E, "initrd-secret", "etc/krb5.keytab"),
        (replace(GOOD, content=adding(**HASH)), E, "initrd-secret", "etc/shadow"),
        (replace(GOOD, content=replace(content(), unsearched=3)), W, "initrd-not-searched", ""),
    ],
)
def test_what_is_wrong(subject: Subject, severity: Severity, code: str, value: str) -> None:
    findings = [finding for finding in check(subject) if finding.code == code]
    assert [(finding.severity, finding.value) for finding in findings] == [(severity, value)]
    assert findings[0].message
    assert findings[0].fix
    assert {finding.code for finding in check(subject)} == {code}
    assert blocks(check(subject)) is (severity is E)
    assert PASSWORD not in str(findings[0])


@pytest.mark.parametrize(
    "subject",
    [
        replace(GOOD, content=content(TEXTS, (*BINARIES, "usr/lib/modules/keys/signing.x509"))),
        replace(GOOD, history=(image(79 << 20),)),
        replace(GOOD, history=(image(21 << 20),)),
        replace(GOOD, history=(image(1 << 20, BootWay.STATIC), image(40 << 20))),
        replace(GOOD, history=(image(1 << 20, kernel="6.0"), image(40 << 20))),
        replace(GOOD, history=(image(0),)),
        replace(GOOD, content=content(TEXTS, (*BINARIES, "usr/lib/modules/keys/a.pem"))),
        replace(GOOD, content=adding(**{"etc/machine-id": b""})),
        replace(GOOD, content=adding(**{"etc/machine-id": b"uninitialized\n"})),
        replace(GOOD, content=adding(**{"etc/shadow": b"root:*:1::::::\ndaemon:!:1::::::\nx:!!$6$abcdefgh:1:\n"})),
        replace(GOOD, content=adding(**{"etc/ssl/cert.pem": b"-----BEGIN CERTIFICATE-----\nMII"})),
        replace(GOOD, content=adding(**{"usr/x": f"x{PASSWORD}4".encode()})),
        replace(GOOD, nodes=with_root(RootVolume("", "nfs", "s", "/p"))),
        replace(GOOD, nodes=with_root(RootVolume("", "nfs", "s", "/p", "rw,vers=4.1"))),
        replace(GOOD, nodes=with_root(replace(LOCAL, fstype="ext2")), modules=BUILT_IN),
        replace(GOOD, nodes=with_root(replace(LOCAL, fstype="e1000"))),
    ],
)
def test_what_is_not_wrong(subject: Subject) -> None:
    assert check(subject) == ()


def test_without_systemd_there_is_a_program_that_goes_over_to_the_root() -> None:
    plain = listing("osr", "osr-cluster", "network-legacy")
    (program,) = content({}, ("usr/bin/switch_root",)).files
    assert check(replace(GOOD, content=replace(plain, files=(*plain.files, program)))) == ()


def test_the_static_way_has_no_cluster_data() -> None:
    order = replace(ORDER, way=BootWay.STATIC)
    texts = {path: text for path, text in TEXTS.items() if "node" not in path and "59-osr" not in path}
    static = replace(GOOD, order=order, content=content({**texts, LIST: b"systemd\nosr\nnetwork-legacy\n"}))
    assert check(static) == ()
    assert found(replace(static, content=content({**texts, LIST: b"systemd\nnetwork-legacy\n"}))) == [
        ("initrd-module-missing", "osr")
    ]


def test_hooks_of_newer_dracuts_are_below_var() -> None:
    texts = {path.replace("usr/lib/dracut/hooks", "var/lib/dracut/hooks"): text for path, text in TEXTS.items()}
    newer = replace(GOOD, dracut=Dracut(111, "111"), content=content(texts))
    assert check(newer) == ()
    del texts["var/lib/dracut/hooks/cmdline/12-osr-cmdline.sh"]
    (finding,) = check(replace(newer, content=content(texts)))
    assert "var/lib/dracut/hooks/cmdline/12-osr-cmdline.sh" in finding.message


@pytest.mark.parametrize(
    ("root", "missing"),
    [
        (GFS2, {"gfs2", "dlm"}),
        (replace(GFS2, mountopts="rw,lockproto=lock_nolock"), {"gfs2"}),
        (OCFS2, {"ocfs2", "ocfs2_dlm", "ocfs2_stack_o2cb"}),
    ],
)
def test_cluster_file_systems(root: RootVolume, missing: set[str]) -> None:
    findings = check(replace(GOOD, nodes=with_root(root)))
    assert {finding.value for finding in findings if finding.code == "initrd-no-filesystem"} == missing


@pytest.mark.parametrize(
    ("root", "needed"),
    [(LOCAL, False), (GFS2, True), (OCFS2, True), (replace(GFS2, mountopts="lockproto=lock_nolock"), False)],
)
def test_other_nodes_are_reached_by_a_network(root: RootVolume, needed: bool) -> None:
    """Without one there would be no quorum, and no node would mount its disk."""
    subject = replace(GOOD, nodes=with_root(root), content=listing("systemd", "osr", "osr-cluster", "base"))
    assert (("initrd-no-network", "") in found(subject)) == needed


@pytest.mark.parametrize(
    ("root", "module", "data"), [(GFS2, "osr-gfs2", "dlm/dlm.conf"), (OCFS2, "osr-ocfs2", "ocfs2/x")]
)
def test_modules_and_data_of_cluster_file_systems(root: RootVolume, module: str, data: str) -> None:
    setup = {f"modules.d/95{module}/module-setup.sh": b' inst_hook pre-mount 10 "$moddir/start.sh"\n'}
    order = replace(ORDER, way=BootWay.STATIC, modules={**MODULES, **setup}, data={**DATA, data: b"x\n"})
    subject = replace(GOOD, order=order, nodes=with_root(root))
    assert {
        ("initrd-module-missing", module),
        ("initrd-hook-missing", "pre-mount/10-start.sh"),
        ("initrd-data-missing", f"etc/osr/{data}"),
    } <= set(found(subject))


def test_nothing_is_told_twice() -> None:
    many = tuple(replace(NODES[0], name=f"node{number}") for number in range(100))
    subject = replace(GOOD, nodes=many, content=without("virtio_net", "nfsv4", "mount.nfs"))
    assert len(check(subject)) == 3


def test_errors_come_first() -> None:
    subject = replace(GOOD, history=(image(1 << 20),), own_version="6.0")
    assert [finding.severity for finding in check(subject)] == [E, W]


def test_modules_of_no_kernel() -> None:
    assert ("initrd-without-modules", VERSION) in found(replace(GOOD, content=without("usr/lib/modules")))
    moved = tuple(path.replace(VERSION, "6.0") for path in BINARIES)
    (finding,) = check(replace(GOOD, content=content(TEXTS, moved)))
    assert "but for 6.0" in finding.message


def fenced(password: str, *, in_node: bool = False) -> Cluster:
    device = FenceDevice("ipmi1", (("passwd", password),))
    if not in_node:
        return replace(CLUSTER, fencedevices=(device,))
    node = replace(NODES[0], fence=(FenceMethod("1", (device,)),))
    return replace(CLUSTER, fencedevices=(), nodes=(node,))


@pytest.mark.parametrize(
    ("password", "path", "is_found"),
    [
        ("password", "etc/cluster/cluster.conf", True),
        ("password", "usr/lib/systemd/system/systemd-ask-password.service", False),
        ("12345678", "usr/x", False),
        ("abc", "etc/osr/nodes.d/1.conf", True),
        ("ab", "etc/osr/nodes.d/1.conf", False),
        ("s3cr3t-word", "usr/x", True),
        ("", "etc/osr/x", False),
    ],
)
@pytest.mark.parametrize("in_node", [False, True])
def test_passwords_that_are_words_are_looked_for_where_they_would_be(
    password: str, path: str, is_found: bool, in_node: bool
) -> None:
    cluster = fenced(password, in_node=in_node)
    texts = {**TEXTS, path: f'<device passwd="{password}"/>\n'.encode()}
    subject = replace(GOOD, cluster=cluster, content=content(texts))
    secrets = [finding for finding in check(subject) if finding.code == "initrd-secret"]
    assert [finding.value for finding in secrets] == [path] * is_found


@pytest.mark.parametrize(
    ("free", "enough"), [(200 << 20, True), (112 << 20, True), ((112 << 20) - 1, False), (0, False)]
)
def test_room(free: int, enough: bool) -> None:
    findings = room(free, (8 << 20, 40 << 20), "/var/lib/osrd")
    assert (findings == ()) is enough
    assert blocks(findings) is not enough
    assert all("/var/lib/osrd" in finding.message for finding in findings)
