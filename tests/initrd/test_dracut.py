# SPDX-License-Identifier: GPL-3.0-or-later
"""The seed's commands in a real Debian with its own dracut, and what the images have in them."""

import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from osrd.model.image import Dracut
from osrd.model.settings import BootWay
from osrd.plan.initrd.data import PLACE
from tests.debian import entered, overlaid
from tests.initrd.nodes import ALL, SECRET, Built, build, dracut_of, prepare

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("debootstrap", "unshare", "chroot")]

IMAGE = "/boot/initrd_sr-$(uname -r).img"
#: as the wiki page has them
STATIC = f'dracut -f -a "osr" {IMAGE} $(uname -r)'
FULL = f'dracut -f -a "osr osr-cluster" {IMAGE} $(uname -r)'
#: and one without systemd in it, small, since nothing but what osr needs is named
SMALL = "base kernel-modules rootfs-block osr-network osr osr-cluster"
PLAIN = f'dracut -f --no-hostonly --reproducible -o "systemd dracut-systemd" -m "{SMALL}" {IMAGE} $(uname -r)'

Make = Callable[..., Built]


@pytest.fixture(scope="module")
def prepared(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Dracut]]:
    with overlaid(debian, tmp_path_factory.mktemp("dracut") / "overlay") as root:
        (root / "etc/dracut.conf.d/quick.conf").write_text('compress="zstd -1"\n')
        yield root, dracut_of(root)


@pytest.fixture(scope="module")
def made(
    prepared: tuple[Path, Dracut], debian_kernel: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Built]:
    """Builds an image of a cluster whose nodes have these roots, once for all tests that ask for the same."""
    root, dracut = prepared

    @cache
    def make(command: str, way: BootWay, *fstypes: str, again: bool = False) -> Built:
        subprocess.run(["rm", "-rf", root / PLACE], check=True)
        prepare(root, way, *fstypes, dracut=dracut)
        path = f"/boot/initrd_sr-{debian_kernel}.img"
        image = build(root, tmp_path_factory.mktemp("image"), command, path, debian_kernel)
        moved = f"/boot/image{len(list((root / 'boot').iterdir()))}"
        (root / path[1:]).rename(root / moved[1:])
        return Built(root, moved, image.log, image.directory)

    return make


