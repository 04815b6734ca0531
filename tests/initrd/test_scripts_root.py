# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in the new root before switch-root: this node's own files, its identity, more file systems, reports."""

import re
from pathlib import Path

import pytest

from tests.initrd.initramfs import CLUSTER, FOREIGN, SHELLS, STATIC, Boot, node

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("unshare", "ip", "dash", "busybox", "/usr/lib/dracut/dracut-util", "/sbin/mount.nfs"),
    pytest.mark.slow,
]

ALL = ("cmdline", "netroot eth0", "pre-pivot")
OLD = {"cdsl.local": None}  # the layout of 2011: a directory of its own


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def dropins(boot: Boot) -> dict[str, str]:
    found = (boot.base / "run/systemd/system").glob("*.mount.d/10-osr.conf")
    return {path.parent.name.removesuffix(".mount.d"): path.read_text() for path in found}


@pytest.mark.parametrize("init", ["systemd", "plain"])
def test_the_link_of_today(shell: str, init: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, init).run(*ALL)
    assert boot.bound("/cluster/cdsl/local") == "/cluster/cdsl/1", boot.dump()
    assert "DefaultDependencies=no" in dropins(boot)["cluster-cdsl-local"]
    assert boot.osr("cdslmount") == "/cluster/cdsl/local"
    assert boot.asked == 0


def test_the_directory_of_2011(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell)
    boot.shared("cdsl.local").unlink()
    boot.share(OLD)
    boot.run(*ALL)
    assert boot.bound("/cdsl.local") == "/cluster/cdsl/1", boot.dump()
    assert list(dropins(boot)) == ["cdsl.local"]


def test_names_with_dots_and_dashes(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, cmdline="cdsllink=/.cdsl-local cdsltree=/.cluster/cdsl nodeid=2")
    boot.share({".cdsl-local": None, ".cluster/cdsl/2": None})
    boot.run(*ALL)
    assert boot.bound("/.cdsl-local") == "/.cluster/cdsl/2", boot.dump()
    assert list(dropins(boot)) == [r"\x2ecdsl\x2dlocal"]


def test_an_absolute_link_stays_in_the_root(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell)
    boot.share({"cdsl.local": "-> /../../cluster/cdsl/../cdsl/local"})
    boot.run(*ALL)
    assert boot.bound("/cluster/cdsl/local") == "/cluster/cdsl/1", boot.dump()
    assert not (boot.base / "cluster").exists()


def test_rbind(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, cmdline="osr.cdslbind=rbind").run(*ALL)
    assert boot.bound("/cluster/cdsl/local") == "/cluster/cdsl/1"


def test_trees_called_like_the_nodes(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1, tree="n-1")})
    boot.share({"cluster/cdsl/n-1/etc/machine-id": "c" * 32 + "\n"})
    boot.run(*ALL)
    assert boot.bound("/cluster/cdsl/local") == "/cluster/cdsl/n-1", boot.dump()


def test_fstab_has_the_link(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell)
    boot.share({"etc/fstab": "/cluster/cdsl/1 /cdsl.local none bind 0 0\n"})
    boot.run(*ALL)
    assert boot.bound("/cluster/cdsl/local") == "/cluster/cdsl/1"
    assert dropins(boot) == {}


def test_comments_in_fstab_mount_nothing(shell: str, tmp_path: Path) -> None:
    """Else shutdown would try to unmount the node's own files, and fail."""
    boot = Boot(tmp_path, shell)
    boot.share(
        {"etc/fstab": "# /cdsl.local is mounted by the initrd\n#/cluster/cdsl/1 /cluster/cdsl/local none bind\n"}
    )
    boot.run(*ALL)
    assert list(dropins(boot)) == ["cluster-cdsl-local"], boot.dump()


def test_tree_of_another_node(shell: str, tmp_path: Path) -> None:
    """A node whose tree is missing does not take one that is called like its id or name."""
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1, nodename="n2", tree="n1")})
    boot.share({"cluster/cdsl/n2": None})
    boot.run(*ALL)
    assert "no CDSL directory for node 1 in /cluster/cdsl" in boot.diagnosis, boot.dump()
    assert boot.bound("/cluster/cdsl/local") == ""


