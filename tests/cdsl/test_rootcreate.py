# SPDX-License-Identifier: GPL-3.0-or-later
"""A new root from a system: complete, without what belongs to the source machine, and to be continued."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from osrd.apply.rootcare import streaming
from osrd.engine.rootcreate import create_root
from osrd.model.errors import ConflictError, FailedError, InvalidArgsError, NotFoundError
from osrd.observe import rootsource
from osrd.observe.rootsource import Size, count
from osrd.plan.rootcare.copying import Excluded
from tests.cdsl.rootcare_world import fedora_root, write

pytestmark = [pytest.mark.root]


@pytest.fixture(params=["rsync", "cp"])
def tool(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways: the second on a PATH that has only cp."""
    if request.param == "cp":
        found = shutil.which("cp")
        assert found
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/cp").symlink_to(found)
        monkeypatch.setitem(streaming._ENVIRONMENT, "PATH", str(tmp_path / "bin"))
    elif shutil.which("rsync") is None:
        from tests.conftest import refuse

        refuse("not installed: rsync")
    return str(request.param)


def system(base: Path) -> Path:
    source = fedora_root(base)
    write(source, "boot/vmlinuz-6.1", "kernel")
    write(source, "boot/grub2/grub.cfg", "set root=hd0")
    write(source, "swapfile", "swap")
    write(source, "srv/data/swap 2", "swap")
    write(source, "etc/fstab", "/srv/data/swap\\0402 none swap sw 0 0\n/srv/more none swap sw 0 0\n")
    write(source, "srv/more", "swap")
    write(source, "proc/cmdline", "quiet")
    write(source, "tmp/x", "x")
    write(source, "usr/bin/tool", "#!", 0o4755)
    os.chown(source / "usr/bin/tool", 0, 12)
    (source / "usr/bin/tool").chmod(0o4755)
    os.link(source / "usr/bin/tool", source / "usr/bin/tool2")
    os.setxattr(source / "etc/hostname", "user.note", b"x")
    (source / "tmp").chmod(0o1777)
    (source / "etc/ssh").chmod(0o2751)
    write(source, b"srv/odd \xe9\n$(touch x)".decode(errors="surrogateescape"), "odd")
    with (source / "var/lib/sparse").open("wb") as file:
        file.truncate(64 << 20)
    return source


def test_a_system_is_copied_without_the_machine(tmp_path: Path, tool: str) -> None:
    source, root = system(tmp_path), tmp_path / "new root"
    heard: list[float] = []
    created = create_root(str(source), str(root), ["/srv/data/*"], progress=lambda fraction, _: heard.append(fraction))
    assert created.copied == (str(source),)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0

    assert (root / "boot/vmlinuz-6.1").read_text() == "kernel"
    assert list((root / "boot/grub2").iterdir()) == []
    assert list((root / "srv/data").iterdir()) == []
    for path in ("swapfile", "srv/more", "proc/cmdline", "tmp/x", "x"):
        assert not os.path.lexists(root / path), path
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert stat.S_IMODE((root / "etc/ssh").stat().st_mode) == 0o2751
    assert stat.S_IMODE((root / "sys").stat().st_mode) == 0o555
    copied = (root / "usr/bin/tool").stat()
    assert (copied.st_gid, stat.S_IMODE(copied.st_mode), copied.st_nlink) == (12, 0o4755, 2)
    assert os.getxattr(root / "etc/hostname", "user.note") == b"x"
    assert (root / "var/run").readlink() == Path("../run")
    assert (root / "var/lib/sparse").stat().st_blocks < 1000
    assert b"odd \xe9\n$(touch x)" in os.listdir(os.fsencode(root / "srv"))
    assert tool


def test_an_interrupted_copy_goes_on(tmp_path: Path, tool: str) -> None:
    source, root = system(tmp_path), tmp_path / "root"

    class StoppedError(Exception):
        pass

    def stop(fraction: float, message: str) -> None:
        if message.startswith("copying"):
            raise StoppedError

    with pytest.raises(StoppedError):
        create_root(str(source), str(root), progress=stop)
    write(root, "etc/fstab", "half")
    with pytest.raises(ConflictError, match="--continue"):
        create_root(str(source), str(root))
    os.utime(root / "etc/fstab", (0, 0))
    create_root(str(source), str(root), go_on=True)
    assert (root / "etc/fstab").read_text().startswith("/srv/data")
    assert (root / "var/log/messages").exists()
    assert tool


