# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels of a root, in every layout that distributions have."""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from osrd.model.errors import NotFoundError
from osrd.model.image import Dracut, Kernel
from osrd.observe.inside import Inside
from osrd.observe.kernels import survey
from osrd.observe.nodeview import NodeView
from tests.unit.initrd.roots import MACHINE, dracut, kernel, merged, modules, write


def found(root: Path, **view: str) -> list[tuple[str, str, str]]:
    return [(each.version, each.image, each.modules) for each in survey(str(root), **view).kernels]


def codes(root: Path) -> list[str]:
    return [finding.code for finding in survey(str(root)).findings]


def test_debian_the_newest_first(tmp_path: Path) -> None:
    merged(tmp_path)
    for version in ("6.1.0-9-amd64", "6.12.9-amd64", "6.1.0-50-amd64"):
        kernel(tmp_path, version)
    dracut(tmp_path)
    result = survey(str(tmp_path))
    assert [each.version for each in result.kernels] == ["6.12.9-amd64", "6.1.0-50-amd64", "6.1.0-9-amd64"]
    assert result.kernels[0] == Kernel(
        "6.12.9-amd64",
        "boot/vmlinuz-6.12.9-amd64",
        sha256(b"kernel 6.12.9-amd64").hexdigest(),
        19,
        "usr/lib/modules/6.12.9-amd64",
    )
    assert result.dracut == Dracut(59, "059-4")
    assert result.findings == ()


@pytest.mark.parametrize(
    ("image", "top"),
    [
        ("boot/vmlinuz-6.1", "lib/modules"),
        ("boot/vmlinux-6.1", "usr/lib/modules"),
        ("boot/Image-6.1", "usr/lib/modules"),
        ("boot/kernel-6.1", "usr/lib/modules"),
        ("usr/lib/modules/6.1/vmlinuz", "usr/lib/modules"),
        ("lib/modules/6.1/vmlinuz", "lib/modules"),
        (f"boot/{MACHINE}/6.1/linux", "usr/lib/modules"),
        (f"efi/{MACHINE}/6.1/linux", "usr/lib/modules"),
        (f"boot/efi/{MACHINE}/6.1/linux", "usr/lib/modules"),
    ],
)
def test_places(tmp_path: Path, image: str, top: str) -> None:
    write(tmp_path, image, "kernel")
    modules(tmp_path, "6.1", top)
    assert found(tmp_path) == [("6.1", image, f"{top}/6.1")]


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("title Fedora\nversion 6.11\nlinux /vmlinuz-of-fedora\ninitrd /i.img\n", "boot/vmlinuz-of-fedora"),
        ("version\t6.11\nlinux /boot/vmlinuz-of-fedora\n".replace("\t", " "), "boot/vmlinuz-of-fedora"),
        (f"linux    /{MACHINE}/6.11/linux\n", f"boot/{MACHINE}/6.11/linux"),
        ("linux /odd/vmlinuz-6.11\n", "boot/odd/vmlinuz-6.11"),
        ("linux /../../odd/vmlinuz-6.11\n", "odd/vmlinuz-6.11"),
    ],
)
def test_entries_of_the_boot_loader_specification(tmp_path: Path, text: str, image: str) -> None:
    write(tmp_path, image, "kernel")
    write(tmp_path, f"boot/loader/entries/{MACHINE}-6.11.conf", text)
    modules(tmp_path, "6.11")
    assert [(version, where.replace("../", "")) for version, where, _ in found(tmp_path)] == [("6.11", image)]


@pytest.mark.parametrize(
    "text", ["", "linux\n", "version 6.11\n", "linux /nowhere\nversion 6.11\n", "linux /\nversion 6.11\n", "\xff\0\n"]
)
def test_entries_that_start_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path, "boot/loader/entries/a.conf", text.encode("latin-1"))
    assert found(tmp_path) == []


def test_what_machines_boot_from_comes_before_the_copy_of_the_package(tmp_path: Path) -> None:
    kernel(tmp_path, "6.11")
    write(tmp_path, "usr/lib/modules/6.11/vmlinuz", "signed otherwise")
    assert found(tmp_path) == [("6.11", "boot/vmlinuz-6.11", "usr/lib/modules/6.11")]


