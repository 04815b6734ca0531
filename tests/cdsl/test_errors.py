# SPDX-License-Identifier: GPL-3.0-or-later
"""An error at every single change that a transaction makes, and osrd's own death while programs run for it."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from osrd.apply.apart import Peer
from osrd.apply.cdsl import confined
from osrd.apply.cdsl import staging as module
from osrd.apply.cdsl.confined import Confined
from osrd.apply.cdsl.work import verify_work
from osrd.model.errors import CancelledError, FailedError, NotAuthorizedError, OsrdError, UnsupportedError
from osrd.observe.inside import Inside
from tests.apply.faults import in_child
from tests.apply.world import quick_directory
from tests.cdsl import world
from tests.cdsl.faults import Faults, failing
from tests.cdsl.test_crash import WAYS, prepared, states, struck
from tests.cdsl.world import digest, leftovers, make_root, make_var, run
from tests.conftest import REPOSITORY, refuse
from tests.eventually import eventually

KINDS = {
    "no space, once": (errno.ENOSPC, {}),
    "input/output error that happened after all": (errno.EIO, {"after": True}),
    "read-only from then on": (errno.EROFS, {"lasting": True}),
    "too many files from then on": (errno.EMFILE, {"lasting": True}),
}


CASES = [(number, kind) for number in range(3) for kind in KINDS]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("number", "kind"), CASES)
def test_an_error_at_every_step(number: int, kind: str, way: str) -> None:
    """The run ends with an OsrdError, or well; the disk is then, or after a recovery, as before or as wanted."""
    error, options = KINDS[kind]
    with quick_directory() as directory:
        root, transaction = prepared(Path(directory), number)
        old, new = states(root, transaction)
        status, step, failed = -1, 0, 0
        while status != 0 or failed == 0 or step < 45:
            step += 1
            status = struck(Faults(step, failing(error), **options), way, lambda: run(root, transaction))
            assert status in (0, 3), step
            failed += status == 3
            if not options.get("lasting"):
                assert digest(root) in (old, new), step
            world.recover(root)
            found = digest(root)
            assert found in (old, new), step
            assert status == 3 or found == new
            if found == old:
                run(root, transaction)
                assert digest(root) == new
            assert leftovers(root) == []
            world.undo(root)
            assert digest(root) == old
        assert failed > 20


def test_programs_end_with_the_osrd_that_wanted_them(tmp_path: Path) -> None:
    """And its lock is free only then."""
    root = make_root(tmp_path)
    pid = os.fork()
    if pid == 0:
        module._COPY = ("sh", "-c", "sleep 60; :")
        try:
            run(root, make_var())
        finally:
            os._exit(70)
    eventually(lambda: [program for program in programs_in(root) if program == "sleep"], "a copy that runs")
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert world.recover(root).lines == ("removed what an interrupted run had staged: make /var host-dependent",)
    assert leftovers(root) == []
    assert "sh" not in programs_in(root)


def programs_in(root: Path) -> list[str]:
    """The programs that hold the lock of the root open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(os.readlink(fd) == f"{root}/.osrd/lock" for fd in (process / "fd").iterdir()):
                found.append((process / "comm").read_text().strip())
    return found


