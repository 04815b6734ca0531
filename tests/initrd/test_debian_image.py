# SPDX-License-Identifier: GPL-3.0-or-later
"""One image from beginning to end with a real Debian's dracut: looked at, wanted, built in the sandbox, checked and
stored, chosen; and then nothing is wanted any more, however long somebody looks."""

import time
from pathlib import Path

import pytest

from osrd.engine.buildwork import Again, Aim
from osrd.engine.initrds import Initrds
from osrd.engine.rootwork import QUIET, Control
from osrd.model.settings import BootWay, BuildSettings, Paths, RootSettings, Settings
from osrd.parse.clusterconf import parse_cluster
from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.root, pytest.mark.needs("debootstrap", "zstd", "mount")]


def test_a_real_image(debian_root: Path, debian_kernel: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    text = (REPOSITORY / "tests/fixtures/seed-fixed.conf").read_bytes()
    root = RootSettings("fc11", path=str(debian_root), way=BootWay.FULL)
    settings = Settings(roots=(root,), paths=Paths(state=str(state)), build=BuildSettings(nice=0))
    cluster = parse_cluster(text, "cluster.conf")
    aim = Aim(root, settings, cluster, cluster.nodes)
    work = Initrds("fc11", str(state))
    sight = work.look(aim, Again())
    assert (sight.wanted, sight.findings) == ((debian_kernel,), ())
    told: list[tuple[float, str]] = []
    control = Control(lambda fraction, message: told.append((fraction, message)), QUIET.cancelled)
    made = work.build(aim, sight.wishes[debian_kernel], control)
    print(f"{made.image.initrd_size >> 20} MiB in {made.image.seconds:.0f} s, {len(told)} messages")
    assert made.choice.current == made.image.id
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    assert made.findings == ()
    for full in (True, False):
        since = time.process_time()
        again = work.look(aim, Again(full=full))
        print(f"to decide that nothing is to be built: {1000 * (time.process_time() - since):.0f} ms, {full=}")
        assert again.wanted == (), again.wishes[debian_kernel].reason
    library = debian_root / "usr/lib/x86_64-linux-gnu/libc.so.6"
    library.write_bytes(library.read_bytes() + b"\0")
    changed = work.look(aim, Again())
    assert changed.wanted == (debian_kernel,)
    assert "libc.so.6 changed" in changed.wishes[debian_kernel].reason
