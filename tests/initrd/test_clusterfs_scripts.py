# SPDX-License-Identifier: GPL-3.0-or-later
"""What osr-fs-gfs2, osr-fs-ocfs2 and their hooks do and say, under dash and busybox sh. The kernel's part is a
directory, the daemons are programs that sleep; test_clusterfs.py has the real ones."""

import re
from pathlib import Path

import pytest

from tests.initrd.initramfs import CLUSTER, SHELLS, STATIC, Boot, node

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("unshare", "ip", "dash", "busybox", "/usr/lib/dracut/dracut-util", "/sbin/mount.nfs"),
    pytest.mark.slow,
]

NODES = "".join(
    f"node:\n\tname = node{number}\n\tcluster = web\n\tnumber = {number}\n"
    f"\tip_address = 10.77.0.{number}\n\tip_port = 7777\n\n"
    for number in (1, 2)
)
O2CB = {**CLUSTER, "ocfs2/cluster.conf": f"cluster:\n\tnode_count = 2\n\tname = web\n\n{NODES}"}
COROSYNC = {
    **CLUSTER,
    "corosync/corosync.conf": "totem {\n\tversion: 2\n\tcluster_name: web\n}\n",
    "dlm/dlm.conf": "protocol=tcp\n",
}
#: What says that the initramfs is kept for the end of the machine
KEPT = "/run/initramfs/.kept"
#: A kernel that has what they need; what the machine goes back to is there already; nobody waits.
KERNEL = (
    "sh mount -t tmpfs tmpfs /sys/kernel && mkdir -p /sys/kernel/config && mount -t tmpfs configfs /sys/kernel/config",
    "sh mount -t tmpfs tmpfs /sys/fs && mkdir -p /sys/fs/ocfs2 /sys/kernel/config/cluster /sys/kernel/config/dlm",
    f"sh mkdir -p {Path(KEPT).parent} && : > {KEPT}",
    "sh cd /usr/sbin && printf '#!/bin/sh\\necho pause $1 >> /log/calls\\n' > sleep && chmod 0755 sleep",
)
#: configfs makes a node's attributes with its directory
CONFIGFS = (
    'sh cd /usr/sbin && printf \'#!/bin/sh\\n/usr/bin/mkdir "$@" || exit\\nfor d; do :; done\\n'
    'case $d in */node/*) echo 0 > "$d/local" ;; */web) /usr/bin/mkdir "$d/node" "$d/heartbeat" ;; esac\\n\''
    " > mkdir && chmod 0755 mkdir"
)
#: The daemons' root is not entered, and they are what sleeps; /log/@NAME.dead keeps one from it.
_CHROOT = """#!/bin/sh
shift
echo "$PWD: $*" >> /log/calls
over() { # whoever asks a daemon that cannot live gets no answer before it is gone
    [ -e "/log/@$1.dead" ] || return 0
    read -r pid < "/run/osr/$1.pid"
    while [ -e "/proc/$pid/exe" ]; do /usr/bin/sleep 0.05; done
}
case $1 in
    @*) [ ! -e "/log/$1.dead" ] || exit 1; exec /usr/bin/sleep 1000 ;;
    corosync-quorumtool) over corosync; cat /log/quorum ;;
    dlm_tool) over dlm_controld; [ ! -e /log/mute ] ;;
esac
"""
DAEMONS = (
    "sh mv /log/chroot /usr/sbin && chmod 0755 /usr/sbin/chroot",
    "sh printf '#!/bin/sh\\nexec \"$@\"\\n' > /usr/sbin/setsid; chmod 0755 /usr/sbin/setsid",
    "sh printf 'Expected votes:   3\\nTotal votes:      2\\nQuorate:          Yes\\n' > /log/quorum",
    "sh printf '#!/bin/sh\\ncat /log/superblock\\n' > /usr/sbin/tunegfs2; chmod 0755 /usr/sbin/tunegfs2; : > /disk",
    "sh printf 'Lock protocol: lock_dlm\\nLock table: web:root\\n' > /log/superblock",
)
OCFS2 = ("cmdline", *KERNEL, CONFIGFS)
GFS2 = ("cmdline", *KERNEL, *DAEMONS)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ocfs2(place: Path, shell: str, cmdline: str = "nodeid=2", **more: str) -> Boot:
    return Boot(place, shell, cmdline=cmdline, data={**O2CB, **more}, modules="osr osr-cluster osr-ocfs2", nics={})


