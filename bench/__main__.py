# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: what osrd costs at 100, 1,000 and 10,000 nodes, against a floor in the same run (DESIGN 10).

Prints a table and writes bench/out.json. CPU seconds and ratios are the figures to compare; the machine is noisy.
`python -m bench [NODES...]` measures other sizes. What host-dependent files cost is measured by bench.cdsl in the same
run, what it costs to find no initrd to build by bench.initrd_decide, and what it costs to build one by bench.initrd.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import bus, cdsl, initrd, initrd_decide, traced, world

REPOSITORY = Path(__file__).resolve().parent.parent
_TRACED = "trace=file,desc"
_TURNS = 3


def _python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def _output(argv: list[str]) -> str:
    return subprocess.run(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True).stdout


def measure(nodes: int, directory: Path) -> dict[str, Any]:
    """What the pipeline costs at one cluster size; the new ``directory`` keeps all files. Making an inode does not
    always cost the same, so the first publication and its floor take turns and the best of each counts."""
    directory.mkdir()
    rounds, floors = [], []
    for turn in range(_TURNS):
        place = directory / f"{turn}"
        rounds.append(json.loads(_round(place, nodes)))
        floors.append(_floor(place, directory / f"floor{turn}"))
    run: dict[str, Any] = {"nodes": nodes, **min(rounds, key=_cpu_of_first)}
    for key in ("load", "noop", "one_edit"):
        run[key] = min((each[key] for each in rounds), key=lambda figures: figures["cpu_s"])
    floor = min(floors)
    run["first_publish"]["floor_cpu_s"] = floor
    run["first_publish"]["floor_ratio"] = round(run["first_publish"]["cpu_s"] / floor, 2)
    log = directory / "trace"
    _round(directory / "traced", nodes, ["strace", "-f", "-y", "-qq", "-e", _TRACED, "-o", str(log)])
    trace = log.read_text(errors="replace")
    run["noop"]["writes"] = traced.phase(trace, "noop").writes
    edited = traced.phase(trace, "edit")
    run["one_edit"]["files"] = sorted(Path(file).name for file in edited.files)
    run["one_edit"]["files_written"] = len([file for file in edited.files if "/state/" not in file])
    return run


def measure_bus(run: dict[str, Any], directory: Path) -> None:
    """Add what the daemon needs with as many nodes as ``run`` is about."""
    directory.mkdir()
    world.make(directory, run["nodes"])
    listing = bus.measure((directory / "cluster.conf").read_bytes())
    run["pipeline_rss_mib"] = run.pop("rss_mib")
    run["rss_mib"] = listing.pop("rss_mib")
    run["bus_list"] = listing


def _cpu_of_first(figures: dict[str, Any]) -> float:
    return float(figures["first_publish"]["cpu_s"])


def _round(place: Path, nodes: int, before: Sequence[str] = ()) -> str:
    """Make a boot host in the new directory ``place`` and let the pipeline run on it; what it measured."""
    place.mkdir()
    world.make(place, nodes)
    return _output([*before, *_python("bench.measure", str(place), str(nodes))])


def _floor(published: Path, new: Path) -> float:
    """CPU seconds of writing the same files the plain way."""
    return float(_output(_python("bench.floor", str(published / "tftp"), str(new))))


def table(runs: list[dict[str, Any]]) -> Table:
    rows = {
        "load, CPU s": lambda run: run["load"]["cpu_s"],
        "first publish with load, CPU s": lambda run: run["first_publish"]["with_load_cpu_s"],
        "first publish, CPU s": lambda run: run["first_publish"]["cpu_s"],
        "first publish, wall s": lambda run: run["first_publish"]["wall_s"],
        "first publish / floor": lambda run: run["first_publish"]["floor_ratio"],
        "nothing changed, CPU s": lambda run: run["noop"]["cpu_s"],
        "nothing changed, writes": lambda run: run["noop"]["writes"],
        "one edit, wall s": lambda run: run["one_edit"]["wall_s"],
        "one edit, CPU s": lambda run: run["one_edit"]["cpu_s"],
        "one edit besides load, CPU s": lambda run: run["one_edit"]["besides_load_cpu_s"],
        "one edit, files written": lambda run: run["one_edit"]["files_written"],
        "ListNodes, CPU s": lambda run: run["bus_list"]["cpu_s"],
        "ListNodes, wall s": lambda run: run["bus_list"]["wall_s"],
        "GetManagedObjects, wall s": lambda run: run["bus_list"]["managed_objects_wall_s"],
        "longest block, ms": lambda run: run["bus_list"]["max_block_ms"],
        "longest block after an edit, ms": lambda run: run["bus_list"]["edit_max_block_ms"],
        "memory, MiB": lambda run: run["rss_mib"],
    }
    shown = Table("", *[f"{run['nodes']:,} nodes" for run in runs])
    for title, value in rows.items():
        shown.add_row(title, *[str(value(run)) for run in runs])
    return shown


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or [100, 1000, 10000]
    with tempfile.TemporaryDirectory(prefix="osrd-bench-") as name:
        # Nothing is deleted before the last file is written: an ext4 without a journal steps over every inode that
        # was freed in the last minutes, one by one, for each file that it makes (recently_deleted() in its ialloc.c).
        # Removing 30,000 files made the next 30,000 three times as expensive.
        runs = [measure(nodes, Path(name) / f"{nodes}") for nodes in sizes]
        for run in runs:
            measure_bus(run, Path(name) / f"{run['nodes']}-bus")
    copied = cdsl.measure()
    decided = initrd_decide.measure()
    built = initrd.measure()
    figures = {"runs": runs, "cdsl": copied, "initrd_decide": decided, "initrd": built}
    (REPOSITORY / "bench/out.json").write_text(json.dumps(figures, indent=1) + "\n")
    console = Console(width=110)
    console.print(table(runs))
    console.print(cdsl.table(copied))
    console.print(initrd_decide.table(decided))
    if built is not None:
        console.print(initrd.table(built))


if __name__ == "__main__":
    main()
