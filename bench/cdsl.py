# SPDX-License-Identifier: GPL-3.0-or-later
"""What CDSLs cost: copying, against bare cp -a of the same copies in the same run; checking; memory.

A part of `make bench`. `python -m bench.cdsl [FILES NODES]` is this part alone, of other sizes, and writes no file.

It is measured in memory where there is enough of it: a file costs least there, so that what osrd adds weighs most; and
on a disk, removing a million files afterwards may take longer than everything else (see also bench.__main__).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import cdslworld, traced

_REPOSITORY = Path(__file__).resolve().parent.parent
_TURNS = 2
FILES, NODES = 20_000, 16
_CHECKED_CDSLS, _CHECKED_NODES = 200, 100
#: Times FILES, on a single node: memory must not grow with them.
_FOR_MEMORY = (0.1, 3)
_MEMORY = "/dev/shm"
#: Bytes that a copied file needs in memory, and how many of those that are measured are there at the same time.
_PER_FILE, _AT_ONCE = 8 << 10, 3


def measure(files: int = FILES, nodes: int = NODES) -> dict[str, Any]:
    """All figures; nothing is left behind."""
    in_memory = _has_room(files * (nodes + 1) * _PER_FILE * _AT_ONCE)
    with tempfile.TemporaryDirectory(prefix="osrd-bench-", dir=_MEMORY if in_memory else None) as name:
        return {"files": files, "nodes": nodes, **_measured(Path(name), files, nodes, keep=not in_memory)}


def _has_room(needed: int) -> bool:
    try:
        found = os.statvfs(_MEMORY)
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return False
    available = next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("MemAvailable:"))
    return min(found.f_bavail * found.f_frsize, available) > needed


def _measured(directory: Path, files: int, nodes: int, *, keep: bool) -> dict[str, Any]:
    """``keep``: nothing may be deleted before the last copy is measured. What deletes itself (the engine gives up
    what an undo would need when the next change begins) comes last for that reason."""
    makes, floors = [], []
    root = directory
    for turn in range(_TURNS):
        floors.append(_round("floor", root := _filled(directory / f"floor{turn}", files), nodes))
        if not keep:
            shutil.rmtree(root)
        makes.append(_round("make", root := _filled(directory / f"make{turn}", files), nodes))
        if not keep and turn + 1 < _TURNS:
            shutil.rmtree(root)
    best, floor = min(makes, key=_cpu), min(floors, key=_cpu)
    memory = {str(files): best["rss_mib"]}
    for factor in _FOR_MEMORY:
        many = round(files * factor)
        memory[str(many)] = _round("make", _filled(directory / f"memory{many}", many), 1)["rss_mib"]
    checked = _checked(directory / "check")
    return {
        "make": {
            **best,
            "wall_s": min(each["wall_s"] for each in makes),
            "floor_cpu_s": floor["cpu_s"],
            "floor_wall_s": min(each["wall_s"] for each in floors),
            "floor_synced_wall_s": min(each["synced_wall_s"] for each in floors),
            "floor_ratio": round(best["cpu_s"] / floor["cpu_s"], 2),
        },
        "make_rss_mib": memory,
        "check": checked,
        **_round("back", root, nodes),
    }


def _filled(root: Path, files: int) -> Path:
    cdslworld.make_var(root, files)
    return root


def _checked(root: Path) -> dict[str, Any]:
    cdslworld.make_cdsls(root, _CHECKED_CDSLS, _CHECKED_NODES)
    log = root.with_suffix(".trace")
    figures = _round("check", root, _CHECKED_NODES)
    _round("check", root, _CHECKED_NODES, ["strace", "-f", "-y", "-qq", "-e", "trace=file,desc", "-o", str(log)])
    writes = traced.phase(log.read_text(errors="replace"), "check").writes
    return {"cdsls": _CHECKED_CDSLS, "nodes": _CHECKED_NODES, **figures, "writes": writes}


def _round(mode: str, root: Path, nodes: int, before: Sequence[str] = ()) -> dict[str, Any]:
    argv = [*before, sys.executable, "-m", "bench.cdslround", mode, str(root), str(nodes)]
    done = subprocess.run(argv, cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _cpu(figures: dict[str, Any]) -> float:
    return float(figures["cpu_s"])


def table(cdsl: dict[str, Any]) -> Table:
    make, check = cdsl["make"], cdsl["check"]
    shown = Table("CDSLs", f"{cdsl['files']:,} files, {cdsl['nodes']} nodes")
    shown.add_row("make /var, CPU s", f"{make['cpu_s']}")
    shown.add_row("make /var, CPU / cp -a", f"{make['floor_ratio']}")
    shown.add_row("make /var, wall s", f"{make['wall_s']}")
    shown.add_row("cp -a one after the other, wall s", f"{make['floor_wall_s']}")
    shown.add_row("the same until on the disk, wall s", f"{make['floor_synced_wall_s']}")
    shown.add_row("share /var/lib, CPU s", f"{cdsl['share']['cpu_s']}")
    shown.add_row("remove both, CPU s", f"{cdsl['remove']['cpu_s']}")
    for files, mebibytes in sorted(cdsl["make_rss_mib"].items(), key=lambda item: int(item[0])):
        shown.add_row(f"memory with {int(files):,} files, MiB", f"{mebibytes}")
    what = f"check of {check['cdsls']} CDSLs on {check['nodes']} nodes"
    shown.add_row(f"{what}, CPU s", f"{check['cpu_s']}")
    shown.add_row(f"{what}, writes", f"{check['writes']}")
    return shown


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]]
    figures = measure(*sizes)
    print(json.dumps(figures, indent=1))
    Console(width=110).print(table(figures))


if __name__ == "__main__":
    main()
