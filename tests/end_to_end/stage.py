# SPDX-License-Identifier: GPL-3.0-or-later
"""How the demo talks: headings, what programs say, what comes as a signal, how long it took."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from tests.end_to_end.sandbox import Sandbox
from tests.eventually import eventually

_COLOURS = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")
_BOLD, _DIM, _PLAIN = ("\033[1m", "\033[2m", "\033[0m") if _COLOURS else ("", "", "")


def say(text: str) -> None:
    print(f"\n{_BOLD}== {text}{_PLAIN}", flush=True)


def show(text: str) -> None:
    for line in text.rstrip().splitlines():
        print(f"   {line}", flush=True)


def osrctl(box: Sandbox, *arguments: str) -> str:
    """Show the command and what it says; it must succeed."""
    words = [f"'{word}'" if " " in word else word for word in arguments]
    show(f"$ osrctl {' '.join(words)}")
    said = box.osrctl(*arguments).stdout
    show(said)
    return said


def within_a_second(what: str, check: Callable[[], object]) -> None:
    """Wait for ``check`` and say how long it took; a noisy machine gets ten seconds before it is an error."""
    start = time.monotonic()
    eventually(lambda: bool(check()), what)
    print(f"   {_BOLD}{what}: {time.monotonic() - start:.2f} s{_PLAIN}", flush=True)


class Monitor:
    """`osrctl monitor` in the background: its lines appear as they come, everything from the constructor's end on."""

    def __init__(self, box: Sandbox) -> None:
        argv = [sys.executable, "-u", "-m", "osrd.cli.main", "monitor"]
        self._process = box.spawn(argv, stderr=subprocess.STDOUT, stdout=subprocess.PIPE)
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        # Its match rule is in place when it tells of something; on a busy machine that takes longer than the edit.
        eventually(lambda: box.osrctl("verify", check=False) and self.lines, "the monitor listens", 60)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip()
            self.lines.append(text)
            print(f"   {_DIM}signal | {text}{_PLAIN}", flush=True)

    def wait_for(self, word: str, what: str) -> None:
        eventually(lambda: any(word in line for line in self.lines), f"a signal on the bus that says: {what}")
        self.lines.clear()
