# SPDX-License-Identifier: GPL-3.0-or-later
"""Child process of the CDSL benchmark. Prints one JSON object.

`python -m bench.cdslround MODE ROOT NODES`: `make` makes /var of the root host-dependent; `floor` copies the same /var
as often with nothing but cp -a, one after the other; `back` shares /var/lib of a root where /var is host-dependent,
and removes both; `check` checks a root, between two marks for strace.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.cdslworld import members
from bench.measure import Clock, mark
from osrd.engine.sharedroot import SharedRoot
from osrd.model.cdsl import Removal


def make(root: str, nodes: int) -> dict[str, Any]:
    """Seconds (its programs are children that were waited for), and peak memory: of osrd's own process, and of the
    biggest of its programs."""
    with SharedRoot(root, members(nodes)) as shared:
        shared.init()
        os.sync()
        with Clock() as made:
            shared.make("/var")
    return {**_seconds(made), "rss_mib": _peak(), "child_rss_mib": _peak_of_children()}


def floor(root: str, nodes: int) -> dict[str, Any]:
    """A template and a copy for each node. ``synced_wall_s``: until they are on the disk, as osrd's are when it says
    that it is done."""
    Path(root, "copies").mkdir()
    os.sync()
    with Clock() as synced:
        with Clock() as copied:
            for number in range(nodes + 1):
                subprocess.run(["cp", "-a", f"{root}/var", f"{root}/copies/{number}"], check=True)
        os.sync()
    return {**_seconds(copied), "synced_wall_s": synced.wall}


def back(root: str, nodes: int) -> dict[str, Any]:
    with SharedRoot(root, members(nodes)) as shared:
        os.sync()
        with Clock() as share:
            shared.share("/var/lib")
        os.sync()
        with Clock() as remove:
            shared.remove("/var", Removal(recursive=True))
    return {"share": _seconds(share), "remove": _seconds(remove)}


def check(root: str, nodes: int) -> dict[str, Any]:
    with SharedRoot(root, members(nodes)) as shared:
        mark("check")
        with Clock() as checked:
            findings = shared.check()
        mark("end")
    wrong = [finding for finding in findings if finding.code != "cdsl-not-mounted"]
    assert not wrong, wrong[:3]
    return {**_seconds(checked), "rss_mib": _peak()}


def _seconds(clock: Clock) -> dict[str, float]:
    return {"cpu_s": clock.cpu, "wall_s": clock.wall}


def _peak() -> float:
    """Mebibytes. Not getrusage's: that one remembers the program that this process was before."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def _peak_of_children() -> float:
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1)


_MODES = {"make": make, "floor": floor, "back": back, "check": check}

if __name__ == "__main__":
    print(json.dumps(_MODES[sys.argv[1]](sys.argv[2], int(sys.argv[3]))))
