# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd.parse.clusterconf: everything that the file can say, and everything that an enemy can put into it."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osrd.model.cluster import Cluster, OddityKind, node_keys
from osrd.model.errors import InvalidConfigError
from osrd.parse import elements
from osrd.parse.clusterconf import nodes_by_source, parse_cluster
from osrd.parse.clusternode import parse_root_volume

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SEED = (FIXTURES / "seed.conf").read_bytes()
FULL = (FIXTURES / "full.conf").read_bytes()


def parse(text: bytes | str) -> Cluster:
    return parse_cluster(text.encode() if isinstance(text, str) else text, "c.conf")


def with_nodes(*nodes: str) -> str:
    return f'<cluster name="c" config_version="1"><clusternodes>{"".join(nodes)}</clusternodes></cluster>'


def refused(data: bytes) -> str:
    with pytest.raises(InvalidConfigError) as error:
        parse_cluster(data, "c.conf")
    text = str(error.value)
    assert text.startswith("c.conf:"), text
    assert text.split(":")[1].isdigit(), text
    assert "\n" not in text
    return text


class TestSeed:
    def test_it_loads_in_spite_of_the_blanks_before_the_declaration(self) -> None:
        cluster = parse(SEED)
        assert (cluster.name, cluster.config_version, cluster.type) == ("axqad109", 1, "gfs")
        assert [node.name for node in cluster.nodes] == ["node1", "node2"]
        assert cluster.leading_space
        assert not parse(SEED.lstrip()).leading_space

    def test_values(self) -> None:
        node = parse(SEED).nodes[1]
        assert (node.nodeid, node.nodeid_text, node.votes) == (2, "2", "2")
        assert node.root is not None
        assert (node.root.fstype, node.root.server, node.root.path) == (
            "nfs",
            "192.168.122.1",
            "/mnt/virtual/nfsosr/fc11",
        )
        (nic,) = node.nics
        assert (nic.name, nic.ip, nic.mask, nic.gateway) == (
            "eth0",
            "192.168.122.172",
            "255.255.255.0",
            "192.168.122.1",
        )
        assert (nic.mac, nic.mac_text) == ("00:0c:29:c9:c6:f5", "00:0C:29:C9:C6:F5")

    def test_lines_are_those_of_the_file(self) -> None:
        cluster = parse(SEED)
        assert cluster.line == 2
        assert cluster.lines == (4, 10)
        lines = SEED.splitlines()
        for index, node in enumerate(cluster.nodes):
            assert b"<eth" in lines[cluster.place(index, node.nics[0].line).line - 1]


class TestFull:
    def test_bond_vlan_and_properties(self) -> None:
        node = parse(FULL).nodes[0]
        assert [(nic.name, nic.master, nic.slave) for nic in node.nics] == [
            ("eth0", "bond0", True),
            ("eth1", "bond0", True),
            ("bond0", "", False),
            ("bond0.45", "", False),
        ]
        assert node.nics[3].vlan == "45"
        assert [nic.name for nic in node.boot_nics] == ["eth0", "eth1"]
        assert node.nics[2].properties == (
            ("BONDING_OPTS", "mode=1 miimon=100"),
            ("MTU", "9000"),
            ("PEERDNS", "no"),
            ("NM_CONTROLLED", "no"),
        )

    def test_the_rest_of_com_info(self) -> None:
        node = parse(FULL).nodes[0]
        assert node.syslog is not None
        assert (node.syslog.name, node.syslog.filter) == ("syslog.example.org", "kern,daemon.info")
        assert node.scsi is not None
        assert (node.scsi.failover, node.scsi.name, node.scsi.driver) == ("driver", "scsi0", "lpfc")
        assert node.rootsource == "nfs"
        assert node.chrootenv is not None
        assert node.chrootenv.chrootdir == "/var/comoonics/chroot"
        assert [(one.dest, one.fstype, one.mounttimes) for one in node.filesystems] == [
            ("/var/run", "bind", ""),
            ("/var/data", "nfs", "5"),
        ]
        assert [[device.name for device in method.devices] for method in node.fence] == [
            ["ilo1", "switch"],
            ["manual"],
        ]

    def test_lines_of_tags_that_are_spread_over_lines(self) -> None:
        cluster = parse(FULL)
        lines = FULL.decode().splitlines()
        for index, node in enumerate(cluster.nodes):
            assert "<clusternode " in lines[cluster.lines[index] - 1]
            for nic in node.nics:
                assert "<eth" in lines[cluster.place(index, nic.line).line - 1]
            if node.root:
                assert "<rootvolume" in lines[cluster.place(index, node.root.line).line - 1]
        for device in cluster.fencedevices:
            assert f'<fencedevice name="{device.name}"' in lines[device.line - 1]
        (domain,) = cluster.failoverdomains
        for (member, _), line in zip(domain.members, domain.member_lines, strict=True):
            assert f'<failoverdomainnode name="{member}"' in lines[line - 1]

    def test_priorities_are_numbers(self) -> None:
        (domain,) = parse(FULL).failoverdomains
        assert domain.members == (("axqa1", 10), ("axqa2", 2), ("axqa8", None))
        assert domain.extra == (("ordered", "1"), ("restricted", "0"), ("nofailback", "1"))

    def test_dhcp_bridge_gaps_and_nodes_without_com_info(self) -> None:
        cluster = parse(FULL)
        assert [node.nodeid for node in cluster.nodes] == [1, 2, 7, 8, 9, 99]
        assert cluster.nodes[1].nics[0].is_dhcp
        assert cluster.nodes[2].nics[0].bridge == "br0"
        assert not cluster.nodes[5].com_info
        assert cluster.nodes[5].nics == ()

    def test_secrets_are_not_in_the_repr(self) -> None:
        assert b"s3cret" in FULL
        assert "s3cret" not in repr(parse(FULL))

    def test_nothing_is_odd(self) -> None:
        cluster = parse(FULL)
        assert cluster.oddities == ()
        assert [node.oddities for node in cluster.nodes] == [()] * 6


