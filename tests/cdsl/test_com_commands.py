# SPDX-License-Identifier: GPL-3.0-or-later
"""The compatible commands on real roots: what is refused, what is kept, exit statuses, and many at once."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cdsl.commands import FILES, Commands, make_system, tree

pytestmark = pytest.mark.root


@pytest.fixture
def run(tmp_path: Path) -> Commands:
    run = Commands(make_system(tmp_path))
    run.on_root("com-mkcdslinfrastructure")
    return run


def on_root(run: Commands, program: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return run(program, "-r", str(run.root), *words)


#: exit status, program, words; on a root where /var is host-dependent and /var/lib shared
REFUSED: list[tuple[int, str, list[str]]] = [
    (1, "com-mkcdsl", ["-a", "/var"]),  # is one already
    (1, "com-mkcdsl", ["-a", "/var/log"]),  # the same type as above
    (1, "com-mkcdsl", ["-s", "/var/lib/rpm"]),
    (1, "com-mkcdsl", ["-s", "/etc"]),  # is shared anyway
    (1, "com-mkcdsl", ["-s", "/var"]),
    (1, "com-mkcdsl", ["-a", "/nonexistent"]),
    (1, "com-mkcdsl", ["-a", "/"]),
    (1, "com-mkcdsl", ["-a", "/cluster"]),
    (1, "com-mkcdsl", ["-a", "/cluster/cdsl"]),
    (1, "com-mkcdsl", ["-a", "/cdsl.local"]),
    (1, "com-mkcdsl", ["-a", "/etc/sysconfig", "nod3"]),
    (2, "com-mkcdsl", ["/etc"]),
    (1, "com-rmcdsl", ["/var"]),
    (1, "com-rmcdsl", ["/etc"]),
    (1, "com-rmcdsl", ["/nonexistent"]),
    (2, "com-rmcdsl", ["--nonsense"]),
    (1, "com-cdslinvadm", ["get", "nonsense"]),
    (1, "com-cdslinvadm", ["getcdsl", "/etc"]),
    (2, "com-cdslinvadm", ["nonsense"]),
    (255, "com-cdslinvchk", ["-C", "/etc"]),
]


def test_what_is_refused_changes_nothing(run: Commands) -> None:
    run.on_root("com-mkcdsl", "-a", "/var", "-s", "/var/lib")
    before = tree(run.root)
    for status, program, words in REFUSED:
        done = on_root(run, program, *words)
        assert done.returncode == status, (program, words, done.stdout, done.stderr)
        assert done.stdout == ""
        assert done.stderr
        assert "Traceback" not in done.stderr
        if status != 2 or "Usage" not in done.stderr:
            assert len(done.stderr.splitlines()) == 2, done.stderr
    assert tree(run.root) == before


def test_without_infrastructure(tmp_path: Path) -> None:
    run = Commands(make_system(tmp_path))
    before = tree(run.root)
    for status, program, words in (
        (1, "com-mkcdsl", ["-a", "/var"]),
        (2, "com-rmcdsl", ["/var"]),
        (1, "com-cdslinvadm", ["list"]),
        (255, "com-cdslinvchk", []),
        (1, "com-searchcdsls", []),
    ):
        assert on_root(run, program, *words).returncode == status, program
    assert tree(run.root) == before


def test_creation_is_idempotent_and_the_inventory_wins(run: Commands) -> None:
    inventory = (run.root / ".cdsl_inventory.xml").read_bytes()
    run.on_root("com-mkcdslinfrastructure", "-M", "7", "-t", ".other")
    run.on_root("com-cdslinvadm", "create", "-M", "7")
    assert (run.root / ".cdsl_inventory.xml").read_bytes() == inventory
    assert sorted(os.listdir(run.root / "cluster/cdsl")) == ["1", "2", "default", "local"]


def test_a_number_of_nodes_and_names_of_generation_3(tmp_path: Path) -> None:
    run = Commands(make_system(tmp_path))
    run.on_root("com-cdslinvadm", "create", "--maxnodeidnum=3", "-t", ".cluster/cdsl", "-s", ".cluster/shared")
    assert sorted(os.listdir(run.root / ".cluster/cdsl")) == ["1", "2", "3", "default", "local"]
    assert run.on_root("com-cdslinvadm", "get", "maxnodeidnum") == "3\n"
    assert run.on_root("com-cdslinvadm", "--get=sharedtree") == ".cluster/shared\n"


def test_trees_named_by_names(tmp_path: Path) -> None:
    run = Commands(make_system(tmp_path))
    run.on_root("com-mkcdslinfrastructure", "-N")
    run.on_root("com-mkcdsl", "-a", "/etc/sysconfig/network", "node2")
    assert (run.root / "cluster/cdsl/node2/etc/sysconfig/network").read_text() == FILES["etc/sysconfig/network"]
    assert not (run.root / "cluster/cdsl/node1/etc").exists()


def test_simulating_changes_nothing(run: Commands) -> None:
    before = tree(run.root)
    for program, words in (
        ("com-mkcdsl", ["-a", "/var"]),
        ("com-cdslinvadm", ["delete"]),
        ("com-mkcdslinfrastructure", ["-M", "9"]),
    ):
        out = run.on_root(program, "-n", *words)
        assert out, program
    assert tree(run.root) == before
    assert not (run.root / ".osrd/backup").exists()


def test_originals_are_kept_when_asked_for(run: Commands) -> None:
    run.on_root("com-mkcdsl", "-b", "-a", "/var", "-s", "/var/lib")
    assert (run.root / "var.orig/log/messages").read_text() == FILES["var/log/messages"]
    for node in ("1", "2", "default"):
        own = run.root / "cluster/cdsl" / node / "var/lib.orig"
        assert (own / "rpm/Packages").read_text() == FILES["var/lib/rpm/Packages"]


@pytest.mark.parametrize("name", ["my file", "$(touch x)", "a\nb", "-x", os.fsdecode(b"caf\xe9"), ".cdsl.foo"])
def test_any_name_is_a_path(run: Commands, name: str) -> None:
    """Spec/cdsl.md 6.1 no. 6, 20."""
    (run.root / "etc" / name).write_text("mine")
    (run.root / "etc/my").write_text("another")
    run.on_root("com-mkcdsl", "-a", f"/etc/{name}")
    for node in ("1", "2", "default"):
        assert (run.root / "cluster/cdsl" / node / "etc" / name).read_text() == "mine"
    assert (run.root / "etc/my").read_text() == "another"
    assert os.readlink(run.root / "etc" / name) == f"../cdsl.local/etc/{name}"


def differ(run: Commands) -> None:
    run.on_root("com-mkcdsl", "-a", "/var")
    (run.root / "cluster/cdsl/2/var/lib/rpm/Packages").write_text("node 2's")


def test_copies_that_differ_are_not_shared_without_being_told(run: Commands) -> None:
    """Spec/cdsl.md 6.1 no. 10."""
    differ(run)
    before = tree(run.root)
    done = on_root(run, "com-mkcdsl", "-s", "/var/lib")
    assert done.returncode == 1
    assert "--from" in done.stderr
    assert tree(run.root) == before
    out = run.on_root("com-mkcdsl", "-s", "/var/lib", "--from", "node2")
    assert out.startswith("kept: .osrd/backup/")
    assert (run.root / "cluster/shared/var/lib/rpm/Packages").read_text() == "node 2's"
    backup = run.root / out.splitlines()[0].removeprefix("kept: ")
    assert (backup / "1/rpm/Packages").read_text() == FILES["var/lib/rpm/Packages"]


def test_removal_brings_the_path_back_and_loses_nothing(run: Commands) -> None:
    """Spec/cdsl.md 6.1 no. 2, 11, 12."""
    differ(run)
    (run.root / "cluster/cdsl/1/etc").mkdir()
    (run.root / "cluster/cdsl/1/etc/unregistered").write_text("mine")
    done = on_root(run, "com-rmcdsl", "/var")
    assert done.returncode == 2
    assert "--from" in done.stderr
    run.on_root("com-rmcdsl", "--from", "2", "/var")
    assert (run.root / "var/lib/rpm/Packages").read_text() == "node 2's"
    assert (run.root / "var.1/lib/rpm/Packages").read_text() == FILES["var/lib/rpm/Packages"]
    assert (run.root / "cluster/cdsl/1/etc/unregistered").read_text() == "mine"
    assert run.on_root("com-cdslinvadm", "listcdsls").splitlines()[1:] == ["/:"]


def test_a_shared_one_comes_back_on_every_node(run: Commands) -> None:
    run.on_root("com-mkcdsl", "-a", "/var", "-s", "/var/lib")
    run.on_root("com-rmcdsl", "/var/lib")
    for node in ("1", "2", "default"):
        own = run.root / "cluster/cdsl" / node / "var/lib/rpm/Packages"
        assert own.read_text() == FILES["var/lib/rpm/Packages"]


def test_removal_of_a_whole_family(run: Commands) -> None:
    before = tree(run.root)
    run.on_root("com-mkcdsl", "-a", "/var", "-s", "/var/lib", "-a", "/var/lib/dhclient")
    run.on_root("com-rmcdsl", "-R", "/var")
    assert tree(run.root) == before


def test_deleting_the_infrastructure_keeps_all_content(run: Commands) -> None:
    """Spec/cdsl.md 6.1 no. 3."""
    run.on_root("com-mkcdsl", "-a", "/var", "-s", "/var/lib", "-a", "/etc/sysconfig/network")
    (run.root / "cluster/cdsl/1/unregistered").write_text("mine")
    out = run.on_root("com-cdslinvadm", "delete")
    assert {path: text for path, text in tree(run.root).items() if not path.startswith(".")} == FILES
    backup = run.root / out.splitlines()[-1].removeprefix("kept: ")
    assert [path.read_text() for path in backup.rglob("unregistered")] == ["mine"]
    assert not (run.root / "cluster").exists()
    assert on_root(run, "com-cdslinvadm", "list").returncode == 1
    run.on_root("com-mkcdslinfrastructure")


def test_twelve_at_once(run: Commands) -> None:
    """Spec/cdsl.md 6.1 no. 13: the original made 9 links and recorded 3."""
    names = [f"f{number}" for number in range(12)]
    for name in names:
        (run.root / "etc" / name).write_text(name)
    with ThreadPoolExecutor(12) as pool:
        done = list(pool.map(lambda name: on_root(run, "com-mkcdsl", "-a", f"/etc/{name}"), names))
    assert [each.returncode for each in done] == [0] * 12, [each.stderr for each in done]
    listed = run.on_root("com-cdslinvadm", "listcdsls").split()
    assert {f"etc/{name}" for name in names} <= set(listed)


def test_reading_never_writes(run: Commands) -> None:
    """Spec/cdsl.md 6.1 no. 14."""
    run.on_root("com-mkcdsl", "-a", "/var")
    before = os.stat(run.root / ".cdsl_inventory.xml")
    for words in (["list"], ["get", "tree"], ["listcdsls"], ["getcdsl", "/var/log"]):
        run.on_root("com-cdslinvadm", *words)
    after = os.stat(run.root / ".cdsl_inventory.xml")
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)
