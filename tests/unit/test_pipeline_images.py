# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of the store as published files: from nothing, through new ones and back, with the store going bad."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from osrd.engine.pipeline import Run
from osrd.model.finding import Finding, Severity
from osrd.model.image import BuildFailure, Choice, Image
from osrd.model.settings import BootWay
from osrd.model.view import State
from osrd.plan.initrd.choice import choose, rollback
from osrd.watch.inotify import InotifyWatcher
from tests.eventually import eventually_async
from tests.initrd.stored import Builds, kernel
from tests.unit.boothost import QUICK, BootHost


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootHost]:
    with BootHost(tmp_path) as made:
        made.configure("path = /srv/web", f"path = {tmp_path}/root")
        made.configure(f"kernel = {tmp_path}/boot/vmlinuz\ninitrd = {tmp_path}/boot/initrd\n", "")
        yield made


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path)


def chosen(builds: Builds, print_: str = "f1", initrd: bytes = b"") -> Image:
    """A new image, which becomes the current one."""
    image = builds.add(print_=print_, initrd=initrd)
    kernels = [kernel(builds.root, "6.1")]
    builds.store.choose("web", choose(builds.store.root("web"), kernels))
    return image


def served(host: BootHost, number: int = 1) -> dict[str, tuple[bytes, bytes]]:
    """What each entry of a node's menu loads."""
    text = host.entry(number).read_text()
    entries = re.findall(r"LABEL (\w+)\n.*\n  KERNEL (\S+)\n  INITRD (\S+)\n", text)
    return {
        label: ((host.tftp / image).read_bytes(), (host.tftp / initrd).read_bytes())
        for label, image, initrd in entries
    }


def codes(run: Run) -> dict[str, Severity]:
    """What is wrong, beside what is for the administrator to know (the nodes have no fencing)."""
    return {each.code: each.severity for each in run.snapshot.findings if each.severity is not Severity.INFO}


def only(run: Run) -> Finding:
    (finding,) = (each for each in run.snapshot.findings if each.severity is not Severity.INFO)
    return finding


def pair(image: Image) -> tuple[bytes, bytes]:
    return Path(image.kernel_file).read_bytes(), Path(image.initrd_file).read_bytes()


def test_without_an_image_there_are_no_entries_and_it_is_said_what_happens(host: BootHost, builds: Builds) -> None:
    run = host.run()
    assert codes(run) == {"no-kernel": Severity.WARNING}
    finding = only(run)
    assert "is being built" in finding.message
    assert "osrctl initrd build web" in finding.fix
    assert not host.entry(1).exists()
    builds.store.fail("web", BuildFailure("6.1", "f1", 1.0, 1, "dracut is not there"))
    finding = only(host.run())
    assert "dracut is not there" in finding.message
    assert "osrctl initrd log web" in finding.fix


def test_with_builds_off_the_way_out_is_another(host: BootHost) -> None:
    host.osrd_conf.write_text(host.osrd_conf.read_text() + "[build]\nenabled = no\n")
    finding = only(host.run())
    assert "being built" not in finding.message
    assert "osrctl initrd build web" in finding.fix
    assert "enabled = auto" in finding.fix


def test_a_chosen_image_is_published_and_the_one_before_stays_one_line_away(host: BootHost, builds: Builds) -> None:
    first = chosen(builds)
    assert host.run().snapshot.in_sync
    assert served(host) == {"osr": pair(first), "previous": pair(first)}
    second = chosen(builds, "f2")
    run = host.run(QUICK)
    assert (run.snapshot.in_sync, codes(run)) == (True, {})
    assert served(host) == {"osr": pair(second), "previous": pair(first)}
    assert not host.run().plan.actions
    assert host.pipeline.verify() == ()


def test_an_image_that_is_not_chosen_changes_nothing(host: BootHost, builds: Builds) -> None:
    chosen(builds)
    host.run()
    before = host.published()
    builds.add(print_="f2")
    assert not host.run().plan.actions
    assert host.published() == before


def test_rolling_back_an_image(host: BootHost, builds: Builds) -> None:
    first, second = chosen(builds), chosen(builds, "f2")
    host.run()
    builds.store.choose("web", rollback(builds.store.root("web")))
    host.run(QUICK)
    # The one that was rolled back from is not offered as the one before, though it was published just now.
    assert served(host) == {"osr": pair(first), "previous": pair(first)}
    builds.store.choose("web", rollback(builds.store.root("web"), to=second.id))
    host.run(QUICK)
    assert served(host) == {"osr": pair(second), "previous": pair(first)}


