# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL, full disks and I/O errors at every step from a finished build to the menus of the nodes, while somebody
follows the menus all the time: what they name has to be there, and to be what its name says."""

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest

from osrd.apply.initrd.store import ImageStore
from osrd.engine.pipeline import Pipeline, Run, Scope
from osrd.model.errors import OsrdError
from osrd.model.image import Image
from osrd.observe.images import read_contents
from osrd.plan.initrd.choice import choose, retained
from tests.apply.faults import Faults, die, in_child
from tests.apply.world import quick_directory
from tests.conftest import REPOSITORY
from tests.eventually import eventually
from tests.initrd.stored import CONTENTS, Builds, kernel
from tests.unit.boothost import BootHost

_NAMED = re.compile(rb"(kernels/(?:vmlinuz|initrd)-([0-9a-f]{16})(?:\.img)?)")


def boot_host(directory: Path) -> BootHost:
    """One that takes the kernel of its nodes from the store, and keeps few generations."""
    host = BootHost(directory)
    host.configure("path = /srv/web", f"path = {directory}/root")
    host.configure(f"kernel = {directory}/boot/vmlinuz\ninitrd = {directory}/boot/initrd\n", "")
    host.configure("[boot]", "[boot]\nkeep-generations = 5")
    return host


def advance(directory: Path, number: int, pipeline: Pipeline | None = None) -> Run:
    """A new image is stored, chosen and published, and old ones go, as the builder does it. Level-triggered: what is
    done already is not done again."""
    builds = Builds(directory)
    builds.store.recover()
    made = kernel(builds.root, "6.1")
    images = builds.store.root("web")
    if not images.images or images.images[0].fingerprint != f"f{number}":
        builds.add(print_=f"f{number}", initrd=b"%d " % number * 2000)
        images = builds.store.root("web")
    builds.store.choose("web", choose(images, [made]))
    images = builds.store.root("web")
    stay = retained(images, [made], keep=3)
    for image in images.images:
        if image.id not in stay:
            builds.store.remove("web", image.id)
    pipeline = pipeline or Pipeline(str(directory / "etc/osrd.conf"), required=True)
    return pipeline.run(Scope(), "test")


def follow(directory: Path) -> None:
    """What a booting node does with each menu. Fails when something is missing or is not what its name says."""
    menus = [*directory.glob("tftp/osr/pxelinux.cfg/01-*"), *directory.glob("tftp/osr/grub/grub.cfg-01-*")]
    assert menus
    for menu in menus:
        with menu.open("rb") as file:
            named, before = _NAMED.findall(file.read()), os.fstat(file.fileno())
        assert len(named) >= 4, menu
        for path, digest in set(named):
            try:
                content = (directory / "tftp/osr" / path.decode()).read_bytes()
            except FileNotFoundError:
                # While this process waited for a busy machine, generations may have come and gone.
                after = menu.stat()
                assert (before.st_ino, before.st_ctime_ns) != (after.st_ino, after.st_ctime_ns), path
                continue
            assert sha256(content).hexdigest()[:16] == digest.decode(), path


@contextmanager
def followed(directory: Path) -> Iterator[None]:
    """Follow the menus in another process, again and again; fails at the end when that failed once."""
    end_read, end_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(end_write)
            os.set_blocking(end_read, False)
            while True:
                follow(directory)
                with suppress(BlockingIOError):
                    if os.read(end_read, 1) == b"":
                        break
            status = 0
        except (AssertionError, OSError) as error:
            (directory / "seen").write_text(f"{error!r} {error}")
        finally:
            os._exit(status)
    os.close(end_read)
    try:
        yield
    finally:
        os.close(end_write)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, (directory / "seen").read_text()


def settled(directory: Path, number: int) -> Image:
    """Everything is as ``advance`` to ``number`` makes it, and nothing is left of what was not completed."""
    store = ImageStore(str(directory / "state"))
    images = store.root("web")
    assert (images.findings, images.unknown, images.failures) == ((), False, ())
    current, previous = images.get(images.choice.current), images.get(images.choice.previous)
    assert current is not None
    assert previous is not None
    assert (current.fingerprint, previous.fingerprint) == (f"f{number}", f"f{number - 1}")
    assert current.sequence == images.images[0].sequence
    assert len(images.images) <= 3
    for image in images.images:
        for path, digest in ((image.kernel_file, image.kernel_digest), (image.initrd_file, image.initrd_digest)):
            assert sha256(Path(path).read_bytes()).hexdigest() == digest
    assert sorted(os.listdir(directory / "state/images/web")) == sorted(
        ["choice.json", *(image.id for image in images.images)]
    )
    menus = [path.read_bytes() for path in directory.glob("tftp/osr/pxelinux.cfg/01-*")]
    for menu in menus:
        _, first, second = menu.split(b"\nLABEL ")
        assert f"initrd-{current.initrd_digest[:16]}".encode() in first
        assert f"initrd-{previous.initrd_digest[:16]}".encode() in second
    assert not list(directory.glob("tftp/osr/**/.*"))
    return current


def steps_of(directory: Path, number: int, strike: Callable[[], None], stride: int = 1) -> int:
    """``strike`` at every ``stride``-th step of a change, each time of another one; the number of steps there were.
    Each change is completed afterwards by a new process, as after a restart."""
    step, status = 1, -1
    while status != 0:
        number += 1

        def changed(when: int = step, number: int = number) -> None:
            pipeline = Pipeline(str(directory / "etc/osrd.conf"), required=True)
            faults = Faults(when, strike)
            faults.install(pipeline._store)
            with suppress(OsrdError):
                advance(directory, number, pipeline)
            os._exit(3 if faults.count >= when else 0)

        status = in_child(changed)
        assert status in (0, 3, -signal.SIGKILL)
        follow(directory)
        before = ImageStore(str(directory / "state")).root("web")
        assert not before.unknown
        assert before.get(before.choice.current) is not None

        def completed(number: int = number) -> None:
            try:
                run = advance(directory, number)
                assert run.snapshot.in_sync, run.snapshot.findings
                settled(directory, number)
                follow(directory)
            except (AssertionError, OsrdError) as error:
                (directory / "seen").write_text(f"{error!r} {error}")
                raise

        assert in_child(completed) == 0, (step, (directory / "seen").read_text())
        step += stride
    return step


def raises(number: int) -> Callable[[], None]:
    def strike() -> None:
        raise OSError(number, os.strerror(number))

    return strike


STRIKES = pytest.mark.parametrize(
    "strike", [die, raises(errno.ENOSPC), raises(errno.EIO)], ids=["SIGKILL", "ENOSPC", "EIO"]
)


def struck(strike: Callable[[], None], stride: int) -> None:
    with quick_directory() as name:
        directory = Path(name)
        boot_host(directory)
        advance(directory, 1)
        advance(directory, 2)
        settled(directory, 2)
        with followed(directory):
            assert steps_of(directory, 2, strike, stride) > 150


@pytest.mark.slow
@STRIKES
def test_at_every_step_of_add_choose_and_publish(strike: Callable[[], None]) -> None:
    struck(strike, 1)


@STRIKES
def test_at_some_steps_of_add_choose_and_publish(strike: Callable[[], None]) -> None:
    struck(strike, 13)


def test_at_every_step_of_add_choose_and_remove() -> None:
    """The store alone, which is quick: what it says is true after each death."""
    with quick_directory() as name:
        directory = Path(name)
        builds = Builds(directory)
        made = kernel(builds.root, "6.1")
        first = builds.add(print_="f0")
        builds.store.choose("web", choose(builds.store.root("web"), [made]))
        step, status, offered = 0, -1, first
        while status != 0:
            step += 1

            def killed(when: int = step) -> None:
                Faults(when, die).install_only()
                image = builds.add(print_=f"f{when}")
                builds.store.choose("web", choose(builds.store.root("web"), [made]))
                for old in builds.store.root("web").images[2:]:
                    builds.store.remove("web", old.id)
                assert builds.store.root("web").choice.current == image.id

            status = in_child(killed)
            assert status in (0, -signal.SIGKILL)
            found = ImageStore(builds.store.state).root("web")
            assert (found.findings, found.unknown) == ((), False)
            current = found.get(found.choice.current)
            assert current is not None
            assert current.fingerprint in (offered.fingerprint, f"f{step}")
            for image in found.images:
                assert sha256(Path(image.initrd_file).read_bytes()).hexdigest() == image.initrd_digest
                assert read_contents(builds.store.state, image) == CONTENTS
            builds.store.recover()
            assert not {".staged", ".removed"} & set(os.listdir(directory / "state/images/web"))
            offered = current
        assert step > 80


def test_what_gets_its_name_is_on_the_disk_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power failure keeps renames in any order, unless what is renamed was made durable first."""
    builds = Builds(tmp_path)
    synced: set[tuple[int, int]] = set()
    renamed: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noted(fd: int) -> None:
        fsync(fd)
        synced.add(_identity(os.fstat(fd)))

    def checked(source: str, target: str, **options: int) -> None:
        if not target.startswith(("vmlinuz", "initrd")):
            place = os.stat(source, dir_fd=options.get("src_dir_fd"))
            wanted = [place, *(entry.stat() for entry in os.scandir(source))] if os.path.isdir(source) else [place]
            if "staged" not in target and ".removed" not in target:
                assert {_identity(status) for status in wanted} <= synced, target
        rename(source, target, **options)
        renamed.append(target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "rename", checked)
    image = builds.add()
    assert str(builds.state / "images/web" / image.id) in renamed
    assert _identity((builds.state / "images/web").stat()) in synced
    synced.clear()
    builds.store.choose("web", choose(builds.store.root("web"), []))
    assert renamed[-1] == "choice.json"
    assert _identity((builds.state / "images/web").stat()) in synced
    builds.add(initrd=Path(image.initrd_file).read_bytes())


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


