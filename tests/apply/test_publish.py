# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishing into a real directory: what is written, what is left alone, and in which order."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from osrd.model.errors import NotFoundError
from osrd.model.finding import Severity
from osrd.model.netboot import StoredPair
from osrd.model.output import BuiltBy, Desired, Kind, Service, StaysAs, text_recipe
from osrd.model.plan import Adopt, Forget, Reason, Remove, Write
from osrd.plan.difference import as_output
from tests.apply.world import World, copy_of

TWO = {"pxelinux.cfg/01-aa": b"one", "pxelinux.cfg/01-bb": b"two", "dhcp.conf": b"both"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_first_publication(world: World) -> None:
    result = world.publish(world.desired(TWO))
    assert (result.generation, result.written, result.removed, result.kept_back) == (1, 3, 0, ())
    assert world.tree() == TWO
    assert set(world.store.manifest) == {world.path(name) for name in TWO}
    row = world.store.manifest[world.path("dhcp.conf")]
    assert (row.digest, row.size, row.generation) == (sha256(b"both").hexdigest(), 4, 1)
    assert world.store.content(row.digest) == b"both"


def test_nothing_to_do_after_a_publication_and_after_a_restart(world: World) -> None:
    desired = world.desired(TWO)
    world.publish(desired)
    assert world.plan(desired).actions == ()
    assert world.restart() == ()
    assert world.plan(desired).actions == ()
    assert world.plan(desired, quick=True).actions == ()


def test_modes_do_not_depend_on_the_umask(world: World) -> None:
    before = os.umask(0o077)
    try:
        world.publish(world.desired(TWO))
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(world.path("dhcp.conf")).st_mode) == 0o644
    assert stat.S_IMODE(os.stat(world.path("pxelinux.cfg")).st_mode) == 0o755


def test_one_edit_touches_its_files_only(world: World) -> None:
    world.publish(world.desired(TWO))
    before = {name: os.stat(world.path(name)).st_ino for name in TWO}
    result = world.publish(world.desired(TWO | {"pxelinux.cfg/01-aa": b"new"}), quick=True)
    assert (result.generation, result.written) == (2, 1)
    changed = [name for name in TWO if os.stat(world.path(name)).st_ino != before[name]]
    assert changed == ["pxelinux.cfg/01-aa"]
    assert world.tree()["pxelinux.cfg/01-aa"] == b"new"


def test_a_removed_node_leaves_nothing_behind(world: World) -> None:
    world.publish(world.desired(TWO))
    result = world.publish(world.desired({"dhcp.conf": b"none"}))
    assert (result.written, result.removed) == (1, 2)
    assert world.tree() == {"dhcp.conf": b"none"}
    assert not os.path.exists(world.path("pxelinux.cfg"))  # osrd made it, and it is empty
    assert world.store.directories == {str(world.tftp / "osr")}


def test_a_directory_that_osrd_did_not_make_stays(world: World) -> None:
    os.makedirs(world.path("pxelinux.cfg"))
    world.publish(world.desired(TWO))
    world.publish(world.desired({}))
    assert os.listdir(world.path("")) == ["pxelinux.cfg"]


def test_drift_is_repaired_without_a_new_generation(world: World) -> None:
    desired = world.desired(TWO)
    world.publish(desired)
    Path(world.path("dhcp.conf")).write_bytes(b"b0th")
    os.unlink(world.path("pxelinux.cfg/01-aa"))
    os.chmod(world.path("pxelinux.cfg/01-bb"), 0o600)
    plan = world.plan(desired)
    assert [action.reason for action in plan.actions if isinstance(action, Write)] == [Reason.DRIFT] * 3
    result = world.publish(desired)
    assert (result.generation, result.written) == (1, 3)
    assert world.tree() == TWO
    assert world.plan(desired).actions == ()
    assert len(world.store.generations()) == 1


def test_an_edit_within_the_clock_tick_of_the_publication_is_seen(world: World) -> None:
    desired = world.desired(TWO)
    for word in (b"b0th", b"bo7h", b"bot4"):
        world.publish(desired)
        with open(world.path("dhcp.conf"), "r+b") as file:
            file.write(word)
        assert world.plan(desired).drift == (world.path("dhcp.conf"),)