def test_cancelling_kills_what_runs(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    asked = iter([False])
    with Inside.open(str(root)) as inside, Confined(inside, lambda: next(asked, True)) as programs:
        with pytest.raises(CancelledError):
            programs.run([confined.Job(("sleep", "60"))] * 5)
        assert programs.run_all([confined.Job(("true",)), confined.Job(("false",))]) == ["exit status 1"]


def test_confined_programs_see_nothing_but_the_root(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    (root / "absolute").symlink_to(tmp_path)
    (root / "up").symlink_to("../..")
    place = confined.place("")

    def words(*argv: str) -> str:
        with Inside.open(str(root)) as inside, Confined(inside) as programs:
            return programs.run_all([confined.Job(argv)])[0]

    script = "for name in /* /.*; do echo $name; done >&2; exit 1"
    with Inside.open(str(root)) as inside, Confined(inside) as programs:
        assert programs.run_all([confined.Job(("sh", "-c", script))]) != []
        for path in (f"/proc/{os.getpid()}", "/etc/passwd", str(tmp_path), "/dev/null", "/sys", "/root", "/home"):
            assert programs.run_all([confined.Job(("test", "-e", path))]) == ["exit status 1"], path
        for path in (place, f"{place}var/lib", "/usr"):
            assert programs.run_all([confined.Job(("test", "-d", path))]) == [], path
        for path in ("absolute/root", "up/root", "up/usr", "cdsl.local/x"):
            assert programs.run_all([confined.Job(("test", "-e", place + path))]) == ["exit status 1"], path
        assert programs.run_all([confined.Job(("touch", "/usr/x"))]) != []
    assert "Read-only" in words("touch", "/usr/x")


def test_not_being_allowed_to_confine_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_root(tmp_path)
    script = tmp_path / "launcher.py"
    script.write_text(
        'import os\nos.write(0, b\'{"refused": "Operation not permitted", "errno": 1}\\n\')\nos.read(0, 1)'
    )
    monkeypatch.setattr(confined, "LAUNCHERS", replace(confined.LAUNCHERS, script=str(script)))
    with pytest.raises(UnsupportedError, match=r"cannot be confined to .*: Operation not permitted; run osrd as root"):
        run(root, make_var())
    assert (root / "var/lib").is_dir()
    assert leftovers(root) == []


@pytest.mark.parametrize("cancels", [True, False])
def test_a_copier_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cancels: bool) -> None:
    """systemd may have too much to do to start one, or wait for something itself."""
    root = make_root(tmp_path)
    script = tmp_path / "launcher.py"
    script.write_text("import os\nwhile os.read(0, 65536):\n    pass\n")
    monkeypatch.setattr(confined, "LAUNCHERS", replace(confined.LAUNCHERS, script=str(script)))
    monkeypatch.setattr(Peer, "patience", 60.0 if cancels else 0.5)
    expected = CancelledError if cancels else FailedError
    says = "cancelled" if cancels else "says nothing within 0.5 s"
    with (
        Inside.open(str(root)) as inside,
        Confined(inside, lambda: cancels) as programs,
        pytest.raises(expected, match=says),
    ):
        programs.run([confined.Job(("true",))])


_MAY_MOUNT = ("unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "--propagation", "private")
_MOUNTED = "from osrd.apply.mounts import keep; from osrd.model.cdsl import Layout; keep(sys.argv[1], Layout(), '1');"


@pytest.mark.root
@pytest.mark.needs("setpriv", "unshare")
@pytest.mark.parametrize(("wrapper", "before"), [((), ""), (_MAY_MOUNT, ""), (_MAY_MOUNT, _MOUNTED)])
def test_without_the_rights_of_root(wrapper: tuple[str, ...], before: str) -> None:
    """In a user namespace that osrd makes or is in, with a tree mounted in the root by somebody in there. Needs a
    python that other users may run."""
    python = next((path for path in (sys.executable, "/usr/bin/python3") if usable(path)), None)
    if python is None:
        refuse("no python that another user can run")
    with quick_directory() as directory:
        os.chmod(directory, 0o777)
        root = make_root(Path(directory))
        subprocess.run(["chown", "-hR", "1000:1000", str(root)], check=True)
        code = (
            f"from pathlib import Path; from tests.cdsl import world; import sys; root = Path(sys.argv[1]);{before}"
            "old = world.digest(root); [world.run(root, shape()) for shape in world.SHAPES]; world.undo(root)"
        )
        other = ("setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups")
        done = subprocess.run(
            [*other, *wrapper, python, "-B", "-c", code, str(root)],
            cwd=REPOSITORY,
            env={"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert os.readlink(root / "cluster/cdsl/1/var/lib") == "../../../../cluster/shared/var/lib"


@pytest.mark.root
def test_a_user_is_not_told_to_take_the_directory_from_root() -> None:
    """After the chown that was advised, osrd itself would have refused to work in the root."""
    with quick_directory() as directory:
        os.chmod(directory, 0o755)
        root = make_root(Path(directory))
        run(root, make_var())

        def action() -> None:
            os.seteuid(1000)
            with Inside.open(str(root)) as inside, pytest.raises(NotAuthorizedError, match="is root's alone") as told:
                verify_work(inside)
            assert told.value.fix == "become root"

        assert in_child(action) == 0


def usable(python: str) -> bool:
    """Whether another user can run it, and start it again from there."""
    again = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    command = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", python, "-c", again]
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0


def test_errors_name_the_transaction(tmp_path: Path) -> None:
    root = make_root(tmp_path)

    def action() -> None:
        Faults(1, failing(errno.EROFS), lasting=True).install()
        with pytest.raises(OsrdError, match="Read-only file system"):
            run(root, make_var())

    assert in_child(action) == 0
    assert (root / "var/lib").is_dir()
