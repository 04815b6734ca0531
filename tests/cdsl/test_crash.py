# SPDX-License-Identifier: GPL-3.0-or-later
"""A transaction killed at every single change that it makes is afterwards completely done or not at all."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from osrd.model.cdsl import INVENTORY
from osrd.model.errors import OsrdError
from osrd.model.transaction import Exchange, MakeFile, Replaces, Transaction
from tests.apply.faults import die, in_child
from tests.apply.world import quick_directory
from tests.cdsl import world
from tests.cdsl.faults import Faults, no_swaps
from tests.cdsl.world import SHAPES, digest, leftovers, make_root

WAYS = ["swap", "two renames"]


def prepared(base: Path, number: int) -> tuple[Path, Transaction]:
    """A root in which the shape ``number`` is the next."""
    root = make_root(base)
    for shape in SHAPES[:number]:
        world.run(root, shape())
    return root, SHAPES[number]()


def states(root: Path, transaction: Transaction) -> tuple[world.Digest, world.Digest]:
    """Before and after."""
    old = digest(root)
    world.run(root, transaction)
    new = digest(root)
    world.undo(root)
    assert digest(root) == old != new
    return old, new


def struck(faults: Faults, way: str, action: Callable[[], object]) -> int:
    """``action`` in a child with faults: its exit status, 3 for an OsrdError."""

    def child() -> None:
        if way != "swap":
            no_swaps()
        faults.install()
        try:
            action()
        except OsrdError:
            os._exit(3)

    return in_child(child)


#: shape, how the disk renames, how many steps from one death to the next
CASES = [
    pytest.param(number, way, 1, marks=pytest.mark.slow, id=f"{name}-{way}")
    for number, name in enumerate(("make", "share", "remove"))
    for way in WAYS
]
QUICK = [pytest.param(1, way, 6, id=f"quick-{way}") for way in WAYS]


@pytest.mark.parametrize(("number", "way", "stride"), [*QUICK, *CASES])
def test_sigkill_at_every_step_of_a_run(number: int, way: str, stride: int) -> None:
    with quick_directory() as directory:
        root, transaction = prepared(Path(directory), number)
        old, new = states(root, transaction)
        status, step, seen = -1, 0, []
        while status != 0:
            step += stride
            status = struck(Faults(step, die), way, lambda: world.run(root, transaction))
            assert status in (0, -signal.SIGKILL)
            world.recover(root)
            found = digest(root)
            assert found in (old, new), step
            seen.append(found == new)
            if found == old:
                assert world.last(root) == ""
                world.run(root, transaction)
                assert digest(root) == new
            assert leftovers(root) == []
            assert world.last(root) == transaction.title
            world.undo(root)
            assert digest(root) == old
        # never back from new to old, and both were met
        assert seen == sorted(seen)
        assert False in seen
        assert seen.count(True) * stride > 10
        assert step > 50


@pytest.mark.parametrize(("number", "way", "stride"), [*QUICK, *CASES])
def test_sigkill_at_every_step_of_an_undo(number: int, way: str, stride: int) -> None:
    with quick_directory() as directory:
        root, transaction = prepared(Path(directory), number)
        old, new = states(root, transaction)
        world.run(root, transaction)
        status, step = -1, 0
        while status != 0:
            step += stride
            status = struck(Faults(step, die), way, lambda: world.undo(root))
            assert status in (0, -signal.SIGKILL)
            world.recover(root)
            found = digest(root)
            assert found in (old, new), step
            assert (world.last(root) == transaction.title) == (found == new)
            if found == old:
                assert not list((root / ".osrd/tx").iterdir())
                world.run(root, transaction)
                assert digest(root) == new
        assert step > 20


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_sigkill_at_every_step_of_a_recovery(way: str) -> None:
    """Recovery is recovered, too: here killed again and again, each time one step later, until it is through."""
    with quick_directory() as directory:
        root, transaction = prepared(Path(directory), 1)
        old, new = states(root, transaction)
        for start in range(20, 90, 8):
            struck(Faults(start, die), way, lambda: world.run(root, transaction))
            status, step = -1, 0
            while status != 0:
                step += 1
                status = struck(Faults(step, die), way, lambda: world.recover(root))
            found = digest(root)
            assert found in (old, new)
            if found == new:
                world.undo(root)
            assert digest(root) == old


def test_sigkill_while_the_undo_slot_is_given_up() -> None:
    """What ``last`` offers to undo can be undone as a whole, at every moment."""
    with quick_directory() as directory:
        root = make_root(Path(directory))
        for path in ("one", "two", "var/three"):
            (root / path).write_text(path)
        oldest = digest(root)
        texts = [Exchange(path, (MakeFile("", b"x"),), Replaces.SOMETHING) for path in ("one", "two")]
        former = Transaction("former", (*world.make_var().exchanges, *texts), ("var",), b"<former/>")
        file = Transaction("file", (Exchange("etc/new", (MakeFile("", b"x"),)),))
        status, step, offered = -1, 0, 0
        while status != 0:
            step += 1
            world.run(root, former)
            status = struck(Faults(step, die), "swap", lambda: world.run(root, file))
            world.recover(root)
            assert leftovers(root) == []
            match world.last(root):
                case "former":
                    offered += 1
                    world.undo(root)
                    assert digest(root) == oldest
                case "file":
                    world.undo(root)
                    restored(root)
                case nothing:
                    assert nothing == ""
                    restored(root)
            assert digest(root) == oldest
        assert 3 < offered < step - 10


def restored(root: Path) -> None:
    """Undo the former one by hand: what it displaced is gone, as it should be."""
    (root / "var").unlink()
    (root / world.TREE / "1/var").rename(root / "var")
    (root / "var/run").unlink()
    (root / "var/run").symlink_to("../run")
    for node in world.NODES[1:]:
        shutil.rmtree(root / world.TREE / node / "var")
    for path in ("one", "two"):
        (root / path).write_text(path)
    (root / INVENTORY).write_bytes(b"<cdsls/>")
