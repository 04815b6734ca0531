# SPDX-License-Identifier: GPL-3.0-or-later
"""A root that is not quite the same before and after a build: when the image is built anew, and when it is good."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from osrd.engine import initrdbuild
from osrd.engine.buildwork import Again, Aim, Sight
from osrd.engine.initrds import Initrds
from osrd.engine.rootwork import QUIET, Control
from osrd.model.errors import CancelledError, ConflictError, NotFoundError
from osrd.model.settings import BootWay, BuildSettings, Paths, RootSettings, Settings
from osrd.parse.clusterconf import parse_cluster
from tests.end_to_end.miniroot import add_kernel, make_root
from tests.end_to_end.serving import corrected

pytestmark = [pytest.mark.root, pytest.mark.needs("busybox", "ldd")]

KERNEL = "6.1.0-1"


class Round:
    """A root with one kernel, and what builds its images."""

    def __init__(self, path: Path) -> None:
        self.root = path / "root"
        make_root(self.root)
        add_kernel(self.root, KERNEL)
        state = path / "state"
        state.mkdir()
        section = RootSettings("fc11", path=str(self.root), way=BootWay.FULL)
        settings = Settings(roots=(section,), paths=Paths(state=str(state)), build=BuildSettings(nice=0))
        cluster = parse_cluster(corrected(), "cluster.conf")
        self.aim = Aim(section, settings, cluster, cluster.nodes)
        self.work = Initrds("fc11", str(state))

    def look(self) -> Sight:
        return self.work.look(self.aim, Again())

    def build(self, control: Control = QUIET) -> None:
        self.work.build(self.aim, self.look().wishes[KERNEL], control)


@pytest.fixture
def round_(tmp_path: Path) -> Round:
    return Round(tmp_path)


def rewritten(file: Path) -> Control:
    """Whoever hears of the build's progress writes the same once more into ``file``."""
    return Control(lambda fraction, message: file.write_bytes(file.read_bytes()) and None, QUIET.cancelled)


def test_files_from_the_future_are_no_reason_to_build_without_end(
    round_: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that was ahead when the root was installed, or an NFS server whose clock is: every file seems to have
    changed after the build began."""
    monkeypatch.setattr(initrdbuild, "time", SimpleNamespace(time=lambda: 1e9))
    round_.build()
    round_.build()  # what is in the image was not known before the first one
    assert round_.look().wanted == ()


def test_what_changes_while_it_is_built_is_built_again(round_: Round) -> None:
    round_.build()
    (round_.root / "usr/lib/libroot.so").write_text("second\n")
    round_.build(rewritten(round_.root / "usr/lib/libroot.so"))
    assert round_.look().wanted == (KERNEL,)
    round_.build()
    assert round_.look().wanted == ()


def test_what_changes_by_a_clock_that_is_behind_is_built_again(round_: Round, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of an NFS server says that the change was before the build."""
    round_.build()
    (round_.root / "usr/lib/libroot.so").write_text("second\n")
    monkeypatch.setattr(initrdbuild, "time", SimpleNamespace(time=lambda: 4e9))
    round_.build(rewritten(round_.root / "usr/lib/libroot.so"))
    assert round_.look().wanted == (KERNEL,)


@pytest.mark.parametrize("until", ["checking the image", "storing the image"])
def test_a_root_that_is_unmounted_when_dracut_is_done(round_: Round, until: str) -> None:
    """It is no fault of the image, and not written down as one: it is built when the root is there again."""
    away = round_.root.with_name("away")

    def unmount(_fraction: float, message: str) -> None:
        if message == until:
            round_.root.rename(away)
            round_.root.mkdir()

    with pytest.raises((ConflictError, NotFoundError), match=r"is gone|No such file"):
        round_.build(Control(unmount, QUIET.cancelled))
    assert round_.look().images.failures == ()
    round_.root.rmdir()
    away.rename(round_.root)
    assert round_.look().wanted == (KERNEL,)


def test_cancelled_when_dracut_is_done(round_: Round) -> None:
    """Checking a large image takes its time, and what was cancelled is not offered to nodes."""
    said: list[str] = []
    control = Control(lambda fraction, message: said.append(message), lambda: "checking the image" in said)
    with pytest.raises(CancelledError):
        round_.build(control)
    assert round_.look().images.images == ()