def test_tree_of_a_node_called_like_the_id_of_another(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1, nodename="2"), "nodenames": "1 2\n"})
    boot.run("cmdline", "netroot eth0", "sh mv /shared/cluster/cdsl/1 /shared/cluster/cdsl/gone", "pre-pivot")
    assert "no CDSL directory for node 1 in /cluster/cdsl" in boot.diagnosis, boot.dump()
    assert boot.bound("/cluster/cdsl/local") == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cdsl.local": "-> cluster/cdsl/2"}, "over which nothing may be mounted"),
        ({"cdsl.local": "-> cluster/cdsl"}, "over which nothing may be mounted"),
        ({"cdsl.local": "-> cluster/cdsl/nowhere"}, "leads to no directory"),
        ({"cdsl.local": "-> cdsl.local"}, "leads to no directory"),
        ({"cdsl.local": "a file"}, "leads to no directory"),
    ],
)
def test_links_that_lead_nowhere(change: dict[str, str | None], why: str, shell: str, tmp_path: Path) -> None:
    """A node goes on with no other node's files: somebody is asked."""
    boot = Boot(tmp_path, shell)
    boot.share(change)
    boot.run(*ALL)
    assert why in boot.diagnosis, boot.dump()
    assert boot.asked == 1
    assert [point for point, _ in boot.mounts] == ["/sysroot"]


def test_no_tree_for_this_node(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, cmdline="nodeid=3 cdsltree=/cluster/cdsl root=nfs4:10.0.0.1:/r", data=STATIC)
    boot.modules = "osr"
    boot.run(*ALL)
    assert "no CDSL directory for node 3 in /cluster/cdsl" in boot.diagnosis, boot.dump()
    assert boot.asked == 1


def test_somebody_makes_the_tree(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, cmdline="nodeid=3 root=nfs4:10.0.0.1:/r", data=STATIC)
    boot.modules = "osr"
    boot.admin = ["mkdir -p /sysroot/cluster/cdsl/3/etc"]
    boot.run(*ALL)
    assert boot.bound("/cluster/cdsl/local") == "/cluster/cdsl/3", boot.dump()
    assert boot.asked == 1


def test_static_without_nodeid(shell: str, tmp_path: Path) -> None:
    """A root with CDSLs is not booted as nobody; one without them is."""
    boot = Boot(tmp_path / "with", shell, cmdline="root=nfs4:10.0.0.1:/r", data=STATIC, modules="osr")
    boot.run(*ALL)
    assert "the node id is not known" in boot.diagnosis
    assert boot.asked == 1
    other = Boot(tmp_path / "without", shell, cmdline="root=nfs4:10.0.0.1:/r cdsltree=/none", data=STATIC)
    other.modules = "osr"
    other.run(*ALL)
    assert other.asked == 0, other.dump()
    assert [point for point, _ in other.mounts] == ["/sysroot"]


@pytest.mark.parametrize("words", ["osr.cdsl=0", "cdsllink=nocdsl", "cdsltree=nocdsl"])
def test_no_cdsls_wanted(words: str, shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, cmdline=words).run(*ALL)
    assert [point for point, _ in boot.mounts] == ["/sysroot"], boot.dump()
    assert boot.asked == 0


def test_read_only(shell: str, tmp_path: Path) -> None:
    """Nothing is written, and nothing stops the boot."""
    boot = Boot(tmp_path, shell, cmdline="ro")
    boot.share({"cluster/cdsl/1/etc/machine-id": ""})
    boot.run("cmdline", "netroot eth0", "sh mount -o remount,bind,ro /sysroot", "pre-pivot")
    assert boot.bound("/cluster/cdsl/local") == "/cluster/cdsl/1", boot.dump()
    assert boot.shared("cluster/cdsl/1/etc/machine-id").read_text() == ""
    assert not boot.shared("cluster/cdsl/1/.osr").exists()
    assert len(boot.text("run/osr/own/machine-id").strip()) == 32
    assert boot.asked == 0


