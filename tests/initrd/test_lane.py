# SPDX-License-Identifier: GPL-3.0-or-later
"""Build lanes on a real loop with real threads: when they build, when they do not, and what they tell."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import pytest

from osrd.engine.api import BuildInitrd, RollbackInitrd
from osrd.engine.builder import Builder
from osrd.engine.buildwork import Aim, Made, Sight, Wish, aims_of
from osrd.engine.jobs import JobBook
from osrd.engine.resting import Resting
from osrd.engine.rootwork import Control
from osrd.model.cluster import Cluster
from osrd.model.errors import FailedError, NotFoundError, OsrdError, UnsupportedError
from osrd.model.finding import Finding, Severity
from osrd.model.image import Fingerprint
from osrd.model.job import Job, JobKind, JobState
from osrd.model.settings import BuildSettings, BuildUse, RootSettings, Settings
from osrd.model.view import BuildView, Event, ImageChosen, JobAdded, KernelState
from tests.eventually import eventually_async
from tests.initrd.fake_builds import FULL, REFUSED, FakeBuilds, kernel

QUICK = BuildSettings(quiet=0.0)


def settings(*names: str, build: BuildSettings = QUICK) -> Settings:
    return Settings(roots=tuple(RootSettings(name, path=f"/srv/{name}") for name in names), build=build)


class World:
    """Builders on a loop; ``views`` is what was shown last, ``shown`` how often, ``woken`` how often the menus were to
    be made anew, ``told`` every event."""

    def __init__(self, **roots: FakeBuilds) -> None:
        self.roots = roots
        self.views: Mapping[str, BuildView] = {}
        self.shown = 0
        self.woken = 0
        self.told: list[Event] = []
        loop = asyncio.get_running_loop()
        self.book = JobBook(loop, self.told.append)
        self.builder = Builder(
            roots.__getitem__, self.book, loop, show=self._show, wake=self._wake, emit=self.told.append
        )

    def follow(self, conf: Settings, cluster: Cluster | None = None) -> None:
        self.builder.follow(aims_of(cluster, conf))

    def _show(self, views: Mapping[str, BuildView]) -> None:
        self.views = views
        self.shown += 1

    def _wake(self) -> None:
        self.woken += 1

    def states(self, name: str = "web") -> dict[str, KernelState]:
        view = self.views.get(name)
        return {kernel.version: kernel.state for kernel in view.kernels} if view else {}

    def codes(self, name: str = "web") -> list[str]:
        return [finding.code for finding in self.views[name].findings]

    async def built(self, *versions: str) -> None:
        wanted = dict.fromkeys(versions, KernelState.BUILT)
        await eventually_async(lambda: self.states() == wanted, f"images for {versions}")
        await self.idle()

    async def idle(self) -> None:
        await eventually_async(
            lambda: all(
                not (lane._dirty or lane._waiting or lane._queued) and lane._running is None and lane._timer is None
                for lane in self.builder._lanes.values()
            ),
            "all lanes are idle",
        )

    async def built_in(self, name: str, images: int) -> None:
        await eventually_async(lambda: len(self.roots[name].images.images) == images, f"image {images} of {name}")

    async def end(self, job: Job) -> Job:
        return await eventually_async(
            lambda: next((now for now in self.book.jobs if now.number == job.number and now.state.ended), None),
            f"the end of job {job.number}",
        )

    def jobs(self) -> list[Job]:
        return [event.job for event in self.told if isinstance(event, JobAdded)]

    def chosen(self) -> list[ImageChosen]:
        return [event for event in self.told if isinstance(event, ImageChosen)]


def played(story: Callable[[World], Awaitable[None]], **roots: FakeBuilds) -> None:
    async def play() -> None:
        world = World(**roots)
        try:
            await story(world)
        finally:
            for root in roots.values():
                root.gate.set()
                root.look_gate.set()
            await world.builder.stop()
            world.book.close()

    asyncio.run(play())


def test_who_takes_part() -> None:
    roots = (
        RootSettings("here", path="/srv/here"),
        RootSettings("elsewhere"),
        RootSettings("by-hand", path="/srv/by-hand", kernel="/boot/vmlinuz"),
    )
    assert list(aims_of(None, Settings(roots=roots))) == ["here"]


def test_kernels_get_images_one_after_the_other_and_then_it_rests() -> None:
    web = FakeBuilds({"6.2": "a", "6.1": "b"})

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await world.built("6.2", "6.1")
        assert web.built == ["6.2", "6.1"]
        assert [(job.kind, job.target, job.owner) for job in world.jobs()] == [
            (JobKind.INITRD_BUILD, "web:6.2", 0),
            (JobKind.INITRD_BUILD, "web:6.1", 0),
        ]
        assert (web.pruned, world.woken) == (2, 2)
        assert [(event.kernel, event.previous) for event in world.chosen()] == [
            ("6.2", ""),
            ("6.1", f"{1:016x}"),
        ]
        shown, woken, looks = world.shown, world.woken, web.looks
        world.builder.hinted(frozenset())
        await eventually_async(lambda: web.looks > looks, "another look")
        await world.idle()
        assert (world.shown, world.woken, len(world.jobs())) == (shown, woken, 2)

    played(story, web=web)


def test_an_input_that_changes_makes_a_new_image() -> None:
    web = FakeBuilds({"6.1": "a"})

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await world.built("6.1")
        web.inputs["6.1"] = "another"
        world.builder.hinted(frozenset({"/srv/web/boot/vmlinuz-6.1"}))
        await eventually_async(lambda: len(web.built) == 2, "the second build")
        looks = web.looks
        await world.built("6.1")
        looks = web.looks
        world.builder.hinted(frozenset({"/srv/web/etc/motd"}))
        await world.idle()
        assert web.looks == looks, "nothing of what matters was touched"

    played(story, web=web)


def test_a_root_must_rest_first() -> None:
    web = FakeBuilds({"6.1": "half of it"})

    async def story(world: World) -> None:
        world.follow(settings("web", build=BuildSettings(quiet=0.4)))
        await eventually_async(lambda: world.states() == {"6.1": KernelState.WAITING}, "it is seen")
        looks = web.looks
        web.inputs["6.1"] = "all of it"
        for _ in range(20):
            world.builder.hinted(frozenset())
        assert web.built == []
        await world.built("6.1")
        assert web.built == ["6.1"]
        assert web.images.images[0].fingerprint == "all of it"
        assert web.looks - looks <= 4, "hints of a root that does not rest cost nothing"

    played(story, web=web)


def test_resting_is_about_all_kernels() -> None:
    def sight(*versions: str, **prints: str) -> Sight:
        wishes = {
            f"6.{name[1:]}": Wish(kernel(f"6.{name[1:]}"), Fingerprint(value, {})) for name, value in prints.items()
        }
        return Sight(tuple(map(kernel, versions)), wishes=wishes, wanted=tuple(wishes))

    resting = Resting()
    assert resting.judge(sight("6.1", k1="a"), 20, 100) == (None, 20)
    assert resting.judge(sight("6.1", k1="a"), 20, 119) == (None, 1)
    assert resting.judge(sight("6.1", k1="a"), 20, 120) == ("6.1", None)
    assert resting.judge(sight("6.1", "6.2", k1="a", k2="b"), 20, 120) == (None, 20), "another kernel came"
    assert resting.judge(sight("6.1", "6.2", k1="a", k2="c"), 20, 140) == ("6.1", None)
    assert resting.judge(sight("6.1", "6.2", k2="c"), 20, 141) == (None, 19), "its input changed meanwhile"
    assert resting.judge(sight("6.1", "6.2"), 20, 200) == (None, None)
    assert resting.judge(sight("6.1", k1="a"), 20, 300) == (None, 20)
    assert resting.judge(sight("6.1", k1="a"), 20, 320) == ("6.1", None)
    resting.disturbed("6.1")
    assert resting.judge(sight("6.1", k1="a"), 20, 330) == (None, 20), "the build met somebody who writes there"
    resting.postpone("6.1", "a", 400)
    assert resting.judge(sight("6.1", k1="a"), 20, 350) == (None, 50), "the host is in trouble"
    assert resting.judge(sight("6.1", "6.2", k1="a", k2="c"), 20, 360) == (None, 20)
    assert resting.judge(sight("6.1", "6.2", k1="a", k2="c"), 20, 380) == ("6.2", None), "it may do for another one"
    assert resting.judge(sight("6.1", "6.2", k1="b"), 20, 390) == (None, 20), "another one is wanted"
    assert resting.judge(sight("6.1", "6.2", k1="b"), 20, 410) == ("6.1", None)


def test_a_failed_build_is_told_and_waits_for_a_change() -> None:
    web = FakeBuilds({"6.1": "a"}, failure=REFUSED)

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(lambda: world.states() == {"6.1": KernelState.FAILED}, "the failure")
        await world.idle()
        (finding,) = world.views["web"].findings
        assert finding.code == "initrd-failed"
        assert "no space" in finding.message
        assert "/var/lib/osrd/builds/log" in finding.fix
        for _ in range(3):
            looks = web.looks
            world.builder.look()
            await eventually_async(lambda before=looks: web.looks > before, "a look")  # type: ignore[misc]
        await world.idle()
        assert web.built == ["6.1"]
        assert [job.state for job in world.book.jobs] == [JobState.FAILED]
        web.failure = None
        web.inputs["6.1"] = "repaired"
        world.builder.look()
        await world.built("6.1")
        assert world.codes() == []

    played(story, web=web)


def test_a_root_that_changed_under_a_build_is_tried_again_when_it_rests() -> None:
    """A package that was installed again: the kernel is another file with the same content, so nothing else tells."""
    web = FakeBuilds({"6.1": "a"}, disturbed=1)

    async def story(world: World) -> None:
        world.follow(settings("web", build=BuildSettings(quiet=0.2)))
        await world.built("6.1")
        assert web.built == ["6.1", "6.1"]
        assert [job.state for job in world.book.jobs] == [JobState.FAILED, JobState.DONE]
        assert world.codes() == []

    played(story, web=web)


def test_a_root_that_never_rests_is_not_tried_without_end() -> None:
    web = FakeBuilds({"6.1": "a"}, disturbed=100)

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(lambda: world.states() == {"6.1": KernelState.FAILED}, "the failure")
        await world.idle()
        assert world.codes() == ["initrd-failed"]
        assert 1 < len(web.built) < 10
        before = len(web.built)
        web.inputs["6.1"] = "b"
        world.builder.look()
        await eventually_async(lambda: len(web.built) > before + 1, "it is tried again as often")

    played(story, web=web)


@pytest.mark.parametrize("error", [FULL, UnsupportedError("nobody builds initrds at /run/socket: Connection refused")])
def test_a_host_in_trouble_is_tried_again_by_itself(error: OsrdError, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osrd.engine.buildlane._PAUSE", 0.02)
    web = FakeBuilds({"6.1": "a"}, failure=error)

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(lambda: len(web.built) > 5, "more often than a root that never rests")
        assert (world.codes(), world.states()["6.1"]) != ([], KernelState.WAITING)
        (finding,) = world.views["web"].findings
        assert (finding.code, finding.severity) == ("initrd-failed", Severity.ERROR)
        assert error.message in finding.message
        assert "tries again by itself" in finding.fix
        web.failure = None
        await world.built("6.1")
        assert world.codes() == []

    played(story, web=web)


def test_the_pauses_of_a_host_in_trouble_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    postpone = Resting.postpone

    def shorter(self: Resting, version: str, print_: str, until: float) -> None:
        pauses.append(round(until - asyncio.get_running_loop().time()))
        postpone(self, version, print_, 0.0)

    monkeypatch.setattr(Resting, "postpone", shorter)
    web = FakeBuilds({"6.1": "a"}, failure=FULL)

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(lambda: len(pauses) > 8, "it is tried again and again")
        assert pauses[:8] == [60, 120, 240, 480, 960, 1920, 3600, 3600]

    played(story, web=web)


def test_who_asks_or_changes_something_waits_for_no_pause() -> None:
    web = FakeBuilds({"6.1": "a"}, failure=FULL)

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(lambda: world.codes() == ["initrd-failed"] if world.views else None, "the failure")
        world.builder.look()
        job = await world.end(world.builder.submit(BuildInitrd("web"), 0))
        assert (job.state, job.error, len(web.built)) == (JobState.FAILED, "Failed", 2)
        web.failure = None
        web.inputs["6.1"] = "b"
        world.builder.look()
        await world.built("6.1")
        assert (len(web.built), world.codes()) == (3, [])

    played(story, web=web)


def test_a_host_in_trouble_makes_no_recorded_failure_better() -> None:
    """Somebody asked for what had failed before, and then there was no room: by itself it is not tried again."""
    recorded = Finding("initrd-failed", Severity.ERROR, "it failed", "mend it")
    web = FakeBuilds({"6.1": "a"}, recorded={"6.1": recorded}, failure=FULL)

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(lambda: world.states() == {"6.1": KernelState.FAILED}, "it is known")
        job = await world.end(world.builder.submit(BuildInitrd("web"), 0))
        assert "3 MiB" in job.message
        await world.end(world.builder.submit(RollbackInitrd("web"), 0))  # which looks
        assert (world.views["web"].findings, web.built) == ((recorded,), ["6.1"])

    played(story, web=web)


def test_a_paused_root_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hints of one that does not rest are left to the look at the end of that, which a pause must not put off."""
    monkeypatch.setattr("osrd.engine.buildlane._PAUSE", 0.1)
    monkeypatch.setattr("osrd.engine.buildlane._PAUSE_LIMIT", 3600.0)
    web = FakeBuilds({"6.1": "a"}, failure=FULL)
    postpone = Resting.postpone
    monkeypatch.setattr(
        Resting, "postpone", lambda self, version, print_, until: postpone(self, version, print_, until + 3600)
    )

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(lambda: world.codes() == ["initrd-failed"] if world.views else None, "the failure")
        web.failure = None
        web.inputs["6.1"] = "b"
        world.builder.hinted(frozenset())
        await world.built("6.1")

    played(story, web=web)


