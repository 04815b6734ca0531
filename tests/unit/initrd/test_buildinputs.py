# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a root changes the fingerprint of its initrds: every listed input does, nothing else, and nothing is read
twice."""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osrd.model.image import Fingerprint, InputKind
from osrd.observe import digests
from osrd.observe.buildinputs import DEPMOD, InputObserver, Look
from osrd.observe.kernels import survey
from osrd.plan.initrd.fingerprint import Inputs, fingerprint
from tests.unit.initrd.roots import dracut, kernel, merged, write

VERSION, OTHER = "6.1.0-50-amd64", "6.1.0-9-amd64"
MODULES = f"usr/lib/modules/{VERSION}"
MICROCODE = "kernel/x86/microcode/GenuineIntel.bin"
CONTENT = (
    *("usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/libz.so.1", "usr/lib/libz.so.1.2", "usr/bin/mount", "lib"),
    *(f"{MODULES}/kernel/fs/nfs/nfs.ko", f"{MODULES}/kernel/drivers/net/virtio_net.ko", "etc/idmapd.conf", MICROCODE),
    *("etc/sysctl.d/a.conf", "cdsl.local/etc/nfs.conf", "usr/bin/only-in-the-image", "etc/only/in/the/image"),
)
LINK, TREE = "cdsl.local", "cluster/cdsl/1"
#: every file that is an input, and some that come into being as one
INPUTS = (
    *(f"boot/vmlinuz-{VERSION}", "usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/libz.so.1.2", "usr/bin/mount"),
    *(f"{MODULES}/kernel/fs/nfs/nfs.ko", f"{MODULES}/kernel/drivers/net/virtio_net.ko"),
    *(f"{MODULES}/{name}" for name in DEPMOD),
    *("usr/lib/dracut/dracut-version.sh", "usr/lib/dracut/modules.d/99base/module-setup.sh", "usr/bin/dracut"),
    *("usr/lib/dracut/modules.d/99new/module-setup.sh", "usr/lib/dracut/dracut.conf.d/01-dist.conf"),
    *("etc/dracut.conf", "etc/dracut.conf.d/a.conf", "etc/dracut.conf.d/new.conf"),
    *("cluster/cdsl/1/etc/nfs.conf", "cluster/cdsl/1/idmapd.conf"),
    *("etc/modprobe.d/a.conf", "usr/lib/modprobe.d/new.conf", "etc/sysctl.d/a.conf", "etc/sysctl.d/new.conf"),
    *("usr/lib/firmware/intel-ucode/06-03-02", "usr/lib/firmware/intel-ucode/new"),
)
#: files that are none
OTHERS = (
    *("etc/modprobe.d/a.conf.bak", "etc/modules-load.d/a.conf", "usr/lib/sysctl.d/a.conf"),
    *("etc/motd", "etc/passwd", "var/log/messages", "etc/dracut.conf.d/README", "usr/bin/vi", "usr/lib/libnew.so.1"),
    *(
        f"boot/vmlinuz-{OTHER}",
        f"usr/lib/modules/{OTHER}/modules.dep",
        f"usr/lib/modules/{OTHER}/kernel/fs/nfs/nfs.ko",
    ),
    *(f"{MODULES}/kernel/drivers/net/unused.ko", f"{MODULES}/modules.dep.bin", f"{MODULES}/build/Makefile"),
    *("cluster/cdsl/2/etc/nfs.conf", "usr/lib/firmware/amd-ucode/x", "boot/config-6.1.0-50-amd64", "usr/bin/dracut-x"),
)


def make(root: Path) -> None:
    merged(root)
    for version in (VERSION, OTHER):
        kernel(root, version)
    for name in (*INPUTS, *OTHERS):
        if "new" not in name and "dracut-version" not in name:
            write(root, name, f"content of {name}")
    dracut(root)
    write(root, "etc/machine-id")
    (root / "cluster/cdsl/local").mkdir()
    (root / "cdsl.local").symlink_to("cluster/cdsl/local")
    (root / "etc/idmapd.conf").symlink_to("../cdsl.local/idmapd.conf")
    (root / "usr/lib/libz.so.1").symlink_to("libz.so.1.2")


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pattern") / "root"
    make(root)
    return root


@pytest.fixture
def root(pattern: Path, tmp_path: Path) -> Path:
    return copied(pattern, tmp_path / "root")


def copied(pattern: Path, root: Path) -> Path:
    shutil.copytree(pattern, root, symlinks=True)
    return root


@contextmanager
def looking(root: Path, observer: InputObserver | None = None, *, full: bool = False) -> Iterator[Look]:
    with (observer or InputObserver()).looking(str(root), LINK, TREE, full=full) as look:
        yield look


def seen(root: Path, observer: InputObserver | None = None, version: str = VERSION, *, full: bool = False) -> Inputs:
    with looking(root, observer, full=full) as look:
        found = look.survey()
        assert found.dracut is not None
        (the_kernel,) = [each for each in found.kernels if each.version == version]
        return look.observe(the_kernel, found.dracut, CONTENT)


def value(root: Path, observer: InputObserver | None = None) -> str:
    return fingerprint(seen(root, observer)).value


def test_what_is_observed(root: Path) -> None:
    found = seen(root)
    assert {name for kind, name in found if kind is InputKind.CONTENT} == {
        *(name for name in CONTENT if "image" not in name),
        "etc/modprobe.d/a.conf",
    }
    assert {name for kind, name in found if kind is InputKind.DEPMOD} == {f"{MODULES}/{name}" for name in DEPMOD}
    assert {name for kind, name in found if kind is InputKind.CONFIGURATION} == {
        "etc/dracut.conf",
        "etc/dracut.conf.d/a.conf",
    }
    assert {name for kind, name in found if kind is InputKind.KERNEL} == {f"boot/vmlinuz-{VERSION}"}


@pytest.mark.parametrize("name", INPUTS)
def test_every_input_changes_it(root: Path, name: str) -> None:
    before = value(root)
    write(root, name, "other content" if "dracut-version" not in name else "DRACUT_VERSION=059-4\n#")
    changed = value(root)
    assert changed != before


@pytest.mark.parametrize("name", [name for name in INPUTS if not name.startswith(("boot", "usr/lib/dracut/dracut-v"))])
def test_every_input_that_goes_changes_it(root: Path, name: str) -> None:
    if "new" in name:
        write(root, name, "content")
    if name.endswith("modules.dep"):
        return  # then there is no kernel to build for
    before = value(root)
    (root / name).unlink()
    assert value(root) != before


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_nothing_else_changes_it(root: Path, name: str, how: str) -> None:
    before = value(root)
    if how == "gone":
        (root / name).unlink(missing_ok=True)
    else:
        write(root, name, "other content")
    assert value(root) == before


def test_what_the_image_has_and_the_root_has_not_is_no_input(root: Path) -> None:
    found = seen(root)
    content = [name for kind, name in found if kind is InputKind.CONTENT]
    write(root, "usr/bin/only-in-the-image", "a")
    with looking(root) as look:
        survey_ = look.survey()
        assert survey_.dracut is not None
        assert look.observe(survey_.kernels[0], survey_.dracut, content) == found


def test_a_link_that_leads_elsewhere_changes_it(root: Path) -> None:
    before = value(root)
    (root / "usr/lib/libz.so.1").unlink()
    (root / "usr/lib/libz.so.1").symlink_to("libz.so.2")
    assert value(root) != before


@pytest.mark.usefixtures("rested")
def test_a_link_on_the_way_of_a_link_leads_elsewhere(root: Path) -> None:
    """As alternatives are chosen: the first of two links stays as it was."""
    for name in ("a", "b"):
        write(root, f"etc/alternatives/{name}", f"content of {name}")
    middle = root / "cluster/cdsl/1/idmapd.conf"
    middle.unlink()
    middle.symlink_to("/etc/alternatives/a")
    observer = InputObserver()
    before = seen(root, observer)
    middle.unlink()
    middle.symlink_to("/etc/alternatives/b")
    assert seen(root, observer) != before


_STEPS = st.lists(
    st.tuples(st.sampled_from(["touch", "write", "chmod", "other"]), st.sampled_from(INPUTS), st.sampled_from(OTHERS)),
    max_size=5,
)


@given(steps=_STEPS)
@settings(max_examples=30)
def test_it_is_equal_just_when_the_inputs_are(
    pattern: Path, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]]
) -> None:
    """Any sequence of changes, seen by one observer that remembers and by one that knows nothing."""
    root = copied(pattern, tmp_path_factory.mktemp("roots") / "root")
    observer = InputObserver()
    now = value(root, observer)
    for number, (what, name, other) in enumerate(steps):
        file = root / name
        if what == "write" and "dracut-version" not in name:
            write(root, name, f"content {number}")
        elif what == "other":
            write(root, other, f"content {number}")
        elif what == "touch" and file.exists():
            os.utime(file, (number, number))
        elif what == "chmod" and file.exists():
            file.chmod(0o600 + number)
        after = value(root, observer)
        assert after == value(root)
        changes_it = what == "write" and "dracut-version" not in name
        changes_it = changes_it or (what == "chmod" and file.exists() and not name.startswith("boot"))
        assert (after != now) is changes_it
        now = after


@given(order=st.permutations(CONTENT))
@settings(max_examples=20)
def test_the_order_in_which_it_is_asked_for_does_not_matter(pattern: Path, order: list[str]) -> None:
    with looking(pattern) as look:
        found = look.survey()
        assert found.dracut is not None
        one = look.observe(found.kernels[0], found.dracut, order)
        assert look.observe(found.kernels[1], found.dracut, order) != one
        assert fingerprint(look.observe(found.kernels[0], found.dracut, CONTENT)) == fingerprint(one)


@pytest.fixture
def rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as resting at once; the tests put new ones in their place, which tells them from the old."""
    monkeypatch.setattr(digests, "_UNSETTLED", -1.0)


