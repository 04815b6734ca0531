# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies keep everything about a file, are of one state, and are not begun when there is no room."""

import os
import shutil
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from osrd.apply import syscalls
from osrd.apply.cdsl import staging as module
from osrd.apply.cdsl import transaction
from osrd.apply.cdsl.lock import locked
from osrd.apply.cdsl.transaction import Transactions
from osrd.model.errors import ConflictError, FailedError
from osrd.model.transaction import (
    CopyTree,
    DropLink,
    Exchange,
    MakeDirectory,
    MakeFile,
    MakeLink,
    Replaces,
    Transaction,
)
from osrd.observe.inside import Inside
from tests.apply.faults import in_child
from tests.cdsl import world
from tests.cdsl.world import CONTENT, TREE, digest, leftovers, make_root, make_var, rebase, run

#: an ACL as the kernel takes it: version 2, then (tag, permissions, id): owner, user 7, group, mask, others
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 7, 2**32 - 1), (2, 6, 7), (4, 5, 2**32 - 1), (16, 7, 2**32 - 1), (32, 0, 2**32 - 1))
)


@pytest.mark.root
def test_everything_about_a_file_survives(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    var = root / "var"
    os.setxattr(var / "lib", "system.posix_acl_access", ACL)
    os.setxattr(var / "lib", "system.posix_acl_default", ACL)
    os.setxattr(var / "log/messages", "user.osrd", b"\0value")
    os.setxattr(var / "log/messages", "trusted.osrd", b"t")
    os.mkfifo(var / "fifo")
    os.mknod(var / "null", 0o20666, os.makedev(1, 3))
    with open(var / "sparse", "wb") as file:
        file.truncate(1 << 24)
        file.seek(1 << 20)
        file.write(b"x")
    (var / "setuid").write_text("#!")
    os.chown(var / "setuid", 7, 8)
    os.chmod(var / "setuid", 0o6751)
    os.chown(var / "run", 7, 8, follow_symlinks=False)
    os.utime(var / "log", (1, 1))
    os.utime(var / "run", (1, 1), follow_symlinks=False)
    before = digest(var)
    run(root, make_var())
    for node in world.NODES:
        copy = root / TREE / node / "var"
        found = digest(copy)
        assert found.pop("run")[1:CONTENT] == before["run"][1:CONTENT]
        assert found == {path: value for path, value in before.items() if path != "run"}
        assert (copy / "sparse").stat().st_blocks * 512 < 1 << 18
        for path in ("log", "run", "."):
            assert (copy / path).lstat().st_mtime_ns == (root / ".osrd/tx/1/old/3" / path).lstat().st_mtime_ns


@pytest.mark.root
def test_directories_like_others_and_links_in_place_of_copied_ones(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    os.chown(root / "etc", 7, 8)
    os.chmod(root / "etc", 0o3750)
    os.setxattr(root / "etc", "system.posix_acl_default", ACL)
    os.setxattr(root / "etc", "system.posix_acl_access", ACL)
    os.chown(root / "var/run", 7, 8, follow_symlinks=False)
    (root / "var/drop").symlink_to("log")
    steps = (
        MakeDirectory(""),
        MakeDirectory("etc", "etc"),
        MakeFile("etc/file", b"data", 0o600),
        CopyTree("var", "etc/var", "new/etc/var"),
        MakeLink("etc/var/run", "elsewhere"),
        DropLink("etc/var/drop"),
        MakeLink("etc/link", "file"),
        CopyTree("var/log", "etc/var/lib/log", "new/etc/var/lib/log"),
    )
    run(root, Transaction("new", (Exchange("new", steps),)))
    assert stat.S_IMODE((root / "new").stat().st_mode) == 0o755
    model, made = (digest(root)[path] for path in ("etc", "new/etc"))
    assert made[:-1] == model[:-1]
    assert (root / "new/etc/file").read_bytes() == b"data"
    assert stat.S_IMODE((root / "new/etc/file").stat().st_mode) == 0o600
    link = root / "new/etc/var/run"
    assert (os.readlink(link), link.lstat().st_uid, link.lstat().st_gid) == ("elsewhere", 7, 8)
    assert not os.path.lexists(root / "new/etc/var/drop")
    assert os.readlink(root / "new/etc/link") == "file"
    assert (root / "new/etc/var/lib/log/messages").read_text() == "one\ntwo\n"


@pytest.mark.parametrize("step", [DropLink("log"), MakeLink("log", "x"), DropLink("none"), MakeDirectory("log")])
def test_a_step_that_does_not_fit_changes_nothing(tmp_path: Path, step: DropLink | MakeLink | MakeDirectory) -> None:
    root = make_root(tmp_path)
    before = digest(root)
    with pytest.raises((ConflictError, FailedError)):
        run(root, Transaction("new", (Exchange("new", (CopyTree("var", "", "new"), step)),)))
    assert digest(root) == before
    assert leftovers(root) == []


def writing(monkeypatch: pytest.MonkeyPatch, write: Callable[[int], object]) -> list[int]:
    """After each round of copies, ``write`` is called with its number."""
    rounds: list[int] = []
    original = module.Staging._build

    def build(self: module.Staging, *arguments: object) -> None:
        rounds.append(len(rounds))
        try:
            original(self, *arguments)  # type: ignore[arg-type]
        finally:
            write(rounds[-1])

    monkeypatch.setattr(module.Staging, "_build", build)
    return rounds


def test_what_was_written_meanwhile_is_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_root(tmp_path)

    def write(number: int) -> None:
        if number < 2:
            (root / "var/log/messages").write_text(f"written {number}")

    rounds = writing(monkeypatch, write)
    run(root, make_var())
    assert len(rounds) == 3
    for node in world.NODES:
        assert (root / TREE / node / "var/log/messages").read_text() == "written 1"


def test_what_is_written_all_the_time_is_named_and_nothing_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_root(tmp_path)
    rounds = writing(monkeypatch, lambda number: (root / "var/lib/rpm/Packages").write_text("w" * number))
    with pytest.raises(ConflictError, match="root/var/lib/rpm/Packages is written to all the time"):
        run(root, make_var())
    assert len(rounds) == 4
    assert not (root / TREE / "1/var").exists()
    assert leftovers(root) == []


def test_cp_that_fails_because_of_a_change_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that vanishes while cp walks makes cp fail."""
    root = make_root(tmp_path)
    argv = module._COPY

    def write(number: int) -> None:
        (root / "var/lib/vanishing").unlink(missing_ok=True)
        monkeypatch.setattr(module, "_COPY", argv)

    (root / "var/lib/vanishing").write_text("")
    monkeypatch.setattr(module, "_COPY", ("false",))
    rounds = writing(monkeypatch, write)
    run(root, make_var())
    assert len(rounds) == 2


def test_killed_copies_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_root(tmp_path)
    before = digest(root)
    monkeypatch.setattr(module, "_COPY", ("sh", "-c", "kill -9 $$"))
    with pytest.raises(FailedError, match="killed by signal 9"):
        run(root, make_var())
    monkeypatch.setattr(module, "_COPY", ("no-such-program",))
    with pytest.raises(FailedError, match="no-such-program: No such file"):
        run(root, make_var())
    monkeypatch.setattr(module, "_COPY", ("sh", "-c", "kill -9 $PPID; sleep 60"))
    with pytest.raises(FailedError, match=r"the process that copies in .* was killed"):
        run(root, make_var())
    assert digest(root) == before
    assert leftovers(root) == []


def on_small_disk(base: Path, test: Callable[[Path], None], **options: str) -> int:
    """``test`` with a root on a file system of its own, in a child; its exit status."""
    source = make_root(base / "source")
    (base / "mount").mkdir()

    def action() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount_setattr(syscalls.AT_FDCWD, "/", propagation=syscalls.MS_PRIVATE, recursive=True)
        memory = syscalls.new_mount("tmpfs", mode="0755", **options)
        syscalls.move_mount(memory, syscalls.AT_FDCWD, str(base / "mount"))
        shutil.copytree(source, base / "mount/root", symlinks=True)
        test(base / "mount/root")

    return in_child(action)


@pytest.mark.root
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": "2m"}, r"3 copies need 1\.\d MiB, and \d+\.\d [KM]iB are free"),
        ({"nr_inodes": "50"}, r"need \d\d inodes"),
    ],
    ids=["bytes", "inodes"],
)
def test_too_little_room_is_said_before_anything_is_copied(
    tmp_path: Path, options: dict[str, str], words: str
) -> None:
    def test(root: Path) -> None:
        if "size" in options:
            (root / "var/big").write_bytes(bytes(500 << 10))
        before = digest(root)
        with pytest.raises(FailedError, match=words):
            run(root, make_var())
        assert digest(root) == before
        assert not (root / ".osrd/tx").exists()

    assert on_small_disk(tmp_path, test, **options) == 0


@pytest.mark.root
def test_a_disk_that_fills_up_while_copying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def test(root: Path) -> None:
        (root / "var/big").write_bytes(bytes(500 << 10))
        before = digest(root)
        for _ in range(2):
            with pytest.raises(FailedError, match="No space left on device"):
                run(root, make_var())
            assert digest(root) == before
            assert leftovers(root) == []
        (root / "var/big").unlink()
        run(root, make_var())

    monkeypatch.setattr(transaction, "check_space", lambda *arguments: None)
    assert on_small_disk(tmp_path, test, size="1500k") == 0


@pytest.mark.root
def test_a_leftover_that_cannot_be_removed_is_reported_and_harmless(tmp_path: Path) -> None:
    """A read-only bind over it is what an immutable file is to rm."""

    def test(root: Path) -> None:
        run(root, make_var())
        immutable = root / ".osrd/tx/1/old/3"
        clone = syscalls.open_tree(syscalls.AT_FDCWD, str(immutable))
        syscalls.move_mount(clone, syscalls.AT_FDCWD, str(immutable))
        changed = run(root, Transaction("file", (Exchange("etc/new", (MakeFile("", b"x"),)),), lines=("done",)))
        assert changed.lines[0] == "done"
        assert "old/3" in changed.lines[1]
        assert world.last(root) == "file"
        syscalls.umount2(str(immutable), syscalls.MNT_DETACH)
        world.recover(root)
        assert leftovers(root) == []

    assert on_small_disk(tmp_path, test) == 0


def test_what_is_in_the_way_after_the_commit_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_root(tmp_path)
    before = digest(root)
    original = Transactions._forward

    def forward(self: Transactions, journal: object) -> None:
        (root / TREE / "2/var").write_text("stranger")
        original(self, journal)  # type: ignore[arg-type]

    monkeypatch.setattr(Transactions, "_forward", forward)
    with pytest.raises(FailedError, match=r"cdsl/2/var is in the way: .*; everything was taken back; move .*2/var"):
        run(root, make_var())
    (root / TREE / "2/var").unlink()
    assert digest(root) == before
    assert leftovers(root) == []


def test_a_recovery_that_finds_something_in_the_way_says_so_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_root(tmp_path)

    def killed(self: Transactions, journal: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(Transactions, "_forward", killed)
        with pytest.raises(KeyboardInterrupt):
            run(root, make_var())
    (root / TREE / "2/var").write_text("stranger")
    for _ in range(2):
        with pytest.raises(FailedError, match=r"cdsl/2/var is in the way.*move .*cdsl/2/var to another name"):
            world.recover(root)
    (root / TREE / "2/var").rename(root / "stranger")
    assert world.recover(root).lines == ("completed after an interruption: make /var host-dependent",)
    assert world.last(root) == "make /var host-dependent"
    assert (root / TREE / "2/var/log").is_dir()


def test_undo_after_a_recovery_sees_what_nodes_wrote_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_root(tmp_path)
    before = digest(root)
    original = Transactions._forward

    def killed(self: Transactions, journal: object) -> None:
        original(self, journal)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    for written in (False, True):
        with monkeypatch.context() as context:
            context.setattr(Transactions, "_forward", killed)
            with pytest.raises(KeyboardInterrupt):
                run(root, make_var())
        if written:
            world.next_tick(root)
            (root / TREE / "2/var/log/new").write_text("of a node")
        world.recover(root)
        if written:
            with pytest.raises(ConflictError, match=r"cdsl/2/var/log.* changed since"):
                world.undo(root)
        else:
            world.undo(root)
            assert digest(root) == before


def test_a_source_that_is_a_single_link(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    text = f"../{world.LINK}/var/run"
    exchanges = (
        Exchange(f"{TREE}/1/run", (CopyTree("var/run", "", f"{TREE}/1/run"),)),
        Exchange("var/run", (MakeLink("", text),), Replaces.SOMETHING, text, "../run"),
    )
    with Inside.open(str(root)) as inside, locked(inside):
        Transactions(inside).run(Transaction("link", exchanges, ("var/run",)), rebase)
    assert os.readlink(root / TREE / "1/run") == "../../../run"
    assert os.readlink(root / "var/run") == text
