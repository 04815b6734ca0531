# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection itself: bursts, losses, refusals, and what must not be believed or parsed."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from osrd.bus.connection import CallError, Connection
from osrd.bus.names import BUS_NAME, MANAGER, ROOT
from osrd.bus.presence import Presence
from osrd.bus.service import BODY_LIMIT
from osrd.bus.wire import Incoming, Variant, element, joined, packed, unwrapped, wrapped
from osrd.model.errors import BusyError, FailedError, InvalidArgsError, NotFoundError, UnsupportedError
from osrd.model.view import DriftDetected
from tests.bus.fake_engine import FakeEngine
from tests.bus.running import PrivateBus, asking, raw, run, serving
from tests.eventually import eventually_async


def test_five_thousand_signals_in_one_turn(bus: PrivateBus) -> None:
    """Both libraries' own bus class ends the connection here, when the socket's buffer is full."""

    async def story() -> None:
        async with raw(bus) as sender, raw(bus) as receiver:
            numbers: list[int] = []
            await receiver.add_match("type='signal',interface='test.Burst'")
            receiver.on_signal = lambda signal: numbers.extend(signal.arguments[:1])
            for number in range(5000):
                sender.emit("/test", "test.Burst", "Tick", packed("us", [number, "x" * 100]))
            await eventually_async(lambda: len(numbers) >= 5000, "all signals", 30)
            assert numbers == list(range(5000))
            assert sender.connected

    asyncio.run(story())


def test_the_bus_dies(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()) as service, raw(bus) as other:
            call = asyncio.ensure_future(other.call(BUS_NAME, ROOT, "org.freedesktop.DBus.Peer", "Ping"))
            assert await call == []
            lost = asyncio.ensure_future(service.wait_lost())
            hanging = asyncio.ensure_future(other.ask_bus("GetId"))
            bus.stop(signal.SIGKILL)
            assert "message bus hung up" in await asyncio.wait_for(lost, 10)
            with pytest.raises(FailedError, match="the message bus is gone"):
                await hanging
            with pytest.raises(FailedError, match="the message bus is gone"):
                await other.ask_bus("GetId")

    asyncio.run(story())


def test_the_bus_is_restarted(bus: PrivateBus) -> None:
    """The same objects are there again, and each change is told once."""

    async def story() -> None:
        engine = FakeEngine()
        told: list[bool] = []
        presence = Presence(engine, bus.address, told.append)
        await presence.start()
        staying = asyncio.create_task(presence.stay())
        for _ in range(2):
            bus.stop(signal.SIGKILL)
            await eventually_async(lambda: told[-1:] == [False], "the loss is told")
            bus.start()
            await eventually_async(lambda: told[-1:] == [True], "osrd is back")
        async with asking(bus) as client:
            objects = await client.managed_objects()
            assert f"{ROOT}/nodes/2" in objects
            signals = client.signals()
            first = asyncio.ensure_future(anext(aiter(signals)))
            await eventually_async(lambda: client._matched, "the match rule")
            engine.tell(DriftDetected(("/a",)))
            engine.tell(DriftDetected(("/b",)))
            heard = [await first, await anext(aiter(signals))]
            assert [signal.arguments for signal in heard] == [[[b"/a"]], [[b"/b"]]]
            await signals.aclose()
        assert told == [False, True, False, True]
        assert len(engine._listeners) == 1
        staying.cancel()
        await presence.stop()
        assert engine._listeners == []

    asyncio.run(story())


def test_the_name_is_taken_meanwhile(bus: PrivateBus) -> None:
    async def story() -> None:
        presence = Presence(FakeEngine(), bus.address, lambda _there: None)
        await presence.start()
        staying = asyncio.create_task(presence.stay())
        bus.stop(signal.SIGKILL)
        bus.start()
        async with raw(bus) as other:
            await other.request_name(BUS_NAME)
            assert "is taken" in await asyncio.wait_for(staying, 20)
        await presence.stop()

    asyncio.run(story())