def replaced(root: Path, name: str, data: str) -> None:
    write(root, f"{name}.new", data).rename(root / name)


@pytest.mark.usefixtures("rested")
def test_nothing_is_read_twice(root: Path) -> None:
    observer = InputObserver()
    before = seen(root, observer)
    hashed = observer.hashed(str(root))
    assert hashed > 20
    assert seen(root, observer) == before
    assert seen(root, observer, full=True) == before
    assert observer.hashed(str(root)) == hashed
    replaced(root, "usr/bin/mount", "other")
    assert seen(root, observer) != before
    assert observer.hashed(str(root)) == hashed + 1


@pytest.mark.usefixtures("rested")
def test_kernels_share_what_they_have_in_common(root: Path) -> None:
    one, both = InputObserver(), InputObserver()
    seen(root, one)
    with looking(root, both) as look:
        found = look.survey()
        assert found.dracut is not None
        for each in found.kernels:
            look.observe(each, found.dracut, CONTENT)
    assert both.hashed(str(root)) - one.hashed(str(root)) == 2  # modules.dep and modules.order of the other


@pytest.mark.usefixtures("rested")
def test_a_look_at_one_kernel_forgets_nothing_of_the_others(root: Path) -> None:
    observer = InputObserver()
    found = survey(str(root), LINK, TREE)
    assert found.dracut is not None
    with looking(root, observer) as look:
        look.survey()
        for each in found.kernels:
            look.observe(each, found.dracut, CONTENT)
    hashed = observer.hashed(str(root))
    with looking(root, observer) as look:
        look.observe(found.kernels[0], found.dracut, CONTENT[:2])
    with looking(root, observer) as look:
        look.survey()
        for each in found.kernels:
            look.observe(each, found.dracut, CONTENT)
    assert observer.hashed(str(root)) == hashed