def test_a_link_in_boot_as_suse_has_it(tmp_path: Path) -> None:
    modules(tmp_path, "6.4.0-default")
    write(tmp_path, "usr/lib/modules/6.4.0-default/vmlinuz", "kernel")
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-6.4.0-default").symlink_to("../usr/lib/modules/6.4.0-default/vmlinuz")
    (tmp_path / "boot/vmlinuz").symlink_to("vmlinuz-6.4.0-default")
    place = "usr/lib/modules/6.4.0-default"
    assert found(tmp_path) == [("6.4.0-default", f"{place}/vmlinuz", place)]


def test_an_absolute_link_means_what_it_means_in_the_root(tmp_path: Path) -> None:
    modules(tmp_path, "6.4")
    write(tmp_path, "usr/lib/modules/6.4/vmlinuz", "kernel")
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-6.4").symlink_to("/usr/../usr/lib/modules/6.4/vmlinuz")
    assert found(tmp_path) == [("6.4", "usr/lib/modules/6.4/vmlinuz", "usr/lib/modules/6.4")]


@pytest.mark.parametrize("suffix", [".old", ".bak", ".dpkg-new", ".dpkg-tmp", ".rpmsave", "~", ".hmac", ".efi.signed"])
def test_what_lies_beside_kernels_is_none(tmp_path: Path, suffix: str) -> None:
    kernel(tmp_path, "6.1")
    write(tmp_path, f"boot/vmlinuz-6.1{suffix}", "no kernel")
    write(tmp_path, f"boot/.vmlinuz-6.1{suffix}", "no kernel")
    assert [version for version, _, _ in found(tmp_path)] == ["6.1"]


@pytest.mark.parametrize(
    "name", ["vmlinuz-0-rescue-" + MACHINE, "vmlinuz", "vmlinuz-lts", "vmlinuz-6.1 x", "vmlinuz-6;1"]
)
def test_names_without_a_version(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"boot/{name}", "kernel")
    assert found(tmp_path) == []
    assert codes(tmp_path)[0] == "root-without-kernel"


def test_a_kernel_that_dpkg_is_just_unpacking(tmp_path: Path) -> None:
    kernel(tmp_path, "6.1")
    write(tmp_path, "boot/vmlinuz-6.2", "kernel")
    modules(tmp_path, "6.2", complete=False)
    dracut(tmp_path)
    result = survey(str(tmp_path))
    assert [each.version for each in result.kernels] == ["6.1"]
    (finding,) = result.findings
    assert (finding.code, finding.value) == ("kernel-half-installed", "6.2")
    assert "depmod 6.2" in finding.fix


def test_a_kernel_without_modules(tmp_path: Path) -> None:
    write(tmp_path, "boot/vmlinuz-6.1", "kernel")
    dracut(tmp_path)
    assert found(tmp_path) == [("6.1", "boot/vmlinuz-6.1", "")]
    assert codes(tmp_path) == ["kernel-without-modules"]


def test_an_image_that_is_only_begun(tmp_path: Path) -> None:
    write(tmp_path, "boot/vmlinuz-6.1")
    modules(tmp_path, "6.1")
    dracut(tmp_path)
    assert found(tmp_path) == []
    assert codes(tmp_path) == ["kernel-image-odd"]


def test_an_image_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    os.truncate(write(tmp_path, "boot/vmlinuz-6.1"), 1 << 40)
    modules(tmp_path, "6.1")
    dracut(tmp_path)
    assert codes(tmp_path) == ["kernel-image-odd"]


def test_nothing_there(tmp_path: Path) -> None:
    assert found(tmp_path) == []
    assert codes(tmp_path) == ["root-without-kernel", "root-without-dracut"]
    with pytest.raises(NotFoundError):
        survey(f"{tmp_path}/nowhere")


@pytest.mark.parametrize(
    ("text", "version", "shown"),
    [
        ("DRACUT_VERSION=059-4", 59, "059-4"),
        ("DRACUT_VERSION=111", 111, "111"),
        ('DRACUT_VERSION="107-1.fc42"', 107, "107-1.fc42"),
        ("# DRACUT_VERSION=1\n  DRACUT_VERSION=106.git", 106, "106.git"),
    ],
)
def test_dracut(tmp_path: Path, text: str, version: int, shown: str) -> None:
    write(tmp_path, "usr/lib/dracut/dracut-version.sh", text + "\n")
    assert survey(str(tmp_path)).dracut == Dracut(version, shown)


