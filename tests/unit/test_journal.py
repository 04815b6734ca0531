# SPDX-License-Identifier: GPL-3.0-or-later
"""Where lines go, with which fields, and that every event is explained in the catalog."""

import ast
import io
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from osrd.engine import journal
from osrd.engine.journal import JournalHandler, MessageId, RateLimit, goes_to_journal, log_event, set_up_logging
from tests.conftest import REPOSITORY

CATALOG = (REPOSITORY / "data/systemd/osrd.catalog").read_text()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of the test's own; the root logger is put back as it was."""
    root = logging.getLogger()
    handlers, level = tuple(root.handlers), root.level
    yield logging.getLogger("osrd.test_journal")
    for handler in tuple(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
    root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_priorities_on_every_line(logger: logging.Logger) -> None:
    stream = io.StringIO()
    set_up_logging("info", stream)
    logger.debug("hidden")
    logger.info("one %s", "line")
    logger.error("two\nlines \udcff")
    assert stream.getvalue() == "<6>osrd: INFO: one line\n<3>osrd: ERROR: two\n<3>lines \\udcff\n"


def test_a_terminal_gets_none(logger: logging.Logger) -> None:
    stream = Terminal()
    set_up_logging("debug", stream)
    logger.debug("seen")
    assert stream.getvalue() == "osrd: DEBUG: seen\n"


def test_setting_up_again_changes_the_level_and_doubles_nothing(logger: logging.Logger) -> None:
    stream = io.StringIO()
    set_up_logging("debug", stream)
    set_up_logging("warning", stream)
    logger.info("hidden")
    logger.warning("seen")
    assert stream.getvalue() == "<4>osrd: WARNING: seen\n"


def test_the_journal_is_used_only_when_the_stream_is_it() -> None:
    ours, other = socket.socketpair()
    with ours, other, os.fdopen(os.dup(ours.fileno()), "w") as stream:
        status = os.fstat(stream.fileno())
        assert goes_to_journal(stream, f"{status.st_dev}:{status.st_ino}")
        assert not goes_to_journal(stream, f"{status.st_dev}:{status.st_ino + 1}")
        for nonsense in ("", ":", "1", "a:b", "1:2:3"):
            assert not goes_to_journal(stream, nonsense)
    assert not goes_to_journal(io.StringIO(), "1:2")


def test_the_handler_follows_the_stream(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = socket.socketpair()
    with ours, other, os.fdopen(os.dup(ours.fileno()), "w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        set_up_logging("info", stream)
        assert [type(handler) for handler in logging.getLogger().handlers if "osrd" in type(handler).__module__] == [
            JournalHandler
        ]


def test_an_event_has_its_fields_and_no_others(logger: logging.Logger) -> None:
    sent: list[tuple[bytes, ...]] = []
    handler = JournalHandler(lambda *fields: sent.append(fields))
    logger.addHandler(handler)
    log_event(logger, MessageId.DRIFT_FOUND, "100% changed: caf\udce9", node="node1", paths=2)
    logger.removeHandler(handler)
    fields = dict(field.split(b"=", 1) for field in sent[0])
    assert fields.pop(b"CODE_FILE").endswith(b"test_journal.py")
    assert int(fields.pop(b"CODE_LINE")) > 0
    assert fields == {
        b"MESSAGE": b"100% changed: caf\xe9",
        b"MESSAGE_ID": MessageId.DRIFT_FOUND.encode(),
        b"PRIORITY": b"4",
        b"SYSLOG_IDENTIFIER": b"osrd",
        b"LOGGER": b"osrd.test_journal",
        b"CODE_FUNC": b"test_an_event_has_its_fields_and_no_others",
        b"OSRD_NODE": b"node1",
        b"OSRD_PATHS": b"2",
    }


def test_every_event_is_explained_in_the_catalog_and_nothing_else_is() -> None:
    entries = re.findall(r"^-- ([0-9a-f]{32})$", CATALOG, re.MULTILINE)
    assert len(entries) == len(set(entries))
    assert set(entries) == set(MessageId)
    for entry in re.split(r"^-- [0-9a-f]{32}\n", CATALOG, flags=re.MULTILINE)[1:]:
        header, _, text = entry.partition("\n\n")
        assert [line.split(":")[0] for line in header.split("\n")] == ["Subject", "Defined-By", "Documentation"]
        assert text.strip()


def test_identifiers_are_well_formed() -> None:
    for message_id in MessageId:
        assert re.fullmatch("[0-9a-f]{32}", message_id)
        assert message_id[12] == "4"  # random ones, RFC 4122


def logged_fields() -> dict[str, list[set[str]]]:
    """The fields of every log_event() call in osrd, by the event's name. A call that takes its event from a table
    stands for every event that has no call of its own."""
    found: dict[str, list[set[str]]] = {}
    from_tables: list[set[str]] = []
    for file in (REPOSITORY / "osrd").rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "log_event":
                event = call.args[1]
                fields = {f"OSRD_{key.arg.upper()}" for key in call.keywords if key.arg}
                if isinstance(event, ast.Attribute):
                    found.setdefault(event.attr, []).append(fields)
                else:
                    from_tables.append(fields)
    return {message_id.name: found.get(message_id.name, from_tables) for message_id in MessageId}


def test_the_catalog_names_only_fields_that_are_sent() -> None:
    sent = logged_fields()
    assert all(sent.values()), "every event is logged somewhere"
    entries = re.split(r"^-- ([0-9a-f]{32})\n", CATALOG, flags=re.MULTILINE)[1:]
    for identifier, text in zip(entries[::2], entries[1::2], strict=True):
        named = set(re.findall(r"@([A-Z_]+)@", text))
        for fields in sent.get(MessageId(identifier).name, []):
            assert named <= fields, MessageId(identifier).name


def test_lines_that_callers_cause_are_bounded() -> None:
    now = 0.0
    limit = RateLimit(burst=2, period=10, keys=2, now=lambda: now)
    assert [limit.admit("a") for _ in range(5)] == [0, 0, None, None, None]
    assert limit.admit("b") == 0
    now = 11.0
    assert limit.admit("a") == 3
    assert [limit.admit("a") for _ in range(2)] == [0, None]
    assert limit.admit("c") == 0
    assert limit.admit("d") == 0
    assert len(limit._windows) == 2


def test_the_module_is_named_in_the_catalog() -> None:
    assert Path(journal.__file__).relative_to(REPOSITORY).as_posix() in CATALOG
