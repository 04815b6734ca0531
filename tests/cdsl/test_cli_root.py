# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl root as people and scripts use it."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from osrd.cli.main import osrctl
from osrd.cli.session import Session
from tests.cdsl.rootcare_world import CLUSTER, SEED_FSTAB, engine_of, fedora_root, write

pytestmark = [pytest.mark.root, pytest.mark.needs("ssh-keygen")]


class World:
    def __init__(self, base: Path) -> None:
        self.root = fedora_root(base)
        self.cluster = write(base, "cluster.conf", CLUSTER)
        self.configuration = write(base, "osrd.conf", f"[root web]\npath = {self.root}\n")
        self.base = base

    def osrctl(self, *words: str, text: str | None = None) -> Result:
        session = Session(open_root=engine_of, configuration=str(self.configuration))  # type: ignore[arg-type]
        runner = CliRunner(env={"NO_COLOR": "1", "TERM": "dumb"})
        result = runner.invoke(osrctl, ["root", *words], obj=session, input=text, prog_name="osrctl")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def on_root(self, command: str, *words: str, text: str | None = None) -> Result:
        return self.osrctl(command, str(self.root), "-c", str(self.cluster), *words, text=text)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_check_is_like_a_compiler(world: World) -> None:
    result = world.on_root("check")
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert (
        f"{world.root}/etc/fstab:2: error: /etc/fstab mounts /dev/mapper/vg-root as the root; nodes get their root "
        in ("\n".join(lines))
    )
    assert lines[-1].startswith(f"{world.root}: ")
    assert "errors" in lines[-1]
    assert (world.root / "etc/fstab").read_text() == SEED_FSTAB
    assert not (world.root / ".osrd").exists(), "looking writes nothing"


def test_check_by_the_name_of_osrd_conf_and_for_scripts(world: World) -> None:
    result = world.osrctl("check", "web", "-c", str(world.cluster), "--json")
    answer = json.loads(result.stdout)
    assert answer["root"] == str(world.root)
    machine_id = next(each for each in answer["findings"] if each["code"] == "root-machine-id")
    assert machine_id["value"] == "etc/machine-id"
    assert machine_id["severity"] == "error"
    assert machine_id["fix"]


def test_the_fix_copies_the_cluster_conf_that_was_named(world: World) -> None:
    answer = json.loads(world.on_root("check", "--json").stdout)
    finding = next(each for each in answer["findings"] if each["code"] == "root-cluster-conf")
    inside = world.root / "etc/cluster/cluster.conf"
    assert finding["fix"] == f"install -D -m 640 {world.cluster} {inside}"
    subprocess.run(finding["fix"].split(), check=True)  # makes the directory, too
    assert inside.read_text() == world.cluster.read_text()
    after = json.loads(world.on_root("check", "--json").stdout)
    assert "root-cluster-conf" not in {each["code"] for each in after["findings"]}


def test_what_no_root_is(world: World) -> None:
    assert world.osrctl("check", str(world.base / "none")).exit_code == 6
    empty = world.base / "empty"
    empty.mkdir()
    result = world.osrctl("check", str(empty), "-c", str(world.cluster))
    assert result.exit_code == 2
    assert "osrctl root create" in result.stdout


def test_prepare_shows_everything_first(world: World) -> None:
    result = world.on_root("prepare", "--dry-run")
    assert result.exit_code == 2
    for line in (
        "edit /etc/fstab [root-fstab-root, root-fstab-disk, root-fstab-swap]",
        "    -/dev/mapper/vg-root  /          ext4   defaults        1 1",
        "    +# /dev/mapper/vg-root  /          ext4   defaults        1 1",
        "make the directory /proc (mode 0555) [root-directory]",
        "link /etc/mtab to ../proc/self/mounts [root-mtab]",
        "make the CDSL infrastructure: inventory, trees of the nodes, link [root-no-inventory]",
        "make /var host-dependent [root-host-dependent]",
        "make /var/lib shared [root-shared]",
        "write a new machine id into /etc/machine-id of 2 [root-machine-id]",
        "make a new ed25519 host key /etc/ssh/ssh_host_ed25519_key of 1 [root-ssh-key]",
    ):
        assert f"{line}\n" in result.stdout, line
    assert not (world.root / "proc").exists()
    assert not (world.root / ".osrd").exists()