def gfs2(place: Path, shell: str, cmdline: str = "nodeid=1", **more: str) -> Boot:
    boot = Boot(place, shell, cmdline=cmdline, data={**COROSYNC, **more}, modules="osr osr-cluster osr-gfs2", nics={})
    (boot.base / "log/chroot").write_text(_CHROOT)
    return boot


def statuses(boot: Boot, program: str) -> list[str]:
    return [line.partition(" ")[2] for line in boot.text("log/stages").splitlines() if line.startswith(program)]


def calls(boot: Boot, *what: str) -> list[str]:
    return [
        line.partition(": ")[2] for line in boot.text("log/calls").splitlines() if any(each in line for each in what)
    ]


# --- OCFS2 ---

_LOOK = "sh cd /sys && grep -r . kernel/config/cluster fs/ocfs2 | LC_ALL=C sort"


def test_ocfs2_is_told_of_all_nodes(shell: str, tmp_path: Path) -> None:
    boot = ocfs2(tmp_path, shell)
    times = "O2CB_HEARTBEAT_THRESHOLD=61\nO2CB_IDLE_TIMEOUT_MS=60000\nO2CB_KEEPALIVE_DELAY_MS=3\n"
    times += "O2CB_RECONNECT_DELAY_MS=4\nO2CB_ENABLED=true\nO2CB_X=$(reboot)\n"
    (boot.base / "build/etc/default").mkdir(parents=True)
    (boot.base / "build/etc/default/o2cb").write_text(times)
    boot.run(*OCFS2, "osr-fs-ocfs2 start /dev/a rw", _LOOK)
    assert statuses(boot, "osr-fs") == ["0"], boot.dump()
    listed = [line for line in boot.log.splitlines() if line.startswith(("kernel/", "fs/"))]
    assert listed == [
        "fs/ocfs2/cluster_stack:o2cb",
        "kernel/config/cluster/web/heartbeat/dead_threshold:61",
        "kernel/config/cluster/web/idle_timeout_ms:60000",
        "kernel/config/cluster/web/keepalive_delay_ms:3",
        *(
            f"kernel/config/cluster/web/node/{name}"
            for number, local in ((1, 0), (2, 1))
            for name in (
                f"node{number}/ipv4_address:10.77.0.{number}",
                f"node{number}/ipv4_port:7777",
                f"node{number}/local:{local}",
                f"node{number}/num:{number}",
            )
        ),
        "kernel/config/cluster/web/reconnect_delay_ms:4",
    ], boot.dump()


def test_ocfs2_again_leaves_what_is_there(shell: str, tmp_path: Path) -> None:
    boot = ocfs2(tmp_path, shell)
    keep = (
        "sh cd /sys/kernel/config/cluster/web/node && for n in node*/* ; do echo kept > $n; done; echo 1 > node2/local"
    )
    boot.run(*OCFS2, "osr-fs-ocfs2 start /dev/a rw", keep, "osr-fs-ocfs2 start /dev/a rw", _LOOK)
    assert statuses(boot, "osr-fs") == ["0", "0"], boot.dump()
    assert boot.log.count(":kept\n") == 7, boot.dump()


def test_ocfs2_node_that_was_not_taken_is_told_again(shell: str, tmp_path: Path) -> None:
    """configfs has its directory then, without number and address."""
    boot = ocfs2(tmp_path, shell)
    refuse = """sh sed -i 's,echo 0 >,[ ${d##*/} = node2 ] || /usr/bin/mkdir "$d/ipv4_address"; &,' /usr/sbin/mkdir"""
    accept = "sh sed -i 's,= node2 ,!= \"\" ,' /usr/sbin/mkdir"
    # what configfs does with a directory that is removed
    remove = "sh cd /usr/sbin && printf '#!/bin/sh\\nrm -r \"$1\"\\n' > rmdir && chmod 0755 rmdir"
    start = "osr-fs-ocfs2 start /dev/a rw"
    boot.run(*OCFS2, remove, refuse, start, start, accept, start, _LOOK)
    assert statuses(boot, "osr-fs") == ["1", "1", "0"], boot.dump()
    assert "OCFS2 did not take the node node1 (10.77.0.1)" in boot.diagnosis
    assert "what to do: correct its address in cluster.conf" in boot.diagnosis
    assert "node1/num:1" in boot.log


