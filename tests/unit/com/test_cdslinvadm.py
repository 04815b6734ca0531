# SPDX-License-Identifier: GPL-3.0-or-later
"""com-cdslinvadm: words and options, and outputs that scripts parse (spec/cdsl.md 3.4)."""

from dataclasses import replace

import pytest

from osrd.model.cdsl import Changed, ChildRepository, Layout
from tests.unit.com.world import Com, com
from tests.unit.fake_root import INVENTORY

__all__ = ["com"]

LIST = """config_version: 2.0
default_dir: default
expandstring: .cdsl
link: cdsl.local
maxnodeidnum: 0
mountpoint: 
node_prefix: 
sharedtree: cluster/shared
tree: cluster/cdsl
use_nodeids: True
"""  # noqa: W291 - as printed
CREATE = ("init", Layout(), 2, True)


@pytest.mark.parametrize("words", [["list"], ["-l"], ["--list"]])
def test_list(com: Com, words: list[str]) -> None:
    ended = com.on_root("com-cdslinvadm", *words)
    assert (ended.status, ended.out) == (0, LIST)


@pytest.mark.parametrize(
    "words", [["get", "tree"], ["-p", "tree"], ["--get", "tree"], ["--get=tree"], ["get", "cdsltree"]]
)
def test_get(com: Com, words: list[str]) -> None:
    """Initrds of the original store what ``--get=tree`` prints."""
    ended = com.on_root("com-cdslinvadm", *words)
    assert (ended.status, ended.out, ended.err) == (0, "cluster/cdsl\n", "")


def test_get_of_what_is_not_there(com: Com) -> None:
    ended = com.on_root("com-cdslinvadm", "get", "nonsense")
    assert (ended.status, ended.out) == (1, "")
    assert "maxnodeidnum" in ended.err


def test_unknown_attributes_are_kept_and_listed(com: Com) -> None:
    com.fake.known = replace(INVENTORY, extra=(("site", "Munich"),))
    assert "site: Munich\n" in com.on_root("com-cdslinvadm", "list").out
    assert com.on_root("com-cdslinvadm", "get", "site").out == "Munich\n"


def test_an_old_inventory_says_so(com: Com) -> None:
    com.fake.known = replace(INVENTORY, file="/r/var/lib/cdsl/cdsl_inventory.xml")
    assert com.on_root("com-cdslinvadm", "get", "config_version").out == "1\n"


@pytest.mark.parametrize("words", [["set", "cdsl_link", ".l"], ["-T", "link", ".l"], ["--set", "link", ".l"]])
def test_set(com: Com, words: list[str]) -> None:
    assert com.on_root("com-cdslinvadm", *words).status == 0
    assert com.fake.calls == [("set", "link", ".l")]


def test_listcdsls(com: Com) -> None:
    assert com.on_root("com-cdslinvadm", "listcdsls").out == f"root: {com.root}\n/:\n\tvar\n\tvar/lib\n"
    detailed = com.on_root("com-cdslinvadm", "-I", "-E").out
    assert "\tvar\t1,2\t1795341958.99\n" in detailed
    xml = com.on_root("com-cdslinvadm", "listcdsls", "-X").out
    assert xml.startswith('<cdsl src="var" timestamp="1795341958.99" type="hostdependent">\n\t<nodes>\n')
    assert "root:" not in xml


def test_listcdsls_of_other_file_systems(com: Com) -> None:
    (com.root / "mnt/data").mkdir(parents=True)
    com.fake.known = replace(INVENTORY, repositories=(ChildRepository("mnt/data"),))
    assert "\n/mnt/data:\n\tvar\n" in com.on_root("com-cdslinvadm", "listcdsls").out
    assert "/mnt/data" not in com.on_root("com-cdslinvadm", "listcdsls", "-R").out


