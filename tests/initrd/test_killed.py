# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is killed when: nothing goes on, nothing stays mounted, and no half file has its name."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from osrd.apply.initrd.build import INITRD, KERNEL, LOG, build
from tests.conftest import REPOSITORY
from tests.eventually import eventually
from tests.initrd.miniroot import LIMITS, World, cmdline, make_order, running

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("busybox")]

_SIZE = 3 << 20
_TOKEN = "1000.03125"
#: it takes a moment, has daemons, and writes an image that takes a moment to copy
_DRACUT = f"""trap '' TERM HUP
( setsid sh -c "trap '' TERM; sleep {_TOKEN}" & )
echo "*** Including module: osr ***"
dd if=/dev/zero of="$image" bs={_SIZE} count=1
sleep 0.1
"""
_BUILD = """
import sys
from pathlib import Path
from osrd.apply.initrd.build import build
from tests.initrd.miniroot import LIMITS, make_order
print("begin", flush=True)
build(make_order(Path(sys.argv[1])), LIMITS, sys.argv[2])
print("end", flush=True)
"""
_ROUNDS = 8


def started(world: World) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-c", _BUILD, world.root, world.destination]
    process = subprocess.Popen(
        argv, env={"PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begin\n"
    return process


def children(process: int) -> list[int]:
    """The guard, of a process that builds."""
    try:
        return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def whole(destination: Path) -> bool:
    """Files that have their names are whole."""
    sizes = {path.name: path.stat().st_size for path in destination.iterdir()}
    assert set(sizes) <= {KERNEL, INITRD, LOG}
    assert sizes.get(KERNEL, 8) == 8
    return sizes.get(INITRD, _SIZE) == _SIZE


def kill(who: str, process: "subprocess.Popen[bytes]") -> list[int]:
    """Kill osrd, its guard or both; the number of the guard, if there is one by now."""
    guards = children(process.pid)
    if who != "the guard":
        process.kill()
    for guard in guards if who != "osrd" else ():
        os.kill(guard, signal.SIGKILL)
    process.wait()
    return guards


def nothing_is_left(tmp_path: Path, guards: list[int]) -> None:
    eventually(lambda: not running(_TOKEN), "everything in the room is gone")
    eventually(lambda: not running(str(tmp_path)), "the builder is gone")
    eventually(lambda: not any("guard.py" in cmdline(each) for each in guards), "the guard is gone")
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize("who", ["osrd", "the guard", "both"])
def test_killed_while_dracut_hangs(tmp_path: Path, who: str) -> None:
    world = World(tmp_path, f"trap '' TERM HUP\nwhile :; do sleep {_TOKEN}; done")
    with started(world) as process:
        eventually(lambda: running(_TOKEN), "dracut hangs")
        guards = kill(who, process)
    assert len(guards) == 1
    nothing_is_left(tmp_path, guards)


@pytest.mark.parametrize("who", ["osrd", "the guard", "both"])
def test_killed_at_any_moment(tmp_path: Path, who: str) -> None:
    world = World(tmp_path, _DRACUT)
    began = time.monotonic()
    with started(world) as process:
        assert process.wait() == 0
    takes = time.monotonic() - began
    chance = random.Random(who)
    for moment in sorted(chance.uniform(0, takes) for _ in range(_ROUNDS)):
        with started(world) as process:
            deadline = time.monotonic() + moment
            eventually(lambda deadline=deadline: time.monotonic() >= deadline, "the moment", takes + 1)
            guards = kill(who, process)
        nothing_is_left(tmp_path, guards)
        assert whole(world.destination)
    assert Path(build(make_order(world.root), LIMITS, str(world.destination)).initrd).stat().st_size == _SIZE