@pytest.mark.parametrize("root", ["nfs4:10.0.0.1:/r:ro,vers=4.2", "block:/dev/none"])
def test_read_only_by_cluster_conf(root: str, shell: str, tmp_path: Path) -> None:
    """By mountopts= of <rootvolume>: it is not made writable."""
    flags = "ro,noatime" if root.startswith("block:") else ""
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1, root=root, rootflags=flags)})
    mount = "sh mount --bind /shared /sysroot; mount -o remount,bind,ro /sysroot"
    boot.run("cmdline", mount, "pre-pivot")
    assert boot.bound("/cluster/cdsl/local") == "/cluster/cdsl/1", boot.dump()
    assert not boot.shared("cluster/cdsl/1/.osr").exists()
    assert boot.asked == 0


def test_read_only_though_nobody_wants_that(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell)
    boot.run("cmdline", "netroot eth0", "sh mount -o remount,bind,ro /sysroot", "pre-pivot")
    assert boot.shared("cluster/cdsl/1/.osr/report").is_file(), boot.dump()


# --- identity in the root ---


def test_machine_id_is_made(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell)
    boot.share({"cluster/cdsl/1/etc/machine-id": "uninitialized\n"})
    boot.run(*ALL)
    place = boot.shared("cluster/cdsl/1/etc/machine-id")
    assert re.fullmatch("[0-9a-f]{32}\n", place.read_text()), boot.dump()
    assert place.stat().st_mode & 0o777 == 0o444
    assert boot.shared("cluster/cdsl/2/etc/machine-id").read_text() == "b" * 32 + "\n"


def test_machine_id_of_the_node_s_data(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1, machineid="d" * 32)})
    boot.shared("cluster/cdsl/1/etc/machine-id").unlink()
    boot.run(*ALL)
    assert boot.shared("cluster/cdsl/1/etc/machine-id").read_text() == "d" * 32 + "\n", boot.dump()


def test_machine_id_that_is_there_stays(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell).run(*ALL)
    assert boot.shared("cluster/cdsl/1/etc/machine-id").read_text() == "a" * 32 + "\n"


def test_machine_id_that_all_share(shell: str, tmp_path: Path) -> None:
    """It is covered for this boot, and systemd is kept from writing the cover into the shared file."""
    boot = Boot(tmp_path, shell)
    boot.share({"etc/machine-id": ""})
    boot.run(*ALL)
    assert boot.shared("etc/machine-id").read_text() == ""
    assert ("/sysroot/etc/machine-id" in dict(boot.mounts)) is True, boot.dump()
    commit = boot.base / "run/systemd/system/systemd-machine-id-commit.service"
    assert commit.readlink() == Path("/dev/null")


def test_host_name(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell)
    boot.share({"cluster/cdsl/1/etc/hostname": ""})
    boot.run(*ALL)
    assert boot.text("log/hostname") == "node1\n"
    assert boot.shared("cluster/cdsl/1/etc/hostname").read_text() == "node1\n", boot.dump()


def test_host_name_that_all_share(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell)
    boot.share({"etc/hostname": "golden\n"})
    boot.run(*ALL)
    assert boot.shared("etc/hostname").read_text() == "golden\n"
    assert boot.text("run/osr/own/hostname") == "node1\n", boot.dump()


def test_no_provisioning(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, cmdline="osr.provision=0")
    boot.share({"cluster/cdsl/1/etc/machine-id": ""})
    boot.run(*ALL)
    assert boot.shared("cluster/cdsl/1/etc/machine-id").read_text() == ""


# --- more file systems ---


