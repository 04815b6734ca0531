# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a root's dracut runs, and what comes out of it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from osrd.apply.initrd.build import BuildFailedError, Built, build
from osrd.model.image import BuildLimits
from osrd.model.settings import BootWay
from tests.initrd.miniroot import GOOD, LIMITS, VERSION, make_order, make_root, set_dracut

pytestmark = [pytest.mark.root, pytest.mark.needs("busybox")]


class World:
    """A root, and a directory for its builds."""

    def __init__(self, path: Path) -> None:
        self.root = make_root(path / "root")
        self.destination = path / "destination"
        self.destination.mkdir()
        self.told: list[tuple[float, str]] = []

    def build(
        self,
        script: str = GOOD,
        limits: BuildLimits = LIMITS,
        cancelled: Callable[[], bool] = lambda: False,
        **more: object,
    ) -> Built:
        set_dracut(self.root, script)
        order = make_order(self.root, **more)
        return build(order, limits, str(self.destination), lambda *told: self.told.append(told), cancelled)

    def says(self, script: str, **more: object) -> str:
        """What the image has in it when dracut's output is the image."""
        return Path(self.build(f'{{ {script}\n}} > "$image" 2>&1', **more).initrd).read_text()  # type: ignore[arg-type]

    def fails(self, script: str, limits: BuildLimits = LIMITS) -> BuildFailedError:
        with pytest.raises(BuildFailedError) as caught:
            self.build(script, limits)
        assert self.names() == ["log"]
        return caught.value

    def names(self) -> list[str]:
        return sorted(path.name for path in self.destination.iterdir())

    def log(self) -> str:
        return (self.destination / "log").read_text(errors="replace")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No mount and no process of ours is left after any test."""
    before = Path("/proc/self/mountinfo").read_text()
    yield
    assert Path("/proc/self/mountinfo").read_text() == before


def test_kernel_and_image_come_out(world: World) -> None:
    built = world.build()
    assert world.names() == ["initrd", "kernel", "log"]
    assert Path(built.initrd).read_text() == "initrd\n"
    assert Path(built.kernel).read_bytes() == b"a kernel"
    assert built.initrd_size == 7
    assert built.log == str(world.destination / "log")
    assert "Including module: osr" in world.log()
    assert world.told == [(pytest.approx(0.5 / 41), "module osr")]


def test_what_dracut_is_called_with(world: World) -> None:
    words = world.says('echo "$@"', way=BootWay.STATIC).split()
    assert words[:4] == ["--force", "--no-hostonly", "--no-hostonly-cmdline", "--reproducible"]
    assert words[words.index("--kver") :][:2] == ["--kver", VERSION]
    assert world.says('echo "$9|${10}"', way=BootWay.FULL) == "--add|osr osr-cluster\n"


def test_it_sees_our_files_and_the_root_does_not(world: World) -> None:
    (world.root / "etc/osr/initrd").mkdir(parents=True)
    (world.root / "etc/osr/initrd/stale").write_text("old")
    (world.root / "usr/lib/dracut/modules.d/50osr").mkdir()
    (world.root / "usr/lib/dracut/modules.d/95other").mkdir()
    before = sorted(world.root.rglob("*"))
    text = world.says(
        "cd /etc/osr/initrd; ls; cat build; ls -l /usr/lib/dracut/modules.d /usr/lib/dracut/modules.d/95osr"
    )
    assert text.split()[:3] == ["build", "nodes", "0123abcd"]
    assert re.search(r"-rwxr-xr-x .* module-setup.sh", text)
    assert "95other" in text
    assert "50osr" not in text
    assert sorted(world.root.rglob("*")) == before


def test_nothing_is_written_into_the_root(world: World) -> None:
    script = "echo x > /etc/new; rm -rf /boot /usr/lib/dracut; rm /usr/bin/busybox; echo z > /var/tmp/z\n" + GOOD
    world.build(script)
    assert (world.root / f"boot/vmlinuz-{VERSION}").read_bytes() == b"a kernel"
    assert not (world.root / "etc/new").exists()
    assert list((world.root / "var/tmp").iterdir()) == []


def test_a_program_that_fails_says_why(world: World) -> None:
    error = world.fails('echo "first"; printf "\\033[31mno space\\033[0m\\007\\n" >&2; exit 3')
    assert "exit status 3" in error.message
    assert error.lines == ("first", "no space")
    assert str(world.destination / "log") in error.fix
    assert "osrd: dracut failed with exit status 3" in world.log()


def test_no_dracut(world: World) -> None:
    order = make_order(world.root)
    (world.root / "usr/bin/dracut").unlink()
    with pytest.raises(BuildFailedError, match=r"exit status 127.*No such file"):
        build(order, LIMITS, str(world.destination))
