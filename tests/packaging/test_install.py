# SPDX-License-Identifier: GPL-3.0-or-later
"""`make install` and `make uninstall`, into directories and run from there."""

import hashlib
import os
import stat
import subprocess
from pathlib import Path

import pytest

from osrd import __version__
from tests.conftest import REPOSITORY, refuse

#: has the distribution's libraries, where the checkout's .venv has others
SYSTEM_PYTHON = "/usr/bin/python3"


def make(target: str, **variables: object) -> str:
    """What make says."""
    words = [f"{name}={value}" for name, value in variables.items()]
    done = subprocess.run(["make", "-s", target, *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tree(top: Path) -> dict[str, tuple[int, int, str]]:
    """Everything below a directory: modes, times of change, contents."""
    found = {}
    for path in top.rglob("*"):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(top))] = (
            stat.S_IMODE(status.st_mode),
            status.st_mtime_ns if content else 0,
            content,
        )
    return found


def test_twice_is_once_and_uninstalled_is_nothing(tmp_path: Path) -> None:
    root = tmp_path / "not there yet/a root"
    make("install", DESTDIR=root)
    once = tree(root)
    assert make("install", DESTDIR=root) == ""
    assert tree(root) == once
    make("install-modules", DESTDIR=root)
    make("uninstall", DESTDIR=root)
    assert list(root.iterdir()) == []


def test_every_file_of_the_source_has_its_place(tmp_path: Path) -> None:
    make("install", DESTDIR=tmp_path, PREFIX="/usr", COMPILE="no")
    names = {path.name for path in tmp_path.rglob("*")}
    sources = {
        path.name for top in ("data", "man", "osrd") for path in (REPOSITORY / top).rglob("*") if path.is_file()
    }
    sources = {name for name in sources if not name.endswith(".pyc")}
    renamed = {"osrd.tmpfiles", "osrd.sysusers", "osrd.conf.example", "50-osr-admins.rules.example", ".shellcheckrc"}
    assert sources - names == renamed
    assert (tmp_path / "usr/lib/tmpfiles.d/osrd.conf").read_bytes() == (
        REPOSITORY / "data/systemd/osrd.tmpfiles"
    ).read_bytes()
    for path in (REPOSITORY / "data/dracut").rglob("*.sh"):
        copy = tmp_path / "usr/share/osrd" / path.relative_to(REPOSITORY / "data")
        assert copy.read_bytes() == path.read_bytes()
        assert os.access(copy, os.X_OK)


def test_files_name_the_places_of_their_prefix(tmp_path: Path) -> None:
    make("install", DESTDIR=tmp_path, PREFIX="/opt/o", COMPILE="no")
    unit = (tmp_path / "opt/o/lib/systemd/system/osrd.service").read_text()
    assert "\nExecStart=/opt/o/sbin/osrd\n" in unit
    assert "\nExecReload=kill -HUP $MAINPID\n" in unit
    assert (tmp_path / "opt/o/sbin/osrd").is_file()
    build = (tmp_path / "opt/o/lib/systemd/system/osrd-build@.service").read_text()
    assert "\nExecStart=/opt/o/sbin/osrd --build\n" in build
    assert "/opt/o/share/doc/osrd/examples" in (tmp_path / "opt/o/share/man/man8/osrd.8").read_text()
    assert "/opt/o/share/doc/osrd/examples" in (tmp_path / "etc/osrd/osrd.conf").read_text()


def test_what_an_administrator_wrote_stays(tmp_path: Path) -> None:
    mine = tmp_path / "etc/osrd/osrd.conf"
    make("install", DESTDIR=tmp_path, COMPILE="no")
    mine.write_text("# mine\n")
    make("install", DESTDIR=tmp_path, COMPILE="no")
    assert mine.read_text() == "# mine\n"
    said = make("uninstall", DESTDIR=tmp_path)
    assert f"{mine} was changed" in said
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_what_was_there_before_is_nobody_elses(tmp_path: Path) -> None:
    before = tmp_path / "etc/osrd/osrd.conf"
    unrelated = tmp_path / "usr/local/share/osrd/notes"
    for path in (before, unrelated):
        path.parent.mkdir(parents=True)
        path.write_bytes((REPOSITORY / "data/osrd.conf").read_bytes())
    was = tree(tmp_path)
    make("install", DESTDIR=tmp_path)
    make("uninstall", DESTDIR=tmp_path)
    assert tree(tmp_path) == was


