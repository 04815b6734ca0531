# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl cdsl and osrctl shell on real roots, without a daemon."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cdsl.commands import FILES, Commands, make_system, tree
from tests.mounts.namespace import private_mounts

pytestmark = pytest.mark.root


class Osrctl:
    def __init__(self, base: Path) -> None:
        self.root = make_system(base)
        self._run = Commands(self.root)

    def __call__(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self._run("osrctl", "--bus", "unix:path=/nonexistent/bus", *words)

    def cdsl(self, command: str, *words: str) -> Any:
        done = self("--json", "cdsl", *command.split(), str(self.root), *words)
        assert done.returncode == 0, (command, words, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def wrong(self) -> list[str]:
        """The codes that check tells, except that nothing is mounted at the link."""
        found = json.loads(self("--json", "cdsl", "check", str(self.root)).stdout)["findings"]
        return [each["code"] for each in found if each["code"] != "cdsl-not-mounted"]


@pytest.fixture
def osrctl(tmp_path: Path) -> Osrctl:
    return Osrctl(tmp_path)


def test_a_root_from_the_first_to_the_last_command(osrctl: Osrctl) -> None:
    root = osrctl.root
    untouched = tree(root)
    assert osrctl.cdsl("init")["changed"] is True
    assert osrctl.cdsl("init")["changed"] is False
    osrctl.cdsl("make", "/var", "etc/sysconfig/network")
    osrctl.cdsl("share", "/var/lib")
    listed = osrctl.cdsl("list")["cdsls"]
    assert [(each["path"], each["type"]) for each in listed] == [
        ("var", "hostdependent"),
        ("etc/sysconfig/network", "hostdependent"),
        ("var/lib", "shared"),
    ]
    shown = osrctl.cdsl("show", "/var/lib/rpm")
    assert (shown["type"], shown["copies"]) == ("shared", {"": "cluster/shared/var/lib/rpm"})
    shown = osrctl.cdsl("show", "/var/log")
    assert shown["copies"] == {node: f"cluster/cdsl/{node}/var/log" for node in ("1", "2", "default")}
    assert osrctl.cdsl("show")["nodes"] == ["1", "2"]
    assert osrctl.wrong() == []
    assert osrctl.cdsl("undo")["changed"] is True
    assert len(osrctl.cdsl("list")["cdsls"]) == 2
    osrctl.cdsl("remove", "/var", "/etc/sysconfig/network")
    assert {path: text for path, text in tree(root).items() if path in untouched} == untouched


def test_no_number_of_nodes_is_too_long_for_an_answer(osrctl: Osrctl) -> None:
    """Python refuses to read numbers of more than 4,300 digits."""
    osrctl.cdsl("init", "--maxnodeidnum", "2")
    done = osrctl("cdsl", "set", str(osrctl.root), "maxnodeidnum", "9" * 5000)
    assert (done.returncode, "is a number from 0 to 99999" in done.stderr) == (2, True), done.stderr
    done = Commands(osrctl.root)("com-cdslinvadm", "-r", str(osrctl.root), "addnode", "9" * 5000)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_what_differs_needs_a_word(osrctl: Osrctl) -> None:
    osrctl.cdsl("init")
    osrctl.cdsl("make", "/var")
    (osrctl.root / "cluster/cdsl/2/var/lib/rpm/Packages").write_text("2's")
    refused = osrctl("cdsl", "share", str(osrctl.root), "/var/lib")
    assert refused.returncode == 7
    assert "--from" in refused.stderr
    answer = osrctl.cdsl("share", "/var/lib", "--from", "node2")
    assert len(answer["backups"]) == 1
    (backup,) = osrctl.cdsl("backups list")["backups"]
    osrctl.cdsl("backups drop", backup, "--yes")
    assert osrctl.cdsl("backups list")["backups"] == []


def test_what_is_broken_is_found_and_repaired(osrctl: Osrctl) -> None:
    osrctl.cdsl("init")
    osrctl.cdsl("make", "/etc/sysconfig/network")
    (osrctl.root / "etc/sysconfig/network").unlink()
    found = osrctl("cdsl", "check", str(osrctl.root))
    assert found.returncode == 1
    assert "/etc/sysconfig/network" in found.stdout
    assert osrctl.cdsl("repair")["changed"] is True
    assert osrctl.wrong() == []
    (osrctl.root / ".cdsl_inventory.xml").unlink()
    assert osrctl("cdsl", "list", str(osrctl.root)).returncode == 6
    osrctl.cdsl("rebuild")
    assert [each["path"] for each in osrctl.cdsl("list")["cdsls"]] == ["etc/sysconfig/network"]


def test_a_tree_finds_an_heir(osrctl: Osrctl) -> None:
    osrctl.cdsl("init")
    osrctl.cdsl("make", "/etc/sysconfig/network")
    (osrctl.root / "cluster/cdsl/2/etc/sysconfig/network").write_text("2's")
    conf = osrctl.root / "etc/cluster/cluster.conf"
    conf.write_bytes(conf.read_bytes().replace(b'nodeid="2"', b'nodeid="3"'))
    found = osrctl("cdsl", "check", str(osrctl.root))
    assert "2" in found.stdout
    osrctl.cdsl("adopt", "2", "node2")
    assert (osrctl.root / "cluster/cdsl/3/etc/sysconfig/network").read_text() == "2's"
    assert not (osrctl.root / "cluster/cdsl/2").exists()


@private_mounts
def test_the_root_looks_as_on_a_node(tmp_path: Path) -> None:
    osrctl = Osrctl(tmp_path)
    osrctl.cdsl("init")
    osrctl.cdsl("make", "/etc/sysconfig/network")
    (osrctl.root / "cluster/cdsl/2/etc/sysconfig/network").write_text("2's")
    osrctl.cdsl("bind")
    assert (osrctl.root / "etc/sysconfig/network").read_text() == FILES["etc/sysconfig/network"]
    assert osrctl.cdsl("check")["findings"] == []
    osrctl.cdsl("bind", "node2")
    assert (osrctl.root / "etc/sysconfig/network").read_text() == "2's"
    assert osrctl.cdsl("show")["bound"] == "2"
    assert osrctl.cdsl("bind", "2")["changed"] is False
    osrctl.cdsl("bind", "none")
    assert not (osrctl.root / "etc/sysconfig/network").exists()


@private_mounts
def test_a_shell_sees_what_a_node_sees(tmp_path: Path) -> None:
    osrctl = Osrctl(tmp_path)
    root = osrctl.root
    osrctl.cdsl("init")
    osrctl.cdsl("make", "/etc/sysconfig/network")
    (root / "cluster/cdsl/2/etc/sysconfig/network").write_text("2's")
    for name in ("usr", "bin", "lib", "lib64"):
        source = Path("/") / name
        if source.is_symlink():
            (root / name).symlink_to(os.readlink(source))
        elif source.is_dir():
            (root / name).mkdir()
            subprocess.run(["mount", "--rbind", str(source), str(root / name)], check=True)
    for node, text in (("1", FILES["etc/sysconfig/network"]), ("node2", "2's")):
        done = osrctl("shell", str(root), "--node", node, "cat", "/etc/sysconfig/network")
        assert (done.returncode, done.stdout) == (0, text), done.stderr
    assert osrctl("shell", str(root), "sh", "-c", "exit 42").returncode == 42
    assert not os.listdir(root / "cluster/cdsl/local")