@pytest.mark.parametrize(
    ("name", "fstype", "expected"),
    [
        ("h:/e", "", ("nfs", "h", "/e", "")),
        ("h:/e", "nfs4", ("nfs4", "h", "/e", "")),
        ("h:/e", "NFS3", ("nfs3", "h", "/e", "")),
        ("nfs:h:/e", "", ("nfs", "h", "/e", "")),
        ("nfs:h:/e:ro,soft", "", ("nfs", "h", "/e", "ro,soft")),
        ("nfs4:h:/e:ro", "nfs", ("nfs4", "h", "/e", "ro")),
        ("nfs:/e", "", ("nfs", "nfs", "/e", "")),
        ("[fd00::1]:/e", "", ("nfs", "[fd00::1]", "/e", "")),
        ("nfs4:[fd00::1]:/e:ro", "", ("nfs4", "[fd00::1]", "/e", "ro")),
        ("h:/a:b", "nfs", ("nfs", "h", "/a:b", "")),
        ("/dev/sda1", "", ("ext3", "", "/dev/sda1", "")),
        ("/dev/vg/lv", "gfs2", ("gfs2", "", "/dev/vg/lv", "")),
        ("/dev/mapper/a:b", "ocfs2", ("ocfs2", "", "/dev/mapper/a:b", "")),
        ("LABEL=root", "", ("gfs2", "", "LABEL=root", "")),
        ("LABEL=a:b", "ext4", ("ext4", "", "LABEL=a:b", "")),
        ("", "nfs", ("nfs", "", "", "")),
    ],
)
def test_spellings_of_the_root_volume(name: str, fstype: str, expected: tuple[str, str, str, str]) -> None:
    root = parse_root_volume(name, fstype)
    assert (root.fstype, root.server, root.path, root.mountopts) == expected
    assert root.name == name


def test_options_of_both_kinds_are_joined() -> None:
    assert parse_root_volume("nfs:h:/e:ro", "", "hard").mountopts == "hard,ro"


def test_the_host_of_an_ipv6_server() -> None:
    assert parse_root_volume("[fd00::1]:/e", "").host == "fd00::1"


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("99999", 99999), ("0", None), ("01", None), ("+1", None), ("100000", None), ("\u0661", None)],
)
def test_node_ids(text: str, number: int | None) -> None:
    (node,) = parse(with_nodes(f'<clusternode name="a" nodeid="{text}"/>')).nodes
    assert (node.nodeid, node.nodeid_text) == (number, text)


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("0", None), ("", None), ("x", None), ("-1", None)])
def test_config_versions(text: str, number: int | None) -> None:
    cluster = parse(f'<cluster name="c" config_version="{text}"/>')
    assert (cluster.config_version, cluster.config_version_text) == (number, text)


def test_nodes_without_anything_do_not_disturb_the_others() -> None:
    eth = '<com_info><eth name="eth0" mac="00:16:3e:00:00:01"/></com_info>'
    good = f'<clusternode name="b" nodeid="2">{eth}</clusternode>'
    cluster = parse(with_nodes("<clusternode/>", good, "<clusternode></clusternode>", "<clusternode>x</clusternode >"))
    assert [node.name for node in cluster.nodes] == ["", "b", "", ""]
    assert cluster.nodes[1].nics[0].mac == "00:16:3e:00:00:01"
    assert [node.source for node in cluster.nodes] == [
        b"<clusternode/>",
        good.encode(),
        b"<clusternode></clusternode>",
        b"<clusternode>x</clusternode >",
    ]


