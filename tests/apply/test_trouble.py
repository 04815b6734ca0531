# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in trouble: full disks, I/O errors, no descriptors. What is published stays whole; the next run succeeds."""

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from osrd.model.errors import FailedError
from osrd.model.output import Desired
from tests.apply.faults import Faults, in_child
from tests.apply.test_crash import make_world, outputs, published
from tests.apply.world import World, quick_directory


def raiser(number: int) -> "type[None]":
    def strike() -> None:
        raise OSError(number, os.strerror(number))

    return strike  # type: ignore[return-value]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS], ids=errno.errorcode.get)
def test_an_error_at_every_step_harms_nothing(number: int) -> None:
    with quick_directory() as directory:
        base = Path(directory)
        world = make_world(base)
        states = (outputs(base, "a"), outputs(base, "b"))
        world.publish(world.desired(states[0]))
        target, step, done = 1, 0, False
        while not done:
            step += 1
            desired = world.desired(states[target])
            before = world.tree()
            world.store.close()

            def failing(when: int = step, desired: Desired = desired) -> None:
                child = make_world(base)
                faults = Faults(when, raiser(number))
                faults.install(child.store)
                with suppress(FailedError):
                    child.publish(desired)
                os._exit(3 if faults.count >= when else 0)

            status = in_child(failing)
            assert status in (0, 3)
            done = status == 0
            world.start()
            both = published(base, states[0]), published(base, states[1])
            for name, content in world.tree().items():
                if ".osrd-" not in name:
                    assert content in (before.get(name), both[0].get(name), both[1].get(name))
            for name in both[0].keys() & both[1].keys():
                assert name in world.tree()
            world.publish(desired)
            assert both[target].items() <= world.tree().items()
            assert not [name for name in world.tree() if ".osrd-" in name]
            assert world.plan(desired).actions == ()
            target = 1 - target
        assert step > 60


FULL = """
import sys
from contextlib import suppress
from pathlib import Path
from osrd.model.errors import FailedError
from tests.apply.world import World
world = World(Path(sys.argv[1]))
small = {f"grub/{n}": b"x" * 3000 for n in range(20)}
world.publish(world.desired(small))
large = {f"grub/{n}": b"y" * 30000 for n in range(60)}
try:
    world.publish(world.desired(large))
except FailedError as error:
    print(error)
else:
    raise SystemExit("it fitted")
assert world.tree() == small, sorted(world.tree())
assert not world.store.unfinished
assert world.publish(world.desired(small | {"grub/0": b"z"})).written == 1
assert world.tree() == small | {"grub/0": b"z"}
"""


@pytest.mark.root
@pytest.mark.needs("unshare", "mount")
@pytest.mark.parametrize("full", ["tftp", "."], ids=["boot files", "boot files and database"])
def test_a_full_disk(tmp_path: Path, full: str) -> None:
    (tmp_path / "tftp").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path / full)]
    script = f"import subprocess; subprocess.run({mount!r}, check=True)\n{FULL}"
    command = ["unshare", "-m", sys.executable, "-B", "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1800000 bytes" in done.stdout or "state.db" in done.stdout
    assert "free some space" in done.stdout


@pytest.mark.needs("strace")
@pytest.mark.parametrize("call", ["syncfs:error=EIO", "fsync:error=EIO:when=3", "renameat2:error=EIO:when=20"])
def test_io_errors_of_the_kernel(tmp_path: Path, call: str) -> None:
    script = """
import sys
from contextlib import suppress
from pathlib import Path
from osrd.model.errors import FailedError
from tests.apply.world import World
world = World(Path(sys.argv[1]))
try:
    world.publish(world.desired({f"grub/{n}": b"x" for n in range(50)}))
except FailedError as error:
    print(error)
"""
    name = call.partition(":")[0]
    command = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={call}"]
    done = subprocess.run(
        [*command, sys.executable, "-B", "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "Input/output error" in done.stdout or "disk I/O error" in done.stdout
    world = World(tmp_path)
    world.publisher.recover()
    desired = world.desired({f"grub/{n}": b"x" for n in range(50)})
    world.publish(desired)
    assert world.tree() == {f"grub/{n}": b"x" for n in range(50)}
    assert world.plan(desired).actions == ()
