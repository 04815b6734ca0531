# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd.parse.clusteredit: exactly the asked change, to the byte, or a refusal that says why."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osrd.model.errors import ConflictError, InvalidArgsError, InvalidConfigError, NotFoundError, OsrdError
from osrd.model.finding import Severity
from osrd.parse import clusteredit
from osrd.parse.clusterconf import nodes_by_source, parse_cluster
from osrd.parse.validation import Validator

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SEED = (FIXTURES / "seed.conf").read_bytes()
FIXED = (FIXTURES / "seed-fixed.conf").read_bytes()
FULL = (FIXTURES / "full.conf").read_bytes()

NEW = {"mac": "00:0C:29:C9:C6:F7", "ip": "192.168.122.173"}


def add_node(data: bytes, name: str, attributes: Mapping[str, str], version: int = 0) -> bytes:
    return clusteredit.add_node(data, "c.conf", name, attributes, version)


def set_node(data: bytes, node: str, attributes: Mapping[str, str], version: int = 0) -> bytes:
    return clusteredit.set_node(data, "c.conf", node, attributes, version)


def remove_node(data: bytes, node: str, version: int = 0) -> bytes:
    return clusteredit.remove_node(data, "c.conf", node, version)


def raised(data: bytes, old: str = "1", new: str = "2") -> bytes:
    """``data`` with the other config_version."""
    before = f'config_version="{old}"'.encode()
    assert data.count(before) == 1
    return data.replace(before, f'config_version="{new}"'.encode())


class TestSet:
    def test_one_attribute_and_the_version(self) -> None:
        assert set_node(SEED, "node2", {"mac": "00:0C:29:C9:C6:F6"}) == raised(FIXED)

    def test_by_id(self) -> None:
        assert set_node(SEED, "2", {"mac": "00:0C:29:C9:C6:F6"}) == raised(FIXED)

    @pytest.mark.parametrize(
        ("key", "value", "old", "new"),
        [
            ("name", "web1", b'name="node1"', b'name="web1"'),
            ("nodeid", "17", b'nodeid="1"', b'nodeid="17"'),
            ("votes", "3", b'votes="1"', b'votes="3"'),
            ("votes", "", b' votes="1"', b""),
            ("root", "192.168.122.1:/new", b"192.168.122.1:/mnt/virtual/nfsosr/fc11", b"192.168.122.1:/new"),
            ("fstype", "nfs4", b'fstype="nfs"', b'fstype="nfs4"'),
            ("mountopts", "ro,soft", b'nfsosr/fc11"', b'nfsosr/fc11" mountopts="ro,soft"'),
            ("eth0.ip", "dhcp", b'ip="192.168.122.171"', b'ip="dhcp"'),
            ("gateway", "", b' gateway="192.168.122.1"', b""),
        ],
    )
    def test_every_key(self, key: str, value: str, old: bytes, new: bytes) -> None:
        assert set_node(FIXED, "node1", {key: value}) == raised(FIXED.replace(old, new, 1))

    def test_values_that_are_there_change_nothing(self) -> None:
        assert set_node(FIXED, "node1", {"votes": "1", "mountopts": ""}) == FIXED

    def test_another_interface_is_made(self) -> None:
        changed = set_node(FIXED, "node1", {"eth1.mac": "00:0C:29:00:00:01", "eth1.ip": "dhcp"})
        eth0 = FIXED.splitlines(keepends=True)[6]
        eth1 = b" " * 28 + b'<eth name="eth1" mac="00:0C:29:00:00:01" ip="dhcp"/>\n'
        assert changed == raised(FIXED.replace(eth0, eth0 + eth1, 1))

    def test_a_vlan_interface_has_a_dot_in_its_name(self) -> None:
        cluster = parse_cluster(set_node(FULL, "axqa1", {"bond0.45.ip": "10.0.45.99"}), "c.conf")
        assert cluster.nodes[0].nics[3].ip == "10.0.45.99"

    def test_com_info_and_root_volume_are_made(self) -> None:
        changed = set_node(FULL, "arbiter", {"root": "10.0.0.1:/srv/root", "mac": "00:16:3e:00:99:00"})
        added = (
            b'\n      <com_info>\n        <rootvolume name="10.0.0.1:/srv/root"/>\n        <eth name="eth0" '
            b'mac="00:16:3e:00:99:00"/>\n      </com_info>'
        )
        method = b'\n      <fence><method name="1"><device name="manual"/></method></fence>'
        assert changed == raised(FULL, "42", "43").replace(b'votes="1">' + method, b'votes="1">' + method + added)

    def test_quotes_alignment_and_comments_stay(self) -> None:
        text = FIXED.replace(
            b'<eth name="eth0" ip="192.168.122.171"',
            b"<eth\tname = 'eth0'\n   ip= '192.168.122.171' <!--".rstrip(b" <!-"),
        )
        changed = set_node(text, "node1", {"ip": "192.168.122.181"})
        assert changed == raised(text.replace(b"'192.168.122.171'", b"'192.168.122.181'"))

    def test_attributes_on_lines_of_their_own_stay_so(self) -> None:
        changed = set_node(FULL, "axqa9", {"gateway": "10.0.0.254"})
        mask = b'          mask="255.255.255.0"\n          />'
        assert changed == raised(FULL, "42", "43").replace(
            mask, b'          mask="255.255.255.0"\n          gateway="10.0.0.254"\n          />'
        )

    def test_special_characters_are_escaped(self) -> None:
        changed = set_node(FIXED, "node1", {"root": "192.168.122.1:/a&b<c>"})
        assert b'name="192.168.122.1:/a&amp;b&lt;c&gt;"' in changed
        root = parse_cluster(changed, "c.conf").nodes[0].root
        assert root is not None
        assert root.path == "/a&b<c>"

    def test_apostrophes(self) -> None:
        text = FIXED.replace(b'name="192.168.122.1:/mnt/virtual/nfsosr/fc11"', b"name='192.168.122.1:/&quot;'", 1)
        assert b"name='192.168.122.1:/x'" in set_node(text, "node1", {"root": "192.168.122.1:/x"})

    def test_references_in_old_values_are_understood(self) -> None:
        text = FIXED.replace(b'votes="1"', b'votes="&#49;"')
        assert set_node(text, "node1", {"votes": "1"}) == text