def test_configured_kernels_win_and_become_previous_when_they_go(host: BootHost, builds: Builds) -> None:
    chosen(builds)
    d = host.directory
    host.configure("[dhcp]\n", "# more\n[dhcp]\n")
    host.configure("path = ", f"kernel = {d}/boot/vmlinuz\ninitrd = {d}/boot/initrd\npath = ")
    host.run()
    assert served(host)["osr"] == (b"kernel one", b"initrd one")
    host.configure(f"kernel = {d}/boot/vmlinuz\ninitrd = {d}/boot/initrd\n", "")
    host.pipeline.reload()
    image = builds.store.root("web").images[0]
    assert host.run().snapshot.in_sync
    assert served(host) == {"osr": pair(image), "previous": (b"kernel one", b"initrd one")}


def test_menus_stay_when_the_section_no_longer_names_a_kernel_and_nothing_is_built(host: BootHost) -> None:
    d = host.directory
    host.configure("path = ", f"kernel = {d}/boot/vmlinuz\ninitrd = {d}/boot/initrd\npath = ")
    host.run()
    before = host.published()
    host.configure(f"kernel = {d}/boot/vmlinuz\ninitrd = {d}/boot/initrd\n", "")
    host.pipeline.reload()
    assert codes(host.run()) == {"no-kernel": Severity.WARNING}
    assert host.published() == before


@pytest.mark.parametrize("damage", ["initrd", "kernel", "gone", "image.json", "directory"])
def test_a_store_that_goes_bad_harms_nothing_that_is_published(host: BootHost, builds: Builds, damage: str) -> None:
    first, second = chosen(builds), chosen(builds, "f2")
    host.run()
    before = host.published()
    directory = Path(second.kernel_file).parent
    if damage == "initrd":
        Path(second.initrd_file).write_bytes(b"?" * second.initrd_size)
    elif damage == "kernel":
        Path(second.kernel_file).write_bytes(b"?" * second.kernel_size)
    elif damage == "gone":
        Path(second.initrd_file).unlink()
    elif damage == "image.json":
        (directory / "image.json").write_bytes(b"{")
    else:
        directory.rename(directory.with_name("elsewhere"))
    run = host.run()
    assert host.published() == before
    wholly = damage in ("initrd", "kernel")
    assert codes(run).keys() >= ({"image-damaged"} if wholly else {"image-missing"})
    assert run.snapshot.state is (State.READY if wholly else State.DEGRADED)
    if wholly:
        assert host.pipeline.verify() == (second.initrd_file if damage == "initrd" else second.kernel_file,)
    # The next build, or another choice, makes it good again.
    builds.store.choose("web", choose(builds.store.root("web"), [kernel(builds.root, "6.1")]))
    third = chosen(builds, "f3")
    run = host.run()
    assert served(host)["osr"] == pair(third)
    assert served(host, 2) == served(host)
    assert first.id != third.id


def test_an_image_that_is_damaged_before_it_was_ever_published_is_not_offered(host: BootHost, builds: Builds) -> None:
    first = chosen(builds)
    host.run()
    before = host.published()
    second = chosen(builds, "f2")
    Path(second.initrd_file).write_bytes(b"?" * second.initrd_size)
    run = host.run()
    assert codes(run) == {"image-damaged": Severity.ERROR}
    assert host.published() == before
    assert served(host)["osr"] == pair(first)


def test_an_unreadable_choice_freezes_what_is_published(host: BootHost, builds: Builds) -> None:
    chosen(builds)
    host.run()
    before = host.published()
    (builds.state / "images/web/choice.json").write_bytes(b"{")
    run = host.run()
    assert codes(run) == {"image-choice-unusable": Severity.ERROR}
    assert (run.snapshot.state, host.published()) == (State.DEGRADED, before)


def test_a_published_kernel_that_vanishes_is_copied_from_the_store(host: BootHost, builds: Builds) -> None:
    chosen(builds)
    chosen(builds, "f2")
    host.run()
    before = host.published()
    for file in host.tftp.glob("kernels/*"):
        file.unlink()
    assert len(host.pipeline.verify()) == 3
    host.run()
    assert host.published() == before


def test_the_store_wakes_the_reconciler(host: BootHost, builds: Builds) -> None:
    """From the first image on, when its directory comes into being, and not for what is not chosen."""
    watched = host.run().watched
    directory = str(builds.state / "images/web")
    wakes: list[frozenset[str]] = []

    async def see() -> None:
        watcher = InotifyWatcher(wakes.append, asyncio.get_running_loop(), pytest.fail)
        try:
            watcher.sync({place: names for place, names in watched.items() if place == directory})
            wakes.clear()
            first = builds.add()
            await eventually_async(lambda: wakes, "the new directory is seen")
            wakes.clear()
            builds.store.choose("web", Choice(first.id))
            await eventually_async(lambda: frozenset((f"{directory}/choice.json",)) in wakes, "the choice is seen")
            wakes.clear()
            builds.add(print_="f2")
            builds.store.fail("web", BuildFailure("6.2", "f1", 1.0, 1, "no"))
            await eventually_async(lambda: wakes, "the failure is seen")
            assert set(wakes) == {frozenset((f"{directory}/failures.json",))}
        finally:
            watcher.close()

    asyncio.run(see())