def test_a_build_whose_image_is_stored_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full when it was to be chosen; the next look chooses it, and nothing is left to be built."""
    web = FakeBuilds({"6.1": "a"})
    build = web.build

    def build_and_fail(aim: Aim, wish: Wish, control: Control) -> Made:
        build(aim, wish, control)
        raise FailedError("the image store cannot be changed: No space left on device")

    monkeypatch.setattr(web, "build", build_and_fail)

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await world.built("6.1")
        assert world.codes() == []
        assert [job.state for job in world.book.jobs] == [JobState.FAILED]

    played(story, web=web)


def test_an_older_image_of_the_same_is_no_success() -> None:
    """What it was made from is as it was before the last image, and building that again fails."""
    web = FakeBuilds({"6.1": "a"})

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await world.built("6.1")
        web.inputs["6.1"] = "b"
        world.builder.look()
        await eventually_async(lambda: len(web.images.images) == 2, "the second image")
        await world.idle()
        web.failure = REFUSED
        web.inputs["6.1"] = "a"
        world.builder.look()
        await eventually_async(lambda: world.codes() == ["initrd-failed"], "the failure")
        await world.idle()
        assert len(web.built) == 3

    played(story, web=web)


def test_a_failed_build_is_tried_again_when_asked() -> None:
    web = FakeBuilds({"6.1": "a"}, failure=REFUSED)

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(lambda: world.codes() == ["initrd-failed"] if world.views else None, "the failure")
        job = await world.end(world.builder.submit(BuildInitrd("web"), 1000))
        assert (job.state, job.error, job.owner) == (JobState.FAILED, "Failed", 1000)
        web.failure = None
        job = await world.end(world.builder.submit(BuildInitrd("web"), 1000))
        assert job.state is JobState.DONE
        assert job.result["images"] == (f"{1:016x}",)
        await world.built("6.1")

    played(story, web=web)


def test_a_failure_from_before_osrd_started_counts() -> None:
    web = FakeBuilds({"6.1": "a"}, recorded={"6.1": Finding("initrd-failed", Severity.ERROR, "it failed", "mend it")})

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(lambda: world.states() == {"6.1": KernelState.FAILED}, "it is known")
        await world.idle()
        assert (world.codes(), web.built) == (["initrd-failed"], [])
        assert (await world.end(world.builder.submit(BuildInitrd("web"), 0))).state is JobState.DONE
        await world.built("6.1")
        assert world.codes() == []

    played(story, web=web)


def test_asking_does_not_wait_for_rest() -> None:
    web = FakeBuilds({"6.2": "a", "6.1": "b"})

    async def story(world: World) -> None:
        world.follow(settings("web", build=BuildSettings(quiet=3600)))
        await eventually_async(lambda: len(world.states()) == 2, "they are seen")
        job = await world.end(world.builder.submit(BuildInitrd("web", "6.1"), 0))
        assert (job.state, web.built) == (JobState.DONE, ["6.1"])
        job = await world.end(world.builder.submit(BuildInitrd("web"), 0))
        assert (job.state, web.built) == (JobState.DONE, ["6.1", "6.2"])
        job = await world.end(world.builder.submit(BuildInitrd("web"), 0))
        assert (job.result["changed"], web.built) == (False, ["6.1", "6.2"])
        job = await world.end(world.builder.submit(BuildInitrd("web", force=True), 0))
        assert (job.result["changed"], web.built[2:]) == (True, ["6.2"])
        job = await world.end(world.builder.submit(BuildInitrd("web", "5.0"), 0))
        assert (job.error, "6.2, 6.1" in job.message) == ("NotFound", True)

    played(story, web=web)


def test_a_cancelled_build_is_not_begun_again() -> None:
    web = FakeBuilds({"6.1": "a"})
    web.gate.clear()

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(web.building.is_set, "it builds")
        assert world.states() == {"6.1": KernelState.BUILDING}
        (job,) = world.jobs()
        assert world.builder.cancel(job.number)
        web.gate.set()
        assert (await world.end(job)).state is JobState.CANCELLED
        await eventually_async(lambda: world.codes() == ["initrd-cancelled"], "it is told")
        await world.idle()
        assert web.built == ["6.1"]
        assert (await world.end(world.builder.submit(BuildInitrd("web"), 0))).state is JobState.DONE

    played(story, web=web)


def test_cancelling_says_what_was_built_before(monkeypatch: pytest.MonkeyPatch) -> None:
    web = FakeBuilds({"6.2": "a", "6.1": "b"})
    # Between the first and the second build.
    monkeypatch.setattr(web, "prune", lambda aim: web.gate.clear() or ())

    async def story(world: World) -> None:
        world.follow(settings("web", build=BuildSettings(quiet=3600)))
        await eventually_async(lambda: len(world.states()) == 2, "they are seen")
        job = world.builder.submit(BuildInitrd("web"), 0)
        await eventually_async(lambda: web.built == ["6.2", "6.1"], "the second is being built")
        assert world.builder.cancel(job.number)
        web.gate.set()
        ended = await world.end(job)
        assert ended.state is JobState.CANCELLED
        assert ended.message == f"cancelled; built {1:016x} for 6.2 before that"

    played(story, web=web)


def test_a_request_that_waits_can_be_cancelled() -> None:
    web = FakeBuilds({"6.1": "a"})
    web.gate.clear()

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(web.building.is_set, "it builds")
        job = world.builder.submit(BuildInitrd("web", force=True), 0)
        assert world.builder.cancel(job.number)
        assert not world.builder.cancel(job.number)
        web.gate.set()
        await world.built("6.1")
        assert web.built == ["6.1"]

    played(story, web=web)


def test_going_back() -> None:
    web = FakeBuilds({"6.1": "a"})

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await world.built("6.1")
        job = await world.end(world.builder.submit(RollbackInitrd("web"), 7))
        assert (job.state, job.error) == (JobState.FAILED, "NotFound")
        web.inputs["6.1"] = "b"
        world.builder.look()
        await eventually_async(lambda: len(web.images.images) == 2, "two images")
        await world.built("6.1")
        woken = world.woken
        job = await world.end(world.builder.submit(RollbackInitrd("web"), 7))
        assert (job.kind, job.state, job.result["images"]) == (JobKind.INITRD_ROLLBACK, JobState.DONE, (f"{1:016x}",))
        assert world.woken == woken + 1
        assert world.chosen()[-1].image == f"{1:016x}"
        assert [view.state for view in world.views["web"].images] == ["previous", "current"]

    played(story, web=web)


def test_roots_do_not_wait_for_each_other() -> None:
    web, db = FakeBuilds({"6.1": "a"}), FakeBuilds({"6.1": "a"})
    web.look_gate.clear()

    async def story(world: World) -> None:
        world.follow(settings("web", "db"))
        await eventually_async(lambda: world.states("db") == {"6.1": KernelState.BUILT}, "the other root's image")
        assert world.states() == {}

    played(story, web=web, db=db)


async def _one_builds_and_others_wait(world: World, *names: str) -> list[Job]:
    """The first root's build is in the middle; the jobs of all, in the order in which they wait."""
    world.follow(settings(names[0]))
    await eventually_async(world.roots[names[0]].building.is_set, "the first builds")
    for number in range(2, len(names) + 1):
        world.follow(settings(*names[:number]))
        await eventually_async(lambda wanted=number: len(world.jobs()) == wanted, "the next one waits")  # type: ignore[misc]
    return world.jobs()


