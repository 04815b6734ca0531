# SPDX-License-Identifier: GPL-3.0-or-later
"""Child process of the benchmark: the pipeline itself, without a bus. Prints one JSON object.

`python -m bench.measure DIRECTORY NODES` measures; under strace the faccessat(2) of MARK names tells phases apart.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path

from bench import world
from osrd.engine.load import ClusterLoader
from osrd.engine.pipeline import Pipeline, Scope

MARK = "/osrd-bench-mark/"


def mark(phase: str) -> None:
    """A system call that strace shows and that does nothing."""
    os.access(MARK + phase, os.F_OK)


class Clock:
    """CPU seconds of this process and its children, and wall seconds, since the start of the with block."""

    def __enter__(self) -> "Clock":
        self._cpu, self._wall = _cpu(), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu, self.wall = round(_cpu() - self._cpu, 4), round(time.monotonic() - self._wall, 4)


def _cpu() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def resident_of(process: int | str) -> float:
    """Mebibytes of resident memory of a process now."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def main(directory: Path, nodes: int) -> None:
    result: dict[str, object] = {}
    loader = ClusterLoader()
    with Clock() as load:
        loader.load(str(directory / "cluster.conf"))
    result["load"] = {"cpu_s": load.cpu}
    del loader
    gc.collect()
    pipeline = Pipeline(str(directory / "osrd.conf"), required=True)
    mark("first")
    with Clock() as first:
        pipeline.run(Scope(), "bench")
    result["first_publish"] = {
        "cpu_s": round(first.cpu - load.cpu, 4),
        "with_load_cpu_s": first.cpu,
        "wall_s": first.wall,
    }
    pipeline.run(Scope(), "bench")
    mark("noop")
    with Clock() as noop:
        pipeline.run(Scope(), "bench")
    mark("end")
    result["noop"] = {"cpu_s": noop.cpu}
    world.edit_one(directory, nodes // 2, 1)
    parser = ClusterLoader()
    parser.load(str(directory / "cluster.conf"))
    world.edit_one(directory, nodes // 2, 2)
    with Clock() as parse:
        parser.load(str(directory / "cluster.conf"))
    del parser
    pipeline.run(Scope(full=False), "bench")
    world.edit_one(directory, nodes // 2, 3)
    mark("edit")
    with Clock() as edit:
        run = pipeline.run(Scope(full=False), "bench")
    mark("end")
    assert run.result is not None, run
    result["one_edit"] = {
        "cpu_s": edit.cpu,
        "wall_s": edit.wall,
        "load_cpu_s": parse.cpu,
        "besides_load_cpu_s": round(edit.cpu - parse.cpu, 4),
    }
    result["rss_mib"] = resident_of("self")
    pipeline.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