def test_unknown_things_are_kept_and_named() -> None:
    text = with_nodes(
        '<clusternode name="a" nodeid="1" rack="7"><com_info><eth name="eth0" gatway="1" /><rootvolum/>'
        "<rootvolume name='/dev/a'/><rootvolume name='/dev/b'/></com_info><com_info/></clusternode>"
    )
    (node,) = parse(text).nodes
    assert node.extra == (("rack", "7"),)
    assert node.nics[0].extra == (("gatway", "1"),)
    assert node.root is not None
    assert node.root.name == "/dev/a"
    assert {(odd.kind, odd.element, odd.attribute, odd.hint) for odd in node.oddities} == {
        (OddityKind.ATTRIBUTE, "clusternode", "rack", ""),
        (OddityKind.ATTRIBUTE, "eth", "gatway", "gateway"),
        (OddityKind.ELEMENT, "rootvolum", "", "rootvolume"),
        (OddityKind.REPEATED, "rootvolume", "", ""),
        (OddityKind.REPEATED, "com_info", "", ""),
    }


def test_a_node_in_the_wrong_place_is_odd_and_no_node() -> None:
    cluster = parse(
        '<cluster name="c" config_version="1" x="y"><clusternode name="a"/><clusternodes><b/></clusternodes></cluster>'
    )
    assert cluster.nodes == ()
    assert {(odd.element, odd.attribute) for odd in cluster.oddities} == {
        ("clusternode", ""),
        ("b", ""),
        ("cluster", "x"),
    }


def test_markup_in_comments_and_cdata_is_no_markup() -> None:
    text = with_nodes(
        "<!-- <clusternode name='no'/> </clusternode> -->",
        "<clusternode name='a' nodeid='1'><!-- </clusternode> --><![CDATA[</clusternode>]]></clusternode>",
        "<?pi </clusternode>?>",
    )
    assert [node.name for node in parse(text).nodes] == ["a"]


def test_lines_beyond_65535() -> None:
    text = with_nodes("\n" * 70_000, '<clusternode name="a"/>').replace("</cluster>", "\n<rm><failoverdomains>\n")
    text += "<failoverdomain name='d'/></failoverdomains></rm></cluster>"
    cluster = parse(text)
    assert cluster.lines == (70_001,)
    assert cluster.failoverdomains[0].line == 70_003


class TestKnown:
    def test_unchanged_nodes_are_the_same_objects(self) -> None:
        first = parse(SEED)
        edited = SEED.replace(b"192.168.122.172", b"192.168.122.173").replace(b"<clusternodes>", b"<clusternodes>\n\n")
        second = parse_cluster(edited, "c.conf", nodes_by_source(first))
        assert second.nodes[0] is first.nodes[0]
        assert second.nodes[1].nics[0].ip == "192.168.122.173"
        assert second.lines == (6, 12)
        assert second == parse(edited)

    def test_identity_does_not_depend_on_the_encoding(self) -> None:
        text = with_nodes('<clusternode name="é" nodeid="1"/>')
        latin = b'<?xml version="1.0" encoding="iso-8859-1"?>' + text.encode("iso-8859-1")
        assert parse(latin).nodes == parse(text).nodes


class TestEncodings:
    @pytest.mark.parametrize("name", ["iso-8859-1", "ISO-8859-15", "utf-8", "UTF-8"])
    def test_declared(self, name: str) -> None:
        text = f'<?xml version="1.0" encoding="{name}"?>\n' + with_nodes('<clusternode name="é"/>')
        assert parse(text.encode(name)).nodes[0].name == "é"

    def test_the_euro_sign_tells_latin_9_from_latin_1(self) -> None:
        text = b'<?xml version="1.0" encoding="iso-8859-15"?>' + with_nodes('<clusternode name="@"/>').encode()
        assert parse(text.replace(b"@", b"\xa4")).nodes[0].name == "€"

    def test_byte_order_mark(self) -> None:
        assert len(parse(b"\xef\xbb\xbf" + SEED).nodes) == 2

    def test_crlf(self) -> None:
        assert parse(SEED.replace(b"\n", b"\r\n")).lines == parse(SEED).lines

    def test_invalid_bytes_are_named_with_their_line(self) -> None:
        assert refused(SEED.replace(b"node2", b"nod\xe9")).startswith("c.conf:10: byte 0xe9 is not valid utf-8")
        assert refused(b'<?xml version="1.0" encoding="us-ascii"?>\n<cluster name="\xe9"/>').startswith("c.conf:2: ")

    @pytest.mark.parametrize("name", ["utf-16", "utf-7", "cp037", "rot13", "punycode", "nonsense"])
    def test_other_encodings_are_refused(self, name: str) -> None:
        assert "unknown encoding" in refused(f'<?xml version="1.0" encoding="{name}"?><cluster/>'.encode())

    @pytest.mark.parametrize("name", ["utf-16", "utf-16-le", "utf-32"])
    def test_wide_characters(self, name: str) -> None:
        refused(SEED.decode().encode(name))