def test_the_new_root_may_be_inside_the_source(tmp_path: Path, tool: str) -> None:
    source = system(tmp_path)
    root = source / "srv/roots/new"
    root.parent.mkdir(parents=True)
    create_root(str(source), str(root))
    assert (root / "etc/hostname").exists()
    assert list((root / "srv/roots").iterdir()) == []
    assert tool


def test_other_file_systems(tmp_path: Path, tool: str) -> None:
    """/boot comes along, /home is told; what is mounted deeper is an empty directory."""
    source, root = system(tmp_path), tmp_path / "root"
    mounts = [source / "boot", source / "home", source / "srv/more.d"]
    try:
        for place in mounts:
            place.mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
            write(place, "vmlinuz-7", "from the partition")
        write(source, "boot/loader/entries/x.conf", "machine id")
        created = create_root(str(source), str(root))
    finally:
        for place in reversed(mounts):
            subprocess.run(["umount", place], check=True)
    assert created.copied == (str(source), str(source / "boot"))
    assert created.left == ("home",)
    assert (root / "boot/vmlinuz-7").read_text() == "from the partition"
    assert list((root / "boot/loader").iterdir()) == []
    assert list((root / "home").iterdir()) == []
    assert list((root / "srv/more.d").iterdir()) == []
    assert tool


def test_refusals(tmp_path: Path) -> None:
    source = system(tmp_path)
    full = write(tmp_path, "full/x").parent
    for wrong, destination, error in (
        (tmp_path / "none", tmp_path / "new", NotFoundError),
        (tmp_path / "full", tmp_path / "new", InvalidArgsError),
        (source, source, InvalidArgsError),
        (source, tmp_path, InvalidArgsError),
        (source, full, ConflictError),
        (source, tmp_path / "no/such/parent", FailedError),
        (source, full / "x", FailedError),
    ):
        with pytest.raises(error):
            create_root(str(wrong), str(destination))
    assert os.listdir(full) == ["x"]
    assert not (tmp_path / "new").exists()


def test_it_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, root = system(tmp_path), tmp_path / "root"
    for free, message in ((Size(1000, 10**6), "GiB left"), (Size(1 << 40, 3), "inodes")):
        monkeypatch.setattr("osrd.engine.rootcreate.free_at", lambda path, free=free: free)
        with pytest.raises(FailedError, match=message):
            create_root(str(source), str(root))
    assert list(root.iterdir()) == []
    monkeypatch.setattr("osrd.engine.rootcreate.free_at", lambda path: Size(1 << 40, 0))
    create_root(str(source), str(root))


def test_counting(tmp_path: Path) -> None:
    write(tmp_path, "a/one", b"x" * 100_000)
    os.link(tmp_path / "a/one", tmp_path / "a/two")
    write(tmp_path, "b/three", b"x" * 50_000)
    everything = count(str(tmp_path), (), str(tmp_path))
    assert everything.inodes == 4
    assert 150_000 <= everything.bytes < 250_000
    assert count(str(tmp_path), (Excluded("b"),), str(tmp_path)).inodes == 2
    assert count(str(tmp_path), (Excluded("b", True),), str(tmp_path)).inodes == 3


def test_a_failing_copy_says_what_and_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, root = system(tmp_path), tmp_path / "root"
    write(
        tmp_path,
        "bin/rsync",
        "#!/bin/sh\necho 'rsync: [sender] read errors: Input/output error (5)' >&2\nexit 23\n",
        0o755,
    )
    monkeypatch.setitem(streaming._ENVIRONMENT, "PATH", str(tmp_path / "bin"))
    with pytest.raises(FailedError, match="Input/output error") as caught:
        create_root(str(source), str(root))
    assert "--continue" in caught.value.fix


def test_swap_in_use_by_this_host_stays_behind(tmp_path: Path) -> None:
    assert all(not path.startswith("/") for path in rootsource._swap_files("/"))
    assert list(rootsource._swap_files(str(tmp_path))) == []