@pytest.mark.usefixtures("rested")
def test_modules_are_believed_while_depmod_says_nothing(root: Path) -> None:
    """A module that is overwritten without depmod is found when a full look is due, and not before."""
    now = 0.0
    observer = InputObserver(full_every=300.0, clock=lambda: now)
    before = seen(root, observer)
    seen(root, observer)
    replaced(root, f"{MODULES}/kernel/fs/nfs/nfs.ko", "other")
    now = 299.0
    assert seen(root, observer) == before
    now = 300.0
    changed = seen(root, observer)
    assert changed != before
    assert seen(root, observer) == changed


@pytest.mark.usefixtures("rested")
@pytest.mark.parametrize("change", ["content", "mode", "gone", "back", "moved", "a link", "other link"])
def test_a_full_look_finds_what_a_glance_does_not(root: Path, change: str) -> None:
    observer = InputObserver(clock=lambda: 0.0)
    nfs, net = f"{MODULES}/kernel/fs/nfs/nfs.ko", f"{MODULES}/kernel/drivers/net/virtio_net.ko"
    file, other = root / nfs, root / net
    if change == "back":
        other.unlink()
    if change == "other link":
        other.unlink()
        other.symlink_to("unused.ko")
    seen(root, observer)
    before = seen(root, observer)
    if change == "content":
        replaced(root, nfs, "other")
    elif change == "other link":
        replaced(root, f"{MODULES}/kernel/drivers/net/unused.ko", "other")
    elif change == "mode":
        file.chmod(0o600)
    elif change == "gone":
        file.unlink()
    elif change == "back":
        write(root, net, "back")
    elif change == "moved":
        file.parent.rename(file.parent.with_name("nfs4"))
    else:
        file.unlink()
        file.symlink_to("../../drivers/net/virtio_net.ko")
    assert seen(root, observer) == before
    changed = seen(root, observer, full=True)
    assert changed == seen(root) != before


@pytest.mark.usefixtures("rested")
@pytest.mark.parametrize("table", ["modules.dep", "modules.alias", "modules.weakdep"])
def test_modules_are_looked_at_when_depmod_ran(root: Path, table: str) -> None:
    """Whatever it wrote: the same as before, mostly."""
    if table == "modules.weakdep":
        (root / MODULES / table).unlink()
    observer = InputObserver(clock=lambda: 0.0)
    before = seen(root, observer)
    seen(root, observer)
    replaced(root, f"{MODULES}/kernel/fs/nfs/nfs.ko", "other")
    file = root / MODULES / table
    replaced(root, f"{MODULES}/{table}", file.read_text() if file.exists() else "new")
    key = (InputKind.CONTENT, f"{MODULES}/kernel/fs/nfs/nfs.ko")
    assert seen(root, observer)[key] != before[key]


