# SPDX-License-Identifier: GPL-3.0-or-later
"""The seed's commands in a real Debian with its own dracut, and what the images have in them."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from osrd.model.image import Dracut
from osrd.model.settings import BootWay
from osrd.plan.initrd.data import PLACE
from tests.conftest import REPOSITORY
from tests.debian import entered, overlaid
from tests.initrd.initramfs import Boot
from tests.initrd.nodes import ALL, SECRET, Built, build, cluster_conf, dracut_of, prepare

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("debootstrap", "unshare", "chroot")]

IMAGE = "/boot/initrd_sr-$(uname -r).img"
#: as the wiki page has them
STATIC = f'dracut -f -a "osr" {IMAGE} $(uname -r)'
FULL = f'dracut -f -a "osr osr-cluster" {IMAGE} $(uname -r)'
#: and one without systemd in it, small, since nothing but what osr needs is named
SMALL = "base kernel-modules rootfs-block osr-network osr osr-cluster"
PLAIN = f'dracut -f --no-hostonly --reproducible -o "systemd dracut-systemd" -m "{SMALL}" {IMAGE} $(uname -r)'
#: the same where there is no such module any more
NEWER_PLAIN = PLAIN.replace("osr-network ", "")
#: the first dracut-ng with other numbers for its modules
RENUMBERED = 108

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


@contextmanager
def newer_root(forky: Path, place: Path) -> Iterator[Path]:
    with overlaid(forky, place / "overlay") as root:
        yield root


def osrctl_install(root: Path, *options: str) -> None:
    argv = [sys.executable, "-m", "osrd.cli", "initrd", "install", str(root), *options]
    subprocess.run(argv, check=True, capture_output=True, cwd=REPOSITORY)


def newer_dracut(root: Path) -> Dracut:
    dracut = dracut_of(root)
    assert dracut.version >= RENUMBERED, f"{dracut.text}: not the dracut that these tests are about"
    return dracut


@contextmanager
def newer(forky: Path, place: Path, command: str, *, without: str = "") -> Iterator[Built]:
    """The full-featured image as a dracut-ng with other numbers makes it, in a root ``without`` a program. It is for
    the machine that builds it, unless what osrctl installs says otherwise."""
    with newer_root(forky, place) as root:
        if without:
            (root / without).unlink()
        newer_dracut(root)
        conf = root / "etc/cluster/cluster.conf"
        conf.parent.mkdir(parents=True)
        conf.write_bytes(cluster_conf(*ALL))
        osrctl_install(root, "-c", str(conf))
        (kernel,) = [directory.name for directory in (root / "lib/modules").iterdir()]
        yield build(root, place / "image", command, f"/boot/initrd_sr-{kernel}.img", kernel)


@pytest.fixture(scope="module")
def image_of_networkd(forky: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    place = tmp_path_factory.mktemp("dracut-networkd")
    with newer(forky, place, FULL, without="usr/sbin/NetworkManager") as image:
        yield image


@pytest.fixture(scope="module")
def image_of_manager(forky: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    with newer(forky, tmp_path_factory.mktemp("dracut-manager"), NEWER_PLAIN) as image:
        yield image


#: the images that are looked at, and their network provider. The one of 059 that mounts a network root is
#: network-legacy, which Debian 13 still has; later ones have the other two, of which NetworkManager needs no systemd.
PROVIDERS = {
    "systemd": "network-legacy",
    "plain": "network-legacy",
    "ng": "network-legacy",
    "networkd": "systemd-networkd",
    "manager": "network-manager",
}


@pytest.fixture
def full(kind: str, request: pytest.FixtureRequest, made: Make) -> Built:
    """The full-featured image of a cluster with every kind of root: with systemd and without, and dracut-ng's."""
    if kind not in ("systemd", "plain"):
        image: Built = request.getfixturevalue(f"image_of_{kind}")
        return image
    return made({"systemd": FULL, "plain": PLAIN}[kind], BootWay.FULL, *ALL)