def test_osrd_ends_while_there_is_no_bus(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        told: list[bool] = []
        presence = Presence(engine, bus.address, told.append)
        await presence.start()
        staying = asyncio.create_task(presence.stay())
        bus.stop()
        await eventually_async(lambda: told == [False], "the loss is told")
        staying.cancel()
        await presence.stop()
        assert engine._listeners == []

    asyncio.run(story())


def test_the_name_is_taken(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()):
            with pytest.raises(BusyError, match="stop the other osrd"):
                async with serving(bus, FakeEngine()):
                    pass

    asyncio.run(story())


def test_the_name_is_lost(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()) as service:
            lost = asyncio.ensure_future(service.wait_lost())
            await service._connection.ask_bus("ReleaseName", "s", BUS_NAME)
            assert await asyncio.wait_for(lost, 10) == f"the bus name {BUS_NAME} was lost"

    asyncio.run(story())


@pytest.mark.needs("dbus-send")
def test_nobody_can_fake_the_bus(bus: PrivateBus) -> None:
    """A unicast signal that says that our name is lost, or that a caller left, comes from its sender, not the bus."""

    async def story() -> None:
        async with serving(bus, FakeEngine()) as service, asking(bus) as client:
            connection = service._connection
            lost = asyncio.ensure_future(service.wait_lost())
            victim = client._connection.unique_name
            async with connection.departure(victim) as gone:
                interface = "org.freedesktop.DBus"
                await fake(bus, connection.unique_name, f"{interface}.NameLost", BUS_NAME)
                await fake(bus, connection.unique_name, f"{interface}.NameOwnerChanged", victim, victim, "")
                await client.call(MANAGER, "ListJobs", "a{sv}", {})
                assert not lost.done()
                assert not gone.done()
            lost.cancel()

    asyncio.run(story())


@pytest.mark.needs("dbus-send")
def test_nobody_can_fake_osrd(bus: PrivateBus) -> None:
    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine), asking(bus) as client:
            signals = client.signals()
            first = asyncio.ensure_future(anext(aiter(signals)))
            await eventually_async(lambda: client._matched, "the match rule")
            await fake(bus, client._connection.unique_name, f"{MANAGER}.Reconciled", "me")
            await client.call(MANAGER, "ListJobs", "a{sv}", {})
            engine.tell(DriftDetected(("/a",)))
            assert (await first).member == "DriftDetected"
            await signals.aclose()

    asyncio.run(story())


async def fake(bus: PrivateBus, to: str, member: str, *arguments: str) -> None:
    """Send a signal to one connection, as any user may on the system bus."""
    strings = [f"string:{argument}" for argument in arguments]
    ran = await run(bus, "dbus-send", "--system", "--type=signal", f"--dest={to}", ROOT, member, *strings)
    assert ran.status == 0, ran


