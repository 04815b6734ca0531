# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory file in all three generations (spec/cdsl.md 1.2-1.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.model.cdsl import Cdsl, CdslType, ChildRepository, Inventory, Layout, MarkerStyle
from osrd.model.errors import InvalidArgsError, InvalidConfigError
from osrd.model.layout import node_mistake, path_mistake
from osrd.parse.inventory import MAX_SIZE, parse_inventory, render_inventory

HOST, SHARED = CdslType.HOSTDEPENDENT, CdslType.SHARED
GENERATION_3 = b"""\
<cdsls config_version="2.0" default_dir="default" expandstring=".cdsl" link=".cdsl.local" maxnodeidnum="2" \
mountpoint="" node_prefix="" sharedtree=".cluster/shared" tree=".cluster/cdsl" use_nodeids="True">
\t<repositories/>
\t<cdsl src="var" timestamp="1795341958.99" type="hostdependent">
\t\t<nodes>
\t\t\t<noderef ref="1"/>
\t\t\t<noderef ref="2"/>
\t\t</nodes>
\t</cdsl>
\t<cdsl src="var/lib" timestamp="1795341960.66" type="shared">
\t\t<nodes>
\t\t\t<noderef ref="1"/>
\t\t\t<noderef ref="2"/>
\t\t</nodes>
\t</cdsl>
</cdsls>
"""
GENERATION_2 = b"""\
<cdsls config_version="1">
  <cdsl src="/var" timestamp="1.5" type="hostdependent">
  <nodes><noderef ref="id_1"/><noderef ref="id_2"/></nodes></cdsl>
  <cdsl src="var/lib" timestamp="2.5" type="shared"><nodes><noderef ref="id_1"/></nodes></cdsl>
  <defaults cdsl_link="/cdsl.local" cdsltree="/cluster/cdsl" cdsltree_shared="cluster/shared" expandstring=".cdsl"
            maxnodeidnum="0" mountpoint="." use_nodeids="True" colour="red">
    <nodesdefault><nodedefault id="id_1"/><nodedefault id="id_2"/></nodesdefault>
  </defaults>
</cdsls>
"""


def wrap(inner: str, **attributes: str) -> bytes:
    settings = " ".join(f'{name}="{value}"' for name, value in {"config_version": "2.0", **attributes}.items())
    return f"<cdsls {settings}>\n{inner}\n</cdsls>\n".encode()


def test_generation_3_is_read_and_written_to_the_byte() -> None:
    inventory = parse_inventory(GENERATION_3, "f")
    assert inventory == Inventory(
        Layout(".cluster/cdsl", ".cluster/shared", ".cdsl.local"),
        (Cdsl("var", HOST, ("1", "2"), "1795341958.99"), Cdsl("var/lib", SHARED, ("1", "2"), "1795341960.66")),
        maxnodeidnum=2,
    )
    assert inventory.file == "f"
    assert render_inventory(inventory) == GENERATION_3


def test_generation_2_is_read_and_becomes_generation_3_with_its_marker_style() -> None:
    inventory = parse_inventory(GENERATION_2, "f")
    assert inventory == Inventory(
        Layout("cluster/cdsl", "cluster/shared", "cdsl.local", style=MarkerStyle.SUFFIX),
        (Cdsl("var", HOST, ("1", "2"), "1.5"), Cdsl("var/lib", SHARED, ("1",), "2.5")),
        extra=(("colour", "red"),),
    )
    assert parse_inventory(render_inventory(inventory), "f") == inventory


def test_generation_1_names_its_trees_by_node_names() -> None:
    text = '<cdsl src="a" type="hostdependent"><nodes><noderef ref="id_node-a"/></nodes></cdsl><defaults/>'
    inventory = parse_inventory(wrap(text, config_version="1"), "f")
    assert not inventory.use_nodeids
    assert inventory.cdsls[0].nodes == ("node-a",)