def test_a_foreign_file_is_not_overwritten_and_the_others_go_on(world: World) -> None:
    os.makedirs(world.path("pxelinux.cfg"))
    Path(world.path("pxelinux.cfg/01-aa")).write_bytes(b"mine")
    desired = world.desired(TWO)
    plan = world.plan(desired)
    assert world.codes(plan) == ["occupied"]
    assert plan.findings[0].severity is Severity.ERROR
    world.publish(desired)
    assert world.tree() == TWO | {"pxelinux.cfg/01-aa": b"mine"}
    assert world.path("pxelinux.cfg/01-aa") not in world.store.manifest


def test_a_foreign_file_that_appears_after_the_look_is_not_overwritten(world: World) -> None:
    desired = world.desired(TWO)
    plan = world.plan(desired)
    os.makedirs(world.path("pxelinux.cfg"))
    Path(world.path("pxelinux.cfg/01-aa")).write_bytes(b"mine")
    result = world.publisher.publish(plan, desired, world.note(), lambda path: None)
    assert world.codes(result) == ["occupied"]
    assert result.kept_back == (world.path("pxelinux.cfg/01-aa"),)
    assert world.tree() == TWO | {"pxelinux.cfg/01-aa": b"mine"}


def test_identical_content_is_adopted_after_the_database_was_lost(world: World) -> None:
    desired = world.desired(TWO)
    world.publish(desired)
    world.store.close()
    (world.state / "state.db").unlink()
    world.start()
    plan = world.plan(desired)
    assert {type(action) for action in plan.actions} == {Adopt}
    inodes = {name: os.stat(world.path(name)).st_ino for name in TWO}
    result = world.publish(desired)
    assert (result.generation, result.written) == (1, 0)
    assert {name: os.stat(world.path(name)).st_ino for name in TWO} == inodes
    assert world.plan(desired).actions == ()
    assert world.store.manifest[world.path("dhcp.conf")].size == 4
    assert world.store.content(sha256(b"both").hexdigest()) == b"both"


def test_what_somebody_changed_is_left_when_nothing_wants_it(world: World) -> None:
    world.publish(world.desired(TWO))
    Path(world.path("pxelinux.cfg/01-aa")).write_bytes(b"precious")
    plan = world.plan(world.desired({}))
    assert world.codes(plan) == ["left-alone"]
    assert next(type(action) for action in plan.actions if not isinstance(action, Remove)) is Forget
    world.publish(world.desired({}))
    assert world.tree() == {"pxelinux.cfg/01-aa": b"precious"}
    assert not world.store.manifest


def test_a_change_between_plan_and_removal_saves_the_file(world: World) -> None:
    world.publish(world.desired(TWO))
    plan = world.plan(world.desired({}))
    Path(world.path("dhcp.conf")).write_bytes(b"precious")
    result = world.publisher.publish(plan, world.desired({}), world.note(), lambda path: None)
    assert world.codes(result) == ["left-alone"]
    assert world.tree() == {"dhcp.conf": b"precious"}


@pytest.mark.parametrize("obstacle", ["symlink", "directory", "fifo"])
def test_what_is_no_file_is_neither_followed_nor_replaced(world: World, obstacle: str, tmp_path: Path) -> None:
    os.makedirs(world.path("pxelinux.cfg"))
    path = world.path("pxelinux.cfg/01-aa")
    victim = tmp_path / "victim"
    victim.write_bytes(b"one")
    if obstacle == "symlink":
        os.symlink(victim, path)
    elif obstacle == "directory":
        os.mkdir(path)
    else:
        os.mkfifo(path)
    plan = world.plan(world.desired(TWO))
    assert world.codes(plan) == ["not-a-file"]
    world.publish(world.desired(TWO))
    assert not Path(path).is_file() or os.path.islink(path)
    assert victim.read_bytes() == b"one"
    assert Path(world.path("pxelinux.cfg/01-bb")).read_bytes() == b"two"


def test_nothing_is_written_through_a_symlinked_directory(world: World, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.makedirs(world.path(""))
    os.symlink(elsewhere, world.path("pxelinux.cfg"))
    desired = world.desired(TWO)
    assert world.codes(world.plan(desired)) == ["not-a-file", "not-a-file"]
    world.publish(desired)
    assert list(elsewhere.iterdir()) == []
    assert Path(world.path("dhcp.conf")).read_bytes() == b"both"


def test_a_directory_that_becomes_a_symlink_after_the_look(world: World, tmp_path: Path) -> None:
    desired = world.desired(TWO)
    plan = world.plan(desired)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.makedirs(world.path(""))
    os.symlink(elsewhere, world.path("pxelinux.cfg"))
    result = world.publisher.publish(plan, desired, world.note(), lambda path: None)
    assert world.codes(result) == ["not-written"]
    assert len(result.kept_back) == 2
    assert list(elsewhere.iterdir()) == []


def test_the_tftp_root_itself_may_be_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "host").mkdir()
    (tmp_path / "host/tftp").symlink_to(tmp_path / "data")
    world = World(tmp_path / "host")
    world.publish(world.desired(TWO))
    assert (tmp_path / "data/osr/dhcp.conf").read_bytes() == b"both"


