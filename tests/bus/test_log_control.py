# SPDX-License-Identifier: GPL-3.0-or-later
"""org.freedesktop.LogControl1, as `systemctl service-log-level` uses it."""

import asyncio
import logging
import os
from collections.abc import Iterator

import pytest
from lxml import etree

from osrd.bus import polkit
from osrd.bus.logcontrol import ACTION
from osrd.bus.names import LOG_CONTROL, PROPERTIES
from osrd.engine import journal
from tests.bus.fake_engine import FakeEngine
from tests.bus.running import NAME, NOBODY, PrivateBus, Ran, asking, busctl, serving
from tests.bus.test_policy import mock, mocked

pytestmark = [pytest.mark.root, pytest.mark.needs("busctl", "setpriv", "dbus-daemon")]

INTERFACE = "org.freedesktop.LogControl1"


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = tuple(root.handlers), root.level
    journal.set_up_logging("info")
    yield
    for handler in tuple(root.handlers):
        if handler not in before:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)


async def get(bus: PrivateBus, name: str, uid: int | None = None) -> Ran:
    return await busctl(bus, "get-property", NAME, LOG_CONTROL, INTERFACE, name, uid=uid)


async def put(bus: PrivateBus, name: str, value: str, uid: int | None = None) -> Ran:
    return await busctl(bus, "set-property", NAME, LOG_CONTROL, INTERFACE, name, "s", value, uid=uid)


def test_the_level_is_read_and_set(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()):
            assert (await get(bus, "LogLevel", NOBODY)).out == 's "info"\n'
            assert (await get(bus, "SyslogIdentifier")).out == 's "osrd"\n'
            for word, read, level in (
                ("debug", "debug", logging.DEBUG),
                ("notice", "info", logging.INFO),
                ("err", "err", logging.ERROR),
                ("emerg", "crit", logging.CRITICAL),
                ("warning", "warning", logging.WARNING),
            ):
                ran = await put(bus, "LogLevel", word)
                assert ran.status == 0, ran
                assert logging.getLogger().level == level
                assert (await get(bus, "LogLevel")).out == f's "{read}"\n'

    asyncio.run(story())


def test_what_cannot_be_set_stays(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()):
            for name, value, says in (
                ("LogLevel", "loud", "no log level"),
                ("LogTarget", "kmsg", "no target of osrd; one of auto, console, journal"),
                ("SyslogIdentifier", "x", "cannot be set"),
                ("Colour", "x", "has no property Colour"),
            ):
                ran = await put(bus, name, value)
                assert ran.status != 0, name
                assert says in ran.err
            ran = await busctl(bus, "set-property", NAME, LOG_CONTROL, INTERFACE, "LogLevel", "u", "7")
            assert "LogLevel is a string" in ran.err
            assert journal.log_level() == "info"
            assert (await get(bus, "LogTarget")).out == 's "console"\n'

    asyncio.run(story())


def test_the_target_is_what_lines_go_to(bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()):
            assert (await put(bus, "LogTarget", "console")).status == 0
            monkeypatch.setattr(journal, "_JOURNAL_SOCKET", "/nonexistent")
            assert "there is no journal here" in (await put(bus, "LogTarget", "journal")).err
            monkeypatch.setattr(journal, "_JOURNAL_SOCKET", os.devnull)
            assert (await put(bus, "LogTarget", "journal")).status == 0
            assert (await get(bus, "LogTarget")).out == 's "journal"\n'
            assert any(isinstance(each, journal.JournalHandler) for each in logging.getLogger().handlers)
            assert (await put(bus, "LogTarget", "auto")).status == 0
            assert (await get(bus, "LogTarget")).out == 's "console"\n'

    asyncio.run(story())


def test_who_may_set_it_is_asked_of_polkit(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()):
            ran = await put(bus, "LogLevel", "debug", NOBODY)
            assert "only root may do this" in ran.err
            assert journal.log_level() == "info"
            async with mocked(bus):
                await mock(bus, "SetAllowed", "as", [ACTION])
                ran = await put(bus, "LogLevel", "debug", NOBODY)
                assert ran.status == 0, ran
            assert journal.log_level() == "debug"

    asyncio.run(story())


def test_it_is_an_object_like_others(bus: PrivateBus) -> None:
    async def story() -> None:
        async with serving(bus, FakeEngine()), asking(bus) as client:
            (found,) = await client.call(PROPERTIES, "GetAll", "s", INTERFACE, path=LOG_CONTROL)
            assert set(found) == {"LogLevel", "LogTarget", "SyslogIdentifier"}
            (text,) = await client.call("org.freedesktop.DBus.Introspectable", "Introspect", path=LOG_CONTROL)
            live = {each.get("name"): each for each in etree.fromstring(text.encode()).iterfind("interface")}
            access = {each.get("name"): each.get("access") for each in live[INTERFACE].iterfind("property")}
            assert access == {"LogLevel": "readwrite", "LogTarget": "readwrite", "SyslogIdentifier": "read"}
            assert await client.call("org.freedesktop.DBus.Peer", "Ping", path=LOG_CONTROL) == []
            for arguments, says in (
                (("Get", "ss", "a.b", "LogLevel"), "has no interface a.b"),
                (("Get", "ss", polkit.AUTHORITY, "LogLevel"), "has no interface"),
                (("Get", "ss", PROPERTIES, "LogLevel"), "has no property LogLevel"),
            ):
                with pytest.raises(Exception, match=says):
                    await client.call(PROPERTIES, *arguments, path=LOG_CONTROL)
            assert await client.call(PROPERTIES, "GetAll", "s", PROPERTIES, path=LOG_CONTROL) == [{}]

    asyncio.run(story())