def test_one_root_builds_at_a_time() -> None:
    """After an upgrade of osrd all of them want to, and each build may take as much memory as there is."""
    web, db = FakeBuilds({"6.2": "a", "6.1": "b"}), FakeBuilds({"6.1": "a"})
    web.gate.clear()

    async def story(world: World) -> None:
        _, waits = await _one_builds_and_others_wait(world, "web", "db")
        assert (world.book.get(waits.number).state, waits.target) == (JobState.QUEUED, "db:6.1")
        assert world.states("db") == {"6.1": KernelState.WAITING}
        asked = world.builder.submit(BuildInitrd("db", force=True), 0)
        looks = db.looks
        world.builder.look()
        await eventually_async(lambda: db.looks > looks, "it is looked at while it waits")
        assert (db.built, world.book.get(asked.number).state) == ([], JobState.QUEUED)
        db.gate.clear()
        web.gate.set()
        await eventually_async(db.building.is_set, "the turn of the other one, although the first has more to build")
        assert web.built == ["6.2"]
        db.gate.set()
        assert (await world.end(asked)).state is JobState.DONE
        await world.built("6.2", "6.1")
        await eventually_async(lambda: world.states("db") == {"6.1": KernelState.BUILT}, "the other root's image")
        await world.idle()
        assert db.built == ["6.1"], "what somebody asked for is what was wanted"
        assert world.book.get(waits.number).state is JobState.CANCELLED
        assert len(world.jobs()) == 4

    played(story, web=web, db=db)