def test_copies_and_builds(world: World, tmp_path: Path) -> None:
    source = tmp_path / "pxe linux.0"
    source.write_bytes(b"\0loader" * 1000)
    build = BuiltBy((sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write('image')", "{output}"))
    desired = world.desired({"pxelinux.0": copy_of(source), "core.efi": ("built:1", build)})
    result = world.publish(desired)
    assert result.findings == ()
    assert world.tree() == {"pxelinux.0": source.read_bytes(), "core.efi": b"image"}
    assert world.store.manifest[world.path("core.efi")].digest == sha256(b"image").hexdigest()
    assert stat.S_IMODE(os.stat(world.path("core.efi")).st_mode) == 0o644
    assert world.plan(desired).actions == ()
    world.restart()
    assert world.plan(desired).actions == ()
    os.unlink(world.path("core.efi"))
    world.publish(desired)
    assert world.tree()["core.efi"] == b"image"


def test_a_source_that_changed_is_not_published(world: World, tmp_path: Path) -> None:
    source = tmp_path / "vmlinuz"
    source.write_bytes(b"kernel")
    desired = world.desired({"kernels/vmlinuz-1": copy_of(source)})
    source.write_bytes(b"kernel, new")
    result = world.publish(desired)
    assert world.codes(result) == ["source-changed"]
    assert world.tree() == {}
    assert (world.store.generation, world.store.generations()) == (0, ())


def plant_link(kernel: Path) -> None:
    kernel.symlink_to(kernel.parents[2] / "host")


def plant_fifo(kernel: Path) -> None:
    os.mkfifo(kernel)


def plant_parent(kernel: Path) -> None:
    (kernel.parents[2] / "elsewhere").mkdir()
    (kernel.parents[2] / "elsewhere/vmlinuz").write_bytes(b"kernel")
    kernel.parent.rmdir()
    kernel.parent.symlink_to(kernel.parents[2] / "elsewhere")


def plant_endless(kernel: Path) -> None:
    kernel.touch()
    os.truncate(kernel, 1 << 42)


def opened_below(directory: Path) -> list[str]:
    """What this process has open there; elsewhere the garbage of other tests may be closed at any time."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(path for path in found if path.startswith(f"{directory}/"))


@pytest.mark.parametrize("plant", [plant_link, plant_fifo, plant_parent, plant_endless])
def test_what_a_node_plants_between_look_and_copy_is_not_touched(
    world: World, tmp_path: Path, plant: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content of a file outside the root has the right digest here, and is not taken all the same."""
    monkeypatch.setattr("osrd.apply.publish_run._PROGRAM_TIMEOUT", 5)
    kernel = tmp_path / "root/boot/vmlinuz"
    kernel.parent.mkdir(parents=True)
    for path in (kernel, tmp_path / "host"):
        path.write_bytes(b"kernel")
    recipe, content = copy_of(kernel)
    desired = world.desired({"kernels/vmlinuz-1": (recipe, replace(content, shared=True)), "grub/x": b"1"})
    kernel.unlink()
    plant(kernel)
    before = opened_below(tmp_path)
    result = world.publish(desired)
    assert world.codes(result) == ["source-changed"]
    assert world.tree() == {"grub/x": b"1"}
    assert opened_below(tmp_path) == before


def test_a_copy_that_grew_is_not_read(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node truncates its kernel to many TiB while cp has it open: copied in no time, and hashed for days."""
    source = tmp_path / "vmlinuz"
    source.write_bytes(b"kernel")
    desired = world.desired({"kernels/vmlinuz-1": copy_of(source)})
    os.truncate(source, 1 << 42)
    monkeypatch.setattr("osrd.apply.files.sha256", None)
    assert world.codes(world.publish(desired)) == ["source-changed"]


def test_a_kernel_of_a_shared_root_is_copied(world: World, tmp_path: Path) -> None:
    source = tmp_path / "vmlinuz"
    source.write_bytes(b"kernel")
    recipe, content = copy_of(source)
    assert world.publish(world.desired({"kernels/v": (recipe, replace(content, shared=True))})).findings == ()
    assert world.tree() == {"kernels/v": b"kernel"}


def test_a_menu_waits_for_the_kernel_it_names(world: World) -> None:
    failing = ("built:1", BuiltBy(("false",)))
    menus = {"pxelinux.cfg/01-aa": b"KERNEL vmlinuz-1", "pxelinux.cfg/01-bb": b"KERNEL other"}
    result = world.publish(world.desired({"kernels/vmlinuz-1": failing, **menus}))
    assert world.codes(result) == ["not-built", "held-back"]
    assert world.tree() == {"pxelinux.cfg/01-bb": b"KERNEL other"}
    built = ("built:2", BuiltBy(("cp", "/proc/version", "{output}")))
    result = world.publish(world.desired({"kernels/vmlinuz-1": built, **menus}))
    assert result.findings == ()
    assert set(world.tree()) == {"kernels/vmlinuz-1", *menus}


def test_nothing_is_removed_while_its_replacement_is_missing(world: World) -> None:
    world.publish(world.desired({"grub/old": b"old"}))
    result = world.publish(world.desired({"grub/new": ("built:1", BuiltBy(("false",)))}))
    assert result.removed == 0
    assert world.tree() == {"grub/old": b"old"}


def test_content_that_is_gone_is_a_finding(world: World) -> None:
    world.publish(world.desired({"pxelinux.0": b"loader"}))
    kept = world.desired({"pxelinux.0": (text_recipe(b"loader"), None), "ldlinux": ("built:9", StaysAs("0" * 64))})
    os.unlink(world.path("pxelinux.0"))
    result = world.publish(kept)
    assert world.codes(result) == ["content-unavailable"]
    assert world.tree() == {"pxelinux.0": b"loader"}  # from the store


def test_frozen_outputs_stay_and_their_drift_is_repaired(world: World) -> None:
    world.publish(world.desired(TWO))
    os.unlink(world.path("pxelinux.cfg/01-aa"))
    frozen = world.desired({"dhcp.conf": b"news"}, frozen_kinds=frozenset({Kind.PXELINUX}))
    world.publish(frozen)
    assert world.tree() == TWO | {"dhcp.conf": b"news"}
    by_node = world.desired({"dhcp.conf": b"news"}, frozen_nodes=frozenset({"01-aa"}))
    world.publish(by_node)
    assert set(world.tree()) == {"dhcp.conf", "pxelinux.cfg/01-aa"}


def test_a_rollback_brings_the_old_files_back(world: World) -> None:
    world.publish(world.desired(TWO))
    world.publish(world.desired({"pxelinux.cfg/01-aa": b"changed", "grub/x": b"x"}))
    desired = Desired({path: as_output(row) for path, row in world.store.outputs_of(1).items()})
    result = world.publish(desired, world.note(pin=1, pin_inputs="abc"))
    assert world.tree() == TWO
    assert result.generation == 3
    world.restart()
    assert (world.store.pin, world.store.pin_inputs) == (1, "abc")
    shown = {entry.number: (entry.current, entry.pinned) for entry in world.store.generations()}
    assert shown == {3: (True, False), 2: (False, False), 1: (False, True)}


def test_kernels_stay_until_the_last_generation_that_knows_them_is_pruned(tmp_path: Path) -> None:
    world = World(tmp_path, keep=3)
    source = tmp_path / "vmlinuz"
    source.write_bytes(b"first")
    world.publish(world.desired({"kernels/vmlinuz-1": copy_of(source), "grub/x": b"1"}))
    source.write_bytes(b"second")
    second = copy_of(source)
    numbers = []
    for number in range(2, 7):
        desired = world.desired({"kernels/vmlinuz-2": second, "grub/x": b"%d" % number})
        world.publish(desired)
        numbers.append(("kernels/vmlinuz-1" in world.tree(), world.store.generation))
        world.restart()
    # generation 4 pruned the first; the run after that removed its kernel
    assert numbers == [(True, 2), (True, 3), (True, 4), (False, 5), (False, 6)]
    with pytest.raises(NotFoundError):
        world.store.outputs_of(1)
    assert set(world.store.outputs_of(4)) == {world.path("kernels/vmlinuz-2"), world.path("grub/x")}
    assert [entry.number for entry in world.store.generations()] == [6, 5, 4]


def test_a_kernel_that_is_wanted_again_belongs_to_the_new_generation(tmp_path: Path) -> None:
    world = World(tmp_path, keep=2)
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"first")
    second.write_bytes(b"second")
    states = [{"kernels/vmlinuz-1": copy_of(first)}, {"kernels/vmlinuz-2": copy_of(second)}]
    for number in range(6):
        world.publish(world.desired(states[number % 2] | {"grub/x": b"%d" % number}))
    assert {os.path.basename(path) for path in world.store.outputs_of(5)} == {"vmlinuz-1", "x"}
    assert set(world.tree()) == {"kernels/vmlinuz-1", "kernels/vmlinuz-2", "grub/x"}


def test_a_kernel_that_is_wanted_again_may_come_from_elsewhere(world: World) -> None:
    """Its record is another then, which is adopted once, not twice."""
    wanted = world.desired({"kernels/vmlinuz-1": (text_recipe(b"kernel"), b"kernel"), "grub/x": b"1"})
    world.publish(wanted)
    world.publish(world.desired({"grub/x": b"2"}))
    assert "kernels/vmlinuz-1" in world.tree()
    outputs = {path: replace(output, made_from=("elsewhere",)) for path, output in wanted.outputs.items()}
    result = world.publish(replace(wanted, outputs=outputs))
    assert (result.generation, result.findings) == (3, ())
    path = world.path("kernels/vmlinuz-1")
    assert world.store.manifest[path].made_from == ("elsewhere",)
    assert path in world.store.outputs_of(3)


def test_good_nodes_and_pairs_are_recorded_when_they_change(world: World) -> None:
    note = world.note()
    note = type(note)("edit", 7, {"a": b"<a/>", "b": b"<b/>"}, {"root": StoredPair("k1", "i1")})
    world.publish(world.desired(TWO), note)
    changed = (world.state / "state.db").stat().st_mtime_ns
    world.publish(world.desired(TWO), note)
    assert (world.state / "state.db").stat().st_mtime_ns == changed
    world.publish(world.desired(TWO), type(note)("edit", 8, {"a": b"<a2/>"}, {"root": StoredPair("k2", "")}))
    world.restart()
    assert world.store.good_nodes() == {"a": b"<a2/>"}
    assert world.store.pairs() == {"root": (StoredPair("k2", ""), StoredPair("k1", "i1"))}
    assert world.store.generation == 1


def test_a_file_where_the_temporary_one_would_be(world: World) -> None:
    os.makedirs(world.path(""))
    Path(world.path(".dhcp.conf.osrd-1")).write_bytes(b"mine")
    result = world.publish(world.desired(TWO))
    assert world.codes(result) == ["occupied"]
    assert world.tree() == {name: content for name, content in TWO.items() if name != "dhcp.conf"} | {
        ".dhcp.conf.osrd-1": b"mine"
    }
    world.publish(world.desired(TWO))
    assert world.tree() == TWO | {".dhcp.conf.osrd-1": b"mine"}


def test_long_and_odd_names(world: World) -> None:
    odd = {"grub/" + "x" * 255: b"long", "grub/a b\n'\"$": b"odd", "grub/\udcff": b"bytes"}
    desired = world.desired(odd)
    assert world.publish(desired).findings == ()
    world.restart()
    assert world.plan(desired).actions == ()
    world.publish(world.desired({}))
    assert world.tree() == {}


NOOP = """
import sys
from pathlib import Path
from osrd.plan.difference import as_output
from tests.apply.world import World
from tests.apply.test_publish import TWO
world = World(Path(sys.argv[1]))
world.publisher.recover()
desired = world.desired(TWO)
plan = world.plan(desired)
assert plan.actions == () and world.plan(desired, quick=True).actions == ()
result = world.publish(desired)
assert (result.generation, result.written) == (1, 0)
"""
CHANGING = (
    "trace=write,pwrite64,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,symlink,symlinkat,"
    "fsync,fdatasync,syncfs,ftruncate,truncate,chmod,fchmod,fchmodat,creat,utimensat"
)


@pytest.mark.needs("strace")
def test_a_run_with_nothing_to_do_changes_no_file(world: World, tmp_path: Path) -> None:
    world.publish(world.desired(TWO))
    world.store.close()
    log = tmp_path / "log"
    command = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(log),
        "-e",
        CHANGING,
        sys.executable,
        "-B",
        "-c",
        NOOP,
        str(world.base),
    ]
    subprocess.run(command, check=True)
    assert [line for line in log.read_text().splitlines() if "+++" not in line and "EEXIST" not in line] == []
    assert Service.DHCP not in world.store.owed