FULL = """
import sys
from contextlib import suppress
from pathlib import Path
from osrd.model.errors import FailedError
from tests.eventually import eventually
from tests.initrd.stored import Builds
from tests.initrd.test_store_crash import advance, boot_host, follow, settled
directory = Path(sys.argv[1])
boot_host(directory)
advance(directory, 1)
advance(directory, 2)
builds = Builds(directory)
ballast = directory / "state/ballast"
for pages in range(20):
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - 4096 * pages)
    try:
        advance(directory, 3)
    except FailedError as error:
        print(error)
    except OSError:
        pass  # what the test has for a build did not fit
    follow(directory)
    ballast.unlink()
advance(directory, 3)
settled(directory, 3)
follow(directory)
"""


@pytest.mark.root
@pytest.mark.needs("unshare", "mount")
def test_a_full_state_directory(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "none", str(tmp_path / "state")]
    script = f"import subprocess; subprocess.run({mount!r}, check=True)\n{FULL}"
    command = ["unshare", "-m", sys.executable, "-B", "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("image store cannot be changed") >= 3, done.stdout
    assert "free some space" in done.stdout


def test_the_follower_sees_what_is_wrong(tmp_path: Path) -> None:
    """The rule itself must be able to fail."""
    boot_host(tmp_path)
    advance(tmp_path, 1)
    follow(tmp_path)
    (initrd,) = tmp_path.glob("tftp/osr/kernels/initrd-*")
    whole = initrd.read_bytes()
    with pytest.raises(AssertionError, match="initrd"):
        _damage_while_followed(tmp_path, initrd, whole[:-1])


def _damage_while_followed(directory: Path, file: Path, content: bytes) -> None:
    with followed(directory):
        file.write_bytes(content)
        eventually((directory / "seen").exists, "the follower sees it")