@pytest.mark.parametrize(
    ("before", "why", "fix"),
    [
        ("rm -r /etc/osr/ocfs2", "does not know the other nodes, and /dev/a is", "osrctl initrd data"),
        ("rm /run/osr/nodeid", "it is not known which node this is", "boot with nodeid="),
        ("sed -i 's/= 2$/= 3/' /etc/osr/ocfs2/cluster.conf", "cluster has no node 2", "a fixed ip="),
        ("rmdir /sys/kernel/config/cluster", "no OCFS2 with o2cb", "ocfs2_stack_o2cb"),
        ("rmdir /sys/fs/ocfs2", "no OCFS2 with o2cb", "ocfs2_stack_o2cb"),
        (
            "umount /sys/kernel/config; rmdir /sys/kernel/config",
            "the kernel has no configfs",
            "with configfs",
        ),
    ],
)
def test_ocfs2_says_what_is_missing(before: str, why: str, fix: str, shell: str, tmp_path: Path) -> None:
    boot = ocfs2(tmp_path, shell)
    boot.run(*OCFS2, f"sh {before}", "osr-fs-ocfs2 start /dev/a rw")
    assert statuses(boot, "osr-fs") == ["1"], boot.dump()
    assert why in boot.diagnosis, boot.dump()
    assert fix in boot.diagnosis
    assert why in boot.text("run/osr/initrd/mount.log"), "osr-retry tells it, too"


def test_initramfs_that_does_not_fit_is_told_again(shell: str, tmp_path: Path) -> None:
    """A part of it is none: the machine could not unmount its root at its end."""
    boot = ocfs2(tmp_path, shell)
    copy = (
        "sh cd /usr/sbin && printf '#!/bin/sh\\necho kept $2 >> /log/calls\\ncase $2 in\\n"
        "*/bin) mkdir -p /run/initramfs/bin; : > /run/initramfs/bin/sh ;;\\n"
        "/usr/sbin) [ ! -e /log/full ] ;;\\nesac\\n' > cp && chmod 0755 cp"
    )
    start = "osr-fs-ocfs2 start /dev/a rw"
    boot.run(*OCFS2, f"sh rm -r {KEPT}; : > /log/full", copy, start, start, "sh rm /log/full", start, start)
    assert statuses(boot, "osr-fs") == ["1", "1", "0", "0"], boot.dump()
    assert "the initramfs could not be kept in /run" in boot.diagnosis
    assert boot.text("log/calls").count("kept /usr/sbin") == 3
    assert not re.search(
        "kept /(dev|proc|run|sys|sysroot|tmp|usr|usr/lib|usr/lib/(modules|firmware|osr))\\n", boot.text("log/calls")
    )
    assert (boot.base / "run/initramfs/.need_shutdown").exists()


def test_ocfs2_of_one_node_needs_nobody(shell: str, tmp_path: Path) -> None:
    boot = ocfs2(tmp_path, shell, "")
    boot.run(*OCFS2, "osr-fs-ocfs2 start /dev/a rw,heartbeat=none", _LOOK)
    assert statuses(boot, "osr-fs") == ["0"], boot.dump()
    assert "web" not in boot.log


# --- GFS2 ---

START = "osr-fs-gfs2 start /disk rw"
_ALONE = "s/lock_dlm/lock_nolock/"


def begun(count: int) -> str:
    """Until so many daemons have said that they begin: each does it when it gets the processor."""
    return f"sh i=0; while [ $(grep -c ': @' /log/calls) -lt {count} ] && [ $i -lt 5000 ]; do i=$((i + 1)); done"


def test_gfs2_starts_the_daemons_once(shell: str, tmp_path: Path) -> None:
    boot = gfs2(tmp_path, shell)
    keep = "sh echo kept > /run/osr/daemons/etc/dlm/dlm.conf"
    boot.run(
        *GFS2, START, "sh cat /run/osr/*.pid > /log/pids", keep, START, "sh cat /run/osr/*.pid > /log/again", begun(2)
    )
    assert statuses(boot, "osr-fs") == ["0", "0"], boot.dump()
    assert sorted(calls(boot, ": @")) == ["@corosync -f", "@dlm_controld --foreground 1"], "each once, in its root"
    assert "/run/osr/daemons: @corosync -f\n" in boot.text("log/calls")
    assert boot.text("log/pids") == boot.text("log/again")
    assert boot.text("run/osr/daemons/etc/dlm/dlm.conf") == "kept\n", "nor is their root made anew under them"
    for unit in ("corosync", "dlm"):
        text = boot.text(f"run/systemd/system/{unit}.service")
        assert "DefaultDependencies=no" in text
        assert "RemainAfterExit=yes" in text


