# SPDX-License-Identifier: GPL-3.0-or-later
"""Any local user may send anything: every call gets one answer with a sensible name, and osrd goes on."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osrd.bus import contract, standard
from osrd.bus.connection import CallError, Connection
from osrd.bus.limits import Buckets, check_sizes
from osrd.bus.names import BUS_NAME, JOB, MANAGER, NODE, ROOT, escaped, unescaped
from osrd.bus.wire import Header, Packed, Variant, wrapped
from osrd.model.errors import BusyError, InvalidArgsError
from tests.bus.fake_engine import FakeEngine
from tests.bus.running import PrivateBus, asking, raw, serving

NODE_1 = f"{ROOT}/nodes/1"
PROPERTIES = "org.freedesktop.DBus.Properties"
STANDARD = "org.freedesktop.DBus.Error."
INVALID = STANDARD + "InvalidArgs"


async def refused(connection: Connection, path: str, interface: str, member: str, *signed: Any) -> tuple[str, str]:
    """The error name and text of a call; ``signed`` is a signature and its arguments."""
    signature, *arguments = signed or ("",)
    with pytest.raises(CallError) as caught:
        await connection.call(BUS_NAME, path, interface, member, signature=signature, arguments=arguments)
    return caught.value.name.removeprefix(STANDARD), caught.value.message


def test_wrong_calls_have_the_right_names(bus: PrivateBus) -> None:
    cases = [
        ("/org/other", MANAGER, "Reconcile", "a{sv}", {}, "UnknownObject"),
        (f"{ROOT}/nodes/77", NODE, "X", "UnknownObject"),
        (f"{ROOT}/nodes/_31", PROPERTIES, "GetAll", "s", NODE, "UnknownObject"),
        (f"{ROOT}/jobs/1", JOB, "Cancel", "a{sv}", {}, "UnknownObject"),
        (f"{ROOT}/nodes", PROPERTIES, "GetAll", "s", NODE, "UnknownInterface"),
        (NODE_1, MANAGER, "Reconcile", "a{sv}", {}, "UnknownInterface"),
        (NODE_1, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "UnknownInterface"),
        (ROOT, MANAGER, "Explode", "a{sv}", {}, "UnknownMethod"),
        (ROOT, PROPERTIES, "Drop", "UnknownMethod"),
        ("/other", "org.freedesktop.DBus.Peer", "Explode", "UnknownObject"),
        (ROOT, MANAGER, "Reconcile", "InvalidArgs"),
        (ROOT, MANAGER, "Reconcile", "s", "x", "InvalidArgs"),
        (ROOT, MANAGER, "Apply", "a{sv}s", {}, "", "InvalidArgs"),
        (ROOT, PROPERTIES, "Get", "s", MANAGER, "InvalidArgs"),
        (ROOT, PROPERTIES, "Get", "ss", MANAGER, "Nothing", "UnknownProperty"),
        (ROOT, PROPERTIES, "Get", "ss", PROPERTIES, "Nothing", "UnknownProperty"),
        (ROOT, PROPERTIES, "Get", "ss", NODE, "Id", "UnknownInterface"),
        (ROOT, PROPERTIES, "GetAll", "s", "a.b", "UnknownInterface"),
        (ROOT, PROPERTIES, "Set", "ssv", MANAGER, "State", wrapped("ready"), "PropertyReadOnly"),
        (ROOT, PROPERTIES, "Set", "ssv", MANAGER, "Nothing", wrapped("x"), "UnknownProperty"),
    ]

    async def story() -> None:
        async with serving(bus, FakeEngine()), raw(bus) as connection:
            for *call, expected in cases:
                assert (await refused(connection, *call))[0] == expected, call

    asyncio.run(story())


def test_values_that_are_refused(bus: PrivateBus) -> None:
    options = [
        ("Reconcile", "a{sv}", {"force": wrapped(True)}, "unknown option 'force'"),
        ("Plan", "a{sv}", {"diff": wrapped("yes")}, "give a boolean"),
        ("Plan", "a{sv}", {"diff": wrapped(1)}, "give a boolean"),
        ("RemoveNode", "sa{sv}", "1", {"expected_version": Variant("i", -1)}, "number from 0 up"),
        ("RemoveNode", "sa{sv}", "1", {"expected_version": wrapped(True)}, "number from 0 up"),
        ("AddNode", "sa{sv}a{sv}", "n", {"votes": wrapped(1)}, {}, "give every attribute as a string"),
        ("GetNode", "sa{sv}", "x" * 5000, {}, "a string of 5000 characters"),
        ("AddNode", "sa{sv}a{sv}", "n", {str(n): wrapped("") for n in range(1001)}, {}, "an array of 1001"),
        ("AddNode", "sa{sv}a{sv}", "n", {"x" * 4097: wrapped("")}, {}, "a string of 4097"),
        ("Reconcile", "a{sv}", {"x": Variant("as", [""] * 1001)}, "an array of 1001"),
    ]

    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine), raw(bus) as connection:
            for member, *signed, text in options:
                name, message = await refused(connection, ROOT, MANAGER, member, *signed)
                assert name == "InvalidArgs", member
                assert text in message
            assert engine.requests == []

    asyncio.run(story())


def test_huge_messages_are_not_even_parsed(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()), raw(bus) as connection:
            huge = Variant("ay", bytes(20_000_000))
            name, _ = await refused(connection, ROOT, MANAGER, "Reconcile", "a{sv}", {"x": huge})
            assert name == "LimitsExceeded"
            assert await connection.call(BUS_NAME, "/any", standard.PEER.name, "Ping") == []

    asyncio.run(story())


def test_calls_without_an_interface(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()) as service, raw(bus) as connection:
            # Our own client always names the interface; gdbus and busctl do too. The wire format need not.
            calls = [("Ping", "", []), ("ListJobs", "a{sv}", [{}]), ("GetAll", "s", [""]), ("Introspect", "", [])]
            for member, signature, arguments in calls:
                assert len(await without_interface(connection, ROOT, member, signature, arguments)) <= 1
            with pytest.raises(CallError, match="no method Explode in any interface"):
                await without_interface(connection, ROOT, "Explode", "", [])
            with pytest.raises(CallError, match="there is no object"):
                await without_interface(connection, "/nowhere", "GetAll", "s", [""])
            assert service._connection.connected

    asyncio.run(story())


async def without_interface(
    connection: Connection, path: str, member: str, signature: str, arguments: list[Any]
) -> list[Any]:
    original = connection._send

    def send(header: Header, content: Packed) -> int:
        return original(replace(header, interface=""), content)

    connection._send = send  # type: ignore[method-assign]
    try:
        return await connection.call(BUS_NAME, path, "a.b", member, signature=signature, arguments=arguments)
    finally:
        connection._send = original  # type: ignore[method-assign]


def test_one_sender_is_slowed_down_and_others_are_not(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine), asking(bus) as greedy, asking(bus) as modest:
            calls = [greedy.call(MANAGER, "Reconcile", "a{sv}", {}) for _ in range(100)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            refusals = [result for result in results if isinstance(result, BusyError)]
            assert 30 <= len(refusals) <= 60
            assert "too many calls" in str(refusals[0])
            assert len(engine.requests) == 100 - len(refusals)
            assert await modest.call(MANAGER, "Reconcile", "a{sv}", {})
            assert await greedy.call(MANAGER, "ListJobs", "a{sv}", {}), "reading is free"

    asyncio.run(story())


def test_buckets() -> None:
    now = [0.0]
    buckets = Buckets(lambda: now[0], rate=20, burst=40, capacity=100)
    assert [buckets.take(":1.1") for _ in range(41)] == [True] * 40 + [False]
    now[0] = 0.1
    assert [buckets.take(":1.1") for _ in range(3)] == [True, True, False]
    assert buckets.take(":1.2")
    for number in range(1000):
        buckets.take(f":2.{number}")
    assert len(buckets) == 100
    now[0] = 3.0
    assert buckets.take(":1.3")
    assert len(buckets) == 1, "full buckets are forgotten"


@given(st.text())
def test_escaping_is_reversible(key: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        return
    element = escaped(key)
    assert element.replace("_", "a").isascii()
    assert element.replace("_", "a").isalnum()
    assert unescaped(element) == key


@given(st.text(alphabet="_abcdef0123456789XZ-ä"))
def test_unescaping_takes_only_what_escaping_made(element: str) -> None:
    key = unescaped(element)
    assert key is None or escaped(key) == element


def test_sizes() -> None:
    check_sizes(["x" * 4096, {"k": ["y"] * 1000}, 5, 0.5, b"x"])
    for value in ("x" * 4097, ["x"] * 1001, {"k": ["x" * 4097]}, {"x" * 4097: 1}, [[["z" * 4097]]]):
        with pytest.raises(InvalidArgsError):
            check_sizes(value)


# A strategy per D-Bus type, so that every method of the XML files is called with everything its signature allows.
TEXT = st.one_of(
    st.sampled_from(["", "1", "node1", "..", "/", "%s", "\u202e", "x" * 5000, ROOT, MANAGER]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50),
)
UINT64 = st.integers(0, 2**64 - 1)
VARIANT = st.one_of(
    TEXT.map(wrapped),
    st.booleans().map(wrapped),
    UINT64.map(wrapped),
    st.floats(allow_nan=False).map(wrapped),
    st.lists(TEXT, max_size=3).map(wrapped),
    st.binary(max_size=20).map(lambda value: Variant("ay", value)),
    st.integers(-(2**31), -1).map(lambda value: Variant("i", value)),
)
KEYS = st.one_of(
    st.sampled_from(
        ["diff", "expected_version", "nodeid", "ip", "eth1.mac", "from", "recursive", "discard", "others"]
    ),
    TEXT,
)
STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "s": TEXT,
    "t": UINT64,
    "as": st.lists(TEXT, max_size=3),
    "ay": st.one_of(st.sampled_from([b"", b"/var", b"var/lib\0", b"..", b"x" * 5000]), st.binary(max_size=20)),
    "v": VARIANT,
    "a{sv}": st.dictionaries(KEYS, VARIANT, max_size=3),
}
METHODS = [
    (interface.name, method)
    for interface in [*contract.load().values(), standard.OBJECT_MANAGER, *standard.EVERYWHERE]
    for method in interface.methods.values()
]
PATHS = [ROOT, NODE_1, f"{ROOT}/roots/main", f"{ROOT}/jobs/1", f"{ROOT}/nodes", "/", "/nowhere"]
SENSIBLE = (STANDARD, f"{BUS_NAME}.Error.")


@pytest.mark.parametrize(("interface", "method"), METHODS, ids=lambda value: getattr(value, "name", value))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_method_survives_everything(
    bus: PrivateBus, interface: str, method: contract.Method, data: st.DataObject, caplog: pytest.LogCaptureFixture
) -> None:
    calls = data.draw(
        st.lists(
            st.tuples(st.sampled_from(PATHS), st.tuples(*(STRATEGIES[argument.type] for argument in method.takes))),
            min_size=1,
            max_size=5,
        )
    )

    async def story() -> None:
        async with serving(bus, FakeEngine()), raw(bus) as connection:
            await connection.call(BUS_NAME, ROOT, MANAGER, "Verify", signature="a{sv}", arguments=[{}])
            for path, arguments in calls:
                signature = method.takes_signature
                call = connection.call(
                    BUS_NAME, path, interface, method.name, signature=signature, arguments=arguments
                )
                (answer,) = await asyncio.gather(asyncio.wait_for(call, 10), return_exceptions=True)
                if isinstance(answer, CallError):
                    assert answer.name.startswith(SENSIBLE)
                    assert "inside osrd" not in answer.message
                else:
                    assert isinstance(answer, list)
                    assert len(answer) == len(method.gives)

    asyncio.run(story())
    assert not [record for record in caplog.records if record.exc_info]