def test_migrated_references_and_prefixes() -> None:
    text = '<cdsl src="a" type="hostdependent"><nodes><noderef ref="id_1"/><noderef ref="2"/></nodes></cdsl>'
    assert parse_inventory(wrap(text), "f").cdsls[0].nodes == ("1", "2")
    prefixed = parse_inventory(wrap(text, node_prefix="node_"), "f")
    assert prefixed.cdsls[0].nodes == ("node_1", "node_2")
    assert b'ref="1"' in render_inventory(prefixed)
    assert parse_inventory(wrap(text, node_prefix="1"), "f").cdsls[0].nodes == ("11", "12")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "f:1: the file is empty"),
        (b"<cdsls", "f:1: not well-formed"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><cdsls config_version="2.0"/>', "f:1: a document type"),
        (b"<cluster/>", "f:1: an element <cluster>"),
        (b'<cdsls config_version="1.5"/>', "f:1: unknown config_version"),
        (b" " * (MAX_SIZE + 1), "bytes, more than"),
        (b'<cdsls config_version="2.0" ' + b'x="" ' * 40000 + b"/>", "without a tag"),
        (wrap("<nodes/>"), "f:2: an element <nodes> in <cdsls>"),
        (wrap('<cdsl src="a" type="odd"/>'), "f:2: type=.odd. is neither"),
        (wrap('<cdsl type="shared"/>'), "f:2: the attribute src is missing"),
        (wrap('<cdsl src="/a" type="hostdependent"/>'), "f:2: src=./a. is absolute"),
        (wrap('<cdsl src="a/../b" type="hostdependent"/>'), "f:2: src=.* has the component"),
        (wrap('<cdsl src=".cluster" type="hostdependent"/>'), "f:2: src=..cluster. holds /.cluster/cdsl"),
        (wrap('<cdsl src=".osrd/a" type="hostdependent"/>'), "f:2: src=..osrd/a. is inside /.osrd"),
        (wrap('<cdsl src="" type="hostdependent"/>'), "f:2: src=.. is empty"),
        (wrap('<cdsl src="a" type="hostdependent"/>\n<cdsl src="a" type="shared"/>'), "f:3: .* in line 2 already"),
        (
            wrap('<cdsl src="a" type="hostdependent"/>\n<cdsl src="a/b" type="hostdependent"/>'),
            "f:3: .* line 2, which",
        ),
        (wrap('<cdsl src="a" type="shared"/>'), "f:2: .* not inside of anything hostdependent"),
        (wrap('<cdsl src="a%" type="hostdependent" escaped="percent"/>'), "f:2: .* two hexadecimal digits"),
        (wrap('<cdsl src="a" type="hostdependent" escaped="rot13"/>'), "f:2: .* which is unknown"),
        (
            wrap('<cdsl src="a" type="hostdependent"><nodes>\n<noderef ref="local"/></nodes></cdsl>'),
            "f:3: .* the name of the mount point",
        ),
        (wrap("", sharedtree=".cluster/cdsl/s"), "f:1: the shared tree .* is inside the tree"),
        (wrap("", link=".cluster/cdsl"), "f:1: the tree and the link are the same path"),
        (wrap("", link="../x"), "f:1: the link .* has the component"),
        (wrap("", tree=".osrd/x"), "f:1: the tree .* is inside the directory of osrd"),
        (wrap("", default_dir="local"), "f:1: .* cannot be the name of the template"),
        (wrap("", expandstring="a/b"), "f:1: .* cannot be the marker"),
        (wrap("", maxnodeidnum="-1"), "f:1: maxnodeidnum"),
        (wrap("", maxnodeidnum="9" * 30), "f:1: maxnodeidnum"),
        (wrap("", markerstyle="infix"), "f:1: markerstyle"),
    ],
)
def test_what_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(InvalidConfigError, match=says):
        parse_inventory(data, "f")


def test_a_setting_that_xml_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidArgsError, match="characters that XML cannot store"):
        render_inventory(Inventory(extra=(("colour", "\x01"),)))


def names(minimum: int = 1) -> st.SearchStrategy[str]:
    """Anything that a directory can be called, as os.fsdecode tells it."""
    data = st.binary(min_size=minimum, max_size=8) | st.sampled_from([b"%41", b"id_5", b'"<&>', b"a b", b"\n", b"1"])
    return data.map(lambda raw: raw.replace(b"\0", b"0").replace(b"/", b"_").decode("utf-8", "surrogateescape"))


def paths() -> st.SearchStrategy[str]:
    return st.lists(names(), min_size=1, max_size=3).map("/".join).filter(lambda path: not path_mistake(path))


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    by_id = draw(st.booleans())
    prefix = draw(st.sampled_from(["", "node_", "1"])) if by_id else ""
    layout = Layout(prefix=prefix, style=draw(st.sampled_from(list(MarkerStyle))))
    node = names().map(prefix.__add__).filter(lambda name: not node_mistake(name, layout))
    nodes = draw(st.lists(node, max_size=3, unique=True).map(tuple))
    tops = draw(st.lists(paths(), max_size=3, unique=True))
    tops = [path for path in tops if not any(path.startswith(f"{other}/") for other in tops)]
    cdsls = [Cdsl(path, HOST, nodes, "1.50") for path in tops]
    cdsls += [Cdsl(f"{path}/x", SHARED, nodes, "", (("odd", 'a"<\t'),)) for path in tops[:1]]
    children = draw(st.lists(paths().map(ChildRepository), max_size=2))
    return Inventory(layout, tuple(cdsls), draw(st.integers(0, 9)), by_id, "mnt", tuple(children), (("z", "a\nb"),))


@given(inventories())
def test_what_is_written_is_read_again(inventory: Inventory) -> None:
    data = render_inventory(inventory)
    again = parse_inventory(data, "f")
    assert again == inventory
    assert render_inventory(again) == data


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda part: GENERATION_3.replace(b"var/lib", part)))
def test_any_bytes_are_an_inventory_or_an_error(data: bytes) -> None:
    error = None
    try:
        parse_inventory(data, "f")
    except InvalidConfigError as raised:
        error = raised
    assert error is None or error.message.startswith("f:")