def test_file_systems_of_the_node_and_of_cdsltab(shell: str, tmp_path: Path) -> None:
    extra = {
        "fs_1": "/srv/data|/cluster/shared/data|bind|defaults||",
        "fs_2": "/srv|tmpfs|tmpfs|size=1m,mode=0700,_netdev||",
    }
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1, **extra)})
    boot.share({"srv": None, "cluster/shared/data": None, "cluster/cdsl/1/var/run2": None, "var/run2": None})
    boot.share({"child/cluster/cdsl/1": None, "child/cdsl.local": None, "later": None})
    boot.share(
        {
            "etc/cdsltab": "# comment\n/child __initrd\n/other\n"
            "bind /cluster/cdsl/%(nodeid)s/var/run2 /var/run2 defaults,__initrd 2 1\n"
            "bind /cluster/shared/data /later defaults\n"
        }
    )
    boot.run("cmdline", "netroot eth0", "sh mkdir -p /sysroot/srv/data", "pre-pivot")
    # /srv is mounted first, and has no directory data then: said, and somebody makes it
    assert "the mount point /srv/data is not there" in boot.diagnosis, boot.dump()
    boot = Boot(tmp_path / "again", shell, data={**CLUSTER, "nodes.d/1.conf": node(1, **extra)})
    boot.share({"srv": None, "cluster/shared/data": None, "cluster/cdsl/1/var/run2": None, "var/run2": None})
    boot.share({"child/cluster/cdsl/1": None, "child/cdsl.local": None, "later": None})
    boot.share({"etc/cdsltab": "/child __initrd\nbind /cluster/cdsl/%(nodeid)s/var/run2 /var/run2 __initrd,ro\n"})
    boot.admin = ["mkdir /sysroot/srv/data"]
    boot.run(*ALL)
    points = [point for point, _ in boot.mounts]
    assert points == [
        *("/sysroot", "/sysroot/cluster/cdsl/local", "/sysroot/child/cdsl.local", "/sysroot/srv"),
        *("/sysroot/srv/data", "/sysroot/var/run2"),
    ], boot.dump()
    assert boot.bound("/var/run2") == "/cluster/cdsl/1/var/run2"
    assert {"srv", "srv-data", "var-run2"} <= set(dropins(boot))


def test_file_system_that_may_fail(shell: str, tmp_path: Path) -> None:
    extra = {"fs_1": "/srv|/dev/none|ext4|nofail|2|0"}
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1, **extra)})
    boot.share({"srv": None})
    boot.run(*ALL)
    assert "/dev/none could not be mounted at /srv in 2 attempts" in boot.diagnosis, boot.dump()
    assert boot.asked == 0
    assert boot.shared("cluster/cdsl/1/.osr/report").is_file()


def test_a_bind_mount_that_is_read_only(shell: str, tmp_path: Path) -> None:
    extra = {"fs_1": "/srv|/cluster/shared|bind|ro||", "fs_2": "/var|/cluster/shared|bind|defaults||"}
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1, **extra)})
    boot.share({"srv": None, "var": None})
    boot.run(*ALL, "sh echo no > /sysroot/srv/written; echo yes > /sysroot/var/written")
    assert boot.shared("cluster/shared/written").read_text() == "yes\n", boot.dump()
    assert "Read-only file system" in boot.log


def test_file_system_that_is_there_already(shell: str, tmp_path: Path) -> None:
    """By x-initrd.mount in fstab, say."""
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1, fs_1="/srv|tmpfs|tmpfs|||")})
    boot.share({"srv": None})
    boot.run("cmdline", "netroot eth0", "sh mount -t tmpfs quicker /sysroot/srv", "pre-pivot")
    assert [point for point, _ in boot.mounts].count("/sysroot/srv") == 1, boot.dump()


def test_file_system_that_does_not_come(shell: str, tmp_path: Path) -> None:
    extra = {"fs_1": "/srv|/dev/none|ext4|nofail|3|7"}
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1, **extra)})
    boot.share({"srv": None})
    pause = "sh cd /usr/sbin && printf '#!/bin/sh\\necho pause $1 >> /log/calls\\n' > sleep && chmod 0755 sleep"
    boot.run("cmdline", pause, "netroot eth0", "pre-pivot")
    assert "could not be mounted at /srv in 3 attempts" in boot.diagnosis, boot.dump()
    pauses = [line for line in boot.text("log/calls").splitlines() if line.startswith("pause")]
    assert pauses == ["pause 7", "pause 7"], "none after the last one"