def test_going_back_waits_for_no_other_root() -> None:
    web, db = FakeBuilds({"6.1": "a"}), FakeBuilds({"6.1": "a"})

    async def story(world: World) -> None:
        world.follow(settings("db"))
        await world.built_in("db", 1)
        db.inputs["6.1"] = "b"
        world.builder.look()
        await world.built_in("db", 2)
        web.gate.clear()
        world.follow(settings("db", "web"))
        await eventually_async(web.building.is_set, "another root builds")
        asked = world.builder.submit(BuildInitrd("db", force=True), 0)
        back = await world.end(world.builder.submit(RollbackInitrd("db"), 0))
        assert (back.state, world.book.get(asked.number).state) == (JobState.DONE, JobState.QUEUED)

    played(story, web=web, db=db)


def test_what_waits_for_its_turn_can_be_cancelled() -> None:
    roots = {name: FakeBuilds({"6.1": "a"}) for name in ("web", "db", "mail")}
    roots["web"].gate.clear()

    async def story(world: World) -> None:
        _, waits, _ = await _one_builds_and_others_wait(world, "web", "db", "mail")
        asked = world.builder.submit(BuildInitrd("mail"), 0)
        assert world.builder.cancel(waits.number)
        assert not world.builder.cancel(waits.number)
        assert world.builder.cancel(asked.number)
        roots["web"].gate.set()
        await eventually_async(lambda: world.states("mail") == {"6.1": KernelState.BUILT}, "the one after it")
        await world.idle()
        assert {world.book.get(job.number).state for job in (waits, asked)} == {JobState.CANCELLED}
        assert (world.codes("db"), roots["db"].built, roots["mail"].built) == (["initrd-cancelled"], [], ["6.1"])
        assert (await world.end(world.builder.submit(BuildInitrd("db"), 0))).state is JobState.DONE

    played(story, **roots)