def test_a_new_version_takes_away_what_is_no_more(tmp_path: Path) -> None:
    make("install", DESTDIR=tmp_path, COMPILE="no")
    listed = tmp_path / "usr/local/share/osrd/installed"
    old = tmp_path / "usr/local/share/osrd/python/osrd/gone/module.py"
    old.parent.mkdir()
    old.write_text("")
    package = "/usr/local/share/osrd/python/osrd/gone"
    listed.write_text(listed.read_text() + f"directory - {package}\nfile - {package}/module.py\n")
    make("install", DESTDIR=tmp_path, COMPILE="no")
    assert not old.parent.exists()
    assert "gone" not in listed.read_text()


@pytest.mark.parametrize(
    ("version", "directory", "helper"), [(59, "95osr", "34osr-network"), (111, "55osr", None)], ids=["old", "ng"]
)
def test_modules_are_numbered_for_the_roots_dracut(
    tmp_path: Path, version: int, directory: str, helper: str | None
) -> None:
    make("install-modules", DESTDIR=tmp_path, PREFIX="/usr", DRACUT=version)
    modules = {path.name for path in (tmp_path / "usr/lib/dracut/modules.d").iterdir()}
    assert {directory, f"{directory}-cluster"} <= modules
    assert {name for name in modules if name.endswith("network")} == ({helper} if helper else set())
    assert os.access(tmp_path / "usr/lib/dracut/modules.d" / directory / "module-setup.sh", os.X_OK)
    assert os.access(tmp_path / "etc/kernel/postinst.d/00osr", os.X_OK)


def test_a_prefix_that_no_line_could_hold_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "-s", "install", f"DESTDIR={tmp_path}", "PREFIX=/a b"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "PREFIX=/a b is no absolute path" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_installed_programs_run_on_the_distributions_python(tmp_path: Path) -> None:
    """From there and with its libraries; nothing of the user's own gets in, and nothing is written there."""
    libraries = "click, dbus_next, jinja2, lxml, pyinotify, pyudev, rich, systemd"
    if subprocess.run([SYSTEM_PYTHON, "-I", "-W", "ignore", "-c", f"import {libraries}"], check=False).returncode:
        refuse(f"{SYSTEM_PYTHON} lacks some of {libraries}")
    prefix = tmp_path / "prefix"
    make("install", PREFIX=prefix, SYSCONFDIR=prefix / "etc", POLICYDIR=prefix / "share", DESTDIR="/")
    before = tree(prefix)
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "osrd.py").write_text("raise SystemExit('the wrong osrd')")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(trap), "LC_ALL": "C.UTF-8"}
    for program in sorted((prefix / "bin").iterdir()):
        done = subprocess.run(
            [program, "--version"], env=environment, cwd=trap, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), program
        assert __version__ in done.stdout
    (tmp_path / "cluster.conf").write_bytes((REPOSITORY / "tests/fixtures/seed-fixed.conf").read_bytes())
    (tmp_path / "osrd.conf").write_text(
        f"[cluster]\nconfig = {tmp_path}/cluster.conf\n"
        f"[paths]\nstate = {tmp_path}/state\nruntime = {tmp_path}/run\ncache = {tmp_path}/cache\n"
        f"[tftp]\nroot = {tmp_path}/tftp\n[dhcp]\nbackend = none\n[nfs]\nexports = none\n[hosts]\nfile = none\n"
    )
    done = subprocess.run(
        [prefix / "sbin/osrd", "--once", "--config", tmp_path / "osrd.conf"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tftp/osr/pxelinux.cfg/default").is_file()
    assert tree(prefix) == before
