# SPDX-License-Identifier: GPL-3.0-or-later
"""One at a time: threads, processes, and programs that a killed holder leaves behind."""

import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from osrd.apply.cdsl.lock import locked
from osrd.apply.cdsl.transaction import Transactions
from osrd.model.errors import BusyError, ConflictError
from osrd.model.transaction import Exchange, MakeFile, Transaction
from osrd.observe.inside import Inside
from tests.cdsl.world import make_root, make_var, rebase


def test_twelve_callers_are_serialised(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    inventory: list[str] = []
    inside_now = 0

    def one(number: int) -> None:
        nonlocal inside_now
        with Inside.open(str(root)) as inside, locked(inside):
            inside_now += 1
            assert inside_now == 1
            inventory.append(f"{number}")
            data = " ".join(inventory).encode()
            Transactions(inside).run(
                Transaction(f"file {number}", (Exchange(f"etc/f{number}", (MakeFile("", b"x"),)),), inventory=data),
                rebase,
            )
            inside_now -= 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(one, range(12)))
    assert len((root / ".cdsl_inventory.xml").read_text().split()) == 12
    assert len(list((root / "etc").glob("f*"))) == 12


def test_the_loser_is_told_what_the_holder_does_and_writes_nothing(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    told: list[str] = []

    def ask() -> None:
        before = {path: path.lstat().st_mtime_ns for path in (root / ".osrd").rglob("*") if "/new/" not in str(path)}
        with Inside.open(str(root)) as other, pytest.raises(BusyError) as caught, locked(other, 0.02):
            pass
        told.append(str(caught.value))
        after = {path: path.lstat().st_mtime_ns for path in before}
        assert before == after

    def progress(fraction: float, message: str) -> None:
        if "exchanging" in message:
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()

    with Inside.open(str(root)) as inside, locked(inside):
        Transactions(inside, progress).run(make_var(), rebase)
    assert len(told) == 1
    assert f"process {os.getpid()} on {os.uname().nodename} does 'make /var host-dependent' since 20" in told[0]
    with Inside.open(str(root)) as inside, locked(inside, 0):
        pass


def test_a_program_of_the_holder_keeps_the_lock(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    with Inside.open(str(root)) as inside:
        with locked(inside):
            program = subprocess.Popen(["sleep", "60"], pass_fds=inside.inherited)
        try:
            with pytest.raises(BusyError, match="by another osrd"), locked(inside, 0.02):
                pass
        finally:
            program.kill()
            program.wait()
        with locked(inside, 0):
            pass


def test_a_lock_that_was_replaced_meanwhile_is_not_trusted(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    with Inside.open(str(root)) as inside, locked(inside):
        (root / ".osrd/lock").unlink()
        with Inside.open(str(root)) as other, locked(other, 0):
            assert (root / ".osrd/lock").exists()


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
def test_what_is_no_lock_is_refused_by_name_without_waiting(tmp_path: Path, kind: str) -> None:
    root = make_root(tmp_path)
    (root / ".osrd").mkdir(mode=0o700)
    place = root / ".osrd/lock"
    victim = tmp_path / "victim"
    victim.write_text("victim")
    match kind:
        case "symlink":
            place.symlink_to(victim)
        case "fifo":
            os.mkfifo(place)
        case "directory":
            place.mkdir()
    with Inside.open(str(root)) as inside, pytest.raises(ConflictError, match=r"\.osrd/lock"), locked(inside):
        pass
    assert victim.read_text() == "victim"


@pytest.mark.parametrize("kind", ["symlink", "file", "open to all", "link to a root"])
def test_a_directory_that_is_not_ours_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    root = make_root(tmp_path)
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    place = root / ".osrd"
    match kind:
        case "symlink":
            place.symlink_to(victim)
        case "file":
            place.write_text("")
        case "open to all":
            place.mkdir()
            place.chmod(0o755)
        case "link to a root":
            place.symlink_to("var")
    with Inside.open(str(root)) as inside:
        with pytest.raises(ConflictError, match=r"\.osrd"), locked(inside):
            pass
        with pytest.raises(ConflictError, match=r"\.osrd"):
            Transactions(inside).recover()
    assert list(victim.iterdir()) == []