class TestKept:
    @pytest.mark.parametrize("codec", ["iso-8859-1", "iso-8859-15", "utf-8"])
    def test_encoding(self, codec: str) -> None:
        text = f'<?xml version="1.0" encoding="{codec}"?>\n<!-- Zürich é -->\n'.encode(codec) + FIXED.lstrip()[22:]
        changed = set_node(text, "node1", {"root": "192.168.122.1:/ä", "mountopts": "x=\u20ac\u4e2d"})
        assert changed.startswith(text[:60])
        root = parse_cluster(changed, "c.conf").nodes[0].root
        assert root is not None
        assert (root.path, root.mountopts) == ("/ä", "x=\u20ac\u4e2d")
        back = set_node(changed, "node1", {"root": "192.168.122.1:/mnt/virtual/nfsosr/fc11", "mountopts": ""})
        assert back == raised(text, "1", "3")

    @pytest.mark.parametrize(
        "text",
        [
            b"\xef\xbb\xbf" + FIXED,
            FIXED.replace(b"\n", b"\r\n"),
            FIXED.rstrip(),
            b"\n\n" + FIXED + b"\n<!-- end -->",
            FIXED.replace(b'"', b"'"),
            FIXED.replace(b"\n", b"").replace(b"  ", b""),
        ],
        ids=["bom", "crlf", "no last newline", "lead and trail", "apostrophes", "one line"],
    )
    def test_there_and_back(self, text: bytes) -> None:
        version = b"'2'" if b"'" in text else b'"2"'
        there = set_node(text, "node1", {"votes": "7", "eth0.gateway": "", "mountopts": "ro"})
        assert b"config_version=" + version in there
        back = set_node(there, "node1", {"votes": "1", "eth0.gateway": "192.168.122.1", "mountopts": ""})
        assert without_version(back) == without_version(text)
        added = add_node(text, "node3", NEW)
        assert without_version(remove_node(added, "node3")) == without_version(text)

    def test_lines_end_as_they_did(self) -> None:
        added = add_node(FIXED.replace(b"\n", b"\r\n"), "node3", NEW)
        assert added.count(b"\n") == added.count(b"\r\n") == FIXED.count(b"\n") + 6


