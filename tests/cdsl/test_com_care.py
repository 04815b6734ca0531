# SPDX-License-Identifier: GPL-3.0-or-later
"""The compatible commands that look after a root: checking, rebuilding, nodes that come and go, older layouts, and
other file systems below."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cdsl.commands import FILES, Commands, make_system, tree
from tests.mounts.namespace import private_mounts

pytestmark = pytest.mark.root

INVENTORY = ".cdsl_inventory.xml"
#: what generation 2 wrote (spec/cdsl.md 1.4)
GENERATION_2 = """<?xml version="1.0"?>
<cdsls config_version="1">
  <cdsl src="etc/sysconfig/network" timestamp="1795341961.58" type="hostdependent">
    <nodes><noderef ref="id_1"/><noderef ref="id_2"/></nodes>
  </cdsl>
  <defaults cdsl_link="cdsl.local" cdsltree="cluster/cdsl" cdsltree_shared="cluster/shared" expandstring=".cdsl"
    maxnodeidnum="0" mountpoint="." use_nodeids="True">
    <nodesdefault><nodedefault id="id_1"/><nodedefault id="id_2"/></nodesdefault>
  </defaults>
</cdsls>
"""


@pytest.fixture
def run(tmp_path: Path) -> Commands:
    run = Commands(make_system(tmp_path))
    run.on_root("com-mkcdslinfrastructure")
    run.on_root("com-mkcdsl", "-a", "/var", "-s", "/var/lib", "-a", "/etc/sysconfig/network")
    return run


def check(run: Commands, *words: str) -> "subprocess.CompletedProcess[str]":
    return run("com-cdslinvchk", "-r", str(run.root), *words)


def test_a_good_root_is_good_without_the_mount(run: Commands) -> None:
    """Spec/cdsl.md 6.1 no. 28."""
    done = check(run)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_what_is_broken_is_told_and_repaired_and_never_forgotten(run: Commands) -> None:
    """Spec/cdsl.md 6.1 no. 27."""
    before = tree(run.root)
    (run.root / "etc/sysconfig/network").unlink()
    (run.root / "cluster/cdsl/2/var/lib").unlink()
    done = check(run)
    assert done.returncode == len(done.stdout.splitlines()) >= 2
    assert "/etc/sysconfig/network" in done.stdout
    assert "node 2" in done.stdout
    only = check(run, "-C", "/etc/sysconfig/network")
    assert 1 <= only.returncode < done.returncode
    assert check(run, "-U").returncode == 0
    assert tree(run.root) == before
    assert check(run).returncode == 0


def test_the_inventory_is_made_from_the_disk(run: Commands) -> None:
    listed = run.on_root("com-cdslinvadm", "listcdsls")
    assert check(run, "-f").stdout == ""
    (run.root / INVENTORY).unlink()
    done = check(run, "-f")
    assert done.returncode == 3
    assert sorted(done.stdout.splitlines()) == [
        "Added cdsl etc/sysconfig/network type hostdependent",
        "Added cdsl var type hostdependent",
        "Added cdsl var/lib type shared",
    ]
    assert check(run, "-f", "-U").returncode == 0
    assert sorted(run.on_root("com-cdslinvadm", "listcdsls").splitlines()) == sorted(listed.splitlines())


def test_a_broken_inventory_is_told_and_made_again(run: Commands) -> None:
    (run.root / INVENTORY).write_text("<cdsls")
    assert check(run).returncode == 255
    assert run("com-searchcdsls", "-r", str(run.root)).returncode == 1
    assert check(run, "-f", "-U").returncode == 0
    assert "\tvar/lib\n" in run.on_root("com-cdslinvadm", "listcdsls")


def test_searching_finds_what_is_not_listed(run: Commands) -> None:
    whole = (run.root / INVENTORY).read_text()
    start, end = whole.index('\t<cdsl src="etc/sys'), whole.index("</cdsls>")
    (run.root / INVENTORY).write_text(whole[:start] + whole[end:])
    out = run.on_root("com-searchcdsls")
    assert out == "Added cdsl etc/sysconfig/network type hostdependent\n"


def test_a_node_comes_and_goes(tmp_path: Path) -> None:
    """Spec/cdsl.md 6.1 no. 25, 26."""
    run = Commands(make_system(tmp_path))
    run.on_root("com-mkcdslinfrastructure", "-M", "2")
    run.on_root("com-mkcdsl", "-a", "/var")
    run.on_root("com-cdslinvadm", "addnode", "3")
    run.on_root("com-mkcdsl", "-a", "/etc/sysconfig/network")
    for path in ("var/log/messages", "etc/sysconfig/network"):
        assert (run.root / "cluster/cdsl/3" / path).read_text() == FILES[path]
    out = run.on_root("com-cdslinvadm", "deletenode", "3")
    assert not (run.root / "cluster/cdsl/3").exists()
    assert "kept: .osrd/backup/" in out
    backup = run.root / out.splitlines()[-1].removeprefix("kept: ")
    assert [path.read_text() for path in backup.rglob("messages")] == [FILES["var/log/messages"]]
    assert run.on_root("com-cdslinvadm", "get", "maxnodeidnum") == "2\n"
    assert run("com-cdslinvadm", "-r", str(run.root), "deletenode", "3").returncode == 1


def make_old(root: Path) -> None:
    """The second generation's layout, with one CDSL."""
    for node in ("1", "2", "default"):
        copy = root / f"cluster/cdsl/{node}/etc/sysconfig/network"
        copy.parent.mkdir(parents=True)
        shutil.copy(root / "etc/sysconfig/network", copy)
    (root / "cluster/shared").mkdir()
    (root / "cdsl.local").mkdir()
    (root / "etc/sysconfig/network").unlink()
    (root / "etc/sysconfig/network").symlink_to("../../../../cdsl.local/etc/sysconfig/network")
    (root / "var/lib/cdsl").mkdir()
    (root / "var/lib/cdsl/cdsl_inventory.xml").write_text(GENERATION_2)