def test_prepare_asks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    result = world.on_root("prepare")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    monkeypatch.setattr("osrd.cli.commands_root.can_ask", lambda: True)
    result = world.on_root("prepare", text="n\n")
    assert result.exit_code == 1
    assert not (world.root / ".osrd").exists()
    result = world.on_root("prepare", "--only", "root-mtab", text="y\n")
    assert "Make this change in" in result.output
    assert (world.root / "etc/mtab").is_symlink()


def test_prepare_does_it_and_says_where_everything_is(world: World) -> None:
    result = world.on_root("prepare", "--yes")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[-1] == f"{world.root}: no findings"
    assert str(world.root / ".osrd/prepared.json") in result.stdout
    assert str(world.root / ".osrd/backup/prepare-") in result.stdout
    again = world.on_root("prepare", "--yes", "--json")
    assert again.exit_code == 0
    answer = json.loads(again.stdout)
    assert (answer["changes"], answer["done"], answer["backup"], answer["findings"]) == ([], True, "", [])
    assert "nothing to do" in world.on_root("prepare").stdout, "nothing to do needs no --yes"


def test_prepare_for_scripts(world: World) -> None:
    answer = json.loads(world.on_root("prepare", "--json", "--dry-run").stdout)
    assert answer["done"] is False
    changes = {(change["action"], change["path"], change["node"]) for change in answer["changes"]}
    assert {("make-host-dependent", "var", ""), ("renew", "etc/machine-id", "1"), ("link", "etc/mtab", "")} <= changes
    assert world.on_root("prepare", "--json").exit_code == 2


def test_what_fails_is_told_and_the_rest_is_done(world: World) -> None:
    os.link(world.root / "etc/fstab", world.base / "fstab2")
    result = world.on_root("prepare", "--yes")
    assert result.exit_code == 8
    assert "failed: edit /etc/fstab" in result.stdout
    assert "hard links" in result.stdout
    assert (world.root / "etc/mtab").is_symlink()


def test_names_that_would_move_the_cursor(world: World) -> None:
    write(world.root, "etc/sysconfig/network-scripts/ifcfg-\x1b[2J", "DEVICE=eth0\n")
    result = world.on_root("prepare", "--dry-run")
    assert "\x1b" not in result.stdout
    assert "ifcfg-\\x1b[2J" in result.stdout


@pytest.mark.needs("rsync")
def test_create_leaves_the_other_roots_where_they_are(world: World) -> None:
    """The second root of a boot host whose roots are below /srv: its nodes would have got the first one's keys."""
    first, second = (world.root / f"srv/osr/{name}" for name in ("first", "second"))
    write(first, "etc/ssh/ssh_host_rsa_key", "secret")
    write(world.root, "srv/osr/notes", "kept")
    roots = {"web": world.root, "first": first, "second": second}
    world.configuration.write_text("".join(f"[root {name}]\npath = {path}\n" for name, path in roots.items()))
    done = world.osrctl("create", str(world.root), str(second), "-c", str(world.cluster), "--json")
    assert json.loads(done.stdout)["warnings"] == [f"{first} is left out: it is a shared root itself"]
    assert not os.path.lexists(second / "srv/osr/first")
    assert (second / "srv/osr/notes").read_text() == "kept"
    assert (second / "etc/fstab").exists(), "what is copied may be a root itself"


def test_create_ends_with_a_check(world: World) -> None:
    target = world.base / "new"
    result = world.osrctl("create", str(world.root), str(target), "-c", str(world.cluster), "--exclude", "/var/log/*")
    assert result.exit_code == 2
    assert f"copied {world.root}\n" in result.stdout
    assert f"next: osrctl root prepare {target}\n" in result.stdout
    assert "root-machine-id" in result.stdout
    assert list((target / "var/log").iterdir()) == []
    again = world.osrctl("create", str(world.root), str(target), "-c", str(world.cluster))
    assert again.exit_code == 7
    assert "--continue" in again.stderr
    done = world.osrctl("create", str(world.root), str(target), "-c", str(world.cluster), "--continue", "--json")
    assert json.loads(done.stdout)["copied"] == [str(world.root)]
