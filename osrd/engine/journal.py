# SPDX-License-Identifier: GPL-3.0-or-later
"""Where log lines go, and the events among them that an operator must act on."""

import logging
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from typing import TextIO

from systemd import journal

from osrd.model.errors import InvalidArgsError

#: the identifier of osrd's lines: journalctl -t osrd
IDENTIFIER = "osrd"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
#: Words of syslog(3), and from which of ours on something is logged.
_SYSLOG_LEVELS = {
    **dict.fromkeys(("emerg", "alert", "crit"), logging.CRITICAL),
    "err": logging.ERROR,
    "warning": logging.WARNING,
    **dict.fromkeys(("notice", "info"), logging.INFO),
    "debug": logging.DEBUG,
}
_SYSLOG_WORDS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "err"}
_JOURNAL_SOCKET = "/run/systemd/journal/socket"


class Target(StrEnum):
    """Where log lines go: the journal, with their fields, or standard error."""

    JOURNAL = "journal"
    CONSOLE = "console"


class MessageId(StrEnum):
    """Identifiers of events, fixed for ever (sd-journal(3)): ``journalctl MESSAGE_ID=...``. What each means and what
    to do about it is told by data/systemd/osrd.catalog, which ``journalctl -x`` shows."""

    STARTED = "93befd1f6e264a61adecd66230edcb01"
    STOPPED = "490942a967764dc79d19c7a4beb372d6"
    CONFIG_REJECTED = "a0f7a7055300485aa9bf63c183ab6a29"
    NODE_QUARANTINED = "a2f442cbe49a44f4bdd3d23b62338a53"
    DRIFT_FOUND = "9b1ea72f480a4398b397346f95b64658"
    PUBLISH_FAILED = "b304aadb692549ef8453731c2e8d5ab7"
    DHCP_REJECTED = "a7cb4ad1181148d487c7f445de6722cc"
    DHCP_RELOAD_FAILED = "95fbf74e297741f688c1a8f1d5ffd831"
    WATCH_DEGRADED = "ddc5e4e504334eafa36c1960ce4b06cc"
    NODE_EDITED = "2912bd4cf59047e1824d6eafe197f97b"
    ROLLED_BACK = "01720780ebc44834b22fb64216ccc038"
    ROOT_TROUBLE = "22ff2e94903e48678c6a9c3b9a8cb973"
    ROOT_CHANGED = "822e1f4ea7e64764856e9cdb7582bec9"
    BUILD_FAILED = "c79ee07b3d5d4abc90d7bba483d6ad30"
    IMAGE_CHOSEN = "14361d4e89014028b3c7135a97a21424"


_EVENT_LEVELS = {
    MessageId.CONFIG_REJECTED: logging.ERROR,
    MessageId.NODE_QUARANTINED: logging.WARNING,
    MessageId.DRIFT_FOUND: logging.WARNING,
    MessageId.PUBLISH_FAILED: logging.ERROR,
    MessageId.DHCP_REJECTED: logging.ERROR,
    MessageId.DHCP_RELOAD_FAILED: logging.ERROR,
    MessageId.WATCH_DEGRADED: logging.WARNING,
    MessageId.ROOT_TROUBLE: logging.WARNING,
    MessageId.BUILD_FAILED: logging.ERROR,
}


def log_event(logger: logging.Logger, message_id: MessageId, text: str, **fields: str | int) -> None:
    """Log ``text`` as the event ``message_id``, at the event's own level (INFO, WARNING or ERROR).

    ``fields`` become journal fields: ``node="node1"`` is OSRD_NODE=node1. The text must be complete without them,
    since a terminal shows nothing else.
    """
    extra = {f"OSRD_{name.upper()}": value for name, value in fields.items()}
    level = _EVENT_LEVELS.get(message_id, logging.INFO)
    logger.log(level, "%s", text, extra={"MESSAGE_ID": message_id.value, **extra}, stacklevel=2)


def set_up_logging(level: str, stream: TextIO | None = None) -> None:
    """Send everything from ``level`` (a word of osrd.conf's [log]) on to the journal when ``stream`` (standard error)
    is connected to it, otherwise to ``stream``: with <N> priorities (sd-daemon(3)) unless it is a terminal.

    Call it again to change the level.
    """
    _use(_first_handler(sys.stderr if stream is None else stream))
    logging.getLogger().setLevel(_LEVELS[level])