@pytest.mark.parametrize(
    ("path", "words", "out"),
    [
        ("/var", [], "var\n"),
        ("/var/lib", [], "var/lib\n"),
        ("/var/lib/rpm", [], "var/lib/rpm var/lib\n"),
        ("/var/log", [], "var/log var\n"),
        ("/etc", [], None),
        ("/var/log", ["-R"], None),
        ("/var", ["-R"], "var\n"),
    ],
)
def test_getcdsl(com: Com, path: str, words: list[str], out: str | None) -> None:
    for form in (["getcdsl", path], ["--getcdsl", path], [f"--getcdsl={path}"], ["-G", path]):
        ended = com.on_root("com-cdslinvadm", *form, *words)
        assert (ended.status, ended.out) == ((0, out) if out else (1, ""))


@pytest.mark.parametrize(
    "words", [["create", "--maxnodeidnum=2"], ["-e", "-M", "2"], ["--create", "-M2"], ["create", "-M", "2", "-N"]]
)
def test_create(com: Com, words: list[str]) -> None:
    assert com.on_root("com-cdslinvadm", *words).status == 0
    assert com.fake.calls == [(*CREATE[:3], "-N" not in words)]


def test_create_with_other_names(com: Com) -> None:
    words = ["-t", "/.cluster/cdsl", "-s", ".cluster/shared", "-L", ".cdsl.local", "-D", "any"]
    com.on_root("com-cdslinvadm", "create", *words)
    assert com.fake.calls[0][1] == Layout(".cluster/cdsl", ".cluster/shared", ".cdsl.local", "any")


def test_create_on_another_file_system_registers_it(com: Com) -> None:
    (com.root / "mnt/data").mkdir(parents=True)
    com.on_root("com-cdslinvadm", "-m", "/mnt/data", "create")
    assert [call[0] for call in com.fake.calls] == ["init", "set", "register"]
    assert com.fake.calls[2] == ("register", "mnt/data")
    assert com.fake.opened == [f"{com.root}/mnt/data", str(com.root)]


def test_nodes(com: Com) -> None:
    com.on_root("com-cdslinvadm", "addnode", "3")
    com.fake.changed = Changed(("node 3 left",), (".osrd/backup/3",))
    com.on_root("com-cdslinvadm", "--deletenode", "3")
    assert com.fake.calls == [("add_node", "3"), ("delete_node", "3")]
    com.on_root("com-cdslinvadm", "-O", "3", "-f")
    assert com.fake.calls[-1] == ("drop_backup", ".osrd/backup/3")


def test_delete_keeps_content_unless_forced(com: Com) -> None:
    """Spec/cdsl.md 6.1 no. 3: the original's default wiped everything."""
    assert com.on_root("com-cdslinvadm", "delete").status == 0
    assert com.on_root("com-cdslinvadm", "-x", "-f").status == 0
    assert com.fake.calls == [("dismantle", False), ("dismantle", True)]


def test_migrate(com: Com) -> None:
    com.fake.changed = Changed()
    assert com.on_root("com-cdslinvadm", "migrate").status == 0  # already latest
    assert com.on_root("com-cdslinvadm", "-g", "-S", "/var/lib/cdsl/cdsl_inventory.xml").status == 0
    assert com.fake.calls == [("convert",), ("convert",)]
    assert com.on_root("com-cdslinvadm", "migrate", "-S", "elsewhere.xml").status == 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["get"],
        ["get", "tree", "link"],
        ["set", "tree"],
        ["-l", "list"],
        ["-l", "-p", "tree"],
        ["create", "-M", "x"],
        ["create", "-M", "-1"],
    ],
)
def test_usage_errors(com: Com, words: list[str]) -> None:
    assert com.on_root("com-cdslinvadm", *words).status == 2
    assert com.fake.calls == []


def test_without_infrastructure(com: Com) -> None:
    com.fake.known = None
    for words in (["list"], ["get", "tree"], ["listcdsls"], ["getcdsl", "/var"]):
        assert com.on_root("com-cdslinvadm", *words).status == 1