BOMB = b"<!DOCTYPE cluster [" + b"".join(
    b'<!ENTITY l%d "%s">' % (i, (b"&l%d;" % (i - 1)) * 10 if i else b"lol") for i in range(10)
)


class TestHostile:
    @pytest.mark.parametrize(
        "doctype",
        [
            BOMB + b"]>",
            b'<!DOCTYPE cluster SYSTEM "file:///etc/passwd">',
            b'<!DOCTYPE cluster SYSTEM "http://127.0.0.1:9/x.dtd">',
            b'<!DOCTYPE cluster [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
            b'<!DOCTYPE cluster [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p"> %p;]>',
            b"<!DOCTYPE cluster>",
        ],
    )
    def test_document_types_are_refused(self, doctype: bytes) -> None:
        text = refused(b'<?xml version="1.0"?>\n' + doctype + b'<cluster name="&l9;&e;" config_version="1"/>')
        assert text.startswith("c.conf:2: a document type")

    def test_undeclared_entities(self) -> None:
        assert "undefined entity" in refused(b'<cluster\n name="&lol;"/>')

    @pytest.mark.parametrize(
        ("data", "line", "part"),
        [
            (b"", 1, "empty"),
            (b" \n\t\n", 1, "empty"),
            (b"\xef\xbb\xbf", 1, "empty"),
            (b"garbage", 1, "not well-formed"),
            (b"<a/>", 1, "root element is <a>"),
            (b"\n\n<cluster>", 3, "not well-formed"),
            (b"<cluster>\n<a>\n</cluster>", 3, "mismatched tag"),
            (b"<cluster/>\n<cluster/>", 2, "junk after document element"),
            (b"<cluster a='1'\n a='2'/>", 2, "duplicate attribute"),
            (b"<cluster>\n\x00</cluster>", 2, "NUL"),
            (b"<cluster>\n\x01</cluster>", 2, "not well-formed"),
            (b"<cluster>\n<x:y/></cluster>", 2, "name spaces"),
            (b"<cluster>\n<y xmlns='http://e'/></cluster>", 2, "name spaces"),
            (b"<cluster>\n<y xmlns:z='http://e'/></cluster>", 2, "name spaces"),
            (b'\xef\xbb\xbf<?xml version="1.0" encoding="iso-8859-1"?><cluster/>', 1, "byte order mark"),
        ],
    )
    def test_the_line_of_what_is_wrong(self, data: bytes, line: int, part: str) -> None:
        text = refused(data)
        assert text.startswith(f"c.conf:{line}: ")
        assert part in text

    @pytest.mark.parametrize("size", range(0, len(SEED) - 2, 37))
    def test_truncated_files(self, size: int) -> None:
        refused(SEED[:size])

    def test_deep_nesting(self) -> None:
        depth = 100_000
        assert "deep" in refused(b"<cluster>" + b"<a>" * depth + b"</a>" * depth + b"</cluster>")
        inside = with_nodes("<clusternode>" + "<a>" * depth + "</a>" * depth + "</clusternode>")
        assert "deep" in refused(inside.encode())

    def test_a_million_attributes(self) -> None:
        many = b" ".join(b"a%d=''" % number for number in range(1_000_000))
        refused(b"<cluster " + many + b"/>")
        refused(with_nodes("<clusternode>@</clusternode>").encode().replace(b"@", b"<eth " + many + b"/>"))

    def test_many_names_in_many_tags(self) -> None:
        tags = b"".join(b"<n%d/>" % number for number in range(10_000))
        assert "different names" in refused(b"<cluster>" + tags + b"</cluster>")
        assert "different names" in refused(with_nodes("<clusternode>@</clusternode>").encode().replace(b"@", tags))

    @pytest.mark.parametrize(
        ("limit", "value", "text"),
        [
            ("MAX_TAGS", 4, with_nodes("<clusternode/>")),
            ("MAX_NODES", 1, with_nodes("<clusternode/>", "<clusternode/>")),
            ("MAX_NODE_TAGS", 4, with_nodes("<clusternode><a/><a/><a/></clusternode>")),
            ("MAX_OTHER_ELEMENTS", 2, with_nodes("<clusternode/>") + "<!-- -->"),
            ("MAX_SIZE", 10, with_nodes()),
        ],
    )
    def test_limits(self, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, text: str) -> None:
        parse(text)
        if limit == "MAX_OTHER_ELEMENTS":
            text = text.replace("</cluster>", "<a/></cluster>")
        monkeypatch.setattr(elements, limit, value)
        assert "more than" in refused(text.encode())

    def test_odd_values_stay_on_one_line(self) -> None:
        refused(b"<cluster><\n\n\n")
        refused(b"<" + b"a" * 1000 + b"/>")

    def test_memory_is_bounded(self, tmp_path: Path) -> None:
        """100 MB of garbage and 31 MiB of the worst XML, each in a process that may not have more than 700 MiB."""
        script = tmp_path / "hostile.py"
        script.write_text(
            "import resource, sys\n"
            "from osrd.model.errors import InvalidConfigError\n"
            "from osrd.parse.clusterconf import parse_cluster\n"
            "MIB = 1 << 20\n"
            "resource.setrlimit(resource.RLIMIT_AS, (700 * MIB, 700 * MIB))\n"
            "def make(kind):\n"
            "    if kind == 'garbage':\n"
            "        return b'x<\\x00&' * (25 * MIB)\n"
            "    if kind == 'tags':\n"
            "        return b'<cluster>' + b'<a/>' * (31 * MIB // 4) + b'</cluster>'\n"
            "    if kind == 'nodes':\n"
            "        return (b'<cluster><clusternodes>' + b'<clusternode/>' * (31 * MIB // 14)\n"
            "                + b'</clusternodes></cluster>')\n"
            "    if kind == 'attributes':\n"
            "        return b'<cluster' + b''.join(b' a%d=\"\"' % n for n in range(2 * MIB)) + b'/>'\n"
            "    if kind == 'names':\n"
            "        return b'<cluster>' + b''.join(b'<a a%d=\"\"/>' % n for n in range(2 * MIB)) + b'</cluster>'\n"
            "    return b'<cluster><!--' + b'-x' * (15 * MIB) + b'--></cluster>'\n"
            "try:\n"
            "    parse_cluster(make(sys.argv[1]), 'c.conf')\n"
            "except InvalidConfigError as error:\n"
            "    print(error)\n"
        )
        for kind in ("garbage", "tags", "nodes", "attributes", "names", "comment"):
            done = subprocess.run([sys.executable, str(script), kind], capture_output=True, text=True, check=False)
            assert done.stdout.startswith("c.conf:1: "), (kind, done.stdout, done.stderr[-300:])
            assert done.stdout.count("\n") == 1


