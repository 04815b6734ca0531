# SPDX-License-Identifier: GPL-3.0-or-later
"""inotify for real: what editors, package managers and hostile users do to a watched directory."""

import asyncio
import ctypes
import errno
import logging
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from osrd.model.errors import FailedError
from osrd.watch.filesystems import Filesystems
from osrd.watch.inotify import InotifyWatcher, RawEvent, parse_events
from osrd.watch.route import Route, find_route
from tests.conftest import refuse
from tests.eventually import eventually_async

Wakes = list[frozenset[str]]
IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED = 0x2000, 0x4000, 0x8000  # inotify(7), <sys/inotify.h>


async def start(directories: dict[str, frozenset[str] | None]) -> tuple[InotifyWatcher, Wakes]:
    """A watcher of ``directories``; the wake-up for their being new is taken already."""
    wakes: Wakes = []

    def failed(error: FailedError) -> None:
        raise error

    watcher = InotifyWatcher(wakes.append, asyncio.get_running_loop(), failed)
    watcher.sync(directories)
    wakes.clear()
    return watcher, wakes


def hinted(wakes: Wakes) -> frozenset[str]:
    return frozenset().union(*wakes)


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(test())


def rename_over(path: Path) -> None:
    temporary = path.with_name(".cluster.conf.swp")
    temporary.write_text("new")
    temporary.rename(path)


def rename_away_and_write(path: Path) -> None:
    path.rename(path.with_name("cluster.conf~"))
    path.write_text("new")


def write_in_place(path: Path) -> None:
    path.write_text("new")


def append(path: Path) -> None:
    with path.open("a") as stream:
        stream.write("more")


def touch(path: Path) -> None:
    path.touch()


def sed(path: Path) -> None:
    subprocess.run(["sed", "-i", "s/old/new/", str(path)], check=True)


def move_from_elsewhere(path: Path) -> None:
    other = path.parent.parent / "elsewhere"
    other.write_text("new")
    other.rename(path)


def delete(path: Path) -> None:
    path.unlink()


def change_mode(path: Path) -> None:
    path.chmod(0o600)


def replace_by_symlink(path: Path) -> None:
    path.with_name("link").symlink_to("/dev/null")
    path.with_name("link").rename(path)


@pytest.mark.parametrize(
    "edit",
    [
        rename_over,
        rename_away_and_write,
        write_in_place,
        append,
        touch,
        sed,
        move_from_elsewhere,
        delete,
        change_mode,
        replace_by_symlink,
    ],
)
def test_every_way_of_changing_a_file_is_a_hint(tmp_path: Path, edit: Callable[[Path], None]) -> None:
    directory = tmp_path / "etc"
    directory.mkdir()
    file = directory / "cluster.conf"
    file.write_text("old")

    async def test() -> None:
        watcher, wakes = await start({str(directory): frozenset({"cluster.conf"})})
        for _ in range(2):  # the second time shows that the watch survived the first
            wakes.clear()
            if not file.exists():
                file.write_text("old")
            edit(file)
            await eventually_async(lambda: wakes, "a wake-up")
            assert hinted(wakes) == {str(file)}
        watcher.close()

    run(test)


def test_other_names_and_closed_watchers_are_silent(tmp_path: Path) -> None:
    async def test() -> None:
        watcher, wakes = await start({str(tmp_path): frozenset({"wanted"})})
        (tmp_path / "unwanted").write_text("x")
        (tmp_path / "wanted").write_text("x")
        await eventually_async(lambda: wakes, "a wake-up")
        assert hinted(wakes) == {f"{tmp_path}/wanted"}
        watcher.close()
        (tmp_path / "wanted").write_text("y")
        await asyncio.sleep(0)
        assert hinted(wakes) == {f"{tmp_path}/wanted"}

    run(test)


def test_every_name_even_those_that_are_not_utf8(tmp_path: Path) -> None:
    strange = os.fsdecode(b"caf\xe9\n")

    async def test() -> None:
        watcher, wakes = await start({str(tmp_path): None})
        (tmp_path / "before").write_text("x")
        (tmp_path / strange).write_text("x")
        (tmp_path / "after").write_text("x")
        expected = {f"{tmp_path}/{name}" for name in ("before", strange, "after")}
        await eventually_async(lambda: hinted(wakes) == expected, "all three in one batch")
        watcher.close()

    run(test)