class TestAdd:
    def test_it_looks_like_the_one_before(self) -> None:
        added = add_node(FIXED, "node3", {**NEW, "votes": "1"})
        node2 = b"".join(FIXED.splitlines(keepends=True)[9:15])
        node3 = (
            node2.replace(b'name="node2" nodeid="2" votes="2"', b'name="node3" nodeid="3" votes="1"')
            .replace(b"172", b"173")
            .replace(b"F6", b"F7")
        )
        assert added == raised(FIXED.replace(node2, node2 + node3))

    def test_the_lowest_free_id_and_the_root_of_the_last_node_that_boots(self) -> None:
        node = parse_cluster(add_node(FULL, "new", {**NEW, "mask": "255.255.255.0"}), "c.conf").nodes[-1]
        assert node.nodeid == 3
        assert node.root is not None
        assert node.root.name == "/dev/sda2"

    def test_an_empty_value_turns_a_default_off(self) -> None:
        node = parse_cluster(add_node(FIXED, "node3", {**NEW, "gateway": ""}), "c").nodes[2]
        assert (node.nics[0].gateway, node.nics[0].mask) == ("", "255.255.255.0")

    def test_a_node_with_an_address_from_the_pool_gets_no_mask(self) -> None:
        node = parse_cluster(add_node(FIXED, "node3", {**NEW, "ip": "dhcp"}), "c").nodes[2]
        assert (node.nics[0].mask, node.nics[0].gateway) == ("", "")

    def test_another_kind_of_root_does_not_take_the_type(self) -> None:
        root = parse_cluster(add_node(FIXED, "node3", {**NEW, "root": "/dev/sda1"}), "c").nodes[2].root
        assert root is not None
        assert root.fstype == "ext3"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (b'<cluster name="x" config_version="1"/>', None),
            (b'<cluster name="x" config_version="1"><clusternodes/></cluster>', None),
            (b'<cluster name="x" config_version="1"><clusternodes> </clusternodes></cluster>', None),
            (
                b'<cluster name="x" config_version="1">\n\t<clusternodes/>\n</cluster>',
                b'<cluster name="x" config_version="2">\n\t<clusternodes>\n\t\t<clusternode name="a" nodeid="1">\n'
                b'\t\t\t<com_info>\n\t\t\t\t<rootvolume name="h:/r"/>\n'
                b'\t\t\t\t<eth name="eth0" mac="02:00:00:00:00:01"/>'
                b"\n\t\t\t</com_info>\n\t\t</clusternode>\n\t</clusternodes>\n</cluster>",
            ),
            (
                b'<cluster name="x" config_version="1">\r\n <clusternodes>\r\n  <!-- none -->\r\n'
                b" </clusternodes>\r\n</cluster>",
                b'<cluster name="x" config_version="2">\r\n <clusternodes>\r\n  <!-- none -->\r\n'
                b'  <clusternode name="a" nodeid="1">\r\n   <com_info>\r\n    <rootvolume name="h:/r"/>\r\n'
                b'    <eth name="eth0" mac="02:00:00:00:00:01"/>'
                b"\r\n   </com_info>\r\n  </clusternode>\r\n </clusternodes>\r\n</cluster>",
            ),
        ],
    )
    def test_the_first_node(self, text: bytes, expected: bytes | None) -> None:
        added = add_node(text, "a", {"mac": "02:00:00:00:00:01", "root": "h:/r"})
        assert expected is None or added == expected
        (node,) = parse_cluster(added, "c").nodes
        assert (node.name, node.nodeid, node.nics[0].mac) == ("a", 1, "02:00:00:00:00:01")


class TestRemove:
    def test_its_lines_go(self) -> None:
        lines = FIXED.splitlines(keepends=True)
        assert remove_node(FIXED, "node1") == raised(b"".join(lines[:3] + lines[9:]))

    def test_comments_stay(self) -> None:
        removed = remove_node(FULL, "axqa8")
        assert b'<!-- cluster file systems and a local one -->\n    <clusternode name="axqa9"' in removed

    def test_the_last_one(self) -> None:
        empty = remove_node(remove_node(FIXED, "1"), "2")
        assert parse_cluster(empty, "c").nodes == ()
        assert [node.name for node in parse_cluster(add_node(empty, "a", {**NEW, "root": "h:/r"}), "c").nodes] == ["a"]

    def test_one_of_two_twins_by_its_key(self) -> None:
        twins = FIXED.replace(b'nodeid="2"', b'nodeid="1"')
        assert [node.name for node in parse_cluster(remove_node(twins, "name:node2"), "c").nodes] == ["node1"]


