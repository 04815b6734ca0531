# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL at every step of a publication, while somebody reads all boot files all the time (DESIGN law 2)."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from osrd.model.output import BuiltBy, Content, Desired, Service
from tests.apply.faults import Faults, die, in_child
from tests.apply.world import RecordingServer, World, copy_of, quick_directory

Outputs = dict[str, "bytes | tuple[str, Content]"]


def outputs(base: Path, letter: str) -> Outputs:
    """Two states of one cluster: every file differs, one node and one kernel come and go."""
    kernel = base / f"vmlinuz-{letter}"
    kernel.write_bytes(letter.encode() * 5000)
    text = letter.encode()
    return {
        "exports": b"exports " + text,
        "pxelinux.0": b"loader " + text * 9,
        f"kernels/{kernel.name}": copy_of(kernel),
        f"kernels/initrd-{letter}": (f"built:{letter}", BuiltBy(("cp", str(kernel), "{output}"))),
        "pxelinux.cfg/01-aa": b"node a of %s: kernels/vmlinuz-%s" % (text, text),
        "pxelinux.cfg/01-bb": b"node b of %s: kernels/vmlinuz-%s" % (text, text),
        f"pxelinux.cfg/only-{letter}": b"node of %s: kernels/vmlinuz-%s" % (text, text),
        "dhcp.conf": b"hosts %s: aa bb only-%s" % (text, text),
    }


def make_world(base: Path) -> World:
    return World(base, {Service.DHCP: RecordingServer(), Service.NFS: RecordingServer()})


def watch(world: World, states: tuple[Outputs, ...], ready: int, end: int) -> None:
    """Read until the pipe ``end`` closes; fails when a file is missing, half-written or names a missing one."""
    always = sorted(set.intersection(*(set(state) for state in states)))
    allowed = {name: {state[name] for state in states} for name in always}
    os.set_blocking(end, False)
    os.write(ready, b"1")
    while not _closed(end):
        for name in always:
            content = Path(world.path(name)).read_bytes()
            assert content in allowed[name], (name, content)
            if name.startswith("pxelinux.cfg/"):
                kernel = content.rpartition(b" ")[2].decode()
                assert len(Path(world.path(kernel)).read_bytes()) == 5000, kernel
        with open(world.path("dhcp.conf"), "rb") as file:
            listed, before = file.read().split()[-1].decode(), os.fstat(file.fileno())
        if not Path(world.path(f"pxelinux.cfg/{listed}")).exists():
            # Only if DHCP stopped announcing it first. Not by content: while this process waits for a busy
            # machine, the former state can have come back as a whole.
            after = os.stat(world.path("dhcp.conf"))
            assert (before.st_ino, before.st_ctime_ns) != (after.st_ino, after.st_ctime_ns), listed


def _closed(end: int) -> bool:
    try:
        return os.read(end, 1) == b""
    except BlockingIOError:
        return False


@contextmanager
def watched(world: World, *states: Outputs) -> Iterator[None]:
    """Fails at the end when the watcher saw anything wrong in between."""
    end_read, end_write = os.pipe()
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(end_write)
            watch(world, states, ready_write, end_read)
            status = 0
        except (AssertionError, OSError) as error:
            (world.base / "seen").write_text(f"{error!r} {error}")
        finally:
            os._exit(status)
    os.close(end_read)
    os.close(ready_write)
    try:
        assert os.read(ready_read, 1) == b"1"
        yield
    finally:
        os.close(end_write)
        os.close(ready_read)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, (world.base / "seen").read_text()


def published(base: Path, state: Outputs) -> dict[str, bytes]:
    """What the directory holds once ``state`` is published."""
    files = {}
    for name, given in state.items():
        if isinstance(given, bytes):
            files[name] = given
        else:
            files[name] = (base / f"vmlinuz-{name[-1]}").read_bytes()
    return files


