# SPDX-License-Identifier: GPL-3.0-or-later
"""Which image nodes boot: the laws, over whatever happens in whatever order."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.errors import ConflictError, NotFoundError, OsrdError
from osrd.model.image import BuildFailure, Choice, Fingerprint, Image, Kernel, NodeReport, RootImages
from osrd.model.settings import BootWay, KernelUse
from osrd.plan.initrd.choice import choose, fallen, retained, rollback, wanted

NO_CHOICE = Choice()
VERSIONS = ("6.3", "6.2", "6.1")


def kernel(version: str) -> Kernel:
    return Kernel(version, f"boot/vmlinuz-{version}", version, 1)


def image(sequence: int, version: str, print_: str = "", name: str = "") -> Image:
    name = name or f"{version}-{sequence}"
    print_ = print_ or name
    build = f"build of {print_}"
    return Image(name, "web", version, BootWay.FULL, print_, 0, 0, "k", "k", 1, "i", "i", 1, sequence, build)


def images(*given_: Image, choice: Choice = NO_CHOICE) -> RootImages:
    return RootImages(tuple(sorted(given_, key=lambda each: -each.sequence)), choice)


def kernels(*versions: str) -> tuple[Kernel, ...]:
    return tuple(kernel(version) for version in versions)


OLD, NEW, REBUILT = image(1, "6.1"), image(2, "6.2"), image(3, "6.2")
BOTH = kernels("6.2", "6.1")


def test_the_first_image_becomes_current() -> None:
    assert choose(images(OLD), BOTH) == Choice(OLD.id)


def test_a_new_image_of_the_newest_kernel_becomes_current_and_the_one_before_previous() -> None:
    assert choose(images(OLD, NEW, choice=Choice(OLD.id)), BOTH) == Choice(NEW.id, OLD.id)
    assert choose(images(OLD, NEW, REBUILT, choice=Choice(NEW.id, OLD.id)), BOTH) == Choice(REBUILT.id, NEW.id)


def test_an_image_of_an_older_kernel_changes_nothing() -> None:
    late = image(4, "6.1")
    assert choose(images(OLD, NEW, late, choice=Choice(NEW.id, OLD.id)), BOTH) == Choice(NEW.id, OLD.id)


def test_a_kernel_without_image_is_waited_for() -> None:
    assert choose(images(OLD, choice=Choice(OLD.id)), BOTH) == Choice(OLD.id)


def test_rolling_back_rejects_until_a_newer_one_is_built() -> None:
    had = images(OLD, NEW, choice=Choice(NEW.id, OLD.id))
    back = rollback(had, BOTH)
    assert back == Choice(OLD.id, "", (NEW.id,))
    assert choose(replace(had, choice=back), BOTH) == back
    built = images(OLD, NEW, REBUILT, choice=back)
    assert choose(built, BOTH) == Choice(REBUILT.id, OLD.id, (NEW.id,))


def test_rolling_back_twice_and_to_one_that_was_rejected() -> None:
    had = images(OLD, NEW, REBUILT, choice=Choice(REBUILT.id, NEW.id))
    once = replace(had, choice=rollback(had, BOTH))
    assert once.choice == Choice(NEW.id, OLD.id, (REBUILT.id,))
    twice = replace(once, choice=rollback(once, BOTH))
    assert twice.choice == Choice(OLD.id, "", (REBUILT.id, NEW.id))
    with pytest.raises(NotFoundError):
        rollback(twice, BOTH)
    # and forward again: what is left is no bad image
    assert rollback(twice, BOTH, REBUILT.id) == Choice(REBUILT.id, OLD.id, (NEW.id,))


def test_rolling_back_further_rejects_what_would_be_taken_instead() -> None:
    had = images(OLD, NEW, REBUILT, choice=Choice(REBUILT.id, NEW.id))
    assert rollback(had, BOTH, OLD.id) == Choice(OLD.id, "", (REBUILT.id, NEW.id))


def test_what_cannot_be_rolled_back_to() -> None:
    had = images(OLD, NEW, choice=Choice(NEW.id, OLD.id))
    with pytest.raises(NotFoundError):
        rollback(had, BOTH, "gone")
    with pytest.raises(ConflictError):
        rollback(had, BOTH, NEW.id)
    with pytest.raises(NotFoundError):
        rollback(images(OLD, choice=Choice(OLD.id)), BOTH)


def test_a_kernel_that_goes_away_leaves_the_last_pair() -> None:
    had = images(OLD, choice=Choice(OLD.id))
    assert choose(had, ()) == Choice(OLD.id)
    assert choose(had, kernels("6.2")) == Choice(OLD.id)
    # but an image of a kernel that is there is better than one whose modules are gone
    two = images(OLD, NEW, choice=Choice(NEW.id, OLD.id))
    assert choose(two, kernels("6.1")) == Choice(OLD.id, NEW.id)


def test_a_choice_that_cannot_be_read_is_left_alone() -> None:
    assert choose(replace(images(OLD, NEW), unknown=True), BOTH) == Choice()
    assert rollback(replace(images(OLD, NEW), unknown=True), BOTH, OLD.id).current == OLD.id


def test_an_image_that_vanished_from_the_store() -> None:
    assert choose(images(choice=Choice("gone", "gone too", ("gone",))), BOTH) == Choice("gone")
    assert choose(images(OLD, choice=Choice("gone", OLD.id)), BOTH) == Choice(OLD.id)


def test_what_is_built() -> None:
    now = {"6.2": Fingerprint("b", {}), "6.1": Fingerprint("a", {})}
    built = images(image(1, "6.1", "a"), image(2, "6.2", "old"))
    assert wanted(BOTH, images(), now) == kernels("6.2")
    assert wanted(BOTH, images(), now, policy=KernelUse.ALL) == BOTH
    assert wanted(BOTH, built, now, policy=KernelUse.ALL) == kernels("6.2")
    assert wanted(kernels("6.1"), built, now) == ()
    assert wanted((), built, now) == ()
    assert wanted(BOTH, images(), {}) == ()


def test_a_build_that_failed_is_not_tried_again_before_something_changes() -> None:
    failure = BuildFailure("6.2", "b", 0, 1, "no")
    assert wanted(BOTH, images(), {"6.2": Fingerprint("b", {})}, [failure]) == ()
    assert wanted(BOTH, images(), {"6.2": Fingerprint("c", {})}, [failure]) == kernels("6.2")


def test_an_image_that_was_rolled_back_from_is_not_built_again() -> None:
    had = images(image(1, "6.1", "a"), image(2, "6.2", "b"), choice=Choice("6.2-2", "6.1-1"))
    back = replace(had, choice=rollback(had, BOTH))
    assert wanted(BOTH, back, {"6.2": Fingerprint("b", {}), "6.1": Fingerprint("a", {})}) == ()


def test_going_back_to_former_inputs_is_a_build() -> None:
    had = images(image(1, "6.2", "a"), image(2, "6.2", "b"))
    assert wanted(BOTH, had, {"6.2": Fingerprint("a", {})}) == kernels("6.2")


def test_what_stays() -> None:
    every = [image(number, "6.1", f"f{number}") for number in range(1, 9)]
    had = images(*every, choice=Choice("6.1-5", "6.1-4"))
    assert retained(had, kernels("6.1"), keep=1) == {"6.1-8", "6.1-5", "6.1-4"}
    assert retained(had, (), keep=1) == {"6.1-5", "6.1-4"}
    assert retained(had, kernels("6.1"), keep=5) == {"6.1-8", "6.1-7", "6.1-6", "6.1-5", "6.1-4"}
    booted = NodeReport("node1", "root", 0, fingerprint="build of f1")
    assert "6.1-1" in retained(had, (), [booted, NodeReport("node2", "up", 0)], keep=1)
    assert retained(had, (), keep=100) == {each.id for each in every}


def report(node: str, attempts: int, print_: str = NEW.build, step: str = "root") -> NodeReport:
    return NodeReport(node, step, 0, fingerprint=print_, attempts=attempts)


def test_a_node_falls_back_after_so_many_attempts_and_stays_there() -> None:
    had = images(OLD, NEW, choice=Choice(NEW.id, OLD.id))
    reports = [report("b", 3), report("a", 4), report("c", 2), report("d", 9, OLD.build), report("e", 9, "")]
    down = fallen(had, reports, 3)
    assert down == ("a", "b")
    after = replace(had, choice=replace(had.choice, fallen=down))
    # It runs the previous one now, and tried that often, too.
    assert fallen(after, [report("a", 0, OLD.build, "up")], 3) == ("a", "b")
    # Somebody chose the current one at its menu, and it came up.
    assert fallen(after, [report("a", 0, step="up")], 3) == ("b",)
    assert fallen(after, reports, 0) == ()
    assert choose(after, BOTH).fallen == down
    assert choose(images(OLD, NEW, REBUILT, choice=after.choice), BOTH).fallen == ()
    assert rollback(after, BOTH).fallen == ()


def test_nobody_falls_back_where_there_is_nothing_to_fall_back_to() -> None:
    assert fallen(images(NEW, choice=Choice(NEW.id)), [report("a", 9)], 1) == ()
    assert fallen(images(OLD), [report("a", 9)], 1) == ()


@dataclass
class Life:
    """A root and its store as events come, level-triggered like the builder: after each, what should be is made so."""

    policy: KernelUse
    keep: int
    present: tuple[Kernel, ...] = kernels("6.1")
    prints: dict[str, str] = field(default_factory=lambda: dict.fromkeys(VERSIONS, "p0"))
    store: RootImages = field(default_factory=RootImages)
    sequence: int = 0
    built: int = 0

    def now(self) -> dict[str, Fingerprint]:
        return {each.version: Fingerprint(self.prints[each.version], {}) for each in self.present}

    def settle(self) -> None:
        builds = wanted(self.present, self.store, self.now(), policy=self.policy)
        assert len(builds) <= len(self.present)
        for made in builds:
            self.sequence += 1
            self.built += 1
            new = image(self.sequence, made.version, self.prints[made.version])
            self.store = replace(self.store, images=(new, *self.store.images))
        before = self.store.choice
        self.store = replace(self.store, choice=choose(self.store, self.present))
        if before.current and self.store.choice.current != before.current:
            assert self.store.choice.previous == before.current
        stay = retained(self.store, self.present, keep=self.keep)
        self.store = replace(self.store, images=tuple(each for each in self.store.images if each.id in stay))
        chosen = self.store.choice
        self.store = replace(self.store, choice=choose(self.store, self.present))
        # A rejection is forgotten with its image; nothing else changes.
        assert replace(self.store.choice, rejected=chosen.rejected) == chosen


EVENTS = st.one_of(
    st.tuples(st.just("edit"), st.sampled_from(VERSIONS), st.sampled_from(["p0", "p1", "p2"])),
    st.tuples(st.just("kernels"), st.sets(st.sampled_from(VERSIONS)), st.just("")),
    st.tuples(st.just("rollback"), st.integers(0, 5), st.just("")),
    st.tuples(st.just("back"), st.just(""), st.just("")),
)


@given(st.sampled_from(KernelUse), st.integers(2, 5), st.lists(EVENTS, max_size=15))
def test_the_laws_hold_whatever_happens(policy: KernelUse, keep: int, events: list[tuple[str, object, str]]) -> None:
    life = Life(policy, keep)
    life.settle()
    for what, about, value in events:
        before, rolled = life.store.choice, ""
        if what == "edit":
            life.prints[str(about)] = value
        elif what == "kernels":
            assert isinstance(about, set)
            life.present = kernels(*(version for version in VERSIONS if version in about))
        else:
            ids = [each.id for each in life.store.images]
            to = ids[about % len(ids)] if isinstance(about, int) else ""
            try:
                life.store = replace(life.store, choice=rollback(life.store, life.present, to))
            except OsrdError:
                continue
            rolled = life.store.choice.current
            newest = [each.id for each in life.store.images if each.kernel == life.store.images[0].kernel]
            if before.current == newest[0] and life.present[:1] == kernels(life.store.images[0].kernel):
                assert before.current in life.store.choice.rejected
        built = life.built
        life.settle()
        choice = life.store.choice
        ids = [each.id for each in life.store.images]
        # Nodes have something to boot, and it is in the store, as is the one before.
        assert choice.current in ids
        assert not choice.previous or choice.previous in ids
        assert choice.previous != choice.current
        assert choice.current not in choice.rejected
        assert choice.previous not in choice.rejected
        # What was rolled back to stays, unless something newer was built.
        if rolled and life.built == built:
            assert choice.current == rolled
        # Nothing is to be done any more, and what was removed is not built again.
        assert wanted(life.present, life.store, life.now(), policy=policy) == ()
        assert choose(life.store, life.present) == choice
        # The newest kernel is what nodes boot, if its newest image was not rolled back from.
        if life.present and not choice.rejected:
            current = life.store.get(choice.current)
            assert current is not None
            assert current.kernel == life.present[0].version
            assert current.fingerprint == life.prints[current.kernel]
        assert len(ids) <= max(keep, 2 + len(life.present))