def test_an_older_layout_is_read_and_migrated(tmp_path: Path) -> None:
    root = make_system(tmp_path)
    make_old(root)
    run = Commands(root)
    assert run.on_root("com-cdslinvadm", "get", "tree") == "cluster/cdsl\n"
    assert run.on_root("com-cdslinvadm", "get", "config_version") == "1\n"
    assert run.on_root("com-cdslinvadm", "getcdsl", "/etc/sysconfig/network") == "etc/sysconfig/network\n"
    run.on_root("com-cdslinvadm", "migrate")
    assert run.on_root("com-cdslinvadm", "get", "config_version") == "2.0\n"
    assert os.readlink(root / "cdsl.local") == "cluster/cdsl/local"
    assert 'timestamp="1795341961.58"' in (root / INVENTORY).read_text()
    assert check(run).returncode == 0
    run.on_root("com-cdslinvadm", "migrate")  # already latest


@private_mounts
def test_another_file_system_below_the_root(tmp_path: Path) -> None:
    """Spec/cdsl.md 1.6 and 6.1 no. 22-24."""
    root = make_system(tmp_path)
    run = Commands(root)
    data = root / "mnt/data"
    data.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(data)], check=True)
    (data / "app/lib").mkdir(parents=True)
    (data / "app/conf").write_text("conf")
    run.on_root("com-mkcdslinfrastructure")
    run.on_root("com-cdslinvadm", "-m", "/mnt/data", "create", "-M", "2")
    run.on_root("com-mkcdsl", "-a", "/mnt/data/app", "-s", "/mnt/data/app/lib", "-a", "/etc/sysconfig/network")
    assert os.readlink(data / "app") == "cdsl.local/app"
    assert (data / "cluster/cdsl/2/app/conf").read_text() == "conf"
    assert os.readlink(data / "cluster/cdsl/1/app/lib") == "../../../../cluster/shared/app/lib"
    assert run.on_root("com-cdslinvadm", "listcdsls").splitlines() == [
        *(f"root: {root}", "/:", "\tetc/sysconfig/network", "/mnt/data:", "\tapp", "\tapp/lib")
    ]
    assert run.on_root("com-cdslinvadm", "-m", "mnt/data", "get", "mountpoint") == "mnt/data\n"
    run.on_root("com-rmcdsl", "-R", "/mnt/data/app")
    assert (data / "app/conf").read_text() == "conf"
