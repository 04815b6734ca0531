# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back to an earlier generation, and holding it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from osrd.model.errors import ConflictError, NotFoundError
from osrd.model.view import State
from tests.unit.boothost import QUICK, BootHost


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootHost]:
    with BootHost(tmp_path) as made:
        yield made


def _two_generations(host: BootHost) -> dict[str, bytes]:
    host.run()
    served = host.published()
    host.write(1, 2, 3, version=2)
    host.run(QUICK)
    assert host.entry(3).exists()
    return served


def test_a_rollback_holds_across_runs_drift_and_restarts(host: BootHost) -> None:
    first = _two_generations(host)
    run = host.pipeline.pin(1)
    assert (run.snapshot.state, run.snapshot.in_sync) == (State.PINNED, True)
    assert host.published() == first
    host.restart()
    assert host.run().snapshot.state is State.PINNED
    host.entry(1).write_bytes(b"vandalised")
    host.entry(2).unlink()
    assert host.run().snapshot.state is State.PINNED
    assert host.published() == first
    assert [generation.number for generation in host.pipeline.generations() if generation.pinned] == [1]


def test_a_held_kernel_that_was_deleted_is_copied_again(host: BootHost) -> None:
    first = _two_generations(host)
    host.pipeline.pin(1)
    for file in (*host.tftp.glob("kernels/*"), host.tftp / "pxelinux.0"):
        file.unlink()
    run = host.run()
    assert run.snapshot.in_sync, run.snapshot.findings
    assert host.published() == first


@pytest.mark.parametrize("restarted", [False, True])
def test_an_unusable_edit_does_not_end_a_hold_but_a_usable_one_does(host: BootHost, restarted: bool) -> None:
    first = _two_generations(host)
    good = host.cluster_conf.read_bytes()
    host.pipeline.pin(1)
    host.cluster_conf.write_bytes(good[:-10])
    if restarted:
        host.restart()
    host.entry(1).unlink()
    assert host.run().snapshot.state is State.INVALID
    assert host.published() == first
    host.cluster_conf.write_bytes(good)
    assert host.run().snapshot.state is State.PINNED
    assert host.published() == first
    host.write(1, 2, 3, 4, version=3)
    assert host.run(QUICK).snapshot.state is State.READY
    assert host.entry(4).exists()
    host.restart()
    assert host.run().snapshot.state is State.READY


def test_an_edit_that_no_output_depends_on_ends_a_hold_too(host: BootHost) -> None:
    _two_generations(host)
    host.pipeline.pin(1)
    host.write(1, 2, 3, version=9)
    assert host.run(QUICK).snapshot.state is State.READY
    assert host.entry(3).exists()


def test_rolling_back_to_what_is_current_holds_it(host: BootHost) -> None:
    host.run()
    served = host.published()
    run = host.pipeline.pin(1)
    assert run.snapshot.state is State.PINNED
    assert run.result is not None
    assert (run.result.written, run.result.removed, host.published()) == (0, 0, served)
    assert host.run().snapshot.state is State.PINNED


def test_a_rollback_to_a_generation_that_is_not_kept_changes_nothing(host: BootHost) -> None:
    host.configure("[boot]", "[boot]\nkeep-generations = 2")
    for version in range(1, 6):
        host.write(*range(1, version + 2), version=version)
        host.run(QUICK)
    served = host.published()
    for number in (1, 99, 0):
        with pytest.raises(NotFoundError, match=str(number)):
            host.pipeline.pin(number)
    assert host.published() == served
    assert host.run().snapshot.state is State.READY


def test_a_rollback_whose_kernel_is_gone_for_good_is_refused_before_anything_changes(host: BootHost) -> None:
    host.run()
    (kernel,) = host.tftp.glob("kernels/vmlinuz*")
    (host.directory / "boot/vmlinuz").write_bytes(b"kernel two")
    host.write(1, 2, 3, version=2)
    host.run()
    (host.directory / "boot/vmlinuz").write_bytes(b"kernel three")
    host.run()
    kernel.unlink()
    served = host.published()
    with pytest.raises(ConflictError, match=kernel.name):
        host.pipeline.pin(1)
    assert host.published() == served
    assert host.run().snapshot.state is not State.PINNED
    kernel.write_bytes(b"kernel one")
    assert host.pipeline.pin(1).snapshot.in_sync
    assert not host.entry(3).exists()


def test_a_pin_is_not_forgotten_by_pruning(host: BootHost) -> None:
    host.configure("[boot]", "[boot]\nkeep-generations = 2")
    first = _two_generations(host)
    host.pipeline.pin(1)
    for content in (b"a", b"b", b"c", b"d"):
        host.entry(1).write_bytes(content)
        host.run()
    host.restart()
    assert host.run().snapshot.state is State.PINNED
    assert host.published() == first


def test_apply_ends_a_hold(host: BootHost) -> None:
    _two_generations(host)
    host.pipeline.pin(1)
    assert host.pipeline.apply("").snapshot.state is State.READY
    assert host.entry(3).exists()
