# SPDX-License-Identifier: GPL-3.0-or-later
"""The image store as those who use it see it."""

import json
import os
from pathlib import Path

import pytest

from osrd.apply.initrd import store as storing
from osrd.model.errors import ConflictError, FailedError, NotFoundError, UnsupportedError
from osrd.model.image import BuildFailure, Choice, RootImages
from osrd.observe.images import ImageReader, read_contents, read_fingerprint
from tests.initrd.stored import CONTENTS, Builds, fingerprint, kernel


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path)


def tree(builds: Builds) -> dict[str, bytes]:
    images = builds.state / "images"
    return {str(path.relative_to(images)): path.read_bytes() for path in images.rglob("*") if path.is_file()}


def test_a_store_that_never_was_is_empty_and_is_not_made_by_reading(builds: Builds) -> None:
    assert builds.store.read() == {}
    builds.store.recover()
    assert not builds.state.exists()


def test_what_is_added_is_there_whole(builds: Builds) -> None:
    image = builds.add()
    assert Path(image.kernel_file).read_bytes() == b"kernel 6.1"
    assert Path(image.initrd_file).read_bytes() == b"initrd 6.1 f1"
    assert (image.kernel, image.fingerprint, image.sequence, image.seconds) == ("6.1", "f1", 1, 2.5)
    assert image.build == "ordered f1"
    assert builds.store.read() == {"web": RootImages((image,))}
    assert read_contents(str(builds.state), image) == CONTENTS
    assert read_fingerprint(str(builds.state), image) == fingerprint("f1")
    assert sorted(os.listdir(builds.state / "images/web")) == [image.id]
    assert (builds.state / "images/web" / image.id / "build.log").read_bytes() == b"all went well\n"


def test_nothing_is_offered_before_it_is_chosen(builds: Builds) -> None:
    first, second = builds.add(), builds.add(print_="f2")
    assert builds.store.root("web").choice == Choice()
    choice = Choice(second.id, first.id, fallen=("node1",))
    builds.store.choose("web", choice)
    found = builds.store.root("web")
    assert found == RootImages((second, first), choice)
    assert ImageReader(str(builds.state)).read() == {"web": found}


def test_choosing_what_is_chosen_writes_nothing(builds: Builds) -> None:
    image = builds.add()
    builds.store.choose("web", Choice(image.id))
    file = builds.state / "images/web/choice.json"
    before = file.stat()
    builds.store.choose("web", Choice(image.id))
    assert file.stat() == before


def test_an_image_that_is_not_there_cannot_be_chosen(builds: Builds) -> None:
    image = builds.add()
    for choice in (Choice("0" * 16), Choice(image.id, "0" * 16)):
        with pytest.raises(NotFoundError):
            builds.store.choose("web", choice)
    assert builds.store.root("web").choice == Choice()


def test_a_build_that_gives_the_same_becomes_the_newest(builds: Builds) -> None:
    first = builds.add(initrd=b"same")
    second = builds.add(initrd=b"other")
    again = builds.add(initrd=b"same", print_="f2", when=2000.0)
    assert (again.id, again.sequence, again.fingerprint) == (first.id, 3, "f2")
    assert builds.store.root("web").images == (again, second)
    assert read_fingerprint(str(builds.state), again) == fingerprint("f2")


def test_adding_heals_a_damaged_image(builds: Builds) -> None:
    image = builds.add()
    Path(image.initrd_file).write_bytes(b"")
    assert builds.store.root("web").images == ()
    assert [found.code for found in builds.store.root("web").findings] == ["image-damaged"]
    builds.add()
    assert [each.id for each in builds.store.root("web").images] == [image.id]
    assert Path(image.initrd_file).read_bytes() == b"initrd 6.1 f1"


def test_a_kernel_that_changed_meanwhile_is_not_stored(builds: Builds) -> None:
    made = kernel(builds.root, "6.1")
    kernel(builds.root, "6.1", b"kernel 6.2")
    with builds.store.staging("web") as staging:
        Path(staging, "out.img").write_bytes(b"initrd")
        with pytest.raises(ConflictError, match="changed while its initrd was built"):
            builds.store.add(builds.finished(staging, made))
    assert tree(builds) == {}


def test_a_kernel_that_grows_is_not_followed(builds: Builds) -> None:
    made = kernel(builds.root, "6.1", b"k")
    with open(builds.root / made.image, "ab") as file:
        file.truncate(1 << 40)
    with builds.store.staging("web") as staging:
        Path(staging, "out.img").write_bytes(b"initrd")
        with pytest.raises(ConflictError):
            builds.store.add(builds.finished(staging, made))