def test_what_is_cancelled_during_a_look_is_not_built() -> None:
    web, db = FakeBuilds({"6.1": "a"}), FakeBuilds({"6.1": "a"})
    web.gate.clear()

    async def story(world: World) -> None:
        _, waits = await _one_builds_and_others_wait(world, "web", "db")
        db.look_gate.clear()
        looks = db.looks
        world.builder.look()
        await eventually_async(lambda: db.looks > looks, "it looks")
        assert world.builder.cancel(waits.number)
        web.gate.set()
        db.look_gate.set()
        await eventually_async(lambda: world.codes("db") == ["initrd-cancelled"], "it is told")
        await world.idle()
        assert db.built == []

    played(story, web=web, db=db)


def test_a_root_that_changes_while_it_waits_rests_first() -> None:
    web, db = FakeBuilds({"6.1": "a"}), FakeBuilds({"6.1": "a"})
    web.gate.clear()

    async def story(world: World) -> None:
        _, waits = await _one_builds_and_others_wait(world, "web", "db")
        db.inputs = {"6.2": "half of it", "6.1": "a"}
        world.follow(settings("web", "db", build=BuildSettings(quiet=3600)))
        assert (await world.end(waits)).state is JobState.CANCELLED
        web.gate.set()
        await eventually_async(lambda: world.states() == {"6.1": KernelState.BUILT}, "the first root's image")
        assert db.built == []
        db.inputs["6.2"] = "all of it"
        world.follow(settings("web", "db"))
        await world.built_in("db", 2)
        assert {image.fingerprint for image in db.images.images} == {"a", "all of it"}

    played(story, web=web, db=db)


