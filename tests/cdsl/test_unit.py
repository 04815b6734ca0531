# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies under the shipped units: a systemd of its own applies the restrictions of osrd.service to a process that
changes a shared root, and starts what is behind the socket of osrd-copy.socket."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from osrd.apply.cdsl.confined import LAUNCHERS, Confined, Job
from osrd.model.errors import CancelledError, FailedError, UnsupportedError
from osrd.observe.inside import Inside
from tests.cdsl import world
from tests.cdsl.world import CONTENT, NODES, TREE, digest, leftovers, make_root, make_var, run
from tests.eventually import eventually
from tests.initrd.miniroot import running
from tests.systemd import PROGRAMS, WELL, instances, restricted, systemctl

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs(*PROGRAMS)]


def test_the_units_allow_what_copies_need_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    var = make_root(tmp_path / "out") / "var"
    for name, mode, device in (("null", 0o20666, (1, 3)), ("disk", 0o60640, (7, 0)), ("tty", 0o20620, (4, 1))):
        os.mknod(var / name, mode, os.makedev(*device))
    os.mkfifo(var / "fifo")
    (var / "setuid").write_text("#!")
    os.chown(var / "setuid", 7, 8)
    os.chmod(var / "setuid", 0o6751)
    os.setxattr(var / "setuid", "trusted.osrd", b"t")
    restricted(tmp_path, "tests.cdsl.test_unit")


# What follows runs in the container, under the restrictions of osrd.service.

_TOKEN = "1000.0078125"
_SLEEP = Job(("sh", "-c", f"sleep {_TOKEN}; :"))
_COPIER = """
import sys
from osrd.apply.cdsl import staging
from tests.cdsl.test_unit import _SLEEP
from tests.cdsl.world import make_var, run
staging._COPY = _SLEEP.argv
run(__import__("pathlib").Path(sys.argv[1]), make_var())
"""


_STOPPED = """
import signal, sys, threading
from pathlib import Path
from osrd.apply.cdsl import staging
from osrd.apply.cdsl.transaction import Transactions
from osrd.model.errors import CancelledError
from osrd.observe.inside import Inside
from tests.cdsl.test_unit import _TOKEN
from tests.cdsl.world import make_var
staging._COPY = ("sh", "-c", f'mkdir -p "$1/some"; exec sleep {_TOKEN}')
stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
with Inside.open(sys.argv[1]) as inside:
    try:
        Transactions(inside, cancelled=stopping.is_set).run(make_var(), lambda *_: None)
    except CancelledError as error:
        print(error, flush=True)
"""
_OSRD = """[Unit]
DefaultDependencies=no
[Service]
ExecStart={python} -B {program} {root}
Environment=PYTHONPATH={path} {variable}={socket}
StandardOutput=file:/out/stopped
StandardError=file:/out/stopped
KillMode=mixed
"""


def _main() -> None:
    trials = (_devices, _progress, _cancelled, _osrd_is_killed, _osrd_is_stopped, _the_unit_is_killed, _no_way_around)
    for trial in (*trials, _no_socket):
        with tempfile.TemporaryDirectory() as name:
            print(f"-- {trial.__name__}", flush=True)
            trial(make_root(Path(name)))
    print(WELL)


def _devices(root: Path) -> None:
    """All that cp -a knows, device nodes too."""
    with pytest.raises(PermissionError):
        os.mknod(root / "null", 0o20666, os.makedev(1, 3))
    root = Path("/out/root")
    var = root / "var"
    before = digest(var)
    run(root, make_var())
    for node in NODES:
        found = digest(root / TREE / node / "var")
        assert found.pop("run")[1:CONTENT] == before["run"][1:CONTENT]
        assert found == {path: value for path, value in before.items() if path != "run"}
    assert leftovers(root) == []
    assert instances("osrd-copy") == ""


def _progress(root: Path) -> None:
    """The processes of another service are not osrd's to look at: they say it themselves."""
    (root / "etc/big").write_bytes(bytes(1_000_000))
    heard: list[float] = []
    words = "cd /osrd-root/etc; cat big > copy; sleep 1; cat big >> copy"
    with Inside.open(str(root)) as inside, Confined(inside) as programs:
        programs.run([Job(("sh", "-c", words), 2_000_000)], heard.append)
    assert 0.5 in heard, heard


def _cancelled(root: Path) -> None:
    with Inside.open(str(root)) as inside, Confined(inside, lambda: bool(running(_TOKEN))) as programs:
        with pytest.raises(CancelledError):
            programs.run([_SLEEP] * 3)
        assert not running(_TOKEN)
        assert instances("osrd-copy") == ""


def _osrd_is_killed(root: Path) -> None:
    """Whoever gets the lock next can be sure that nothing writes any more."""
    with subprocess.Popen([sys.executable, "-c", _COPIER, root]) as process:
        try:
            eventually(lambda: running(_TOKEN), "a copy that runs", 60)
            assert instances("osrd-copy")
        finally:
            process.kill()
    assert world.recover(root).lines == ("removed what an interrupted run had staged: make /var host-dependent",)
    assert not running(_TOKEN)
    assert leftovers(root) == []


def _osrd_is_stopped(root: Path) -> None:
    """The sockets are stopped with it: who takes back what was begun gets no other copier than the one it has."""
    program, unit = root.parent / f"{root.name}.py", Path("/run/systemd/system/osrd.service")
    program.write_text(_STOPPED)
    unit.parent.mkdir(parents=True, exist_ok=True)
    socket = os.environ[LAUNCHERS.variable]
    unit.write_text(
        _OSRD.format(
            python=sys.executable,
            program=program,
            root=root,
            path=os.environ["PYTHONPATH"],
            variable=LAUNCHERS.variable,
            socket=socket,
        )
    )
    systemctl("daemon-reload")
    systemctl("start", "osrd.service")
    eventually(lambda: len(running(_TOKEN)) >= 2, "copies that run", 60)
    systemctl("stop", "osrd.service")
    assert Path("/out/stopped").read_text() == "make /var host-dependent: cancelled; nothing was changed\n"
    assert leftovers(root) == []
    assert not running(_TOKEN)
    systemctl("start", "osrd-copy.socket")


def _the_unit_is_killed(root: Path) -> None:
    def kill() -> bool:
        if running(_TOKEN):
            systemctl("kill", "--signal=KILL", "osrd-copy@*")
        return False

    with Inside.open(str(root)) as inside, Confined(inside, kill) as programs:
        with pytest.raises(FailedError, match=r"was killed|killed by signal 9"):
            programs.run([_SLEEP])
        assert not running(_TOKEN)


def _no_way_around(root: Path) -> None:
    place = os.environ.pop(LAUNCHERS.variable)
    with pytest.raises(UnsupportedError, match="cannot be confined to"):
        run(root, make_var())
    os.environ[LAUNCHERS.variable] = place
    assert (root / "var/lib").is_dir()


def _no_socket(root: Path) -> None:
    systemctl("stop", "osrd-copy.socket")
    with pytest.raises(UnsupportedError, match=r"nobody copies at.*systemctl start osrd-copy\.socket"):
        run(root, make_var())
    assert (root / "var/lib").is_dir()


if __name__ == "__main__":
    _main()
