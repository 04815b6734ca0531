# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds under the shipped units: a systemd of its own applies the restrictions of osrd.service to a process that has
initrds built, and starts what is behind the socket of osrd-build.socket."""

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from osrd.apply.initrd.build import BuildFailedError
from osrd.apply.initrd.sandbox import GUARDS
from osrd.model.errors import CancelledError, UnsupportedError
from tests.eventually import eventually
from tests.initrd.miniroot import LIMITS, World, running, set_dracut
from tests.systemd import PROGRAMS, WELL, instances, restricted, systemctl

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("busybox", *PROGRAMS)]


def test_the_units_allow_what_a_build_needs_and_no_more(tmp_path: Path) -> None:
    restricted(tmp_path, "tests.initrd.test_unit")


# What follows runs in the container, under the restrictions of osrd.service.

#: a dracut that does what the real one needs rights for, and tells which it has
_RIGHTS = """mkdir -p /tmp/r/bin; cp /usr/bin/busybox /tmp/r/bin; cp -a /lib* /usr/lib /tmp/r 2>/dev/null
chroot /tmp/r /bin/busybox chown 12:13 /bin/busybox
ls -ln /tmp/r/bin
grep -E 'CapEff|NoNewPrivs' /proc/self/status
cat /proc/self/cgroup
hostname
echo x > "$image"
"""
_TOKEN = "1000.0625"
_HANGS = f"trap '' TERM HUP; ( setsid sh -c \"trap '' TERM; sleep {_TOKEN}\" & ); while :; do sleep {_TOKEN}; done"
_GROWS = 'awk \'BEGIN { x = "0123456789abcdef"; while (length(x) < 4e6) x = x x; system("sleep 1000.375") }\' &\n'
_BUILDER = """
import sys
from pathlib import Path
from osrd.apply.initrd.build import build
from tests.initrd.miniroot import LIMITS, make_order
build(make_order(Path(sys.argv[1])), LIMITS, sys.argv[2])
"""


def _main() -> None:
    for trial in (_rights, _cancelled, _osrd_is_killed, _the_unit_is_killed, _memory, _no_way_around, _no_socket):
        with tempfile.TemporaryDirectory() as name:
            print(f"-- {trial.__name__}", flush=True)
            trial(World(Path(name)))
    print(WELL)


def _rights(world: World) -> None:
    world.build(_RIGHTS)
    print(world.log(), flush=True)
    lines = world.log().splitlines()
    assert any(line.split()[2:4] == ["12", "13"] for line in lines if line.endswith("busybox"))
    assert "CapEff:\t000000000004001b" in lines
    assert "NoNewPrivs:\t1" in lines
    assert any("/osrd-build@" in line for line in lines)
    assert "localhost" in lines
    assert _instances() == ""


def _cancelled(world: World) -> None:
    with pytest.raises(CancelledError):
        world.build(_HANGS, cancelled=lambda: bool(_instances() and running(_TOKEN)))
    assert not running(_TOKEN)
    assert _instances() == ""


def _osrd_is_killed(world: World) -> None:
    set_dracut(world.root, _HANGS)
    with subprocess.Popen([sys.executable, "-c", _BUILDER, world.root, world.destination]) as process:
        try:
            eventually(lambda: running(_TOKEN), "dracut hangs", 60)
            assert _instances()
        finally:
            process.kill()
    eventually(lambda: not running(_TOKEN), "everything in the room is gone")
    eventually(lambda: not _instances(), "so is the unit")


def _the_unit_is_killed(world: World) -> None:
    def kill() -> bool:
        if running(_TOKEN):
            systemctl("kill", "--signal=KILL", "osrd-build@*")
        return False

    with pytest.raises(BuildFailedError, match="was ended"):
        world.build(_HANGS, cancelled=kill)
    assert not running(_TOKEN)


def _memory(world: World) -> None:
    error = world.fails(_GROWS * 20 + "wait\n", replace(LIMITS, memory=48))
    assert "needed more than 48 MiB of memory" in error.message
    assert "memory in [build]" in error.fix
    assert _instances() == ""


def _no_way_around(world: World) -> None:
    place = os.environ.pop(GUARDS.variable)
    with pytest.raises(UnsupportedError, match=r"cannot be sealed off here: namespaces.*osrd-build\.socket"):
        world.build()
    os.environ[GUARDS.variable] = place


def _no_socket(world: World) -> None:
    systemctl("stop", "osrd-build.socket")
    with pytest.raises(UnsupportedError, match=r"nobody builds initrds.*systemctl start osrd-build\.socket"):
        world.build()


def _instances() -> str:
    return instances("osrd-build")


if __name__ == "__main__":
    _main()
