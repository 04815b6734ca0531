# SPDX-License-Identifier: GPL-3.0-or-later
"""A root whose file system is not mounted on this host: what nodes boot stays, and it is told."""

from pathlib import Path

import pytest

from osrd.engine.buildwork import Again, Aim
from osrd.engine.initrds import Initrds
from osrd.model.finding import Finding
from osrd.model.image import Choice, RootImages
from osrd.model.settings import BootWay, BuildSettings, Paths, RootSettings, Settings
from tests.initrd.stored import Builds


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    """Four images of which one is offered; the administrator keeps one."""
    builds = Builds(tmp_path)
    images = [builds.add(f"6.{number}") for number in range(4)]
    builds.store.choose("web", Choice(images[0].id))
    for file in (builds.root / "boot").iterdir():
        file.unlink()
    (builds.root / "boot").rmdir()
    return builds


def looked(builds: Builds) -> tuple[RootImages, tuple[Finding, ...]]:
    """What is seen, after what nobody needs was removed."""
    settings = Settings(paths=Paths(state=str(builds.state)), build=BuildSettings(keep=1))
    aim = Aim(RootSettings("web", path=str(builds.root), way=BootWay.FULL), settings, None, ())
    work = Initrds("web", str(builds.state))
    work.look(aim, Again())
    work.prune(aim)
    sight = work.look(aim, Again())
    return sight.images, sight.findings


def test_an_empty_directory(builds: Builds) -> None:
    before = builds.store.root("web")
    images, (finding,) = looked(builds)
    assert images == before
    assert finding.code == "root-empty"
    assert finding.fix.startswith("mount the root there")


def test_no_directory_is_told_by_who_looks_at_its_cdsls(builds: Builds) -> None:
    builds.root.rmdir()
    images, findings = looked(builds)
    assert len(images.images) == 4
    assert findings == ()


def test_a_root_without_kernels_is_there(builds: Builds) -> None:
    (builds.root / "etc").mkdir()
    images, findings = looked(builds)
    assert len(images.images) == 2  # what is offered, and what it can go back to
    assert [finding.code for finding in findings] == ["root-without-kernel", "root-without-dracut"]