@pytest.mark.parametrize("program", ["usr/bin/dracut", "usr/sbin/dracut"])
def test_a_dracut_whose_program_says_the_version(tmp_path: Path, program: str) -> None:
    text = '#!/bin/bash\n: "$DRACUT_VERSION"\nDRACUT_VERSION="112-7"\n'
    write(tmp_path, program, text)
    assert survey(str(tmp_path)).dracut is None
    write(tmp_path, "usr/lib/dracut/modules.d/80base/module-setup.sh", "check() { return 0; }\n")
    assert survey(str(tmp_path)).dracut == Dracut(112, "112-7")
    write(tmp_path, program, text + "#" * (1 << 20))
    assert survey(str(tmp_path)).dracut is None


@pytest.mark.parametrize("text", ["", "DRACUT_VERSION=", "DRACUT_VERSION=$(touch /tmp/owned)", "DRACUT_VERSION=x59"])
def test_a_dracut_that_says_no_version(tmp_path: Path, text: str) -> None:
    write(tmp_path, "usr/lib/dracut/dracut-version.sh", text)
    assert survey(str(tmp_path)).dracut is None


@pytest.mark.parametrize("link", ["symlink", "directory"])
def test_boot_and_modules_that_are_host_dependent(tmp_path: Path, link: str) -> None:
    """The link is mounted for no node here: the node's tree stands in for it."""
    tree = tmp_path / "cluster/cdsl/2"
    for node in ("1", "2"):
        write(tmp_path, f"cluster/cdsl/{node}/boot/vmlinuz-6.{node}", "kernel")
        modules(tmp_path, f"6.{node}", f"cluster/cdsl/{node}/usr/lib/modules")
    if link == "symlink":
        (tmp_path / "cluster/cdsl/local").mkdir()
        (tmp_path / "cdsl.local").symlink_to("cluster/cdsl/local")
    else:
        (tmp_path / "cdsl.local").mkdir()
    (tmp_path / "boot").symlink_to("cdsl.local/boot")
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/modules").symlink_to("../../cdsl.local/usr/lib/modules")
    assert found(tmp_path, link="cdsl.local", tree="cluster/cdsl/2") == [
        ("6.2", "cluster/cdsl/2/boot/vmlinuz-6.2", "cluster/cdsl/2/usr/lib/modules/6.2")
    ]
    assert found(tmp_path) == []
    assert tree.is_dir()


@pytest.mark.parametrize(
    "planted", ["boot", "boot/vmlinuz-6.1", "usr/lib/modules", "usr/lib/modules/6.1", "usr/lib/dracut"]
)
def test_symlinks_that_lead_out_of_the_root_lead_nowhere(tmp_path: Path, planted: str) -> None:
    outside, root = tmp_path / "host", tmp_path / "root"
    kernel(outside, "6.1")
    dracut(outside)
    target = outside / planted
    (root / planted).parent.mkdir(parents=True)
    (root / planted).symlink_to(os.path.relpath(target, (root / planted).parent))
    assert found(root) == []
    (root / planted).unlink()
    (root / planted).symlink_to(target)
    assert found(root) == []
    assert survey(str(root)).dracut is None


@pytest.mark.parametrize("kind", ["fifo", "directory", "loop"])
def test_what_is_no_file_is_no_kernel(tmp_path: Path, kind: str) -> None:
    modules(tmp_path, "6.1")
    (tmp_path / "boot").mkdir()
    image = tmp_path / "boot/vmlinuz-6.1"
    {
        "fifo": lambda: os.mkfifo(image),
        "directory": image.mkdir,
        "loop": lambda: image.symlink_to("vmlinuz-6.1"),
    }[kind]()
    assert found(tmp_path) == []


def test_only_so_many_kernels_are_looked_at(tmp_path: Path) -> None:
    for number in range(70):
        kernel(tmp_path, f"6.{number}")
    versions = [version for version, _, _ in found(tmp_path)]
    assert len(versions) == 64
    assert versions[0] == "6.69"


def test_a_directory_of_many_names_is_not_taken_into_memory(tmp_path: Path) -> None:
    """A node can make millions of them."""
    merged(tmp_path)
    (tmp_path / "boot").mkdir(exist_ok=True)
    for number in range(30_000):
        os.symlink("x", tmp_path / f"boot/{number}")
    with Inside.open(str(tmp_path)) as inside:
        assert len(NodeView(inside).names("boot")) == 20_000