def outcome(data: bytes) -> Cluster | None:
    """The cluster, or None for a proper refusal; anything else fails the test."""
    try:
        return parse(data)
    except InvalidConfigError:
        refused(data)
        return None


@settings(deadline=None)  # the host may be busy
@given(st.binary(max_size=300))
def test_any_bytes_end_in_one_way_or_the_other(data: bytes) -> None:
    outcome(data)


PIECES = [
    b"<",
    b">",
    b'"',
    b"'",
    b"&",
    b"/",
    b"\0",
    b"\xff",
    b"<!--",
    b"]]>",
    b"<![CDATA[",
    b"<?x?>",
    b"\n",
    b"\r",
    b":",
    b"=",
]


@settings(deadline=None)  # the host may be busy
@given(st.data())
def test_mutated_files(data: st.DataObject) -> None:
    original = data.draw(st.sampled_from([SEED, FULL]))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(original)))
        size = data.draw(st.integers(0, 12))
        piece = data.draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)))
        original = original[:start] + piece + original[start + size :]
    if cluster := outcome(original):
        assert cluster == parse_cluster(original, "c.conf", nodes_by_source(cluster))
        assert len(set(node_keys(cluster))) == len(cluster.nodes)


def test_node_keys() -> None:
    text = with_nodes(
        '<clusternode name="a" nodeid="1"/>\n',
        '<clusternode name="b" nodeid="2"/>\n',
        '<clusternode name="c" nodeid="2"/>\n',
        '<clusternode name="d"/>\n',
        '<clusternode name="d"/>\n',
        '<clusternode nodeid="x"/><clusternode/>',
    )
    assert node_keys(parse(text)) == ("1", "name:b", "name:c", "line:4", "line:5", "line:6.5", "line:6.6")
    assert node_keys(parse(SEED)) == ("1", "2")