def test_gfs2_starts_a_daemon_that_died_again(shell: str, tmp_path: Path) -> None:
    boot = gfs2(tmp_path, shell)
    back = "sh echo again >> /log/calls; rm /log/@corosync.dead; sed -i s/No/Yes/ /log/quorum"
    boot.run(*GFS2, "sh : > /log/@corosync.dead; sed -i s/Yes/No/ /log/quorum", START, begun(1), back, START, begun(3))
    assert statuses(boot, "osr-fs") == ["1", "0"], boot.dump()
    assert "corosync does not run" in boot.diagnosis
    assert boot.text("log/calls").partition("again")[0].count("pause") <= 1, "nobody waits for its quorum"
    assert sorted(calls(boot, ": @")) == ["@corosync -f", "@corosync -f", "@dlm_controld --foreground 1"]


@pytest.mark.parametrize(
    ("before", "why", "fix"),
    [
        ("sed -i s/Yes/No/ /log/quorum", "no quorum: 2 of 3 votes", "a cluster that starts from nothing needs all"),
        ("rm -r /etc/osr/corosync", "does not know the other nodes, and /disk is", "lockproto=lock_nolock"),
        ("rmdir /sys/kernel/config/dlm", "no distributed lock manager", "add its module dlm"),
        (": > /log/@dlm_controld.dead", "dlm_controld does not run", "dmesg"),
        (": > /log/mute", "dlm_controld does not run", "dmesg"),
        ("sed -i s/web:/other:/ /log/superblock", "belongs to the cluster other, and", "locktable=web:root /disk"),
        ("umount /sys/kernel/config; rmdir /sys/kernel/config", "the kernel has no configfs", "with configfs"),
    ],
)
def test_gfs2_says_what_is_missing(before: str, why: str, fix: str, shell: str, tmp_path: Path) -> None:
    boot = gfs2(tmp_path, shell)
    boot.run(*GFS2, f"sh {before}", START)
    assert statuses(boot, "osr-fs") == ["1"], boot.dump()
    assert why in boot.diagnosis, boot.dump()
    assert fix in boot.diagnosis
    assert why in boot.text("run/osr/initrd/mount.log"), "osr-retry tells it, too"


def test_gfs2_waits_for_quorum_and_for_the_lock_manager(shell: str, tmp_path: Path) -> None:
    boot = gfs2(tmp_path, shell)
    boot.run(*GFS2, "sh sed -i s/Yes/No/ /log/quorum", START, "sh sed -i s/No/Yes/ /log/quorum; : > /log/mute", START)
    pauses = [line for line in boot.text("log/calls").splitlines() if line.startswith("pause")]
    assert pauses == ["pause 1"] * (14 + 9), "no pause after the last look"


@pytest.mark.parametrize(
    ("edit", "options", "wanted"),
    [
        (_ALONE, "rw", 0),
        ("", "rw,lockproto=lock_nolock,noatime", 0),
        (_ALONE, "lockproto=lock_dlm,rw", 2),
        (_ALONE, "rw,lockproto=lock_nolockx", 2),
        ("", "rw", 2),
        ("d", "rw", 2),  # nothing is known of it
    ],
)
def test_gfs2_of_one_node_needs_nobody(edit: str, options: str, wanted: int, shell: str, tmp_path: Path) -> None:
    boot = gfs2(tmp_path, shell)
    boot.run(*GFS2, f"sh sed -i '{edit}' /log/superblock", f"osr-fs-gfs2 start /disk {options}", begun(wanted))
    assert statuses(boot, "osr-fs") == ["0"], boot.dump()
    assert len(calls(boot, ": @")) == wanted


def test_gfs2_of_the_cluster_that_the_options_name(shell: str, tmp_path: Path) -> None:
    """They win over the superblock."""
    boot = gfs2(tmp_path, shell)
    other = "sh sed -i s/web:/other:/ /log/superblock"
    start = "osr-fs-gfs2 start /disk"
    boot.run(*GFS2, f"{start} rw,locktable=third:x,noatime", other, f"{start} rw,locktable=web:x")
    assert statuses(boot, "osr-fs") == ["1", "0"], boot.dump()
    assert "belongs to the cluster third" in boot.diagnosis
    assert "tunegfs2 -o locktable=web:x /disk, while" in boot.diagnosis