def test_no_bus_no_osrd(bus: PrivateBus, tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(NotFoundError, match="osrd is not running"):
            async with asking(bus):
                pass
        for address, what in (
            (f"unix:path={tmp_path}/none", "there is no message bus: "),
            ("tcp:host=localhost", "only unix:path= and unix:abstract="),
            ("nonsense", "is no bus address"),
        ):
            with pytest.raises(UnsupportedError, match=what):
                await Connection().connect(address)
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(str(tmp_path / "mute"))
            mute.listen()
            connecting = asyncio.ensure_future(Connection().connect(f"unix:path={tmp_path}/mute"))
            peer, _ = await asyncio.get_running_loop().run_in_executor(None, mute.accept)
            peer.sendall(b"REJECTED EXTERNAL\r\n")
            with pytest.raises(FailedError, match="does not let us in"):
                await connecting
            peer.close()

    asyncio.run(story())


def test_the_environment_names_the_bus(bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        connection = Connection()
        await connection.connect()
        assert (await connection.ask_bus("GetId"))[0]
        await connection.close()

    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
    asyncio.run(story())


def test_own_calls_are_checked(bus: PrivateBus) -> None:
    async def story() -> None:
        async with raw(bus) as connection:
            with pytest.raises(InvalidArgsError, match="no object path"):
                await connection.call(BUS_NAME, "no/path", "a.b", "C")
            with pytest.raises(CallError) as caught:
                await connection.call("org.nobody", "/", "a.b", "C")
            assert caught.value.name == "org.freedesktop.DBus.Error.ServiceUnknown"

    asyncio.run(story())


def message(kind: int, serial: int, body: bytes = b"", signature: str = "", order: str = "<") -> bytes:
    """A message as another implementation would write it: PATH, MEMBER, DESTINATION and SIGNATURE fields."""

    def text(code: int, type_: bytes, value: str) -> bytes:
        raw_value = value.encode()
        field = bytes([code, 1]) + type_ + b"\0"
        if type_ == b"g":
            field += bytes([len(raw_value)]) + raw_value + b"\0"
        else:
            field += struct.pack(order + "I", len(raw_value)) + raw_value + b"\0"
        return field + bytes(-len(field) % 8)

    fields = text(1, b"o", ROOT) + text(3, b"s", "Ping") + text(6, b"s", BUS_NAME)
    if signature:
        fields += text(8, b"g", signature)
    unpadded = len(fields.rstrip(b"\0")) + 1
    start = bytes([ord("l" if order == "<" else "B"), kind, 0, 1])
    head = start + struct.pack(order + "III", len(body), serial, unpadded) + fields[:unpadded]
    return head + bytes(-len(head) % 8) + body


async def sent(bus: PrivateBus, *frames: bytes) -> None:
    """Say hello on a socket of our own, write ``frames`` and leave when the bus has taken them."""
    reader, writer = await asyncio.open_unix_connection(str(bus.directory / "bus"))
    writer.write(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
    await reader.readuntil(b"\r\n")
    writer.write(b"BEGIN\r\n")
    plain = Connection()
    plain._stream = reader, writer
    plain._lost = asyncio.get_running_loop().create_future()
    plain._reading = asyncio.create_task(plain._read_all())
    await plain.ask_bus("Hello")
    for frame in frames:
        writer.write(frame)
    await plain.drained()
    with contextlib.suppress(FailedError):  # the bus may have hung up on us, as it should on some of these
        await plain.ask_bus("GetId")
    await plain.close()


def test_odd_messages_do_no_harm(bus: PrivateBus) -> None:
    """Unknown message types, big-endian callers, and calls that want no reply."""

    async def story() -> None:
        engine = FakeEngine()
        async with serving(bus, engine) as service, asking(bus) as client:
            heard: list[Incoming] = []
            receive = service._connection.on_call
            assert receive is not None

            def spy(call: Incoming) -> None:
                heard.append(call)
                receive(call)

            service._connection.on_call = spy
            await sent(bus, message(5, 7))
            await sent(bus, message(200, 7))
            await sent(bus, message(1, 7, order=">"))
            await eventually_async(lambda: [call for call in heard if call.member == "Ping"], "the big-endian call")
            assert heard[-1].path == ROOT
            assert await client.call(MANAGER, "ListJobs", "a{sv}", {}) == [[]]
            assert service._connection.connected

    asyncio.run(story())


def test_unknown_types_are_ignored_without_the_policy() -> None:
    """Our bus policy does not let them through; a bus with another policy must not be able to end us either."""

    async def story() -> None:
        ours, theirs = socket.socketpair()
        connection = Connection()
        connection.body_limit = 100
        connection._stream = await asyncio.open_unix_connection(sock=ours)
        connection._lost = asyncio.get_running_loop().create_future()
        connection._reading = asyncio.create_task(connection._read_all())
        calls: list[Incoming] = []
        connection.on_call = calls.append
        bad_utf8 = struct.pack("<I", 1) + b"\xff\0"
        theirs.sendall(message(9, 1) + message(1, 2, bad_utf8, "s") + message(1, 3, bytes(200), "ay") + message(1, 4))
        await eventually_async(lambda: len(calls) == 2, "the two good ones")
        assert [(call.serial, call.oversized) for call in calls] == [(3, True), (4, False)]
        theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert "speaks no D-Bus" in await asyncio.wait_for(connection.wait_closed(), 10)
        await connection.close()
        theirs.close()

    asyncio.run(story())


def test_a_limit_for_bodies_is_small() -> None:
    assert BODY_LIMIT <= 64 * 1024


def test_joined_elements_are_what_the_library_marshals() -> None:
    rows = [["/a", "1", "näme" * length, "up", bool(length % 2)] for length in range(20)]
    assert joined("a(osssb)", [element("a(osssb)", [row]) for row in rows]) == packed("a(osssb)", [rows])
    assert joined("a(osssb)", []) == packed("a(osssb)", [[]])
    objects = {f"/n/{i}": {"a.b": {"S": wrapped("x" * i), "N": Variant("u", i)}} for i in range(20)}
    signature = "a{oa{sa{sv}}}"
    parts = [element(signature, {path: value}) for path, value in objects.items()]
    assert joined(signature, parts) == packed(signature, [objects])


def test_wrapping() -> None:
    values = {"s": "x", "b": True, "t": 5, "x": -5, "d": 0.5}
    for signature, value in values.items():
        assert wrapped(value).signature == signature
    assert wrapped(("a", "b")).signature == "as"
    nested = [Variant("a{sv}", {"k": Variant("as", ["v"])}), [wrapped(1)]]
    assert unwrapped(nested) == [{"k": ["v"]}, [1]]


def test_other_libraries_are_refused() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "import osrd.bus.wire"],
        env=os.environ | {"OSRD_DBUS_LIB": "antigravity"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "set it to one of dbus_next, dbus_fast" in ran.stderr