@pytest.mark.parametrize("restarts", [True, False], ids=["recover at start", "recover in the next run"])
def test_sigkill_at_every_step(restarts: bool) -> None:
    with quick_directory() as directory:
        base = Path(directory)
        world = make_world(base)
        states = (outputs(base, "a"), outputs(base, "b"))
        world.publish(world.desired(states[0]))
        target, step, survived = 1, 0, 0
        with watched(world, *states):
            while survived < 2:  # once in each direction
                step += 1 if survived == 0 and target == 1 else 0
                desired = world.desired(states[target])

                def killed(when: int = step, desired: Desired = desired) -> None:
                    child = make_world(base)
                    Faults(when, die).install(child.store)
                    child.publish(desired)

                world.store.close()
                status = in_child(killed)
                assert status in (0, -signal.SIGKILL)
                survived += status == 0
                world.start()
                if restarts:
                    world.publisher.recover()
                    assert not [name for name in world.tree() if ".osrd-" in name]
                world.publish(desired)
                expected = published(base, states[target])
                found = world.tree()
                heavy = {name for name in found if name.startswith("kernels/")}
                assert {**expected, **{name: found[name] for name in heavy}} == found
                assert world.plan(desired).actions == ()
                assert set(world.store.manifest) == {world.path(name) for name in found}
                assert not world.store.unfinished
                assert world.store.owed == frozenset()
                target = 1 - target
        assert step > 60


def test_what_a_killed_run_put_in_place_is_osrds_even_if_nobody_wants_it_any_more() -> None:
    """Without the ownership in the intent, the next other state would find its paths occupied by strangers."""
    with quick_directory() as directory:
        base = Path(directory)
        world = make_world(base)
        world.publish(world.desired(outputs(base, "a")))
        step, status = 1, -1
        while status != 0:
            step += 5
            killed_in = world.desired(outputs(base, "b") | {f"grub/{step}": b"b", "grub/x": b"%d" % step})

            def killed(when: int = step, desired: Desired = killed_in) -> None:
                child = make_world(base)
                Faults(when, die).install(child.store)
                child.publish(desired)

            world.store.close()
            status = in_child(killed)
            world.start()
            world.publisher.recover()
            wanted = outputs(base, "a") | {"grub/x": b"a%d" % step}
            plan = world.plan(world.desired(wanted))
            assert plan.findings == ()
            world.publish(world.desired(wanted))
            expected = published(base, wanted)
            assert {k: v for k, v in world.tree().items() if k in expected or "kernels/" not in k} == expected
        assert step > 60


SCRIPT = """
import sys
from pathlib import Path
from tests.apply.test_crash import make_world, outputs
base = Path(sys.argv[1])
world = make_world(base)
world.publish(world.desired(outputs(base, sys.argv[2])))
"""


@pytest.mark.needs("strace")
@pytest.mark.slow
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "unlink", "renameat2", "rename,renameat", "fchmod"])
def test_sigkill_inside_the_database_and_the_kernel(call: str) -> None:
    """The same from outside, for what SQLite does itself: death on entry to the Nth system call of a kind."""
    with quick_directory() as directory:
        base = Path(directory)
        world = make_world(base)
        states = {letter: outputs(base, letter) for letter in "ab"}
        world.publish(world.desired(states["a"]))
        with watched(world, *states.values()):
            target, status, when = "b", -1, 0
            while status != 0:
                when += 4 if call == "pwrite64" and when else 1  # SQLite writes many pages, all before its commit
                world.store.close()
                fault = f"inject={call}:signal=SIGKILL:when={when}"
                command = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", fault]
                run = subprocess.run([*command, sys.executable, "-B", "-c", SCRIPT, directory, target], check=False)
                status = run.returncode
                assert status in (0, -signal.SIGKILL)
                assert world.restart() == () or status != 0
                desired = world.desired(states[target])
                world.publish(desired)
                assert published(base, states[target]).items() <= world.tree().items()
                assert not [name for name in world.tree() if ".osrd-" in name]
                assert world.plan(desired).actions == ()
                target = "a" if target == "b" else "b"
            assert when > 1 or call == "renameat2"