def test_gfs2_leaves_the_cluster_in_order(shell: str, tmp_path: Path) -> None:
    """The lock manager first, and when it is gone corosync: without membership it could not."""
    boot = gfs2(tmp_path, shell)
    told = 'kill() { echo "$*" >> /log/kills; command kill "$@"; }; sleep() { /usr/bin/sleep "$@"; }'
    living = "for n in /run/osr/*.pid; do read -r p < $n; [ ! -e /proc/$p/exe ] || echo $n; done > /log/living"
    boot.run(*GFS2, START, f"sh {told}; . /lib/dracut/hooks/shutdown/90-osr-gfs2-leave.sh; {living}")
    dlm, corosync = (boot.osr(f"{name}.pid") for name in ("dlm_controld", "corosync"))
    kills = boot.text("log/kills").splitlines()
    assert kills[0] == f"-TERM {dlm}", boot.dump()
    assert f"-0 {dlm}" in kills[1 : kills.index(f"-TERM {corosync}")]
    assert kills[-1] == f"-0 {corosync}"
    assert boot.text("log/living") == ""


# --- hooks of both, for a root= of the administrator's ---


@pytest.mark.parametrize("fstype", ["gfs2", "ocfs2"])
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("root=/dev/a rootfstype={}", True),
        ("root=/dev/a rootfstype={} rootflags=rw,lockproto=lock_nolock", False),
        ("root=/dev/a rootfstype=ext4", False),
        ("root=/dev/a rootfstype={} osr=0", False),
    ],
)
def test_network_before_the_disk(words: str, wanted: bool, fstype: str, shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, cmdline=f"nodeid=1 {words.format(fstype)}", data=STATIC, modules=f"osr osr-{fstype}")
    boot.run("cmdline")
    assert ("rd.neednet=1" in boot.words) == wanted, boot.dump()


_FAILS = (
    "sh printf '#!/bin/sh\\necho \"$@\" >> /log/starts\\n[ ! -s /log/fail ] || { sed -i 1d /log/fail; exit 1; }\\n'"
)


@pytest.mark.parametrize("fstype", ["gfs2", "ocfs2"])
def test_started_before_the_disk_is_mounted(fstype: str, shell: str, tmp_path: Path) -> None:
    cmdline = f"nodeid=1 root=/dev/a rootfstype={fstype} rootflags=noatime osr.tries=2 osr.wait=3"
    boot = Boot(tmp_path, shell, cmdline=cmdline, data=STATIC, modules=f"osr osr-{fstype}", admin=["true"])
    boot.run("cmdline", KERNEL[3], f"{_FAILS} > /usr/sbin/osr-fs-{fstype}", "sh echo no > /log/fail", "pre-mount")
    assert boot.text("log/starts") == "start /dev/a noatime\n" * 2, boot.dump()
    assert boot.text("log/calls").count("pause 3\n") == 1
    assert boot.asked == 0
    again = Boot(tmp_path / "again", shell, cmdline=cmdline, data=STATIC, modules=f"osr osr-{fstype}", admin=["true"])
    again.run(
        "cmdline",
        KERNEL[3],
        f"{_FAILS} > /usr/sbin/osr-fs-{fstype}",
        "sh printf '1\\n2\\n3\\n' > /log/fail",
        "pre-mount",
    )
    assert again.asked == 1, again.dump()
    assert again.text("log/starts").count("\n") == 4, "the count of attempts starts anew"


def test_not_started_for_a_root_that_is_there(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, cmdline="nodeid=1 root=/dev/a rootfstype=gfs2", data=STATIC, modules="osr osr-gfs2")
    boot.run("cmdline", f"{_FAILS} > /usr/sbin/osr-fs-gfs2", "sh mount --bind /shared /sysroot", "pre-mount")
    assert boot.text("log/starts") == "", boot.dump()


def test_not_started_for_another_root(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1)}, modules="osr osr-cluster osr-gfs2")
    boot.cmdline = "rootfstype=gfs2"
    boot.run("cmdline", f"{_FAILS} > /usr/sbin/osr-fs-gfs2", "pre-mount")
    assert boot.text("log/starts") == "", boot.dump()