@pytest.mark.parametrize(
    ("var", "where"), [("-> /cdsl.local/var", "cluster/cdsl/local/var/lib/nfs/rpc_pipefs\n"), (None, "")]
)
def test_where_rpc_pipefs_goes(var: str | None, where: str, shell: str, tmp_path: Path) -> None:
    """By itself dracut would move it into the initramfs where /var is an absolute link."""
    boot = Boot(tmp_path, shell)
    boot.share({"cluster/cdsl/1/var/lib/nfs/rpc_pipefs": None, "var": var})
    if var is None:
        boot.share({"var/lib/nfs/rpc_pipefs": None})
    pipes = "/var/lib/nfs/rpc_pipefs"
    boot.run("cmdline", f"sh mkdir -p {pipes} && mount -t tmpfs pipes {pipes}", "netroot eth0", "pre-pivot")
    assert boot.text("tmp/nfs.rpc_pipefs_path") == where, boot.dump()


def test_file_system_over_the_cdsls(shell: str, tmp_path: Path) -> None:
    extra = {"fs_1": "/cdsl.local|tmpfs|tmpfs|||"}
    boot = Boot(tmp_path, shell, data={**CLUSTER, "nodes.d/1.conf": node(1, **extra)}).run(*ALL)
    assert "nothing may be mounted over /cluster/cdsl/local" in boot.diagnosis, boot.dump()
    assert boot.asked == 1


# --- reports ---


def report(boot: Boot) -> dict[str, str]:
    text = boot.shared("cluster/cdsl/1/.osr/report").read_text()
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize("init", ["systemd", "plain"])
def test_report(init: str, shell: str, tmp_path: Path) -> None:
    """The unit is for the running system, whatever the initrd is made of: else the node would never be up."""
    boot = Boot(tmp_path, shell, init)
    boot.share({"cluster/cdsl/1/.osr/report": "step=root\nbuild=f1f1\nattempts=4\n"})
    boot.run(*ALL)
    found = report(boot)
    assert list(found) == ["version", "step", "time", "kernel", "build", "boot_id", "attempts"], boot.dump()
    assert (found["step"], found["build"], found["attempts"]) == ("root", "f1f1", "5")
    assert boot.shared("cluster/cdsl/1/.osr").stat().st_mode & 0o777 == 0o755
    assert boot.shared("cluster/cdsl/1/.osr/report").stat().st_mode & 0o777 == 0o644
    unit = boot.text("run/systemd/system/osr-up.service")
    assert "\n[Service]\nType=oneshot\nExecStart=/bin/sh /run/osr/report up\n" in unit
    assert (boot.base / "run/systemd/system/multi-user.target.wants/osr-up.service").is_symlink()


def test_report_of_the_running_system(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell)
    boot.share({"run": None})
    boot.run(
        *ALL,
        "sh mount --bind /run /sysroot/run && mount -t proc proc /sysroot/proc",
        "sh mount --bind /usr /sysroot/usr && ln -s usr/bin usr/lib usr/lib64 usr/sbin /sysroot",
        "sh chroot /sysroot /bin/sh /run/osr/report up",
    )
    found = report(boot)
    assert (found["step"], found["attempts"]) == ("up", "0"), boot.dump()


@pytest.mark.parametrize("count", ["", "x", "08", "9999999", "-1", "$(reboot)"])
def test_report_with_an_odd_count(count: str, shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell)
    boot.share({"cluster/cdsl/1/.osr/report": f"build=f1f1\nattempts={count}\n"})
    boot.run(*ALL)
    assert report(boot)["attempts"] == "1", boot.dump()


def test_report_of_another_image(shell: str, tmp_path: Path) -> None:
    """Boots of the image before do not count against this one."""
    boot = Boot(tmp_path, shell)
    boot.share({"cluster/cdsl/1/.osr/report": "step=root\nbuild=e0e0\nattempts=4\n"})
    boot.run(*ALL)
    assert report(boot)["attempts"] == "1", boot.dump()


def test_report_through_a_link(shell: str, tmp_path: Path) -> None:
    """Another node's root can write into this node's tree; what it plants is not followed."""
    boot = Boot(tmp_path, shell)
    boot.share({"cluster/cdsl/1/.osr": "-> /etc", "etc/report": "mine"})
    boot.run(*ALL)
    assert boot.shared("etc/report").read_text() == "mine"
    assert "could not be reported" in boot.log
    boot = Boot(tmp_path / "file", shell)
    boot.share({"cluster/cdsl/1/.osr/report.new": "-> ../../../../etc/victim", "etc/victim": "mine"})
    boot.run(*ALL)
    assert boot.shared("etc/victim").read_text() == "mine"
    assert report(boot)["step"] == "root"


