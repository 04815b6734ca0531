# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows put together by hand are, byte for byte, what the D-Bus library marshals."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.bus import contract
from osrd.bus.assembly import entry, object_row, record
from osrd.bus.names import NODE, node_path
from osrd.bus.objects import Exported, Objects
from osrd.bus.wire import Variant, element, joined, packed, variant, wrapped
from tests.bus.fake_engine import FakeEngine, finding, snapshot, view

STRINGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
NUMBERS = st.integers(0, 0xFFFFFFFF)
#: as findings have them
WRAPPED = st.one_of(STRINGS.map(wrapped), NUMBERS.map(lambda number: Variant("u", number)), st.booleans().map(wrapped))
DICTIONARIES = st.dictionaries(
    STRINGS, STRINGS | st.booleans() | NUMBERS | st.lists(STRINGS, max_size=3) | WRAPPED, max_size=6
)
VALUES: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("s"), STRINGS),
    st.tuples(st.just("b"), st.booleans()),
    st.tuples(st.just("u"), NUMBERS),
    st.tuples(st.just("t"), st.integers(0, (1 << 64) - 1)),
    st.tuples(st.just("ay"), st.binary(max_size=20)),
    st.tuples(st.just("a{sv}"), DICTIONARIES),
    st.tuples(st.just("aa{sv}"), st.lists(DICTIONARIES, max_size=4)),
)
PROPERTIES = st.dictionaries(STRINGS, VALUES, max_size=6)


@given(st.lists(PROPERTIES, max_size=4), st.sampled_from(["a.b", "a.bc", "a.bcd", "a.bcde"]), NUMBERS)
def test_objects(objects: list[dict[str, tuple[str, Any]]], interface: str, number: int) -> None:
    signature = "a{oa{sa{sv}}}"
    paths = [f"/{number}/{'x' * index}y" for index in range(len(objects))]
    rows = [
        object_row(path, interface, [entry(name, *value) for name, value in properties.items()])
        for path, properties in zip(paths, objects, strict=True)
    ]
    plain = {
        path: {interface: {name: variant(*value) for name, value in properties.items()}}
        for path, properties in zip(paths, objects, strict=True)
    }
    assert joined(signature, rows) == packed(signature, [plain])


@given(st.lists(st.tuples(STRINGS, STRINGS, STRINGS, st.booleans()), max_size=4))
def test_records(rows: list[tuple[str, str, str, bool]]) -> None:
    made = joined("a(osssb)", [record(("/node", *row)) for row in rows])
    assert made == packed("a(osssb)", [[["/node", *row] for row in rows]])


@given(STRINGS, STRINGS, st.integers(0, 3), st.booleans())
def test_nodes_as_the_tables_show_them(key: str, name: str, nics: int, faulty: bool) -> None:
    """The whole way, with the properties that there are: the listing says what GetAll() says."""
    start = view(1, name)
    node = replace(start.node, nics=start.node.nics * nics, root=start.node.root if nics else None)
    source = replace(start, node=node, quarantined=faulty, findings=(finding(1), finding(2)) if faulty else ())
    objects = Objects(FakeEngine(snapshot(0)), contract.load())
    added = objects.node_added(key, source)
    path = node_path(key)
    plain = {path: {NODE: objects.properties(Exported(NODE, source))}}
    assert added.body == element("a{oa{sa{sv}}}", plain)


def test_types_that_no_listing_has_are_refused() -> None:
    with pytest.raises(ValueError, match="type x"):
        entry("Size", "x", 5)
