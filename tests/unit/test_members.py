# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes a shared root has, and from which cluster.conf that is known."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from osrd.engine.members import find_members, section_of
from osrd.model.cdsl import Members
from osrd.model.cluster import RootVolume
from osrd.model.errors import InvalidConfigError, NotFoundError
from osrd.model.settings import RootSettings, Settings
from osrd.observe.inroot import read_in_root
from osrd.plan.members import members_of
from tests.conftest import REPOSITORY
from tests.unit.planning import cluster, node

SEED = (REPOSITORY / "tests/fixtures/seed.conf").read_bytes()
OTHER = RootVolume("10.0.0.9:/other", "nfs4", "10.0.0.9", "/other")


def test_the_seeds_nodes_have_trees_although_they_share_a_hardware_address(tmp_path: Path) -> None:
    (tmp_path / "cluster.conf").write_bytes(SEED)
    found = find_members(str(tmp_path), Settings(), str(tmp_path / "cluster.conf"))
    assert found.members == Members(("1", "2"), ("node1", "node2"))
    assert found.findings == ()


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ({"nodeid": None, "nodeid_text": ""}, "has no nodeid"),
        ({"nodeid": None, "nodeid_text": "0x2"}, "has the nodeid '0x2'"),
        ({"nodeid": 1}, "shares the nodeid 1"),
        ({"name": ""}, "has no name"),
        ({"name": "node1"}, "shares its name"),
    ],
)
def test_a_node_without_an_identity_of_its_own_is_left_out(odd: dict[str, object], why: str) -> None:
    members, findings = members_of(cluster(node(1), node(2, **odd), node(3)))
    alone = "shares" in why  # then both parties are
    assert members.ids == (("3",) if alone else ("1", "3"))
    assert members.names == (("node3",) if alone else ("node1", "node3"))
    assert any(why in finding.message for finding in findings)
    assert {finding.code for finding in findings} == {"node-without-identity"}
    assert all(finding.place is not None and finding.place.line for finding in findings)


def test_osrd_conf_says_who_uses_the_root() -> None:
    web = RootSettings("web", path="/srv/web")
    other = RootSettings("other", volume=OTHER.name, path="/srv/other")
    settings = Settings(roots=(web, other))
    nodes = cluster(node(1), node(2, root=OTHER), node(3, com_info=False))
    assert members_of(nodes, settings, web)[0].ids == ("1",)
    assert members_of(nodes, settings, other)[0].ids == ("2",)
    assert members_of(nodes)[0].ids == ("1", "2", "3")


def test_two_volumes_of_one_directory_are_one_root() -> None:
    first = RootSettings("a", volume=OTHER.name, path="/srv/web")
    second = RootSettings("b", path="/srv/web")
    settings = Settings(roots=(first, second))
    assert members_of(cluster(node(1), node(2, root=OTHER)), settings, second)[0].ids == ("1", "2")


def place(root: Path, data: bytes = SEED) -> None:
    (root / "etc/cluster").mkdir(parents=True)
    (root / "etc/cluster/cluster.conf").write_bytes(data)


def host(tmp_path: Path) -> Settings:
    (tmp_path / "host.conf").write_bytes(SEED.replace(b'nodeid="1"', b'nodeid="7"'))
    return Settings(cluster_conf=str(tmp_path / "host.conf"))


def test_the_roots_own_file_comes_before_the_hosts(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    assert find_members(str(root), host(tmp_path)).members.ids == ("7", "2")
    place(root)
    found = find_members(str(root), host(tmp_path))
    assert (found.members.ids, found.file) == (("1", "2"), f"{root}/etc/cluster/cluster.conf")


def test_none_anywhere_means_no_nodes(tmp_path: Path) -> None:
    found = find_members(str(tmp_path), Settings(cluster_conf=str(tmp_path / "gone")))
    assert (found.members, found.file, found.findings) == (Members(), "", ())


def test_links_of_the_root_stay_in_the_root(tmp_path: Path) -> None:
    """What a node planted never makes this host read its own files; the same link leads a node to the same file."""
    root = tmp_path / "root"
    place(root)
    (root / "etc/cluster/cluster.conf").rename(root / "real.conf")
    (root / "etc/cluster/cluster.conf").symlink_to("/real.conf")
    assert find_members(str(root), Settings()).members.ids == ("1", "2")
    (root / "etc/cluster/cluster.conf").unlink()
    (root / "etc/cluster/cluster.conf").symlink_to(tmp_path / "host.conf")
    host(tmp_path)
    with pytest.raises(NotFoundError):
        read_in_root(str(root), "etc/cluster/cluster.conf", 10)


def test_a_pipe_neither_hangs_nor_counts(tmp_path: Path) -> None:
    (tmp_path / "etc/cluster").mkdir(parents=True)
    os.mkfifo(tmp_path / "etc/cluster/cluster.conf")
    (finding,) = find_members(str(tmp_path), host(tmp_path)).findings
    assert "not a regular file" in finding.message


def test_a_file_that_was_only_found_may_be_broken_but_not_one_that_was_named(tmp_path: Path) -> None:
    place(tmp_path, b"<cluster")
    found = find_members(str(tmp_path), Settings())
    assert found.members == Members()
    assert [finding.code for finding in found.findings] == ["cluster-conf-unusable"]
    file = str(tmp_path / "etc/cluster/cluster.conf")
    with pytest.raises(InvalidConfigError):
        find_members(str(tmp_path), Settings(), file)
    with pytest.raises(NotFoundError):
        find_members(str(tmp_path), Settings(), file + ".gone")


@pytest.mark.root
def test_a_device_is_never_opened(tmp_path: Path) -> None:
    """Opening one does things, to this host; one without a driver tells that it was tried."""
    os.mknod(tmp_path / "f", 0o20600, os.makedev(240, 0))
    with pytest.raises(InvalidConfigError, match="not a regular file"):
        read_in_root(str(tmp_path), "f", 5)


def test_the_limit_holds(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    assert read_in_root(str(tmp_path), "f", 5) == b"12345"
    with pytest.raises(InvalidConfigError, match="longer than 4 bytes"):
        read_in_root(str(tmp_path), "f", 4)


def test_a_section_is_found_by_the_directory_not_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    root = RootSettings("web", path=str(tmp_path / "link"))
    settings = Settings(roots=(RootSettings("none"), replace(root, name="gone", path="/nonexistent"), root))
    assert section_of(str(tmp_path / "real"), settings) is root
    assert section_of(str(tmp_path), settings) is None
