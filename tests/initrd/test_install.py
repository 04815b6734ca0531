# SPDX-License-Identifier: GPL-3.0-or-later
"""`osrctl initrd data` and `osrctl initrd install` on real directories: shown, made, idempotent, taken back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from osrd.apply.initrd import installing
from osrd.engine.initrdinstall import RECORD, InitrdInstall
from osrd.model.cdsl import INVENTORY, Inventory, Layout
from osrd.model.errors import BusyError, ConflictError, NotFoundError
from osrd.model.settings import BootWay, Settings
from osrd.parse.inventory_file import render_inventory
from osrd.plan.initrd.installation import digest
from tests.conftest import REPOSITORY

CONF = REPOSITORY / "tests/fixtures/full.conf"
MODULE = "usr/lib/dracut/modules.d/95osr/module-setup.sh"


def snapshot(root: Path) -> dict[str, tuple[int, bytes | str]]:
    """Everything in it but osrd's own directory."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if not name.startswith(".osrd"):
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            found[name] = (path.lstat().st_mode, content)
    return found


def times(root: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root as far as installing looks at it."""
    made = tmp_path / "root"
    for directory in ("etc/cluster", "etc/kernel/postinst.d", "usr/lib/kernel/install.d", "usr/lib/dracut/modules.d"):
        (made / directory).mkdir(parents=True)
    (made / "usr/lib/dracut/dracut-version.sh").write_text("DRACUT_VERSION=059-4\n")
    (made / "usr/lib/os-release").write_text("ID=debian\n")
    (made / "etc/kernel/postinst.d/dracut").write_text("#!/bin/sh\n")
    return made


def osrctl(*arguments: object, status: int = 0) -> str:
    argv = [sys.executable, "-m", "osrd.cli", "initrd", *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + (done.stderr if status else "")


def test_install_and_remove(root: Path) -> None:
    before = snapshot(root)
    shown = osrctl("install", root, "-c", CONF, "--dry-run")
    assert snapshot(root) == before
    assert not (root / ".osrd").exists()
    assert f"write {root}/{MODULE}" in shown
    assert osrctl("install", root, "-c", CONF) == shown
    made = snapshot(root)
    assert {name: made[name] for name in before} == before
    assert (root / MODULE).stat().st_mode & 0o777 == 0o755
    assert (root / "etc/osr/initrd/nodes.d/7.conf").read_text().startswith("OSR_NODEID='7'\n")
    profiles = list((root / "etc/osr/initrd/network/nm").rglob("*.nmconnection"))
    assert profiles
    assert {path.stat().st_mode & 0o777 for path in profiles} == {0o600}
    clock = times(root)
    assert osrctl("install", root, "-c", CONF) == "nothing to do\n"
    assert times(root) == clock
    osrctl("install", root, "--remove")
    assert snapshot(root) == before
    assert not (root / RECORD).exists()
    assert osrctl("install", root, "--remove") == "nothing to do\n"


def test_an_upgraded_dracut_gets_the_modules_under_their_new_names(root: Path) -> None:
    before = snapshot(root)
    osrctl("install", root, "-c", CONF)
    (root / "usr/lib/dracut/dracut-version.sh").write_text("DRACUT_VERSION=111\n")
    osrctl("install", root, "-c", CONF)
    names = {path.name for path in (root / "usr/lib/dracut/modules.d").iterdir()}
    assert "55osr" in names
    assert not any(name.startswith(("95", "34")) for name in names)
    osrctl("install", root, "--remove")
    (root / "usr/lib/dracut/dracut-version.sh").write_text("DRACUT_VERSION=059-4\n")
    assert snapshot(root) == before


def test_files_of_others_are_never_replaced(root: Path) -> None:
    (root / MODULE).parent.mkdir()
    (root / MODULE).write_text("# a package's own\n")
    before = snapshot(root)
    assert "is not osrd's" in osrctl("install", root, "-c", CONF, status=7)
    assert snapshot(root) == before


def test_what_an_administrator_edited_is_kept(root: Path) -> None:
    osrctl("install", root, "-c", CONF)
    edited = root / "usr/lib/dracut/dracut.conf.d/90-osr.conf"
    edited.write_text('hostonly="yes"\n')
    assert f"kept, since somebody changed it: {edited}" in osrctl("install", root, "-c", CONF, status=1)
    assert f"kept, since somebody changed it: {edited}" in osrctl("install", root, "--remove", status=1)
    assert edited.read_text() == 'hostonly="yes"\n'
    assert list(json.loads((root / RECORD).read_text())["files"]) == [str(edited.relative_to(root))]


def test_a_symlink_that_a_node_planted_leads_nowhere(root: Path, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (root / "usr/lib/dracut/modules.d/95osr").symlink_to(host)
    assert "a symlink is in the way" in osrctl("install", root, "-c", CONF, status=7)
    (root / "usr/lib/dracut/modules.d/95osr").unlink()
    (root / "etc/osr").symlink_to(host)
    assert "a symlink is in the way" in osrctl("data", "--root", root, "-c", CONF, status=7)
    assert list(host.iterdir()) == []


def test_a_directory_that_a_node_swaps_for_a_symlink(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps of making it: everybody could read what the link leads to."""
    host = tmp_path / "host"
    host.mkdir(0o700)
    make = os.mkdir

    def swapped(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        make(path, mode, dir_fd=dir_fd)
        if path == "initrd":
            os.rmdir(path, dir_fd=dir_fd)
            os.symlink(host, path, dir_fd=dir_fd)

    with InitrdInstall(str(root), Settings(), str(CONF)) as here:
        prepared = here.plan_data(here.data(BootWay.FULL))
        monkeypatch.setattr(os, "mkdir", swapped)
        with pytest.raises(ConflictError, match="not any more what it was"):
            here.perform(prepared)
    assert host.stat().st_mode & 0o777 == 0o700
    assert list(host.iterdir()) == []


def test_a_record_that_a_node_forged_removes_nothing_else(root: Path) -> None:
    osrctl("install", root, "-c", CONF)
    victim = root / "etc/shadow"
    victim.write_bytes(b"root:*\n")
    record = json.loads((root / RECORD).read_text())
    host = root.parent / "host"
    host.write_bytes(victim.read_bytes())
    known = digest(victim.read_bytes())
    record["files"] |= {"etc/shadow": [known], "../host": [known], "etc/osr/initrd/../../shadow": [known]}
    record["directories"] += ["var/empty", "../empty"]
    (root / "var/empty").mkdir(parents=True)
    (root.parent / "empty").mkdir()
    (root / RECORD).write_text(json.dumps(record))
    osrctl("install", root, "--remove")
    assert victim.read_bytes() == host.read_bytes() == b"root:*\n"
    assert (root / "var/empty").is_dir()
    assert (root.parent / "empty").is_dir()


def test_a_root_without_dracut(root: Path) -> None:
    (root / "usr/lib/dracut/dracut-version.sh").unlink()
    assert "has no dracut" in osrctl("install", root, "-c", CONF, status=6)


def test_data_follows_cluster_conf(root: Path, tmp_path: Path) -> None:
    conf = root / "etc/cluster/cluster.conf"
    conf.write_bytes(CONF.read_bytes())
    osrctl("data", "--root", root, "--cluster-conf", conf)
    place = root / "etc/osr/initrd"
    clock = times(place)
    conf.write_bytes(CONF.read_bytes().replace(b'config_version="42"', b'config_version="43"'))
    assert osrctl("data", "--root", root, "-c", conf) == "nothing to do\n"
    assert times(place) == clock
    conf.write_bytes(CONF.read_bytes().replace(b'"10.0.0.18"', b'"10.0.0.28"'))
    shown = osrctl("data", "--root", root, "-c", conf, "--dry-run")
    assert "    +Address=10.0.0.28/24" in shown
    osrctl("data", "--root", root, "-c", conf)
    assert "10.0.0.28" in (place / "network/legacy/8").read_text()
    text = conf.read_text()
    start = text.index('    <clusternode name="axqa7')
    conf.write_text(text[:start] + text[text.index("</clusternode>", start) + len("</clusternode>") :])
    osrctl("data", "--root", root, "-c", conf)
    assert not (place / "nodes.d/7.conf").exists()
    assert not (place / "network/systemd/7").exists()
    osrctl("install", root, "--remove")
    assert not place.exists()


def test_data_elsewhere(root: Path, tmp_path: Path) -> None:
    there = tmp_path / "data"
    there.mkdir()
    osrctl("data", "--root", root, "-c", CONF, "-o", there)
    assert (there / "nodenames").read_text().startswith("1 axqa1\n")
    assert osrctl("data", "--root", root, "-c", CONF, "-o", there) == "nothing to do\n"
    assert not (root / "etc/osr").exists()
    (there / "osr.conf").unlink()
    (there / "osr.conf").write_text("mine\n")
    assert "kept" in osrctl("data", "--root", root, "-c", CONF, "-o", there, status=1)


def test_the_names_of_the_roots_own_layout(root: Path) -> None:
    layout = Layout(tree=".cluster/cdsl", shared=".cluster/shared", link=".cdsl.local")
    (root / INVENTORY).write_bytes(render_inventory(Inventory(layout, use_nodeids=False)))
    with InitrdInstall(str(root), Settings(), str(CONF)) as here:
        files = here.data(BootWay.FULL).files
    assert b"OSR_CDSLTREE='/.cluster/cdsl'\nOSR_CDSLLINK='/.cdsl.local'\n" in files["osr.conf"]
    assert b"OSR_TREE='axqa1'\n" in files["nodes.d/1.conf"]


def test_it_says_what_is_wrong_with_cluster_conf(root: Path, tmp_path: Path) -> None:
    assert "no such file" in osrctl("data", "--root", root, "-c", tmp_path / "none.conf", status=6).lower()
    answer = json.loads(osrctl("data", "--json", "--root", root, "-c", REPOSITORY / "tests/fixtures/seed-fixed.conf"))
    assert answer["done"] is True
    assert {change["action"] for change in answer["changes"]} == {"create"}


def test_it_waits_for_whoever_changes_the_root(root: Path) -> None:
    from osrd.apply.cdsl.lock import locked
    from osrd.observe.inside import Inside

    with InitrdInstall(str(root), Settings(), str(CONF), wait=0.05) as here:
        prepared = here.plan_data(here.data(BootWay.FULL))
        with Inside.open(str(root)) as inside, locked(inside), pytest.raises(BusyError):
            here.perform(prepared)


def test_something_that_came_meanwhile_stays(root: Path) -> None:
    with InitrdInstall(str(root), Settings(), str(CONF)) as here:
        prepared = here.plan_data(here.data(BootWay.FULL))
        (root / "etc/osr/initrd").mkdir(parents=True)
        (root / "etc/osr/initrd/nodeids").write_text("mine\n")
        with pytest.raises(ConflictError):
            here.perform(prepared)
    assert (root / "etc/osr/initrd/nodeids").read_text() == "mine\n"


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        InitrdInstall(str(tmp_path / "none"), Settings())


@pytest.mark.parametrize("stop", range(0, 60, 9))
def test_a_run_that_is_killed_can_be_finished_or_taken_back(
    root: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGKILL: the file that was being written is there as a temporary one, the rest is not."""
    before = snapshot(root)
    real, count = installing.put_in_place, 0

    def put(directory: int, temp: str, name: str, *, fresh: bool) -> None:
        nonlocal count
        count += 1
        if count > stop + 1:
            raise KeyboardInterrupt
        real(directory, temp, name, fresh=fresh)

    monkeypatch.setattr(installing, "put_in_place", put)
    monkeypatch.setattr(installing, "remove_temp", lambda directory, temp: None)
    with InitrdInstall(str(root), Settings(), str(CONF)) as here:
        prepared = here.plan(BootWay.FULL, here.data(BootWay.FULL))
        with pytest.raises(KeyboardInterrupt):
            here.perform(prepared)
    monkeypatch.undo()
    if stop % 2:
        osrctl("install", root, "-c", CONF)
        assert osrctl("install", root, "-c", CONF) == "nothing to do\n"
    osrctl("install", root, "--remove")
    assert snapshot(root) == before
