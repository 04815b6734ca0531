# SPDX-License-Identifier: GPL-3.0-or-later
"""Bursts become one wake-up, in the time promised; the clock is made by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.watch.base import SOMETHING
from osrd.watch.debounce import MOST_PATHS, Debounce
from osrd.watch.poll import Poller


@dataclass
class Timer:
    when: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class HandClock:
    """Time goes on only when advance() says so."""

    now: float = 1000.0
    timers: list[Timer] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        assert delay >= 0
        self.timers.append(Timer(self.now + delay, callback))
        return self.timers[-1]

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if not timer.cancelled and timer.when <= end]:
            timer = min(due, key=lambda each: each.when)
            self.timers.remove(timer)
            self.now = max(self.now, timer.when)
            timer.callback()
        self.now = end

    @property
    def waiting(self) -> int:
        return sum(not timer.cancelled for timer in self.timers)


def paths(*names: str) -> frozenset[str]:
    return frozenset(names)


def test_one_hint_fires_after_the_quiet_time_and_leaves_no_timer() -> None:
    clock, fired = HandClock(), list[frozenset[str]]()
    debounce = Debounce(0.05, 1.0, clock, fired.append)
    debounce.hint(paths("/a"))
    clock.advance(0.049)
    assert fired == []
    clock.advance(0.002)
    assert fired == [paths("/a")]
    assert clock.waiting == 0
    clock.advance(100)
    assert len(fired) == 1


def test_a_burst_is_one_wake_up_and_cannot_delay_it_for_ever() -> None:
    clock, fired = HandClock(), list[float]()
    debounce = Debounce(0.05, 1.0, clock, lambda _: fired.append(clock.now - 1000))
    for _ in range(150):
        debounce.hint(paths("/a"))
        clock.advance(0.01)
    clock.advance(1)
    assert fired == [pytest.approx(1.0), pytest.approx(1.54)]


def test_paths_are_collected_and_something_swallows_them() -> None:
    clock, fired = HandClock(), list[frozenset[str]]()
    debounce = Debounce(0.05, 1.0, clock, fired.append)
    debounce.hint(paths("/a"))
    debounce.hint(paths("/b", "/c"))
    clock.advance(1)
    debounce.hint(paths("/a"))
    debounce.hint(SOMETHING)
    debounce.hint(paths("/b"))
    clock.advance(1)
    debounce.hint(paths("/d"))
    clock.advance(1)
    assert fired == [paths("/a", "/b", "/c"), SOMETHING, paths("/d")]


def test_too_many_paths_are_something() -> None:
    clock, fired = HandClock(), list[frozenset[str]]()
    debounce = Debounce(0.05, 1.0, clock, fired.append)
    debounce.hint(frozenset(str(number) for number in range(MOST_PATHS)))
    clock.advance(1)
    debounce.hint(frozenset(str(number) for number in range(MOST_PATHS + 1)))
    clock.advance(1)
    assert [len(each) for each in fired] == [MOST_PATHS, 0]


def test_closed_is_silent() -> None:
    clock, fired = HandClock(), list[frozenset[str]]()
    debounce = Debounce(0.05, 1.0, clock, fired.append)
    debounce.hint(paths("/a"))
    debounce.close()
    clock.advance(10)
    assert fired == []


@given(st.lists(st.tuples(st.floats(0, 3), st.sets(st.sampled_from("abc"), min_size=1)), max_size=40))
def test_nothing_hinted_is_ever_lost_or_late(hints: list[tuple[float, set[str]]]) -> None:
    clock, fired = HandClock(), list[tuple[float, frozenset[str]]]()
    debounce = Debounce(0.5, 2.0, clock, lambda found: fired.append((clock.now, found)))
    hinted: list[tuple[float, set[str]]] = []
    for wait, names in hints:
        clock.advance(wait)
        hinted.append((clock.now, names))
        debounce.hint(frozenset(names))
    clock.advance(10)
    for when, names in hinted:
        after = [found for time, found in fired if when <= time <= when + 2.0 + 1e-6]
        assert after
        assert names <= frozenset().union(*after)


def test_the_poller_ticks_within_a_tenth_of_its_interval_until_closed() -> None:
    clock, ticks = HandClock(), list[float]()
    poller = Poller(lambda: ticks.append(clock.now), 100, clock)
    clock.advance(1000)
    gaps = [after - before for before, after in zip([1000.0, *ticks], ticks, strict=False)]
    assert 9 <= len(ticks) <= 11
    assert all(90 <= gap <= 110 for gap in gaps)
    assert len(set(gaps)) > 1
    assert clock.waiting == 1
    poller.close()
    clock.advance(1000)
    assert clock.waiting == 0


def test_a_new_interval_counts_from_now() -> None:
    clock, ticks = HandClock(), list[float]()
    poller = Poller(lambda: ticks.append(clock.now), 1000, clock)
    poller.interval = 10
    clock.advance(11.1)
    assert len(ticks) == 1
    poller.interval = 10  # the same again must not push the next tick away
    assert clock.waiting == 1
