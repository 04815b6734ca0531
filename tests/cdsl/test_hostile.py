# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that has root in the shared root and wants the host's files, or osrd to destroy them."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from osrd.apply import syscalls
from osrd.apply.cdsl import transaction as module
from osrd.model.cdsl import INVENTORY
from osrd.model.errors import ConflictError, OsrdError, UnsupportedError
from osrd.model.transaction import Exchange, MakeFile, Transaction
from tests.cdsl import world
from tests.cdsl.world import NODES, SHAPES, TREE, digest, leftovers, make_root, make_var, run
from tests.conftest import refuse

SECRET = b"the host's own secret"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory of the host that looks like any directory of the root."""
    victim = tmp_path / "victim"
    for path in ("lib/rpm", "log", "var/lib/rpm", "1/var/lib", "tx/1/new/0", "new/0/lib", "cdsl/1/var"):
        (victim / path).mkdir(parents=True)
        (victim / path / "Packages").write_bytes(SECRET)
        (victim / path / "messages").write_bytes(SECRET)
    (victim / "journal").write_bytes(SECRET)
    (victim / "lock").write_bytes(SECRET)
    return victim


def secrets(root: Path) -> list[str]:
    """Where the victim's content got to."""
    return [
        str(path)
        for path in root.rglob("*")
        if not path.is_symlink()
        and path.is_file()
        and path.stat().st_size == len(SECRET)
        and path.read_bytes() == SECRET
    ]