def test_a_build_that_hangs_does_not_keep_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own time-out ends dracut, but no system call that a dead server does not answer."""
    monkeypatch.setattr("osrd.engine.buildlane._BEYOND", 0.2)
    web, db = FakeBuilds({"6.1": "a"}), FakeBuilds({"6.1": "a"})
    web.gate.clear()

    async def story(world: World) -> None:
        world.follow(settings("web", build=replace(QUICK, timeout=0.1)))
        await eventually_async(web.building.is_set, "it builds, and hangs")
        world.follow(settings("web", "db", build=replace(QUICK, timeout=0.1)))
        await world.built_in("db", 1)
        assert world.states() == {"6.1": KernelState.BUILDING}
        web.gate.set()
        await world.built("6.1")

    played(story, web=web, db=db)


def test_a_root_that_hangs_when_its_turn_comes_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osrd.engine.turns._ANSWER", 0.1)
    roots = {name: FakeBuilds({"6.1": "a"}) for name in ("web", "db", "mail")}
    roots["web"].gate.clear()

    async def story(world: World) -> None:
        await _one_builds_and_others_wait(world, "web", "db", "mail")
        roots["db"].look_gate.clear()
        roots["web"].gate.set()
        await world.built_in("mail", 1)
        assert roots["db"].built == []
        roots["db"].look_gate.set()
        await world.built_in("db", 1)

    played(story, **roots)


def test_a_root_that_goes_hands_on_its_turn() -> None:
    roots = {name: FakeBuilds({"6.1": "a"}) for name in ("web", "db", "mail")}
    roots["web"].gate.clear()

    async def story(world: World) -> None:
        _, waits, _ = await _one_builds_and_others_wait(world, "web", "db", "mail")
        world.follow(settings("mail"))
        assert (await world.end(waits)).state is JobState.CANCELLED
        assert roots["mail"].built == [], "the build of the one that went is still to end"
        roots["web"].gate.set()
        await world.built_in("mail", 1)

    played(story, **roots)


def test_stopping_while_some_wait() -> None:
    roots = {name: FakeBuilds({"6.1": "a"}) for name in ("web", "db", "mail")}
    roots["web"].gate.clear()

    async def story(world: World) -> None:
        jobs = await _one_builds_and_others_wait(world, "web", "db", "mail")
        jobs.append(world.builder.submit(BuildInitrd("mail"), 0))
        stopping = asyncio.ensure_future(world.builder.stop())
        await asyncio.sleep(0)
        roots["web"].gate.set()
        await stopping
        assert {world.book.get(job.number).state for job in jobs} == {JobState.CANCELLED}
        assert (roots["db"].built, roots["mail"].built) == ([], [])
        assert world.builder._turns._timer is None

    played(story, **roots)


def test_stopping_while_another_looks_leaves_no_job() -> None:
    web, db = FakeBuilds({"6.1": "a"}), FakeBuilds({"6.1": "a"})
    web.gate.clear()
    db.look_gate.clear()

    async def story(world: World) -> None:
        world.follow(settings("web", "db"))
        await eventually_async(lambda: web.building.is_set() and db.looks, "one builds, the other looks")
        stopping = asyncio.ensure_future(world.builder.stop())
        await asyncio.sleep(0)
        db.look_gate.set()
        await eventually_async(lambda: len(world.builder._tasks) == 1, "the end of the one that looked")
        web.gate.set()
        await stopping
        assert [job.state for job in world.book.jobs] == [JobState.CANCELLED]

    played(story, web=web, db=db)


def test_trouble_with_looking_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osrd.engine.buildlane._RETRY", 0.05)
    web = FakeBuilds({"6.1": "a"}, look_failure=FailedError("/srv/web: Input/output error"))

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(lambda: world.views["web"].findings, "the trouble")
        assert world.codes() == ["root-failed"]
        job = await world.end(world.builder.submit(BuildInitrd("web"), 0))
        assert (job.state, "Input/output error" in job.message) == (JobState.FAILED, True)
        web.look_failure = None
        await world.built("6.1")
        assert world.codes() == []

    played(story, web=web)


def test_settings_and_cluster_are_followed() -> None:
    web = FakeBuilds({"6.1": "a"})

    async def story(world: World) -> None:
        off = settings("web", build=replace(QUICK, enabled=BuildUse.NO))
        world.follow(off)
        await eventually_async(lambda: world.states() == {"6.1": KernelState.FOUND}, "the kernel is seen")
        await world.idle()
        assert web.built == []
        with pytest.raises(UnsupportedError, match="nothing is built"):
            world.builder.submit(BuildInitrd("web"), 0)
        world.follow(settings("web"))
        await world.built("6.1")
        looks = web.looks
        world.follow(settings("web"))
        await world.idle()
        assert web.looks == looks, "the same again is no reason to look"
        world.follow(settings("web"), Cluster("cluster.conf", "t", 1))
        await eventually_async(lambda: web.looks > looks, "another cluster.conf is")
        world.follow(settings())
        assert world.views == {}
        with pytest.raises(UnsupportedError, match="'web'"):
            world.builder.submit(BuildInitrd("web"), 0)
        with pytest.raises(NotFoundError):
            await world.builder.difference("a", "b")

    played(story, web=web)


def test_questions_are_answered_while_it_builds() -> None:
    web = FakeBuilds({"6.1": "a"})

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await world.built("6.1")
        web.gate.clear()
        web.building.clear()
        world.builder.submit(BuildInitrd("web", force=True), 0)
        await eventually_async(web.building.is_set, "it builds")
        assert await world.builder.log("web", "") == b"dracut said\n"
        assert (await world.builder.difference("x", f"{1:016x}")).reasons == (f"x to {1:016x}",)

    played(story, web=web)


def test_stopping_cancels_what_runs() -> None:
    web = FakeBuilds({"6.1": "a"})
    web.gate.clear()

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await eventually_async(web.building.is_set, "it builds")
        stopping = asyncio.ensure_future(world.builder.stop())
        await asyncio.sleep(0)
        web.gate.set()
        await stopping
        (job,) = world.book.jobs
        assert job.state is JobState.CANCELLED
        assert web.images.images == ()

    played(story, web=web)


def test_stopping_while_a_look_fails_ends_the_job() -> None:
    web = FakeBuilds({"6.1": "a"})

    async def story(world: World) -> None:
        world.follow(settings("web"))
        await world.built("6.1")
        web.look_gate.clear()
        web.look_failure = FailedError("Stale file handle")
        looks = web.looks
        job = world.builder.submit(BuildInitrd("web"), 0)
        await eventually_async(lambda: web.looks > looks, "it looks")
        (task,) = world.builder._tasks.values()
        stopped = asyncio.ensure_future(world.builder.stop())
        await asyncio.sleep(0)
        web.look_gate.set()
        await stopped
        assert task.exception() is None
        assert world.book.get(job.number).state is JobState.CANCELLED

    played(story, web=web)


def test_aims_are_compared_by_what_matters() -> None:
    root, conf, cluster = RootSettings("web", path="/srv/web"), Settings(), Cluster("cluster.conf", "t", 1)
    aim = Aim(root, conf, cluster)
    assert aim.is_like(Aim(root, Settings(), cluster))
    assert not aim.is_like(Aim(root, conf, Cluster("cluster.conf", "t", 1)))
    assert not aim.is_like(Aim(replace(root, append="x"), conf, cluster))