@pytest.fixture(params=PROVIDERS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


HOOKS = {
    "cmdline": ["12-osr-cmdline.sh", "13-osr-gfs2-cmdline.sh", "13-osr-ocfs2-cmdline.sh"],
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
    for later in ("parse-nfsroot", "parse-ip-opts|networkd-config|nm-config"):
        (found,) = [name for name in cmdline if re.search(later, name)]
        assert cmdline.index("12-osr-cmdline.sh") < cmdline.index(found)


def test_what_calls_osr_finds_it(full: Built) -> None:
    for name in ("osrroot", "osr-nic", "osr-param", "osr-fs-gfs2", "osr-fs-ocfs2"):
        assert full.listing[f"usr/sbin/{name}"].startswith("-rwxr-xr-x"), name
    assert full.listing["usr/sbin/netroot"].startswith("-rwxr-xr-x")
    assert "usr/lib/osr/osr-lib.sh" in full.listing


def test_one_network_provider(full: Built, kind: str) -> None:
    known = {"network-legacy", "systemd-networkd", "network-manager", "connman"}
    assert known & set(full.modules) == {PROVIDERS[kind]}
    programs = {
        "network-legacy": "dhclient",
        "systemd-networkd": "systemd-networkd",
        "network-manager": "NetworkManager",
    }
    there = {path.rpartition("/")[2] for path in full.listing if "bin/" in path or "lib/systemd/" in path}
    assert there & set(programs.values()) == {programs[PROVIDERS[kind]]}


def test_it_finds_its_files(full: Built, kind: str) -> None:
    places = {"systemd-networkd": "etc/systemd/network", "network-manager": "etc/NetworkManager/system-connections"}
    ours = [path for path in full.listing if path.startswith(tuple(places.values())) and "osr-" in path]
    place = places.get(PROVIDERS[kind], "")
    assert len({path for path in ours if place and path.startswith(place)}) == len(ours) == (len(ALL) if place else 0)
    assert ("etc/osr/network-legacy" in full.listing) == (PROVIDERS[kind] == "network-legacy")


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


def test_mount_nfs_knows_tcp_and_udp(full: Built) -> None:
    """Else NFSv3 is "Protocol not supported". These roots have no netbase, which has the file."""
    protocols = (full.content / "etc/protocols").read_text()
    assert re.findall(r"(?m)^(tcp|udp)\s+(\d+)\s", protocols) == [("tcp", "6"), ("udp", "17")]


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
    scripts = [path for path in full.listing if re.search(r"/hooks/.*osr.*\.sh$|bin/osr|lib/osr/[^/]*\.sh$", path)]
    assert len(scripts) > 20
    script = 'cd /; for f; do /bin/sh -n "$f" || exit; done'
    subprocess.run(["chroot", full.content, "/bin/sh", "-c", script, "sh", *scripts], check=True, capture_output=True)


def test_its_dracut_calls_the_hooks(full: Built, tmp_path: Path) -> None:
    """From the first one until the node's own files are there."""
    init = "systemd" if "systemd" in full.modules else "plain"
    boot = Boot(tmp_path, init=init, nics={"eth0": "52:54:00:00:00:01"}, image=full.content)
    boot.run("cmdline", "pre-udev", "osr-nic eth0", "netroot eth0", "pre-pivot")
    what = boot.dump()
    assert boot.osr("nodeid") == "1", what
    assert re.fullmatch(
        r"nfs4 10\.77\.0\.254:/srv/root rw,vers=4\.2\S* as osr:web:1 on node1\n", boot.text("log/mounts")
    ), what
    assert boot.bound("/cluster/cdsl/local") == "/cluster/cdsl/1", what
    assert "59-osr.rules" in {path.name for path in (boot.base / "etc/udev/rules.d").iterdir()}
    assert boot.asked == 0, what
    assert boot.shared("cluster/cdsl/1/.osr/report").is_file(), what


def test_its_dracut_calls_the_hooks_of_failure(full: Built, kind: str, tmp_path: Path) -> None:
    init = "systemd" if "systemd" in full.modules else "plain"
    boot = Boot(tmp_path, init=init, nics={"eth0": "52:54:00:00:99:99"}, image=full.content)
    boot.run("cmdline", "netroot eth0", "timeout")
    assert boot.asked == 1, boot.dump()
    assert ("NetworkManager --configure-and-quit" in boot.text("log/calls")) == (kind == "manager")
    assert "is in no node's configuration" in boot.diagnosis + boot.log
    assert "nodes known:" in boot.console, boot.dump()


def test_a_bond_outlives_the_manager_s_own_hook(image_of_manager: Built, tmp_path: Path) -> None:
    """dracut empties the directory at the end of the stage in which a node is known by nodeid=."""
    boot = Boot(tmp_path, init="plain", cmdline="nodeid=1", image=image_of_manager.content)
    bond = "/etc/osr/network/nm/1/osr-1-bond0.nmconnection"
    boot.run(f"sh mkdir -p {Path(bond).parent} && echo bond > {bond}", "cmdline", "pre-udev")
    assert boot.text("run/NetworkManager/system-connections/osr-1-bond0.nmconnection") == "bond\n", boot.dump()


def test_static(made: Make) -> None:
    image = made(STATIC, BootWay.STATIC, "nfs4", "nfs4")
    assert "osr" in image.modules
    assert not {"osr-cluster", "osr-gfs2", "osr-ocfs2", "systemd-networkd"} & set(image.modules)
    assert osr_only(image.hooks("cmdline")) == ["12-osr-cmdline.sh"]
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


def test_static_of_newer_dracut(forky: Path, tmp_path: Path) -> None:
    """By hand, and nobody has said that it is for all nodes: dracut's default is another one, and we say so."""
    with newer_root(forky, tmp_path) as root:
        (root / "usr/sbin/NetworkManager").unlink()
        prepare(root, BootWay.STATIC, "nfs4", "nfs4", dracut=newer_dracut(root))
        (kernel,) = [directory.name for directory in (root / "lib/modules").iterdir()]
        image = build(root, tmp_path / "image", STATIC, f"/boot/initrd_sr-{kernel}.img", kernel)
        assert "osr: this initrd is for this machine only" in image.log
        assert {"osr", "systemd-networkd", "initqueue"} <= set(image.modules)
        assert not {"osr-cluster", "osr-gfs2", "osr-ocfs2"} & set(image.modules)
        assert osr_only(image.hooks("cmdline")) == ["12-osr-cmdline.sh"]
        assert osr_only(image.hooks("pre-pivot")) == HOOKS["pre-pivot"]


def test_osrctl_puts_the_modules_where_newer_dracut_finds_them(forky: Path, tmp_path: Path) -> None:
    with newer_root(forky, tmp_path) as root:
        newer_dracut(root)
        conf = tmp_path / "cluster.conf"
        conf.write_bytes(cluster_conf(*ALL))
        for option in ("-c", str(conf)), ("--remove",):
            osrctl_install(root, *option)
            listed = entered(root, "dracut", "--list-modules", "--no-kernel").stdout.split()
            ours = ["osr", "osr-cluster", "osr-gfs2", "osr-ocfs2"] if len(option) > 1 else []
            assert sorted(name for name in listed if name.startswith("osr")) == ours


@pytest.mark.parametrize("suite", ["debian", "forky"])
@pytest.mark.parametrize(
    "case",
    [
        ("rm -r /etc/osr/initrd/nodes.d /etc/osr/initrd/nodeids", "nfs4", "osr-cluster: "),
        ("rm /usr/sbin/dlm_controld", "gfs2", "osr-gfs2: for GFS2 the root lacks dlm_controld"),
        ("rm /sbin/mount.ocfs2", "ocfs2", "osr-ocfs2: for OCFS2 the root lacks mount.ocfs2"),
        ("rm /lib/modules/*/kernel/fs/gfs2/gfs2.ko*", "gfs2", "osr-gfs2: this kernel has no gfs2"),
    ],
    ids=lambda case: case[0].rpartition("/")[2],
)
def test_no_image_without_what_a_node_needs(
    case: tuple[str, str, str], suite: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    missing, fstype, said = case
    command = {"debian": PLAIN, "forky": NEWER_PLAIN}[suite]
    with overlaid(request.getfixturevalue(suite), tmp_path / "overlay") as root:
        (kernel,) = [directory.name for directory in (root / "lib/modules").iterdir()]
        prepare(root, BootWay.FULL, fstype, dracut=dracut_of(root))
        entered(root, "sh", "-c", missing)
        path = f"/boot/initrd_sr-{kernel}.img"
        assert said in build(root, tmp_path, command, path, kernel, check=False).log
        assert not (root / path[1:]).exists()


def test_no_image_without_what_its_network_needs(
    prepared: tuple[Path, Dracut], debian_kernel: str, tmp_path: Path
) -> None:
    with overlaid(prepared[0], tmp_path / "overlay") as root:
        prepare(root, BootWay.FULL, "nfs4", dracut=prepared[1])
        (root / "usr/sbin/dhclient").unlink(missing_ok=True)
        (root / "sbin/dhclient").unlink(missing_ok=True)
        path = f"/boot/initrd_sr-{debian_kernel}.img"
        done = build(root, tmp_path, FULL, path, debian_kernel, check=False)
        assert "osr needs dhclient and arping" in done.log
        assert not (root / path[1:]).exists()