@contextmanager
def swapping(place: Path, victim: Path) -> Iterator[list[int]]:
    """While the block runs, ``place`` is all the time swapped for a symlink to ``victim`` and back."""
    other = place.parent.parent / f"swap-{place.name}"
    end = threading.Event()
    swaps = [0]

    def swap() -> None:
        while not end.is_set():
            with suppress(FileNotFoundError):
                if not other.is_symlink() and not other.exists():
                    other.symlink_to(victim)
                syscalls.renameat2(-100, str(place), -100, str(other), syscalls.RENAME_EXCHANGE)
                swaps[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield swaps
    finally:
        end.set()
        thread.join()
        if place.is_symlink() and other.is_dir() and not other.is_symlink():
            syscalls.renameat2(-100, str(place), -100, str(other), syscalls.RENAME_EXCHANGE)


@pytest.mark.parametrize("where", ["var/lib", "var/lib/rpm", f"{TREE}/1", TREE, ".osrd/tx", ".osrd"])
def test_directories_that_become_symlinks_all_the_time(tmp_path: Path, victim: Path, where: str) -> None:
    root = make_root(tmp_path)
    for number in range(200):
        (root / f"var/lib/rpm/{number}").write_bytes(os.urandom(100))
    run(root, Transaction("first", (Exchange("etc/new", (MakeFile("", b"x"),)),)))
    before = digest(victim, skip="")
    rounds = 0
    with swapping(root / where, victim) as swaps:
        while rounds < 12 or swaps[0] < 200:
            rounds += 1
            with suppress(OsrdError):
                run(root, make_var())
            with suppress(OsrdError):
                world.undo(root)
    assert digest(victim, skip="") == before
    assert secrets(root) == []


@pytest.mark.parametrize("stage", ["_begin", "_prepared", "_complete", "_forward", "_moves"])
@pytest.mark.parametrize("where", ["var", f"{TREE}/1", "cluster", ".osrd/tx", ".osrd"])
def test_a_parent_that_becomes_a_symlink_between_two_stages(
    tmp_path: Path, victim: Path, where: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_root(tmp_path)
    before = digest(victim, skip="")
    original = getattr(module.Transactions, stage)

    def stage_with_a_swap(self: Any, *arguments: Any) -> Any:
        if (root / where).is_dir() and not (root / where).is_symlink():
            (root / where).rename(root / "moved")
            (root / where).symlink_to(victim)
        return original(self, *arguments)

    monkeypatch.setattr(module.Transactions, stage, stage_with_a_swap)
    with suppress(OsrdError):
        run(root, make_var())
    monkeypatch.undo()
    assert digest(victim, skip="") == before
    assert secrets(root) == []
    if (root / "moved").exists() and (root / where).is_symlink() and os.readlink(root / where) == str(victim):
        (root / where).unlink()
        (root / "moved").rename(root / where)
    world.recover(root)
    done = {(root / TREE / node / "var").exists() for node in NODES} | {(root / "var").is_symlink()}
    assert len(done) == 1


@pytest.mark.parametrize("number", range(3), ids=["make", "share", "remove"])
def test_a_hard_link_of_the_inventory_keeps_its_content(tmp_path: Path, number: int) -> None:
    root = make_root(tmp_path)
    for shape in SHAPES[:number]:
        run(root, shape())
    (tmp_path / "victim").write_bytes(SECRET)
    (root / INVENTORY).unlink()
    os.link(tmp_path / "victim", root / INVENTORY)
    run(root, SHAPES[number]())
    assert (tmp_path / "victim").read_bytes() == SECRET
    assert (root / INVENTORY).read_bytes() == SHAPES[number]().inventory
    assert (root / INVENTORY).stat().st_mode & 0o7777 == 0o644


def test_an_inventory_that_is_a_symlink_is_refused_by_name(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (tmp_path / "victim").write_bytes(SECRET)
    (root / INVENTORY).unlink()
    (root / INVENTORY).symlink_to("../victim")
    with pytest.raises(ConflictError, match=INVENTORY):
        run(root, make_var())
    assert (tmp_path / "victim").read_bytes() == SECRET
    assert (root / "var/lib").is_dir()


def forge(root: Path, number: int = 1, **changes: object) -> Path:
    """A journal as osrd writes it, but for ``changes``."""
    directory = root / f".osrd/tx/{number}"
    for path in (directory / "new", directory / "old"):
        path.mkdir(parents=True)
    (root / ".osrd/lock").touch(0o600)
    (root / ".osrd").chmod(0o700)
    journal: dict[str, object] = {"version": 1, "state": "committed", "title": "forged", "host": "h", "process": 1}
    journal |= {"started": 1.0, "moves": [], "made": [], "until": 0}
    (directory / "journal").write_text(json.dumps(journal | changes))
    return directory


def move(**changes: object) -> list[dict[str, object]]:
    thing = {"inode": 1, "link": None}
    return [{"at": "etc/passwd", "new": None, "old": thing, "keep": ""} | changes]


@pytest.mark.parametrize(
    "changes",
    [
        {"moves": move(at="../victim")},
        {"moves": move(at="/etc/passwd")},
        {"moves": move(at="etc/../../victim")},
        {"moves": move(at="")},
        {"moves": move(at="etc//passwd")},
        {"moves": move(at="etc/\0")},
        {"moves": move(at="\ud800")},
        {"moves": move(at=".osrd/lock")},
        {"moves": move(at=7)},
        {"moves": move(keep="../victim")},
        {"moves": move(keep="/victim")},
        {"moves": move(keep=".osrd/tx/9")},
        {"moves": move(old={"inode": "1", "link": None})},
        {"moves": move(old={"inode": 1, "link": 1})},
        {"moves": move(old=[])},
        {"moves": {}},
        {"moves": [7]},
        {"made": ["../victim"]},
        {"made": ["etc"]},
        {"made": [".osrd/backup/../../victim"]},
        {"state": "unheard of"},
        {"started": 1e300},
        {"started": "now"},
        {"title": None},
        {"version": 0.5},
        {"version": None},
    ],
    ids=str,
)
def test_a_forged_journal_is_refused_by_name(tmp_path: Path, changes: dict[str, object]) -> None:
    root = make_root(tmp_path)
    (tmp_path / "victim").write_bytes(SECRET)
    forge(root, **changes)
    before = digest(tmp_path)
    with pytest.raises(ConflictError, match=r"tx/1/journal is damaged or forged"):
        world.recover(root)
    with pytest.raises(ConflictError, match=r"tx/1/journal"):
        run(root, make_var())
    assert digest(tmp_path) == before


def test_a_journal_of_a_newer_osrd_is_left_alone(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    directory = forge(root, version=2, state="staging")
    (directory / "new/0").write_text("staged")
    for call in (world.recover, lambda root: run(root, make_var()), world.undo):
        with pytest.raises(UnsupportedError, match=r"tx/1/journal was written by a newer osrd \(version 2"):
            call(root)
    assert (directory / "new/0").read_text() == "staged"


@pytest.mark.parametrize("kind", ["fifo", "symlink", "huge", "directory", "device", "deep", "text"])
def test_what_is_no_journal_is_refused_by_name(tmp_path: Path, victim: Path, kind: str) -> None:
    if kind == "device" and os.geteuid() != 0:
        refuse("needs to be root")
    root = make_root(tmp_path)
    journal = forge(root) / "journal"
    journal.unlink()
    match kind:
        case "fifo":
            os.mkfifo(journal)
        case "symlink":
            journal.symlink_to(victim / "journal")
        case "huge":
            with open(journal, "wb") as file:
                file.truncate(1 << 40)
        case "directory":
            journal.mkdir()
        case "device":
            os.mknod(journal, 0o20666, os.makedev(1, 5))
        case "deep":
            journal.write_text("[" * 1_000_000)
        case "text":
            journal.write_text("no journal")
    for call in (world.recover, lambda root: run(root, make_var()), world.undo):
        with pytest.raises(ConflictError, match=r"tx/1/journal"):
            call(root)


def test_a_forged_journal_moves_nothing_that_it_does_not_know(tmp_path: Path) -> None:
    """Right paths, wrong objects: refused, repeatable, nothing moved."""
    root = make_root(tmp_path)
    forge(root, moves=move(new={"inode": 2, "link": None}))
    before = digest(root)
    for _ in range(2):
        with pytest.raises(OsrdError, match="root/etc/passwd is in the way"):
            world.recover(root)
        assert digest(root) == before


def test_displaced_objects_without_a_journal_are_not_removed(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    run(root, make_var())
    (root / ".osrd/tx/1/journal").unlink()
    for call in (world.recover, lambda root: run(root, Transaction("x", ()))):
        with pytest.raises(ConflictError, match=r"tx/1 holds files but no journal"):
            call(root)
    assert (root / ".osrd/tx/1/old/3/log/messages").exists()


def test_files_of_others_beside_the_transactions_stay(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    run(root, make_var())
    (root / ".osrd/tx/notes").mkdir()
    (root / ".osrd/tx/0").mkdir()
    world.undo(root)
    assert sorted(os.listdir(root / ".osrd/tx")) == ["0", "notes"]


def test_odd_names_are_moved_as_they_are(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    names = ["-rf", "new\nline", "$(touch x)", "\udcff", "'\"", " ", "a" * 255, "\\", "*", "--help"]
    for name in names:
        (root / name).mkdir()
        (root / name / name).write_text(name, errors="surrogateescape")
    before = digest(root)
    exchanges = [Exchange(f"{TREE}/1/{name}", (world.CopyTree(name, "", f"{TREE}/1/{name}"),)) for name in names]
    exchanges += [Exchange(name, (world.MakeLink("", "x"),), world.Replaces.SOMETHING, "x") for name in names]
    run(root, Transaction("odd", tuple(exchanges), tuple(names)))
    for name in names:
        assert (root / TREE / "1" / name / name).read_text(errors="surrogateescape") == name
        assert os.readlink(root / name) == "x"
    world.undo(root)
    assert digest(root) == before
    assert leftovers(root) == []