@pytest.fixture(scope="module")
def image_of_ng(trixie: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The full-featured image as dracut-ng makes it."""
    place = tmp_path_factory.mktemp("dracut-ng")
    with overlaid(trixie, place / "overlay") as root:
        (root / "etc/dracut.conf.d/quick.conf").write_text('compress="zstd -1"\n')
        dracut = dracut_of(root)
        assert dracut.version > 100
        prepare(root, BootWay.FULL, *ALL, dracut=dracut)
        (kernel,) = [directory.name for directory in (root / "lib/modules").iterdir()]
        yield build(root, place / "image", FULL, f"/boot/initrd_sr-{kernel}.img", kernel)


@pytest.fixture(params=["systemd", "plain", "ng"])
def full(request: pytest.FixtureRequest, made: Make) -> Built:
    """The full-featured image of a cluster with every kind of root: with systemd and without, and dracut-ng's."""
    if request.param == "ng":
        image: Built = request.getfixturevalue("image_of_ng")
        return image
    return made({"systemd": FULL, "plain": PLAIN}[request.param], BootWay.FULL, *ALL)


HOOKS = {
    "cmdline": ["02-osr-cmdline.sh", "03-osr-gfs2-cmdline.sh", "03-osr-ocfs2-cmdline.sh"],
    "pre-udev": ["59-osr-net-rules.sh"],
    "netroot": ["10-osr-netroot.sh"],
    "initqueue/settled": ["60-osr-retry.sh"],
    "initqueue/timeout": ["60-osr-timeout.sh"],
    "pre-mount": ["20-osr-gfs2-mount.sh", "20-osr-ocfs2-mount.sh"],
    "pre-pivot": ["60-osr-cdsl.sh", "62-osr-provision.sh", "65-osr-mounts.sh", "90-osr-publish.sh"],
    "cleanup": ["05-osr-cleanup.sh"],
    "emergency": ["50-osr-emergency.sh"],
    "shutdown": ["90-osr-gfs2-leave.sh"],
}


def osr_only(names: list[str]) -> list[str]:
    return [name for name in names if "-osr-" in name]


def test_the_hooks_are_where_dracut_runs_them_and_in_order(full: Built) -> None:
    assert {stage: osr_only(full.hooks(stage)) for stage in HOOKS} == HOOKS
    cmdline = full.hooks("cmdline")
    for later in ("parse-nfsroot", "parse-ip-opts"):
        (found,) = [name for name in cmdline if later in name]
        assert cmdline.index("02-osr-cmdline.sh") < cmdline.index(found)


def test_what_calls_osr_finds_it(full: Built) -> None:
    for name in ("osrroot", "osr-nic", "osr-param", "osr-fs-gfs2", "osr-fs-ocfs2"):
        assert full.listing[f"usr/sbin/{name}"].startswith("-rwxr-xr-x"), name
    assert full.listing["usr/sbin/netroot"].startswith("-rwxr-xr-x")
    assert "usr/lib/osr/osr-lib.sh" in full.listing


def test_one_network_provider(full: Built) -> None:
    providers = {"network-legacy", "systemd-networkd", "network-manager", "connman"} & set(full.modules)
    assert providers == {"network-legacy"}, "the only one of 059 that mounts a network root; Debian 13 has it still"
    assert "usr/sbin/dhclient" in full.listing
    assert not [path for path in full.listing if path.endswith("systemd-networkd")]


def test_systemd_is_in_it_or_not(full: Built) -> None:
    systemd = full.directory.name != "" and "systemd" in full.modules
    assert ("usr/lib/systemd/systemd" in full.listing) == systemd
    assert ("usr/lib/systemd/system/dracut-pre-pivot.service" in full.listing) == systemd


def test_both_kinds_were_looked_at(made: Make) -> None:
    assert "systemd" in made(FULL, BootWay.FULL, *ALL).modules
    assert "systemd" not in made(PLAIN, BootWay.FULL, *ALL).modules


def test_the_data_is_the_root_s(full: Built) -> None:
    data = full.root / PLACE
    files = [path.relative_to(data) for path in data.rglob("*") if path.is_file()]
    assert {str(path) for path in files} >= {"nodeids", "nodenames", "osr.conf", "format", "nodes.d/5.conf"}
    for path in files:
        if path.name not in ("cmdline",) and path.parts[0] != "network":
            assert (full.content / "etc/osr" / path).read_bytes() == (data / path).read_bytes()
    assert (full.content / "etc/osr/network/legacy/1").is_file()


def test_drivers_and_programs_of_every_kind_of_root(full: Built) -> None:
    modules = {match[1] for path in full.listing if (match := re.search(r"/([^/]+)\.ko(?:\.[a-z]+)?$", path))}
    wanted = "nfs nfsv3 nfsv4 gfs2 dlm ocfs2 ocfs2_stack_o2cb ext4 bonding 8021q bridge virtio_net af_packet"
    builtin = (full.content / "usr/lib/modules").glob("*/modules.builtin")
    there = modules | {Path(line).stem for path in builtin for line in path.read_text().splitlines()}
    assert set(wanted.split()) - there == set()
    programs = "sbin/mount.nfs sbin/mount.ocfs2 sbin/ocfs2_hb_ctl sbin/tunegfs2 bin/flock bin/mount bin/setsid"
    assert [name for name in programs.split() if f"usr/{name}" not in full.listing] == []


def test_the_daemons_have_a_root_of_their_own(full: Built) -> None:
    """Whole: they start in it, with nothing else there."""
    tree = full.content / "usr/lib/osr/cluster"
    assert (tree / "usr/sbin/@corosync").readlink() == Path("corosync")
    assert (tree / "usr/sbin/@dlm_controld").readlink() == Path("dlm_controld")
    for program, option in (("@corosync", "-v"), ("@dlm_controld", "--version"), ("dlm_tool", "-V")):
        done = subprocess.run(["chroot", tree, program, option], capture_output=True, text=True, check=False)
        assert "not found" not in done.stderr, done.stderr
        assert re.search(r"version|\d+\.\d+", done.stdout), done


def test_nobody_s_identity_is_in_it(full: Built) -> None:
    assert (full.root / "etc/machine-id").read_text().strip(), "the root itself has one"
    assert (full.content / "etc/machine-id").read_bytes() == b""
    assert "etc/hostname" not in full.listing
    identity = (full.root / "etc/machine-id").read_bytes().strip()
    assert [path for path, data in every_file(full) if identity in data] == []


def test_no_secret_and_no_cluster_conf(full: Built) -> None:
    assert SECRET in (full.root / "etc/cluster/cluster.conf").read_text()
    assert [path for path, data in every_file(full) if SECRET.encode() in data] == []
    assert [path for path in full.listing if "cluster/cluster.conf" in path] == []
    assert [path for path in full.listing if "authkey" in path] == []


def every_file(image: Built) -> Iterator[tuple[Path, bytes]]:
    for path in image.content.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


def test_nothing_is_where_dracut_sources_everything(full: Built) -> None:
    """dracut sources each /etc/conf.d/*.conf in every hook; in 2011 the values of all nodes were there."""
    ours = [path for path in full.listing if path.startswith("etc/conf.d/") and path != "etc/conf.d/systemd.conf"]
    assert ours == []


def test_its_own_shell_reads_all_scripts(full: Built) -> None:
    script = "cd /; for f in lib/osr/*.sh sbin/osr* usr/lib/dracut/hooks/*/*osr*; do /bin/sh -n $f || exit; done"
    subprocess.run(["chroot", full.content, "/bin/sh", "-c", script], check=True, capture_output=True)


def test_static(made: Make) -> None:
    image = made(STATIC, BootWay.STATIC, "nfs4", "nfs4")
    assert "osr" in image.modules
    assert not {"osr-cluster", "osr-gfs2", "osr-ocfs2", "systemd-networkd"} & set(image.modules)
    assert osr_only(image.hooks("cmdline")) == ["02-osr-cmdline.sh"]
    assert osr_only(image.hooks("pre-pivot")) == HOOKS["pre-pivot"]
    assert {path for path in image.listing if path.startswith("etc/osr/")} == {"etc/osr/format", "etc/osr/osr.conf"}
    assert "usr/sbin/mount.nfs" in image.listing
    assert (image.content / "etc/machine-id").read_bytes() == b""


def test_static_with_gfs2_knows_the_others_all_the_same(made: Make) -> None:
    image = made(PLAIN.replace(" osr-cluster", ""), BootWay.STATIC, "gfs2", "gfs2")
    assert b"two_node: 1" in (image.content / "etc/osr/corosync/corosync.conf").read_bytes()
    assert not (image.content / "etc/osr/nodes.d").exists()


def test_without_cluster_file_systems_nothing_of_them(made: Make) -> None:
    image = made(PLAIN, BootWay.FULL, "nfs", "ext4")
    assert not {"osr-gfs2", "osr-ocfs2"} & set(image.modules)
    assert not [path for path in image.listing if re.search("osr-fs-|sbin/corosync|dlm_controld|osr/cluster", path)]


def test_the_same_twice_is_the_same_image(made: Make) -> None:
    one, two = (made(PLAIN, BootWay.FULL, *ALL, again=again) for again in (False, True))
    assert one.path != two.path
    same = (one.root / one.path[1:]).read_bytes() == (two.root / two.path[1:]).read_bytes()
    assert same, "byte by byte"


@pytest.mark.parametrize(
    ("missing", "fstype", "said"),
    [
        ("rm -r /etc/osr/initrd/nodes.d /etc/osr/initrd/nodeids", "nfs4", "osr-cluster: "),
        ("rm /usr/sbin/dlm_controld", "gfs2", "osr-gfs2: for GFS2 the root lacks dlm_controld"),
        ("rm /sbin/mount.ocfs2", "ocfs2", "osr-ocfs2: for OCFS2 the root lacks mount.ocfs2"),
        ("rm /lib/modules/*/kernel/fs/gfs2/gfs2.ko", "gfs2", "osr-gfs2: this kernel has no gfs2"),
    ],
)
def test_no_image_without_what_a_node_needs(
    missing: str, fstype: str, said: str, debian_root: Path, tmp_path: Path
) -> None:
    (kernel,) = [directory.name for directory in (debian_root / "lib/modules").iterdir()]
    prepare(debian_root, BootWay.FULL, fstype, dracut=dracut_of(debian_root))
    entered(debian_root, "sh", "-c", missing)
    path = f"/boot/initrd_sr-{kernel}.img"
    assert said in build(debian_root, tmp_path, PLAIN, path, kernel, check=False).log
    assert not (debian_root / path[1:]).exists()
