# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions on a real file system: done, undone, refused."""

import contextlib
import errno
import os
from pathlib import Path

import pytest

from osrd.apply import syscalls
from osrd.apply.cdsl.lock import locked
from osrd.apply.cdsl.transaction import Transactions
from osrd.model.cdsl import INVENTORY
from osrd.model.errors import CancelledError, ConflictError, FailedError, NotFoundError
from osrd.model.transaction import CopyTree, Exchange, MakeFile, Replaces, Transaction
from osrd.observe.inside import Inside
from tests.cdsl import world
from tests.cdsl.world import CONTENT, SHAPES, TREE, digest, leftovers, make_root, make_var, run


@pytest.fixture(params=["swap", "two renames"])
def swaps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the file system can swap names and rename without replacing."""
    if request.param == "two renames":

        def renameat2(*arguments: object) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

        monkeypatch.setattr(syscalls, "renameat2", renameat2)
    return bool(request.param == "swap")


def test_make_share_remove_and_undo_of_each(tmp_path: Path, swaps: bool) -> None:
    root = make_root(tmp_path)
    for shape in SHAPES:
        before = digest(root)
        transaction = shape()
        assert run(root, transaction).lines == transaction.lines
        after = digest(root)
        assert after != before
        assert after[INVENTORY][CONTENT] == transaction.inventory
        assert leftovers(root) == []
        assert world.last(root) == transaction.title
        assert world.undo(root).lines == (f"undone: {transaction.title}",)
        assert digest(root) == before
        assert world.last(root) == ""
        assert list((root / ".osrd/tx").iterdir()) == []
        run(root, transaction)
        assert digest(root) == after


def test_copies_are_whole_and_links_that_leave_mean_the_same(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    before = digest(root / "var")
    run(root, make_var())
    for node in world.NODES:
        copy = digest(root / TREE / node / "var")
        assert copy.pop("run")[CONTENT] == "../../../../run"
        assert copy == {path: value for path, value in before.items() if path != "run"}
    assert os.readlink(root / "var") == "cdsl.local/var"


def test_a_plan_that_is_out_of_date_changes_nothing(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / TREE / "2/var").write_text("stranger")
    before = digest(root)
    with pytest.raises(ConflictError, match="cdsl/2/var exists already"):
        run(root, make_var())
    assert digest(root) == before
    assert leftovers(root) == []


def test_undo_without_anything_to_undo(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no change to undo"):
        world.undo(make_root(tmp_path))


@pytest.mark.parametrize("what", ["content", "new file", "removed", "mode of top", "inventory", "link", "slot"])
def test_undo_is_refused_after_a_change(tmp_path: Path, what: str) -> None:
    root = make_root(tmp_path)
    run(root, make_var())
    world.next_tick(root)
    copy = root / TREE / "2/var"
    match what:
        case "content":
            (copy / "lib/rpm/Packages").write_text("three")
            at = "cdsl/2/var/lib/rpm/Packages"
        case "new file":
            (copy / "lib/new").write_text("new")
            at = "cdsl/2/var/lib"
        case "removed":
            (copy / "run").unlink()
            at = "cdsl/2/var"
        case "mode of top":
            copy.chmod(0o700)
            at = "cdsl/2/var"
        case "inventory":
            (root / INVENTORY).write_text("edited")
            at = INVENTORY
        case "link":
            (root / "var").unlink()
            (root / "var").symlink_to("elsewhere")
            at = "root/var"
        case "slot":
            (root / ".osrd/tx/1/old/3").rename(root / "stolen")
            at = "old/3"
    before = digest(root)
    with pytest.raises(ConflictError, match=f"{at}.*:"):
        world.undo(root)
    assert digest(root) == before


def test_cancelled_while_copying_leaves_nothing(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    before = digest(root)
    asked = iter([False, False, True])
    with Inside.open(str(root)) as inside, locked(inside):
        transactions = Transactions(inside, cancelled=lambda: next(asked, True))
        with pytest.raises(CancelledError, match="make /var host-dependent: cancelled; nothing was changed"):
            transactions.run(make_var(), world.rebase)
    assert digest(root) == before
    assert leftovers(root) == []


def test_progress_grows_to_one(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    heard: list[float] = []
    with Inside.open(str(root)) as inside, locked(inside):
        Transactions(inside, lambda fraction, message: heard.append(fraction)).run(make_var(), world.rebase)
    assert heard == sorted(heard)
    assert (heard[0], heard[-1]) == (0.0, 1.0)


def test_cp_that_fails_changes_nothing_and_is_quoted(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    with contextlib.chdir(root / "var"):
        for _ in range(45):  # longer than PATH_MAX, which cp cannot copy
            os.mkdir("d" * 100)
            os.chdir("d" * 100)
    with pytest.raises(FailedError, match="File name too long"):
        run(root, make_var())
    assert not (root / TREE / "1/var").exists()
    assert leftovers(root) == []


def test_the_displaced_objects_go_when_the_next_transaction_begins(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    run(root, make_var())
    assert (root / ".osrd/tx/1/old/3/log/messages").exists()
    run(root, Transaction("file", (Exchange("etc/new", (MakeFile("", b"x"),)),), lines=("done",)))
    assert sorted(os.listdir(root / ".osrd/tx")) == ["1"] or sorted(os.listdir(root / ".osrd/tx")) == ["2"]
    assert world.last(root) == "file"
    world.undo(root)
    assert not (root / "etc/new").exists()


def test_one_exchange_inside_what_another_brings(tmp_path: Path, swaps: bool) -> None:
    root = make_root(tmp_path)
    before = digest(root)
    exchanges = (
        Exchange("new", (CopyTree("var", "", "new"),)),
        Exchange("new/log", (MakeFile("", b"x"),), Replaces.SOMETHING),
    )
    run(root, Transaction("nested", exchanges, ("var",)))
    assert (root / "new/log").read_bytes() == b"x"
    world.undo(root)
    assert digest(root) == before


@pytest.mark.parametrize("at", ["../x", "/etc/x", "a//b", ".osrd/lock", ".osrd", ".osrd/tx/1/journal", "", "a/./b"])
def test_only_names_inside_the_root_change_hands(tmp_path: Path, at: str) -> None:
    root = make_root(tmp_path)
    with pytest.raises(ConflictError, match="cannot change hands"):
        run(root, Transaction("bad", (Exchange(at, (MakeFile("", b"x"),)),)))