class TestVersion:
    def test_the_expected_one_is_fine(self) -> None:
        set_node(FULL, "1", {"votes": "2"}, 42)

    @pytest.mark.parametrize("version", [41, 43, 1])
    def test_another_one_is_a_conflict_that_names_both(self, version: int) -> None:
        for call in (
            lambda: add_node(FULL, "n", NEW, version),
            lambda: set_node(FULL, "1", {"votes": "2"}, version),
            lambda: remove_node(FULL, "1", version),
        ):
            with pytest.raises(ConflictError, match=f"42.*{version}"):
                call()

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b' config_version="1"', b""),
            (b'config_version="1"', b'config_version="x"'),
            (b'config_version="1"', b"config_version = '08'"),
        ],
    )
    def test_a_bad_one_is_set_right(self, old: bytes, new: bytes) -> None:
        assert parse_cluster(set_node(FIXED.replace(old, new), "1", {"votes": "5"}), "c").config_version == 1


class TestRefused:
    @pytest.mark.parametrize(
        ("attributes", "error", "part"),
        [
            ({"colour": "red"}, InvalidArgsError, "unknown attribute 'colour'"),
            ({"eth0.colour": "red"}, InvalidArgsError, "unknown attribute"),
            ({".ip": "1"}, InvalidArgsError, "unknown attribute"),
            ({"ip": "10.0.0.1", "eth0.ip": "10.0.0.2"}, InvalidArgsError, "twice"),
            ({"votes": "\x01"}, InvalidArgsError, r"U\+0001"),
            ({"votes": "\ud800"}, InvalidArgsError, r"U\+D800"),
            ({"e\x00.ip": "dhcp"}, InvalidArgsError, r"U\+0000"),
            ({"votes": "many"}, InvalidArgsError, "invalid-votes"),
            ({"nodeid": "0"}, InvalidArgsError, "invalid-nodeid"),
            ({"nodeid": ""}, InvalidArgsError, "missing-nodeid"),
            ({"name": "a b"}, InvalidArgsError, "invalid-name"),
            ({"ip": "300.1.1.1"}, InvalidArgsError, "invalid-ip"),
            ({"gateway": "10.9.9.9"}, InvalidArgsError, "gateway-outside-subnet"),
            ({"fstype": "ntfs"}, InvalidArgsError, "unknown-fstype"),
            ({"root": ""}, InvalidArgsError, "missing-rootvolume"),
            ({"nodeid": "2"}, ConflictError, r"node2.*c.conf:10"),
            ({"name": "node2"}, ConflictError, r"node2.*c.conf:10"),
            ({"mac": "00-0c-29-c9-c6-f6"}, ConflictError, r"node2.*c.conf:13"),
            ({"ip": "192.168.122.172"}, ConflictError, r"node2.*c.conf:13"),
            ({"ip": "192.168.122.1", "gateway": ""}, ConflictError, "ip-is-server"),
            ({"eth7.ip": ""}, NotFoundError, "eth7"),
        ],
    )
    def test_set(self, attributes: Mapping[str, str], error: type[OsrdError], part: str) -> None:
        with pytest.raises(error, match=part) as caught:
            set_node(FIXED, "node1", attributes)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "attributes", "error", "part"),
        [
            ("", NEW, InvalidArgsError, "name"),
            ("node3", {**NEW, "name": "x"}, InvalidArgsError, "name"),
            ("node1", NEW, ConflictError, "c.conf:4.*node1"),
            ("NODE1", NEW, ConflictError, "node1"),
            ("node3", {**NEW, "nodeid": "1"}, ConflictError, "node1.*c.conf:4"),
            ("node3", {**NEW, "mac": "00:0C:29:C9:C6:F5"}, ConflictError, "node1.*c.conf:7"),
            ("node3", {"ip": "192.168.122.173"}, InvalidArgsError, "missing-mac"),
            ("no_de", NEW, InvalidArgsError, "invalid-name"),
        ],
    )
    def test_add(self, name: str, attributes: Mapping[str, str], error: type[OsrdError], part: str) -> None:
        with pytest.raises(error, match=part):
            add_node(FIXED, name, attributes)

    def test_unknown_and_ambiguous_nodes(self) -> None:
        for node in ("node9", "9", "", "line:4"):
            with pytest.raises(NotFoundError):
                set_node(FIXED, node, {"votes": "1"})
            with pytest.raises(NotFoundError):
                remove_node(FIXED, node)
        with pytest.raises(ConflictError, match="name:node1 at line 4, name:node2 at line 10"):
            remove_node(FIXED.replace(b'nodeid="2"', b'nodeid="1"'), "1")

    def test_a_broken_file(self) -> None:
        with pytest.raises(InvalidConfigError, match=r"^c\.conf:1: "):
            add_node(b"<cluster>", "n", NEW)

    def test_errors_that_were_there_before_do_not_matter(self) -> None:
        assert set_node(SEED, "node1", {"votes": "3"}) == raised(SEED.replace(b'votes="1"', b'votes="3"'))

    def test_no_free_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clusteredit, "_MAX_ID", 20)
        nodes = b"".join(b'<clusternode nodeid="%d"/>' % number for number in range(1, 21))
        text = b'<cluster name="c" config_version="1"><clusternodes>' + nodes + b"</clusternodes></cluster>"
        with pytest.raises(ConflictError, match="taken"):
            add_node(text, "n", NEW)


