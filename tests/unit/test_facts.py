# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host has: hashed once, resolved inside roots, never an exception."""

import gc
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from osrd.model.netboot import StoredPair
from osrd.model.output import NotAFile
from osrd.model.settings import BootSettings, Paths, RootSettings, Settings, TftpSettings
from osrd.observe.facts import FactFinder, builtin_templates
from osrd.observe.hashing import Hasher, open_in_root
from osrd.plan.templating import TEMPLATES, Templates
from tests.eventually import eventually

OLD = 1_000_000_000
MKIMAGE = "/usr/bin/grub-mkimage"


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def settings(base: Path, **root: str) -> Settings:
    return Settings(
        paths=Paths(templates=str(base / "templates")),
        tftp=TftpSettings(str(base / "tftp")),
        roots=(RootSettings("web", **root),),  # type: ignore[arg-type]
        boot=BootSettings(loader_directories=(str(base / "lib"),)),
    )


def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock be well after every file's times."""
    monkeypatch.setattr("osrd.observe.hashing.time.time", lambda: 5e9)


def test_every_template_has_a_built_in_one_that_compiles() -> None:
    found = builtin_templates()
    for name in TEMPLATES:
        Templates(found).renderer(name)
        assert found[f"builtin/{name}"] is found[name]


def test_kernels_are_found_with_their_digest(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    where = str(tmp_path / "vmlinuz")
    found = FactFinder().find(settings(tmp_path, kernel=where, initrd=str(tmp_path / "gone")), {})
    assert {path: (state.digest, state.size) for path, state in found.files.items() if path != MKIMAGE} == {
        where: (digest(b"kernel"), 6)
    }


def test_stored_pairs_are_passed_on(tmp_path: Path) -> None:
    pairs = {"web": (StoredPair("a", "b"),)}
    assert FactFinder().find(settings(tmp_path), pairs).pairs == pairs


def test_directories_fifos_and_dangling_links_are_no_kernels(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("dir", "fifo", "dangling", "loop"):
        found = FactFinder().find(settings(tmp_path, kernel=str(tmp_path / name)), {})
        assert str(tmp_path / name) not in found.files


def test_nothing_is_read_twice_while_it_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    path = tmp_path / "vmlinuz"
    path.write_bytes(b"one")
    hasher = Hasher()
    for _ in range(3):
        hasher.begin()
        hasher.state(str(path))
        hasher.end()
    assert hasher.hashed == 1
    hasher.begin(rehash=True)
    hasher.state(str(path))
    assert hasher.hashed == 2


def test_a_replaced_file_of_the_same_size_and_date_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    path = tmp_path / "vmlinuz"
    hasher = Hasher()
    digests = []
    for data in (b"one", b"two"):
        new = tmp_path / "new"
        new.write_bytes(data)
        os.utime(new, (OLD, OLD))
        new.rename(path)
        hasher.begin()
        state = hasher.state(str(path))
        hasher.end()
        assert not isinstance(state, NotAFile)
        digests.append(state.digest)
    assert digests == [digest(b"one"), digest(b"two")]


def test_a_file_overwritten_in_place_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    path = tmp_path / "vmlinuz"
    hasher = Hasher()
    digests = []
    for data in (b"one", b"two"):
        before = path.stat().st_ctime_ns if path.exists() else 0

        def written(data: bytes = data, before: int = before) -> bool:
            path.write_bytes(data)
            os.utime(path, (OLD, OLD))
            return path.stat().st_ctime_ns != before  # the kernel's clock has to tick

        eventually(written, "a new ctime")
        hasher.begin()
        state = hasher.state(str(path))
        hasher.end()
        assert not isinstance(state, NotAFile)
        digests.append(state.digest)
    assert digests == [digest(b"one"), digest(b"two")]


def test_a_file_that_changed_just_now_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(b"one")
    hasher = Hasher()
    for _ in range(2):
        hasher.begin()
        hasher.state(str(path))
        hasher.end()
    assert hasher.hashed == 2


def test_unused_digests_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    (tmp_path / "a").write_bytes(b"a")
    hasher = Hasher()
    for names in (("a",), (), ("a",)):
        hasher.begin()
        for name in names:
            hasher.state(str(tmp_path / name))
        hasher.end()
    assert hasher.hashed == 2


def test_a_link_in_a_root_never_leads_out_of_it(tmp_path: Path) -> None:
    """A node plants boot/vmlinuz -> /secret of the host: that would be served to everybody by TFTP."""
    root = tmp_path / "root"
    (root / "boot").mkdir(parents=True)
    (tmp_path / "secret").write_text("host")
    (root / "boot/vmlinuz").symlink_to(tmp_path / "secret")
    (root / "boot/up").symlink_to("../../secret")
    for name in ("vmlinuz", "up"):
        kernel = str(root / "boot" / name)
        assert kernel not in FactFinder().find(settings(tmp_path, path=str(root), kernel=kernel), {}).files


def test_a_kernel_in_the_root_of_another_section_does_not_lead_out_of_it_either(tmp_path: Path) -> None:
    """[root mail] boots the kernel of [root web]: that is as much any node's as if web did."""
    root = tmp_path / "root"
    (root / "boot").mkdir(parents=True)
    (root / "boot/vmlinuz").symlink_to(tmp_path / "secret")
    (root / "boot/initrd").write_bytes(b"initrd")
    (tmp_path / "secret").write_text("host")
    kernel, initrd = str(root / "boot/vmlinuz"), str(root / "boot/initrd")
    web = settings(tmp_path, path=str(root))
    mail = RootSettings("mail", "mail:/", kernel=kernel, initrd=initrd)
    for roots in ((*web.roots, mail), (mail, *web.roots), (replace(mail, path=str(tmp_path)), *web.roots)):
        found = FactFinder().find(replace(web, roots=roots), {})
        assert kernel not in found.files
        assert found.sources == {initrd: initrd}


def test_absolute_links_in_a_root_mean_what_they_mean_to_the_node(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "boot").mkdir(parents=True)
    (root / "boot/vmlinuz-6.1").write_bytes(b"kernel")
    (root / "boot/vmlinuz").symlink_to("/boot/vmlinuz-6.1")
    kernel = str(root / "boot/vmlinuz")
    chosen = settings(tmp_path, path=str(root), kernel=kernel)
    finder = FactFinder()
    found = finder.find(chosen, {})
    assert found.files[kernel].digest == digest(b"kernel")
    assert found.sources == {kernel: str(root / "boot/vmlinuz-6.1")}
    plain = str(root / "boot/vmlinuz-6.1")
    assert finder.find(settings(tmp_path, path=str(root), kernel=plain), {}).sources == {plain: plain}
    assert finder.find(settings(tmp_path, kernel=plain), {}).sources == {}, "a file of this host"
    assert finder.watched(chosen)[str(root / "boot")] == {"vmlinuz", "vmlinuz-6.1"}


@pytest.mark.root
def test_a_device_in_a_root_is_never_opened(tmp_path: Path) -> None:
    """A node plants the host's watchdog in the kernel's place: opening it starts it. One without a driver tells."""
    kernel = tmp_path / "vmlinuz"
    os.mknod(kernel, 0o20600, os.makedev(240, 0))
    assert Hasher().state(str(kernel), str(tmp_path)) is NotAFile.OTHER


def test_a_directory_in_the_place_of_a_kernel_harms_no_other_root(tmp_path: Path) -> None:
    """A node can make one; the descriptor of it does not stay open either."""
    (tmp_path / "vmlinuz").mkdir()
    gc.collect()  # what other tests left would be closed meanwhile
    before = os.listdir("/proc/self/fd")
    assert Hasher().state(str(tmp_path / "vmlinuz"), str(tmp_path)) is NotAFile.OTHER
    assert os.listdir("/proc/self/fd") == before


def test_a_file_of_many_terabytes_in_a_root_is_not_read(tmp_path: Path) -> None:
    """It takes no space, and would hold up every other root for days."""
    kernel = tmp_path / "vmlinuz"
    kernel.touch()
    os.truncate(kernel, 1 << 42)
    assert Hasher().state(str(kernel), str(tmp_path)) is NotAFile.OTHER


def test_open_in_root_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_in_root(str(tmp_path), str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError):
        open_in_root(str(tmp_path / "gone"), str(tmp_path / "gone/x"))


def test_modules_are_digested_as_a_whole(tmp_path: Path) -> None:
    modules = tmp_path / "lib/grub/x86_64-efi"
    modules.mkdir(parents=True)
    finder = FactFinder()
    assert finder.find(settings(tmp_path), {}).modules == {}
    seen = set()
    for name, data in (("kernel.img", b"k"), ("tftp.mod", b"t"), ("tftp.mod", b"T"), ("moddep.lst", b"m")):
        (modules / name).write_bytes(data)
        seen.add(finder.find(settings(tmp_path), {}).modules[str(modules)])
    assert len(seen) == 4
    (modules / "unrelated.txt").write_bytes(b"x")
    assert finder.find(settings(tmp_path), {}).modules[str(modules)] in seen


def test_a_glance_sees_modules_come_and_go_and_a_full_look_sees_all(tmp_path: Path) -> None:
    modules = tmp_path / "lib/grub/x86_64-efi"
    modules.mkdir(parents=True)
    (modules / "kernel.img").write_bytes(b"1")
    finder, chosen = FactFinder(), settings(tmp_path)
    first = finder.find(chosen, {}, glance=True).modules
    assert first == FactFinder().find(chosen, {}).modules
    (modules / "kernel.img").write_bytes(b"2")  # in place, as no package manager does
    assert finder.find(chosen, {}, glance=True).modules == first
    second = finder.find(chosen, {}).modules
    assert second == FactFinder().find(chosen, {}).modules != first
    (modules / "new").write_bytes(b"3")
    (modules / "new").rename(modules / "kernel.img")
    assert finder.find(chosen, {}, glance=True).modules == FactFinder().find(chosen, {}).modules != second
    (modules / "kernel.img").unlink()
    assert finder.find(chosen, {}, glance=True).modules == {}


def test_published_loaders_are_seen(tmp_path: Path) -> None:
    (tmp_path / "tftp/osr").mkdir(parents=True)
    (tmp_path / "tftp/osr/pxelinux.0").write_bytes(b"x")
    assert FactFinder().find(settings(tmp_path), {}).present == {str(tmp_path / "tftp/osr/pxelinux.0")}


def test_overrides(tmp_path: Path) -> None:
    directory = tmp_path / "templates"
    directory.mkdir()
    (directory / "grub.j2").write_text("mine")
    (directory / "ipxe.j2").write_bytes(b"\xff")
    (directory / "pxelinux.j2").mkdir()
    (directory / "grub.j2.orig").write_text("no template")
    (directory / "ipxe-boot.j2").write_bytes(b"x" * (1 << 20 | 1))
    found = FactFinder().find(settings(tmp_path), {}).templates
    assert (found["grub.j2"].text, found["grub.j2"].origin) == ("mine", str(directory / "grub.j2"))
    assert "menuentry" in found["builtin/grub.j2"].text
    assert "not UTF-8" in found["ipxe.j2"].error
    assert "regular file" in found["pxelinux.j2"].error
    assert "1048577" in found["ipxe-boot.j2"].error
    assert "grub.j2.orig" not in found


def test_what_is_watched(tmp_path: Path) -> None:
    chosen = settings(
        tmp_path, kernel="/nowhere/a/vmlinuz", initrd="/nowhere/a/initrd", previous_kernel="/nowhere/b/k"
    )
    assert FactFinder().watched(chosen) == {
        "/nowhere/a": {"vmlinuz", "initrd"},
        "/nowhere/b": {"k"},
        str(tmp_path / "templates"): None,
    }
