# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: the main job, then host-dependent files, then initrds, played in a sandbox. Every step waits for what
it promises and fails if it does not come; nothing is faked but the kernels and the root's dracut, which are stand-ins
(booting machines is another demo)."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from tests.end_to_end import demo_cdsl, demo_initrd
from tests.end_to_end.sandbox import Sandbox
from tests.end_to_end.stage import Monitor, say, show, within_a_second

_MAC1, _MAC2, _MAC3 = "00:0C:29:C9:C6:F5", "00:0C:29:C9:C6:F6", "00:0C:29:C9:C6:F7"


def play(box: Sandbox) -> Monitor:
    """The main job, to its end with three nodes."""
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
    return monitor


def end(by: int, _frame: FrameType | None) -> None:
    """On the way out the sandbox is stopped and removed, which a second Ctrl-C must not cut short."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + by)


ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    for number in ENDS:
        signal.signal(number, end)
    demo_cdsl.own_namespace()
    with demo_cdsl.SharedHost() as box:
        try:
            demo_cdsl.play(box, play(box))
            demo_initrd.play(box)
            say("`make test` proves all this; README.md says how to run it on a real host.")
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