def test_known_nodes_and_a_warm_validator_give_the_same_bytes() -> None:
    cluster = parse_cluster(FULL, "c.conf")
    validator = Validator()
    warm = clusteredit.set_node(
        FULL, "c.conf", "1", {"votes": "2"}, known=nodes_by_source(cluster), validator=validator
    )
    assert warm == set_node(FULL, "1", {"votes": "2"})


def without_version(data: bytes) -> bytes:
    return re.sub(rb"config_version=(.)\d+.", rb"config_version=\1", data)


def errors(data: bytes) -> set[str]:
    verdict = Validator().judge(parse_cluster(data, "c.conf"))
    return {finding.code for finding in verdict.findings if finding.severity is Severity.ERROR}


printable = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12)
changes = st.fixed_dictionaries(
    {},
    optional={
        "votes": st.integers(0, 9).map(str),
        "mountopts": printable,
        "ip": st.integers(20, 250).map("10.0.0.{}".format),
        "root": printable.map("10.0.0.1:/{}".format),
        "mac": st.integers(0, 255).map("02:00:00:00:00:{:02x}".format),
        "gateway": st.sampled_from(["", "10.0.0.254"]),
        "bond7.mac": st.sampled_from(["02:00:00:00:01:00", ""]),
    },
)
wrappings = st.sampled_from(
    [
        lambda text: text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: b" \n " + text.rstrip(),
        lambda text: text.replace(b"\n", b"\n\n").replace(b"  ", b"\t"),
    ]
)


@settings(deadline=None)  # the host may be busy
@given(wrappings, st.sampled_from(["1", "2", "axqa7.example.org", "8", "9"]), changes)
def test_what_is_set_and_set_back_leaves_every_byte_as_it_was(wrap, node, attributes) -> None:  # type: ignore[no-untyped-def]
    text = wrap(FULL)
    try:
        there = set_node(text, node, attributes)
    except (ConflictError, InvalidArgsError, NotFoundError):
        return
    before, after = parse_cluster(text, "c.conf"), parse_cluster(there, "c.conf")
    changed = [one.name for one, other in zip(before.nodes, after.nodes, strict=True) if one.source != other.source]
    assert len(changed) <= 1
    assert errors(there) <= errors(text)
    old = before.node(node)
    assert old is not None
    if attributes.get("bond7.mac") or not old.nics:
        return
    first, root = old.nics[0], old.root
    assert root is not None
    back = {"votes": "" if old.votes == "1" and b"votes" not in old.source else old.votes}
    raw = {"mac": first.mac_text, "ip": first.ip, "gateway": first.gateway, "root": root.name}
    raw["mountopts"] = root.mountopts if b"mountopts" in old.source.partition(b"<rootvolume")[2][:120] else ""
    try:
        again = set_node(there, node, {**back, **{key: raw[key] for key in raw if key in attributes}})
    except InvalidArgsError:
        return
    assert sorted(without_version(again).split()) == sorted(without_version(text).split())


@settings(deadline=None)  # the host may be busy
@given(wrappings, st.sampled_from([FIXED, FULL]), st.integers(20, 250), st.from_regex(r"[a-z]{1,8}", fullmatch=True))
def test_what_is_added_and_removed_leaves_every_byte_as_it_was(wrap, base, last, name) -> None:  # type: ignore[no-untyped-def]
    text = wrap(base)
    attributes = {"ip": f"172.16.0.{last}", "mask": "255.255.0.0", "gateway": "", "mac": f"02:00:00:00:00:{last:02x}"}
    added = add_node(text, name, {"root": "10.0.0.1:/srv/root", "fstype": "nfs", **attributes})
    before, after = parse_cluster(text, "c.conf"), parse_cluster(added, "c.conf")
    assert after.nodes[:-1] == before.nodes
    assert after.config_version == (before.config_version or 0) + 1
    assert errors(added) == errors(text)
    assert without_version(remove_node(added, name)) == without_version(text)
