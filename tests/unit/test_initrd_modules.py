# SPDX-License-Identifier: GPL-3.0-or-later
"""The dracut modules' names by dracut's version, and where they come from."""

from pathlib import Path

import pytest

from osrd.model.image import Dracut
from osrd.observe.dracutmodules import files_below
from osrd.plan.initrd.modules import module_files, module_mode

SOURCES = {
    "osr/module-setup.sh": b"#!/bin/bash\n",
    "osr-network/module-setup.sh": b"#!/bin/bash\n",
    "osr-cluster/a/b.sh": b"x\n",
}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (59, ["34osr-network/module-setup.sh", "95osr-cluster/a/b.sh", "95osr/module-setup.sh"]),
        (107, ["34osr-network/module-setup.sh", "95osr-cluster/a/b.sh", "95osr/module-setup.sh"]),
        (108, ["55osr-cluster/a/b.sh", "55osr/module-setup.sh"]),
        (111, ["55osr-cluster/a/b.sh", "55osr/module-setup.sh"]),
    ],
)
def test_names_by_version(version: int, expected: list[str]) -> None:
    files = module_files(SOURCES, Dracut(version, str(version)))
    assert sorted(files) == [f"modules.d/{name}" for name in expected]
    assert set(files.values()) <= set(SOURCES.values())


def test_scripts_are_executable() -> None:
    assert module_mode(b"#!/bin/sh\n") == 0o755
    assert module_mode(b"OSR=1\n") == 0o644


def test_leftovers_of_editors_are_no_modules(tmp_path: Path) -> None:
    for name in ("osr/module-setup.sh", "osr/module-setup.sh~", "osr/.module-setup.sh.swp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "osr/link.sh").symlink_to("module-setup.sh")
    assert list(files_below(str(tmp_path))) == ["osr/link.sh", "osr/module-setup.sh"]