def test_a_directory_that_comes_later_goes_and_comes_again(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"

    async def test() -> None:
        watcher, wakes = await start({str(directory): frozenset({"f"})})
        for again in range(3):
            directory.mkdir(parents=True)
            (directory / "f").write_text("made before any watch could be there")
            await eventually_async(lambda: frozenset() in wakes, f"the directory is found, round {again}")
            wakes.clear()
            (directory / "f").write_text("x")
            await eventually_async(lambda: f"{directory}/f" in hinted(wakes), f"it is watched, round {again}")
            shutil.rmtree(tmp_path / "a")
            await eventually_async(lambda: frozenset() in wakes, f"its end is noticed, round {again}")
            wakes.clear()
        watcher.close()

    run(test)


def test_a_directory_made_between_the_look_and_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "late"

    def racing(path: str, filesystems: Filesystems) -> Route:
        route = find_route(path, filesystems)
        directory.mkdir(exist_ok=True)  # its parent is not watched yet: no event tells
        return route

    monkeypatch.setattr("osrd.watch.inotify.find_route", racing)

    async def test() -> None:
        watcher, wakes = await start({str(directory): None})
        (directory / "f").write_text("x")
        await eventually_async(lambda: hinted(wakes) == {f"{directory}/f"}, "it is watched all the same")
        watcher.close()

    run(test)


def test_a_directory_renamed_away_and_replaced(tmp_path: Path) -> None:
    directory, new = tmp_path / "tftp", tmp_path / "new"
    directory.mkdir()
    new.mkdir()

    async def test() -> None:
        watcher, wakes = await start({str(directory): None})
        directory.rename(tmp_path / "old")
        new.rename(directory)
        await eventually_async(lambda: wakes == [frozenset()], "the exchange is noticed")
        (tmp_path / "old" / "x").write_text("x")
        (directory / "y").write_text("y")
        await eventually_async(lambda: hinted(wakes), "the new one is watched")
        assert hinted(wakes) == {f"{directory}/y"}
        watcher.close()

    run(test)


def test_a_directory_that_somebody_still_holds_is_found_again_at_the_next_sync(tmp_path: Path) -> None:
    directory = tmp_path / "etc"
    directory.mkdir()
    held = os.open(directory, os.O_RDONLY)

    async def test() -> None:
        watcher, wakes = await start({str(directory): None})
        directory.rmdir()
        directory.mkdir()
        watcher.sync({str(directory): None})
        (directory / "x").write_text("x")
        await eventually_async(lambda: f"{directory}/x" in hinted(wakes), "the new directory is watched")
        watcher.close()

    run(test)
    os.close(held)


def test_a_symlinked_directory_and_its_retargeting(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to("one")

    async def test() -> None:
        watcher, wakes = await start({str(link): frozenset({"f"})})
        (tmp_path / "one" / "f").write_text("x")
        await eventually_async(lambda: hinted(wakes) == {f"{link}/f"}, "seen through the link, by the link's name")
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(link)
        await eventually_async(lambda: frozenset() in wakes, "the new target")
        wakes.clear()
        (tmp_path / "one" / "f").write_text("not ours any more")
        (tmp_path / "two" / "f").write_text("x")
        await eventually_async(lambda: wakes, "seen in the new target")
        assert hinted(wakes) == {f"{link}/f"}
        watcher.close()

    run(test)


def test_two_names_of_one_directory_are_both_told(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    async def test() -> None:
        watcher, wakes = await start({f"{tmp_path}/real": None, f"{tmp_path}/link": frozenset({"f"})})
        (tmp_path / "real" / "f").write_text("x")
        await eventually_async(lambda: hinted(wakes) == {f"{tmp_path}/real/f", f"{tmp_path}/link/f"}, "both")
        watcher.close()

    run(test)


def test_sync_replaces_the_set_and_new_directories_are_worth_a_look(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()

    async def test() -> None:
        watcher, wakes = await start({str(one): None})
        watcher.sync({str(one): frozenset({"f"})})
        assert wakes == []
        watcher.sync({str(two): None})
        assert wakes == [frozenset()]
        watcher.sync({str(two): None})
        assert wakes == [frozenset()]
        (one / "f").write_text("x")
        (two / "g").write_text("x")
        await eventually_async(lambda: hinted(wakes), "the second")
        assert hinted(wakes) == {f"{two}/g"}
        assert len(inotify_watches()) == 1
        watcher.close()

    run(test)


def inotify_watches() -> list[str]:
    """The kernel's own list of this process' watches."""
    return [
        line
        for entry in Path("/proc/self/fdinfo").iterdir()
        if entry.exists()
        for line in entry.read_text().splitlines()
        if line.startswith("inotify")
    ]


def test_a_real_overflow_asks_for_a_full_comparison_and_nothing_is_lost_afterwards(tmp_path: Path) -> None:
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if queue > 20_000:
        pytest.skip(f"the queue of {queue} events is too long to fill in a unit test")

    async def test() -> None:
        watcher, wakes = await start({str(tmp_path): frozenset({"wanted"})})
        for number in range(queue // 2 + 1):  # CREATE, CLOSE_WRITE, without letting the reader run
            os.close(os.open(tmp_path / str(number), os.O_CREAT | os.O_WRONLY))
        (tmp_path / "wanted").write_text("its event does not fit any more")
        await eventually_async(lambda: frozenset() in wakes, "a full comparison")
        wakes.clear()
        (tmp_path / "wanted").write_text("y")
        await eventually_async(lambda: hinted(wakes) == {f"{tmp_path}/wanted"}, "the watch still works")
        watcher.close()

    run(test)


def test_an_unmounted_file_system_is_found_again(tmp_path: Path) -> None:
    """What the kernel says at umount(8), without the right to mount."""

    async def test() -> None:
        watcher, wakes = await start({str(tmp_path): None})
        (wd,) = (int(line.split()[1].removeprefix("wd:"), 16) for line in inotify_watches())
        watcher.handle(iter([RawEvent(wd, IN_UNMOUNT, ""), RawEvent(wd, IN_IGNORED, "")]))
        assert wakes == [frozenset()]
        (tmp_path / "x").write_text("x")
        await eventually_async(lambda: f"{tmp_path}/x" in hinted(wakes), "still watched")
        watcher.close()

    run(test)


def test_events_are_taken_apart_exactly() -> None:
    def event(wd: int, mask: int, name: bytes) -> bytes:
        return struct.pack("iIII", wd, mask, 0, len(name)) + name

    data = event(1, 2, b"a\0\0\0") + event(-1, IN_Q_OVERFLOW, b"") + event(3, 4, b"\xff\0")
    assert list(parse_events(data)) == [
        RawEvent(1, 2, "a"),
        RawEvent(-1, IN_Q_OVERFLOW, ""),
        RawEvent(3, 4, "\udcff"),
    ]
    assert list(parse_events(data[:-1]))[:2] == list(parse_events(data))[:2]
    assert list(parse_events(b"")) == []


@pytest.mark.parametrize(("number", "word"), [(errno.ENOSPC, "fs.inotify.max_user_watches"), (errno.ENOMEM, "memory")])
def test_no_watch_left_says_which_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, word: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        ctypes.set_errno(number)
        raise sys.modules["pyinotify"].WatchManagerError("no", {})

    async def test() -> None:
        watcher, _ = await start({})
        monkeypatch.setattr("pyinotify.WatchManager.add_watch", refuse)
        with pytest.raises(FailedError) as caught:
            watcher.sync({str(tmp_path): None})
        assert word in str(caught.value)
        assert caught.value.fix
        watcher.close()

    run(test)


_LIMITED = """
import asyncio, os, resource
from osrd.model.errors import FailedError
from osrd.watch.inotify import InotifyWatcher
async def main():
    os.open("/dev/null", os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (os.open("/dev/null", os.O_RDONLY) + 1, 4096))
    try:
        InotifyWatcher(print, asyncio.get_running_loop(), print)
    except FailedError as error:
        print(error)
asyncio.run(main())
"""


def test_too_many_open_files_is_told_apart_from_too_many_instances() -> None:
    result = subprocess.run([sys.executable, "-c", _LIMITED], capture_output=True, text=True, check=True)
    assert "RLIMIT_NOFILE" in result.stdout
    assert "LimitNOFILE=" in result.stdout


def test_every_instance_taken_for_real() -> None:
    """The limit is per user and counts everybody's: another user id keeps this test from disturbing this one's."""
    if os.geteuid() != 0:
        refuse("needs to be root")
    program = """
import os
import asyncio
from osrd.model.errors import FailedError
from osrd.watch.inotify import InotifyWatcher
os.setuid(54321)
held = []
async def main():
    while True:
        try:
            held.append(InotifyWatcher(print, asyncio.get_running_loop(), print))
        except FailedError as error:
            return print(error)
asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "fs.inotify.max_user_instances" in result.stdout


def test_the_import_is_clean_and_leaves_no_handler() -> None:
    program = "import osrd.watch.inotify, logging; print(logging.getLogger('pyinotify').handlers)"
    result = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert logging.getLogger("pyinotify").handlers == []


def test_the_descriptor_is_not_inherited_and_never_blocks(tmp_path: Path) -> None:
    async def test() -> None:
        watcher, _ = await start({str(tmp_path): None})
        descriptors = [
            int(entry) for entry in os.listdir("/proc/self/fd") if "inotify" in _target(f"/proc/self/fd/{entry}")
        ]
        assert len(descriptors) == 1
        assert not os.get_inheritable(descriptors[0])
        assert not os.get_blocking(descriptors[0])
        watcher.close()

    run(test)


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""
