# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: the main job, played in a sandbox. Every step waits for what it promises and fails if it does not
come; nothing is faked but the kernel and initrd, which are stand-ins (booting machines is another demo)."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tests.end_to_end.sandbox import Sandbox
from tests.eventually import eventually

_COLOURS = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")
_BOLD, _DIM, _PLAIN = ("\033[1m", "\033[2m", "\033[0m") if _COLOURS else ("", "", "")
_MAC1, _MAC2, _MAC3 = "00:0C:29:C9:C6:F5", "00:0C:29:C9:C6:F6", "00:0C:29:C9:C6:F7"


def say(text: str) -> None:
    print(f"\n{_BOLD}== {text}{_PLAIN}", flush=True)


def show(text: str) -> None:
    for line in text.rstrip().splitlines():
        print(f"   {line}", flush=True)


def within_a_second(what: str, check: Callable[[], object]) -> None:
    """Wait for ``check`` and say how long it took; a noisy machine gets ten seconds before it is an error."""
    start = time.monotonic()
    eventually(lambda: bool(check()), what)
    print(f"   {_BOLD}{what}: {time.monotonic() - start:.2f} s{_PLAIN}", flush=True)


class Monitor:
    """`osrctl monitor` in the background: its lines appear as they come, everything from the constructor's end on."""

    def __init__(self, box: Sandbox) -> None:
        argv = [sys.executable, "-u", "-m", "osrd.cli.main", "monitor"]
        self._process = box.spawn(argv, stdout=subprocess.PIPE)
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


def play(box: Sandbox) -> None:
    say(f"A boot host in {box.directory}: its own files, its own message bus; nothing else here is touched")
    show(str(box.cluster_conf) + " is the wiki page's own example:")
    show(box.cluster_conf.read_text())

    say("osrctl check: is it right?")
    checked = box.osrctl("check", str(box.cluster_conf), check=False)
    show(checked.stdout + checked.stderr)
    assert checked.returncode == 2, "the example's mistake must be found"

    say("osrd starts all the same: both nodes are quarantined, nothing wrong is served")
    box.start_bus()
    box.start()
    monitor = Monitor(box)
    show(box.osrctl("status").stdout)
    assert not box.entry(_MAC1).exists(), "an ambiguous machine must get no boot entry"

    say(f"The administrator corrects node2's MAC to {_MAC2} in an editor")
    text = box.cluster_conf.read_text()
    second = text.index(_MAC1, text.index(_MAC1) + 1)
    box.replace(text, text[:second] + _MAC2 + text[second + len(_MAC2) :])
    within_a_second("both nodes published", lambda: box.entry(_MAC1).exists() and box.entry(_MAC2).exists())
    monitor.wait_for("published", "published")
    show(box.osrctl("nodes").stdout)
    show("What node2 boots (pxelinux.cfg/" + box.entry(_MAC2).name + "):")
    show(box.entry(_MAC2).read_text())
    show("What DHCP answers (dnsmasq hosts file) and what NFS exports:")
    show((box.directory / "dnsmasq/hosts").read_text())
    show((box.directory / "exports.d/osrd.exports").read_text())

    say("A third node, by command: cluster.conf is edited for you, comments and formatting stay")
    show(f"$ osrctl node add node3 ip=192.168.122.173 mac={_MAC3}")
    show(box.osrctl("node", "add", "node3", "ip=192.168.122.173", f"mac={_MAC3}").stdout)
    within_a_second("node3 published", box.entry(_MAC3).exists)
    monitor.wait_for("published", "published")

    say("Somebody vandalises a published file")
    good = box.entry(_MAC1).read_bytes()
    box.entry(_MAC1).write_bytes(b"DEFAULT something else\n")
    within_a_second("repaired", lambda: box.entry(_MAC1).read_bytes() == good)
    monitor.wait_for("drift", "drift")

    say("What was published, and that nothing is stale")
    show(box.osrctl("generations").stdout)
    show(box.osrctl("verify").stdout)
    show(box.osrctl("status").stdout)
    show("\n".join(sorted(str(Path(name)) for name in box.published())))
    say("That was the main job. `make test` proves it; README.md says how to run it on a real host.")


def end(by: int, _frame: FrameType | None) -> None:
    """On the way out the sandbox is stopped and removed, which a second Ctrl-C must not cut short."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + by)


_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    for number in _ENDS:
        signal.signal(number, end)
    with Sandbox() as box:
        try:
            play(box)
        except AssertionError as error:
            print(f"The demo failed: {error}", file=sys.stderr)
            if box.log.exists():
                print(box.log.read_text(), file=sys.stderr)
            return 1
        except BrokenPipeError:
            # `make demo | head`: nobody reads on, and the interpreter shall not complain about it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