def test_report_that_is_a_link(shell: str, tmp_path: Path) -> None:
    """Nor is it read through one: what it leads to may have no end."""
    boot = Boot(tmp_path, shell)
    boot.share({"cluster/cdsl/1/.osr/report": "-> other", "cluster/cdsl/1/.osr/other": "build=f1f1\nattempts=7\n"})
    boot.run(*ALL)
    assert report(boot)["attempts"] == "1", boot.dump()
    assert boot.shared("cluster/cdsl/1/.osr/other").read_text() == "build=f1f1\nattempts=7\n"


def test_no_report(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, cmdline="osr.report=0").run(*ALL)
    assert not boot.shared("cluster/cdsl/1/.osr").exists()


def test_files_of_2011(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, cmdline="osr.xfiles=1 xtabfile=/etc/xtab2").run(*ALL)
    assert boot.shared("etc/xtab2").read_text() == "/cdsl.local\n", boot.dump()
    assert boot.shared("etc/xrootfs").read_text()
    assert boot.shared("etc/xkillallprocs").read_text() == ""


def test_what_the_running_system_is_told(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell).run(*ALL)
    names = {path.name for path in (boot.base / "run/osr").iterdir() if not path.name.startswith(".")}
    assert names >= {
        "nodeid",
        "nodeid_source",
        "nodename",
        "cluster",
        "cdsltree",
        "cdsllink",
        "root",
        "rootfs",
        "mode",
    }
    assert not [name for name in names if name.startswith("initrd")]


# --- failures ---


@pytest.mark.parametrize("init", ["systemd", "plain"])
def test_reboot_after_a_time(init: str, shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, init, "osr.reboot=1", nics={"eth0": FOREIGN}, admin=["sleep 20"])
    boot.run("cmdline", "netroot eth0", "timeout")
    assert "reboot -f" in boot.text("log/calls"), boot.dump()
    assert "reboots in 1 seconds" in boot.console + boot.log


def test_a_shell_at_the_end_of_the_machine(shell: str, tmp_path: Path) -> None:
    """dracut's own (rd.break=shutdown, or something went wrong): this is no boot, and the part of the initramfs that
    was kept for a cluster's file system has no library of ours. A script that fails there would be a panic."""
    boot = Boot(tmp_path, shell, "plain", "osr.reboot=1", admin=["true"])
    end = ". /lib/dracut-lib.sh; emergency_shell --shutdown shutdown text; echo survived"
    boot.run(*ALL, f"sh rm -r /lib/osr; {end}")
    assert "survived" in boot.log, boot.dump()
    assert boot.asked == 1
    assert "could not boot this machine" not in boot.log
    assert boot.text("log/calls").count("reboot") == 0


def test_reboot_that_somebody_stops(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, "plain", "osr.reboot=1", nics={"eth0": FOREIGN})
    boot.admin = ["osr-param set reboot 0; sleep 3; osr-param set nodeid 1"]
    boot.run("cmdline", "netroot eth0", "timeout", "netroot eth0")
    assert "reboot" not in boot.text("log/calls")
    assert boot.osr("nodeid") == "1", boot.dump()
    assert len(boot.text("log/mounts").splitlines()) == 1


def test_the_shell_s_tool(shell: str, tmp_path: Path) -> None:
    boot = Boot(tmp_path, shell, cmdline="nodeid=1")
    boot.run(
        "cmdline",
        *(
            "sh osr-param list",
            "sh osr-param set nodeid 0",
            "sh osr-param set nodeid 9",
            "sh osr-param get ../../etc/x",
        ),
        *(
            "sh osr-param set colour 'dark blue'",
            "sh getparameter colour",
            "sh delparameter colour",
            "sh listparameters",
        ),
    )
    assert "nodeid=1\n" in boot.log
    assert "a node id is a number from 1 to 99999" in boot.log
    assert "this initrd knows the nodes 1 2" in boot.log
    assert "usage: osr-param" in boot.log
    assert "dark blue" in boot.log
    assert boot.osr("nodeid") == "1"
    assert boot.osr("colour") == ""