def _first_handler(stream: TextIO) -> logging.Handler:
    return (
        JournalHandler() if goes_to_journal(stream, os.environ.get("JOURNAL_STREAM", "")) else _StreamHandler(stream)
    )


def _use(handler: logging.Handler) -> None:
    root = logging.getLogger()
    for other in tuple(root.handlers):
        if isinstance(other, JournalHandler | _StreamHandler):
            root.removeHandler(other)
            other.close()
    root.addHandler(handler)


def log_level() -> str:
    """From which level on something is logged now, as a word of syslog(3)."""
    return _SYSLOG_WORDS.get(logging.getLogger().level, "crit")


def set_log_level(word: str) -> None:
    """Log everything from ``word`` of syslog(3) on, until osrd.conf says otherwise. Raises InvalidArgsError."""
    if word not in _SYSLOG_LEVELS:
        raise InvalidArgsError(f"{word!r} is no log level", f"one of {', '.join(_SYSLOG_LEVELS)}")
    logging.getLogger().setLevel(_SYSLOG_LEVELS[word])


def log_target() -> Target:
    journal_is = any(isinstance(handler, JournalHandler) for handler in logging.getLogger().handlers)
    return Target.JOURNAL if journal_is else Target.CONSOLE


def set_log_target(word: str) -> None:
    """Log to the target ``word`` from now on, ``auto`` being what osrd begins with. Raises InvalidArgsError."""
    match word:
        case "auto":
            _use(_first_handler(sys.stderr))
        case Target.CONSOLE:
            _use(_StreamHandler(sys.stderr))
        case Target.JOURNAL if os.path.exists(_JOURNAL_SOCKET):
            _use(JournalHandler())
        case _:
            there = "there is no journal here" if word == Target.JOURNAL else f"{word!r} is no target of osrd"
            raise InvalidArgsError(there, "one of auto, console, journal")


def goes_to_journal(stream: TextIO, journal_stream: str) -> bool:
    """Whether ``stream`` is the socket that $JOURNAL_STREAM (``device:inode``, systemd.exec(5)) describes.

    The variable alone proves nothing: programs inherit it whose output was redirected since, and without journald
    its API drops messages silently.
    """
    device, _, inode = journal_stream.partition(":")
    try:
        status = os.fstat(stream.fileno())
        return (status.st_dev, status.st_ino) == (int(device), int(inode))
    except (OSError, ValueError):
        return False


class JournalHandler(logging.Handler):
    """Log records to journald, with the fields of log_event() and nothing else of the record: systemd-python's own
    handler sends every attribute and cannot send names that are not UTF-8."""

    def __init__(self, send: Callable[..., object] = journal.sendv) -> None:
        super().__init__()
        self._send = send
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {
            "MESSAGE": self.format(record),
            "PRIORITY": journal.JournalHandler.map_priority(record.levelno),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": record.lineno,
            "CODE_FUNC": record.funcName,
        }
        for name, value in vars(record).items():
            if name == "MESSAGE_ID" or name.startswith("OSRD_"):
                fields[name] = value
        try:
            self._send(*(f"{name}={value}".encode(errors="surrogateescape") for name, value in fields.items()))
        except OSError:
            self.handleError(record)


class _StreamHandler(logging.StreamHandler[TextIO]):
    """Lines to standard error; a service manager or a pipe gets each line's priority, a terminal does not."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._prefixed = not stream.isatty()
        self.setFormatter(logging.Formatter("osrd: %(levelname)s: %(message)s"))

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).encode(errors="backslashreplace").decode()
        if not self._prefixed:
            return text
        priority = journal.JournalHandler.map_priority(record.levelno)
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines() or [""])


class RateLimit:
    """A bound on log lines that a caller can cause at will: ``burst`` lines for each key (say, a uid) and ``period``
    in seconds, for at most ``keys`` keys at a time."""

    def __init__(
        self, burst: int = 10, period: float = 30.0, keys: int = 1000, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._period = period
        self._keys = keys
        self._now = now
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()  # key: begin of its window, lines in it

    def admit(self, key: str) -> int | None:
        """None: do not log. Otherwise log, and say how many lines of this key were left out since the last one."""
        now = self._now()
        begin, count = self._windows.pop(key, (now, 0))
        left_out = 0
        if now - begin >= self._period:
            left_out = max(0, count - self._burst)
            begin, count = now, 0
        self._windows[key] = (begin, count + 1)
        if len(self._windows) > self._keys:
            self._windows.popitem(last=False)
        return left_out if count < self._burst else None
