# SPDX-License-Identifier: GPL-3.0-or-later
"""data/schema/cluster.rng: what the parser reads is valid, and what is in the wrong place is not."""

from pathlib import Path

import pytest
from lxml import etree

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURES = REPOSITORY / "tests" / "fixtures"
SCHEMA = REPOSITORY / "data" / "schema" / "cluster.rng"


@pytest.fixture(scope="module")
def schema() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(str(SCHEMA)))


def valid(schema: etree.RelaxNG, text: bytes) -> bool:
    return bool(schema.validate(etree.fromstring(text.lstrip())))


@pytest.mark.parametrize("name", ["seed.conf", "seed-fixed.conf", "full.conf"])
def test_the_good_files_are_valid(schema: etree.RelaxNG, name: str) -> None:
    schema.assertValid(etree.fromstring((FIXTURES / name).read_bytes().lstrip()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b' type="gfs"', b' type="gfs" site="here"'),
        (b"<com_info>", b"<com_info><unheard/>"),
        (b"</clusternode>", b'<multicast addr="239.1.1.1"/></clusternode>'),
        (b"<clusternodes>", b'<logging debug="on"><sub a="b">text</sub></logging><clusternodes>'),
        (b'<eth name="eth0"', b'<eth colour="red" name="eth0"'),
        (b' votes="1"', b""),
    ],
)
def test_what_osrd_ignores_is_allowed(schema: etree.RelaxNG, old: bytes, new: bytes) -> None:
    seed = (FIXTURES / "seed.conf").read_bytes()
    assert old in seed
    assert valid(schema, seed.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b' config_version="1"', b""),
        (b' config_version="1"', b' config_version="one"'),
        (b' name="axqad109"', b""),
        (b'name="node1" nodeid="1"', b'name="node1"'),
        (b'name="node1" nodeid="1"', b'name="node1" nodeid="01"'),
        (b'name="node1" nodeid="1"', b'name="node1" nodeid="100000"'),
        (b'<eth name="eth0" ip="192.168.122.171"', b'<eth ip="192.168.122.171"'),
        (b"<com_info>", b"<com_info>stray text"),
        (b"</com_info>", b"</com_info><com_info/>"),
        (b"</com_info>", b"</com_info><eth name='eth1'/>"),
        (b"</clusternodes>", b"<eth name='eth1'/></clusternodes>"),
        (b"</clusternodes>", b"</clusternodes><clusternode name='a' nodeid='5'/>"),
        (b"</com_info>", b"<rootvolume name='/dev/b'/></com_info>"),
        (b"clusternodes>", b"clusternode>"),
        (b"cluster ", b"clusters "),
    ],
)
def test_structural_mistakes_are_not_valid(schema: etree.RelaxNG, old: bytes, new: bytes) -> None:
    seed = (FIXTURES / "seed.conf").read_bytes()
    assert old in seed
    text = seed.replace(old, new).replace(b"</cluster>", b"</clusters>" if new == b"clusters " else b"</cluster>")
    assert not valid(schema, text)


def test_every_element_is_documented() -> None:
    tree = etree.parse(str(SCHEMA))
    names = {"rng": "http://relaxng.org/ns/structure/1.0", "a": "http://relaxng.org/ns/compatibility/annotations/1.0"}
    undocumented = [
        element.get("name")
        for element in tree.iterfind(".//rng:element[@name]", names)
        if element.find("a:documentation", names) is None
    ]
    plain = {"properties", "property", "rootsource", "filesystem", "method", "fencedevices", "failoverdomains"}
    assert set(undocumented) <= plain | {"failoverdomain"}
