# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML files are the contract: what the running service shows of itself is them."""

import asyncio
from pathlib import Path

import pytest
from lxml import etree

from osrd.bus import contract, dispatcher, logcontrol, standard, values
from osrd.bus.contract import FILES, Emits, parsed
from osrd.bus.names import IMAGE, JOB, LOG_CONTROL, MANAGER, NODE, SHARED_ROOT
from osrd.model.errors import InvalidConfigError
from tests.bus.fake_engine import NEW, OLD, FakeEngine
from tests.bus.running import NAME, ROOT, PrivateBus, asking, gdbus, run, serving
from tests.conftest import REPOSITORY

INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"


def normalised(element: etree._Element) -> str:
    """The element without comments and layout."""
    for node in element.iter():
        node.text = node.tail = None
    return etree.tostring(element, method="c14n").decode()


def shipped(name: str) -> str:
    parser = etree.XMLParser(remove_comments=True)
    tree = etree.parse(REPOSITORY / "data/dbus" / f"{name}.xml", parser)
    found = tree.getroot().find("interface")
    assert found is not None
    return normalised(found)


async def introspected(client: object, path: str) -> etree._Element:
    (text,) = await client.call(INTROSPECTABLE, "Introspect", path=path)  # type: ignore[attr-defined]
    return etree.fromstring(text.encode())


def test_live_is_shipped(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()), asking(bus) as client:
            await client.call(MANAGER, "Verify", "a{sv}", {})
            objects = {
                ROOT: MANAGER,
                f"{ROOT}/nodes/1": NODE,
                f"{ROOT}/roots/main": SHARED_ROOT,
                f"{ROOT}/images/{NEW}": IMAGE,
                f"{ROOT}/jobs/1": JOB,
            }
            for path, ours in objects.items():
                live = {item.get("name"): item for item in (await introspected(client, path)).iterfind("interface")}
                expected = {standard.PEER.name, standard.INTROSPECTABLE.name, standard.PROPERTIES.name, ours}
                expected |= {standard.OBJECT_MANAGER.name} if path == ROOT else set()
                assert set(live) == expected
                assert normalised(live[ours]) == shipped(ours)

    asyncio.run(story())


def test_the_tree_can_be_walked_from_the_root(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()), asking(bus) as client:
            seen = []

            async def walk(path: str) -> None:
                seen.append(path)
                for child in (await introspected(client, path)).iterfind("node"):
                    await walk(f"{path.rstrip('/')}/{child.get('name')}")

            await walk("/")
            assert seen == [
                "/",
                "/org",
                "/org/freedesktop",
                LOG_CONTROL,
                "/org/opensharedroot",
                ROOT,
                f"{ROOT}/nodes",
                f"{ROOT}/nodes/1",
                f"{ROOT}/nodes/2",
                f"{ROOT}/roots",
                f"{ROOT}/roots/main",
                f"{ROOT}/images",
                f"{ROOT}/images/{NEW}",
                f"{ROOT}/images/{OLD}",
                f"{ROOT}/jobs",
            ]

    asyncio.run(story())


@pytest.mark.needs("gdbus")
def test_gdbus_introspects(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()):
            ran = await run(bus, "gdbus", "introspect", "--system", "--dest", NAME, "-o", ROOT, "--recurse")
            assert ran.status == 0, ran
            assert "readonly b InSync = true;" in ran.out
            assert f"node {ROOT}/nodes/2" in ran.out
            ran = await gdbus(bus, f"{INTROSPECTABLE}.Introspect", path="/org/other")
            assert "UnknownObject" in ran.err

    asyncio.run(story())


def test_a_method_without_an_action_does_not_start() -> None:
    text = b"<node><interface name='a.b'>\n<method name='Open'/></interface></node>"
    with pytest.raises(InvalidConfigError, match=r"x\.xml:2: method Open has no polkit action"):
        parsed(text, "x.xml")


@pytest.mark.parametrize("text", [b"", b"<node>", b"<node/>", b"<a><!DOCTYPE x></a>"])
def test_broken_xml_is_named(text: bytes) -> None:
    with pytest.raises(InvalidConfigError, match=r"x\.xml"):
        parsed(text, "x.xml")


def test_tables_are_those_of_the_files() -> None:
    interfaces = contract.load()
    tables = {
        MANAGER: values.MANAGER_PROPERTIES,
        NODE: values.NODE_PROPERTIES,
        SHARED_ROOT: values.SHARED_ROOT_PROPERTIES,
        IMAGE: values.IMAGE_PROPERTIES,
        JOB: values.JOB_PROPERTIES,
    }
    for name, table in tables.items():
        assert list(table) == list(interfaces[name].properties)
    assert interfaces[MANAGER].properties["Findings"].emits is Emits.INVALIDATES
    assert interfaces[MANAGER].properties["Version"].emits is Emits.CONST
    assert interfaces[MANAGER].properties["State"].emits is Emits.VALUE


def test_every_action_is_in_the_polkit_policy() -> None:
    policy = etree.parse(REPOSITORY / "data/polkit/org.opensharedroot.osrd.policy")
    actions = {action.get("id") for action in policy.iterfind("action")}
    methods = [method for interface in contract.load().values() for method in interface.methods.values()]
    used = {method.action for method in methods} | {asked for method in methods for asked in method.stricter.values()}
    assert used | {logcontrol.ACTION} == actions


def test_a_stricter_action_belongs_to_a_boolean_option() -> None:
    """Else nobody would ever be asked about it."""
    for interface, methods in dispatcher._METHODS.items():
        for name, method in contract.load()[interface].methods.items():
            for option in method.stricter:
                assert (option, bool) in methods[name].options, name


def test_every_method_ends_in_options() -> None:
    for interface in contract.load().values():
        for method in interface.methods.values():
            assert (method.takes[-1].name, method.takes[-1].type) == ("options", "a{sv}"), method.name


def test_all_files_are_loaded() -> None:
    assert set(FILES) == {path.name for path in Path(REPOSITORY / "data/dbus").glob("*.xml")}
