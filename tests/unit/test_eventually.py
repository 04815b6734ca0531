# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests wait: on a machine that stands still now and then, too."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.eventually import eventually, eventually_async


class Clock:
    """Seconds pass when the test says so. ``check`` takes half a minute, and is true the second time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.calls = 0.0, 0
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=lambda seconds: None)
        monkeypatch.setattr("tests.eventually.time", clock)

    def check(self) -> bool:
        self.calls += 1
        self.now += 30
        return self.calls == 2


def test_what_became_true_while_the_machine_stood_still_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert eventually(Clock(monkeypatch).check, "it is true")


def test_nothing_is_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with pytest.raises(AssertionError, match=r"not within 10.0 s: it is true \(last seen: False\)"):
        eventually(lambda: clock.check() and False, "it is true")
    assert clock.calls == 2


def test_so_it_is_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asyncio.run(eventually_async(Clock(monkeypatch).check, "it is true"))
