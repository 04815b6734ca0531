# SPDX-License-Identifier: GPL-3.0-or-later
"""The third part of `make demo`: kernels and initrds. Sandbox, checks, store and menus are the real ones; the root's
dracut is a short program, so that a build takes a moment and not a minute.

Programs of a root are run by root only, and the root needs a busybox: without both the part is left out.
"""

import os
import shutil
import signal
from typing import Any

from tests.end_to_end.demo_cdsl import SharedHost
from tests.end_to_end.miniroot import add_kernel, make_root
from tests.end_to_end.stage import Monitor, osrctl, say, show, within_a_second
from tests.eventually import eventually

_ROOT = "./shared"
_MAC = "00:0C:29:C9:C6:F5"
_SETTINGS = ("[build]", "# for the demo: a package manager is given a moment only", "quiet = 500ms", "")


def play(box: SharedHost) -> None:
    """Go on where the host-dependent files ended."""
    if os.geteuid() != 0 or shutil.which("busybox") is None:
        say("Kernels and initrds are left out: they need root's rights, and busybox on this machine")
        return
    _begin(box, Monitor(box))  # the one before ended with the osrd that was killed
    _update(box)
    _edit(box)
    _go_back(box)
    say("Whatever is installed in the root, its nodes boot an initrd that was made for it, or the one before.")


def _begin(box: SharedHost, monitor: Monitor) -> None:
    say("The kernel is the root's own from now on: osrd.conf names none, and osrd builds the initrds")
    make_root(box.root)
    add_kernel(box.root, "6.1.0-1")
    lines = [line for line in box.osrd_conf.read_text().splitlines() if not line.startswith(("kernel =", "initrd ="))]
    box.osrd_conf.write_text("\n".join([*lines, *_SETTINGS]))
    monitor.lines.clear()
    assert box.osrd is not None
    box.osrd.send_signal(signal.SIGHUP)
    eventually(lambda: _current(box), "the first image", 20)
    monitor.wait_for("nodes boot 6.1.0-1", "nodes boot another image")
    osrctl(box, "initrd", "list", _ROOT)
    show("What its dracut said, in a sandbox in which the root is read-only and there is no network:")
    osrctl(box, "initrd", "log", _ROOT)


def _update(box: SharedHost) -> None:
    say("A package update in the root brings another kernel; nobody types anything")
    before = box.entry(_MAC).read_text()
    add_kernel(box.root, "6.1.0-2")
    within_a_second("built, checked and published", lambda: box.entry(_MAC).read_text() != before)
    eventually(lambda: _current(box).get("kernel") == "6.1.0-2", "the new image is the current one")
    show(box.entry(_MAC).read_text())
    osrctl(box, "initrd", "list", _ROOT)


def _edit(box: SharedHost) -> None:
    say("An edit of a file that is in no initrd builds nothing; an edit of a library that is in it builds a new one")
    image = _current(box)["id"]
    (box.root / "etc/motd").write_text("welcome\n")
    osrctl(box, "initrd", "build", _ROOT)
    assert _current(box)["id"] == image, "nothing was to be built"
    (box.root / "usr/lib/libroot.so").write_text("a security update\n")
    osrctl(box, "initrd", "build", _ROOT)
    said = osrctl(box, "initrd", "diff", _current(box)["id"])
    assert "because usr/lib/libroot.so changed" in said, said


def _go_back(box: SharedHost) -> None:
    say("It does not boot well? The one before is a menu line away, and one command makes it everybody's again")
    image, before = _current(box)["id"], box.entry(_MAC).read_text()
    osrctl(box, "initrd", "rollback", _ROOT)
    within_a_second("published", lambda: box.entry(_MAC).read_text() != before)
    assert _current(box)["id"] != image


def _current(box: SharedHost) -> dict[str, Any]:
    images = box.ask("initrd", "list", _ROOT)["images"]
    return next((image for image in images if image["state"] == "current"), {})