@pytest.mark.parametrize("target", ["/etc/hostname", "../../../../../../../../etc/hostname"])
def test_a_kernel_that_is_a_link_out_of_the_root_is_not_read(builds: Builds, target: str) -> None:
    made = kernel(builds.root, "6.1")
    (builds.root / made.image).unlink()
    (builds.root / made.image).symlink_to(target)
    with builds.store.staging("web") as staging:
        Path(staging, "out.img").write_bytes(b"initrd")
        with pytest.raises(NotFoundError, match="No such file"):
            builds.store.add(builds.finished(staging, made))


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory", "nothing"])
def test_an_initrd_that_is_no_file_is_not_stored(builds: Builds, kind: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    made = kernel(builds.root, "6.1")
    with builds.store.staging("web") as staging:
        out = Path(staging, "out.img")
        if kind == "symlink":
            out.symlink_to(secret)
        elif kind == "fifo":
            os.mkfifo(out)
        elif kind == "directory":
            out.mkdir()
        with pytest.raises(FailedError):
            builds.store.add(builds.finished(staging, made))
    assert tree(builds) == {}
    assert secret.read_bytes() == b"secret"


def test_the_staging_directory_goes_with_what_is_in_it(builds: Builds) -> None:
    with builds.store.staging("web") as staging:
        assert os.stat(staging).st_mode & 0o777 == 0o700
        Path(staging, "deep/er").mkdir(parents=True)
    assert os.listdir(builds.state / "images/web") == []


def test_a_build_that_hung_takes_nothing_from_the_one_after_it(builds: Builds) -> None:
    """The root was given another path in osrd.conf since its server was dead, and then that came back."""
    hung, now = builds.store.staging("web"), builds.store.staging("web")
    hung.__enter__()
    Path(now.__enter__(), "initrd").write_bytes(b"being built")
    hung.__exit__(None, None, None)
    assert (builds.state / "images/web/.staged/initrd").exists()
    now.__exit__(None, None, None)
    assert not (builds.state / "images/web/.staged").exists()


def test_what_is_offered_is_not_removed(builds: Builds) -> None:
    first, second, third = builds.add(), builds.add(print_="f2"), builds.add(print_="f3")
    builds.store.choose("web", Choice(third.id, second.id))
    for image in (third, second):
        with pytest.raises(ConflictError):
            builds.store.remove("web", image.id)
    builds.store.remove("web", first.id)
    assert builds.store.root("web").images == (third, second)
    with pytest.raises(NotFoundError):
        builds.store.remove("web", first.id)


@pytest.mark.parametrize("name", ["..", "choice.json", ".staged", "a/b", ""])
def test_only_images_can_be_removed(builds: Builds, name: str) -> None:
    image = builds.add()
    builds.store.choose("web", Choice(image.id))
    with pytest.raises(NotFoundError):
        builds.store.remove("web", name)
    with pytest.raises(NotFoundError):
        builds.store.remove("../web", image.id)


DAMAGED = [b"", b"{", b"[]", b"{}", b'{"version": "1"}', b'{"version": 1, "current": 5}', b"[" * 100_000, b"\xff"]


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_choice_is_a_finding_and_loses_nothing(builds: Builds, data: bytes) -> None:
    image = builds.add()
    builds.store.choose("web", Choice(image.id))
    file = builds.state / "images/web/choice.json"
    file.write_bytes(data)
    found = builds.store.root("web")
    assert (found.images, found.choice, found.unknown) == ((image,), Choice(), True)
    assert [(each.code, each.value) for each in found.findings] == [("image-choice-unusable", str(file))]
    with pytest.raises(ConflictError):
        builds.store.remove("web", image.id)
    builds.store.choose("web", Choice(image.id))
    assert builds.store.root("web") == RootImages((image,), Choice(image.id))
    assert (builds.state / "images/web/choice.json.damaged-1").read_bytes() == data


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_image_is_a_finding_and_the_others_stay(builds: Builds, data: bytes) -> None:
    first, second = builds.add(), builds.add(print_="f2")
    Path(first.kernel_file).with_name("image.json").write_bytes(data)
    found = builds.store.root("web")
    assert found.images == (second,)
    assert [each.code for each in found.findings] == ["image-damaged"]
    assert os.path.exists(first.initrd_file)


def test_an_image_under_another_name_is_damaged(builds: Builds) -> None:
    image = builds.add()
    directory = builds.state / "images/web"
    (directory / image.id).rename(directory / ("0" * 16))
    assert builds.store.root("web").images == ()


def test_what_a_newer_osrd_wrote_is_refused_and_stays(builds: Builds) -> None:
    image, other = builds.add(), builds.add(print_="f2")
    builds.store.choose("web", Choice(image.id))
    builds.store.fail("web", BuildFailure("6.1", "f3", 1.0, 1, "no"))
    for name in ("choice.json", "failures.json", f"{image.id}/image.json"):
        file = builds.state / "images/web" / name
        file.write_text(json.dumps({**json.loads(file.read_text()), "version": 2, "more": []}))
    before = tree(builds)
    found = builds.store.root("web")
    assert [each.code for each in found.findings] == [
        "image-choice-unusable",
        "image-damaged",
        "image-failures-unusable",
    ]
    assert all("newer osrd" in each.message for each in found.findings)
    with pytest.raises(UnsupportedError):
        builds.store.choose("web", Choice(other.id))
    with pytest.raises(UnsupportedError):
        builds.store.fail("web", BuildFailure("6.1", "f3", 1.0, 2, "no"))
    with pytest.raises(UnsupportedError):
        builds.add()
    assert tree(builds) == before


def test_failures_are_one_for_each_kernel_and_end_with_success(builds: Builds, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 3 + b"y" * storing.LOG_BYTES)
    first = builds.store.fail("web", BuildFailure("6.1", "f1", 1.5, 1, "out of memory", str(log)))
    other = builds.store.fail("web", BuildFailure("6.2", "f2", 2.5, 1, "timeout"))
    assert Path(first.log).read_bytes() == b"y" * storing.LOG_BYTES
    assert builds.store.root("web").failures == (first, other)
    again = builds.store.fail("web", BuildFailure("6.1", "f1", 3.5, 2, "out of memory"))
    assert builds.store.root("web").failures == (other, again)
    builds.add("6.1")
    assert builds.store.root("web").failures == (other,)


def test_the_logs_of_failures_are_bounded(builds: Builds, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"why")
    for number in range(storing.LOGS + 5):
        builds.store.fail("web", BuildFailure(f"6.{number}", "f1", float(number), 1, "no", str(log)))
    kept = sorted(os.listdir(builds.state / "images/web/failed"))
    assert len(kept) == storing.LOGS
    assert kept[0] == "000000000005000.log"
    assert len(builds.store.root("web").failures) == storing.LOGS


def test_the_log_of_a_failure_that_is_told_stays(builds: Builds, tmp_path: Path) -> None:
    """However often another kernel is tried afterwards."""
    (tmp_path / "log").write_text("no space")
    first = builds.store.fail("web", BuildFailure("6.0", "f", 1.0, 1, "no space", str(tmp_path / "log")))
    for number in range(storing.LOGS + 5):
        builds.store.fail("web", BuildFailure("6.1", "f", 2.0 + number, 1, "no space", str(tmp_path / "log")))
    assert first in builds.store.root("web").failures
    assert Path(first.log).read_text() == "no space"


def test_an_unchanged_store_is_not_parsed_again(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        builds.add(print_=f"f{number}")
    image = builds.store.root("web").images[0]
    builds.store.choose("web", Choice(image.id))
    monkeypatch.setattr("osrd.observe.images.time.time_ns", lambda: 1 << 62)
    reader = ImageReader(str(builds.state))
    before = reader.read()
    monkeypatch.setattr("osrd.observe.images.read_input", lambda *_: pytest.fail("read again"))
    assert reader.read() == before
    monkeypatch.undo()
    builds.store.choose("web", Choice(image.id, builds.store.root("web").images[1].id))
    assert reader.read() != before


def test_what_is_remembered_goes_with_the_image(builds: Builds) -> None:
    reader = builds.store._reader
    images = [builds.add(print_=f"f{number}") for number in range(4)]
    builds.store.choose("web", Choice(images[3].id))
    for image in images[:3]:
        builds.store.remove("web", image.id)
    builds.store.root("web")
    assert all(images[0].id not in file for file in reader._known)


def test_leftovers_of_a_killed_osrd_are_removed_and_nothing_else(builds: Builds) -> None:
    image = builds.add()
    builds.store.choose("web", Choice(image.id))
    before = tree(builds)
    for name in (".staged/image", ".removed"):
        (builds.state / "images/web" / name).mkdir(parents=True)
        (builds.state / "images/web" / name / "initrd.img").write_bytes(b"x")
    builds.store.recover()
    assert tree(builds) == before
    assert sorted(os.listdir(builds.state / "images/web")) == sorted([image.id, "choice.json"])
