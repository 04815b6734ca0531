# SPDX-License-Identifier: GPL-3.0-or-later
"""`osrctl --json monitor` as a script would use it: a list of what came over the bus so far."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from tests.end_to_end.sandbox import Sandbox
from tests.eventually import eventually


class Monitor:
    """Signals as dictionaries, in the order they came. Listening has begun when the constructor returns. ``heard`` is
    called with each of them, in a thread."""

    def __init__(self, box: Sandbox, heard: Callable[[dict[str, Any]], object] = lambda signal: None) -> None:
        self._heard = heard
        argv = [sys.executable, "-u", "-m", "osrd.cli.main", "--json", "monitor"]
        self._process = box.spawn(argv, stdout=subprocess.PIPE)
        self.seen: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()
        # One signal of our own making proves that the match rule is in place.
        eventually(lambda: box.gdbus("Manager.Reconcile", "{}") and self.members("JobNew"), "the monitor listens", 60)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.seen.append(json.loads(line))
            self._heard(self.seen[-1])

    def members(self, name: str) -> list[dict[str, Any]]:
        return [signal for signal in self.seen if signal.get("member") == name or signal.get("signal") == name]

    def expect(self, name: str, seconds: float = 10.0) -> dict[str, Any]:
        """The next signal of this name; everything before and with it is forgotten."""
        signal = eventually(lambda: self.members(name), f"a signal {name}", seconds)[0]
        del self.seen[: self.seen.index(signal) + 1]
        return signal
