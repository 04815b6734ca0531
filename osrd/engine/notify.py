# SPDX-License-Identifier: GPL-3.0-or-later
"""What osrd tells the service manager that started it (sd_notify(3)); nothing happens when none did."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping

from systemd.daemon import notify

_logger = logging.getLogger(__name__)
#: of a status line; systemctl shows one line
_LONGEST_STATUS = 500


class Notifier:
    """The messages of one daemon. A service manager that does not listen is logged once and never an error."""

    def __init__(self) -> None:
        self._status = ""
        self._complained = False

    def ready(self, status: str = "") -> None:
        """Start-up, or the reload announced by reloading(), is over."""
        self._send("READY=1", self._new_status(status))

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; the same text again is not sent again."""
        self._send(self._new_status(text))

    def reloading(self) -> None:
        """A reload begins; ready() ends it. The time tells systemd 253 and newer (Type=notify-reload) which of several
        reloads is meant."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1", self._new_status("stopping"))

    def extend(self, seconds: float) -> None:
        """Ask for this many seconds more to start or stop: a publication is finished, not cut off."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def watchdog(self) -> None:
        """Prove to be alive; see Heartbeat."""
        self._send("WATCHDOG=1")

    def _new_status(self, text: str) -> str:
        """The assignment of a status, "" when it is known already. A line end would begin another assignment."""
        line = " ".join(text.encode(errors="backslashreplace").decode().split())[:_LONGEST_STATUS]
        if not line or line == self._status:
            return ""
        self._status = line
        return f"STATUS={line}"

    def _send(self, *assignments: str) -> None:
        message = "\n".join(assignment for assignment in assignments if assignment)
        if not message or "NOTIFY_SOCKET" not in os.environ:
            return
        try:
            notify(message)
        except OSError as error:
            if not self._complained:
                self._complained = True
                _logger.warning("the service manager cannot be told about the state: %s", error)


class Heartbeat:
    """Feeds the watchdog of systemd (WatchdogSec=) at half its interval, as long as the work loop proves that it
    goes on. A timer alone would prove only that asyncio turns.

    ``alive`` is asked before each beat and must not block; while it says no, nothing is sent, and the service manager
    restarts the daemon once its patience ends.
    """

    def __init__(self, notifier: Notifier, loop: asyncio.AbstractEventLoop, alive: Callable[[], bool]) -> None:
        self._notifier = notifier
        self._loop = loop
        self._interval = 0.0
        self._alive = alive
        self._timer: asyncio.TimerHandle | None = None

    def start(self, environment: Mapping[str, str] = os.environ) -> bool:
        """Begin, if the service manager watches this very process; otherwise there is no timer at all. Returns
        whether it does."""
        self._interval = watchdog_seconds(environment) / 2
        if self._interval <= 0:
            return False
        self._beat()
        return True

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._beat)
        if self._alive():
            self._notifier.watchdog()
        else:
            _logger.error("the reconciler does not move; without progress the service manager will restart osrd")


def watchdog_seconds(environment: Mapping[str, str]) -> float:
    """How long the service manager waits for a beat of this process, 0 when it does not (sd_watchdog_enabled(3))."""
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
        process = int(environment.get("WATCHDOG_PID", str(os.getpid())))
    except ValueError:
        return 0.0
    return microseconds / 1_000_000 if process == os.getpid() and microseconds > 0 else 0.0