def test_a_generation_that_is_held_is_held_until_there_is_another_image(host: BootHost, builds: Builds) -> None:
    first = chosen(builds)
    host.run()
    second = chosen(builds, "f2")
    host.run()
    assert host.pipeline.pin(1).snapshot.state is State.PINNED
    assert served(host)["osr"] == pair(first)
    # Neither an image that is only there nor a node that falls back ends it, nor a run.
    builds.add(print_="f3", initrd=b"third")
    choice = builds.store.root("web").choice
    assert choice.current == second.id
    builds.store.choose("web", replace(choice, fallen=("node1",)))
    assert host.run().snapshot.state is State.PINNED
    assert served(host)["osr"] == pair(first)
    third = chosen(builds, "f4")
    assert host.run().snapshot.state is State.READY
    assert served(host) == {"osr": pair(third), "previous": pair(second)}


def test_rolling_back_an_image_ends_the_hold_of_a_generation(host: BootHost, builds: Builds) -> None:
    first = chosen(builds)
    host.run()
    chosen(builds, "f2")
    host.run()
    host.pipeline.pin(1)
    builds.store.choose("web", rollback(builds.store.root("web")))
    run = host.run()
    assert run.snapshot.state is State.READY
    assert served(host)["osr"] == pair(first)


def test_a_generation_can_be_held_whose_kernels_are_only_in_the_store(host: BootHost, builds: Builds) -> None:
    first = chosen(builds)
    host.run()
    for number in (2, 3):
        chosen(builds, f"f{number}")
        host.run()
    for file in host.tftp.glob("kernels/*"):
        file.unlink()
    host.pipeline.pin(1)
    assert served(host)["osr"] == pair(first)


def test_a_static_image_is_booted_by_a_static_menu_until_a_full_one_is_there(host: BootHost, builds: Builds) -> None:
    made = kernel(builds.root, "6.1")
    with builds.store.staging("web") as staging:
        Path(staging, "out.img").write_bytes(b"static initrd")
        finished = builds.finished(staging, made)
        finished = replace(finished, order=replace(finished.order, way=BootWay.STATIC), log="")
        static = builds.store.add(finished)
    builds.store.choose("web", choose(builds.store.root("web"), [made]))
    host.run()
    assert " root=nfs:" in host.entry(1).read_text()
    full = chosen(builds, "f2")
    host.run()
    assert served(host) == {"osr": pair(full), "previous": pair(static)}
    assert " root=nfs:" in host.entry(1).read_text()  # which the previous one needs
    builds.store.choose("web", replace(builds.store.root("web").choice, previous=""))
    builds.store.remove("web", static.id)
    chosen(builds, "f3")
    host.run()
    assert " root=nfs:" not in host.entry(1).read_text()


def fall(builds: Builds, *names: str) -> None:
    builds.store.choose("web", replace(builds.store.root("web").choice, fallen=names))


def test_a_node_that_fell_back_has_another_default_and_only_its_files_change(host: BootHost, builds: Builds) -> None:
    host.configure("path = ", "previous-after = 3\npath = ")
    chosen(builds)
    host.run()
    chosen(builds, "f2")
    host.run()
    before = host.published()
    fall(builds, "node1")
    run = host.run(QUICK)
    assert {action.output.path for action in run.plan.actions} == {  # type: ignore[union-attr]
        str(path) for path in host.tftp.rglob("*01-02-00-00-00-00-01*")
    }
    assert "DEFAULT previous\n" in host.entry(1).read_text()
    assert "DEFAULT osr\n" in host.entry(2).read_text()
    host.write(1, 2, 3, version=2)
    host.run(QUICK)
    assert "DEFAULT previous\n" in host.entry(1).read_text()
    assert not host.run().plan.actions
    host.write(1, 2, version=3)
    fall(builds)
    host.run()
    assert host.published() == before
    fall(builds, "node1")
    host.run()
    chosen(builds, "f3")
    host.run()
    assert "DEFAULT osr\n" in host.entry(1).read_text()


def test_without_previous_after_no_node_falls_back(host: BootHost, builds: Builds) -> None:
    chosen(builds)
    chosen(builds, "f2")
    fall(builds, "node1")
    host.run()
    assert "DEFAULT osr\n" in host.entry(1).read_text()