@pytest.mark.usefixtures("rested")
def test_the_same_fingerprint_is_the_same_object(root: Path) -> None:
    observer = InputObserver()
    own: Inputs = {(InputKind.OPTIONS, "way"): "full"}

    def print_(own: Inputs) -> Fingerprint:
        with looking(root, observer) as look:
            found = look.survey()
            assert found.dracut is not None
            return look.fingerprint(found.kernels[0], found.dracut, CONTENT, own)

    first = print_(own)
    assert print_(dict(own)) is first
    assert first == fingerprint(seen(root), own)
    other = print_({(InputKind.OPTIONS, "way"): "static"})
    assert other.value != first.value
    replaced(root, "etc/dracut.conf", "other")
    assert print_({(InputKind.OPTIONS, "way"): "static"}).value != other.value


def test_a_file_that_just_changed_is_read_again(root: Path) -> None:
    """It may change again within a tick of the clock."""
    observer = InputObserver()
    seen(root, observer)
    hashed = observer.hashed(str(root))
    seen(root, observer)
    assert observer.hashed(str(root)) == 2 * hashed


def test_when_inputs_changed_last(root: Path) -> None:
    found = seen(root)
    with looking(root) as look:
        times = look.ctimes([*found, (InputKind.OSR, "a"), (InputKind.CONTENT, "no/such/file")])
    assert times.keys() == {key for key in found if key[1] != MICROCODE}
    assert times[InputKind.CONFIGURATION, "etc/dracut.conf"] == (root / "etc/dracut.conf").stat().st_ctime_ns


@pytest.mark.usefixtures("rested")
def test_a_module_that_does_not_rest_is_looked_at_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever depmod says: it may be half written."""
    name = f"{MODULES}/kernel/fs/nfs/nfs.ko"
    inode = (root / name).stat().st_ino
    monkeypatch.setattr(digests, "_settled", lambda status: status.st_ino != inode)
    observer = InputObserver(clock=lambda: 0.0)
    before = seen(root, observer)
    assert seen(root, observer) == before
    (root / name).write_text("more")
    assert seen(root, observer) != before


def test_a_file_that_grows_without_end_is_not_read_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_LARGEST", 3 << 20)

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            buffer[:] = bytes(len(buffer))
            return len(buffer)

    with io.BufferedReader(Endless()) as file:
        assert digests._digest(file) == sha256(bytes(3 << 20)).hexdigest()


def test_a_root_that_is_forgotten_is_read_again(root: Path) -> None:
    observer = InputObserver()
    seen(root, observer)
    observer.forget(str(root))
    assert observer.hashed(str(root)) == 0


def test_modules_by_name(root: Path) -> None:
    write(
        root,
        f"{MODULES}/modules.dep",
        "kernel/fs/nfs/nfs.ko.xz: kernel/net/sunrpc/sunrpc.ko.xz\nkernel/a-b.ko:\nodd\n",
    )
    write(root, f"{MODULES}/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
    with looking(root) as look:
        found = look.modules(look.survey().kernels[0])
    assert found.loadable == {"nfs", "a_b"}
    assert found.builtin == {"ext4"}


def _to_host(root: Path, place: Path) -> None:
    place.symlink_to(root.parent / "host")


def _to_fifo(root: Path, place: Path) -> None:
    os.mkfifo(place)


def _to_loop(root: Path, place: Path) -> None:
    place.symlink_to(place.name)


@pytest.mark.parametrize(
    "name", ["usr/bin/mount", "usr/lib/dracut/modules.d", f"{MODULES}/kernel", "etc/dracut.conf.d"]
)
@pytest.mark.parametrize("plant", [_to_host, _to_fifo, _to_loop])
def test_what_a_node_plants_leads_nowhere(root: Path, name: str, plant: Callable[[Path, Path], None]) -> None:
    (root.parent / "host").mkdir()
    for file in ("mount", "nfs.ko", "secret", "a.conf"):
        write(root.parent, f"host/{file}", "of the host")
    digest = sha256(b"of the host").hexdigest()
    place = root / name
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    plant(root, place)
    observed = seen(root)
    assert not any("secret" in name or digest in found for (_, name), found in observed.items())


def test_a_tree_without_end_is_cut(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osrd.observe.buildinputs._MOST_FILES", 3)
    for number in range(5):
        write(root, f"usr/lib/dracut/{number}", "x")
    assert seen(root)[InputKind.DRACUT, "usr/lib/dracut"] == "more than 3 files"
