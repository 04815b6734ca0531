# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to find out that no initrd needs to be built. A part of `make bench`; `python -m bench.initrd_decide
[KERNELS]` is this part alone, and prints CPU seconds."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.initrd_world import make_root
from osrd.model.image import Fingerprint
from osrd.model.settings import BootWay
from osrd.observe.buildinputs import InputObserver
from osrd.plan.initrd.fingerprint import baked, content_of

KERNELS = 20
_TURNS = 7
#: seconds that a file must rest before its digest is kept
_REST = 2.5


def measure(kernels: int = KERNELS) -> dict[str, Any]:
    """The best of some turns: the machine has other users. ``full_cpu_s`` is what a look takes that believes nothing
    of depmod, as every few minutes, ``floor_cpu_s`` stat(2) of the same kernel modules and nothing else;
    ``first_cpu_s`` reads every file."""
    with tempfile.TemporaryDirectory(prefix="osrd-bench-") as name:
        root = Path(name) / "root"
        content = make_root(root, kernels)
        time.sleep(_REST)
        decision = _Decision(root)
        first = decision.cpu(content, full=True)
        decision.cpu(decision.content(), full=True)
        before, hashed = decision.prints, decision.observer.hashed(str(root))
        glances = [decision.cpu(decision.content(), full=False) for _ in range(_TURNS)]
        fulls = [decision.cpu(decision.content(), full=True) for _ in range(_TURNS)]
        floors = [_floor(root, content) for _ in range(_TURNS)]
        assert decision.prints == before
        assert decision.observer.hashed(str(root)) == hashed
    return {
        "kernels": kernels,
        "inputs": max(len(print_.inputs) for print_ in before.values()),
        "cpu_s": round(min(glances), 4),
        "full_cpu_s": round(min(fulls), 4),
        "floor_cpu_s": round(min(floors), 4),
        "first_cpu_s": round(first, 4),
    }


class _Decision:
    """What the daemon does with a root at each look."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._own = baked(
            {"osr.conf": b"OSR_CLUSTER='demo'\n"}, {"modules.d/95osr/module-setup.sh": b"check"}, BootWay.FULL
        )
        self.observer = InputObserver()
        self.prints: dict[str, Fingerprint] = {}

    def content(self) -> dict[str, tuple[str, ...]]:
        return {version: content_of(print_) for version, print_ in self.prints.items()}

    def cpu(self, content: Mapping[str, tuple[str, ...]], *, full: bool) -> float:
        start = time.process_time()
        with self.observer.looking(self._root, full=full) as look:
            survey = look.survey()
            assert survey.dracut is not None
            self.prints = {
                kernel.version: look.fingerprint(kernel, survey.dracut, content[kernel.version], self._own)
                for kernel in survey.kernels
            }
        assert self.prints.keys() == content.keys()
        return time.process_time() - start


def _floor(root: Path, content: Mapping[str, tuple[str, ...]]) -> float:
    """CPU seconds for a look at all kernel modules that compares nothing and is not careful on its way."""
    directories: dict[str, list[str]] = {}
    for name in chain.from_iterable(content.values()):
        directory, _, base = name.rpartition("/")
        if directory.startswith("usr/lib/modules/"):
            directories.setdefault(f"{root}/{directory}", []).append(base)
    start = time.process_time()
    for directory, names in directories.items():
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        for name in names:
            os.stat(name, dir_fd=fd, follow_symlinks=False)
        os.close(fd)
    return time.process_time() - start


def table(figures: dict[str, Any]) -> Table:
    shown = Table("initrds", f"{figures['kernels']} kernels, {figures['inputs']:,} inputs each")
    shown.add_row("nothing to build, CPU s", f"{figures['cpu_s']}")
    floor = figures["floor_cpu_s"]
    shown.add_row("the same, every module looked at, CPU s", f"{figures['full_cpu_s']}")
    shown.add_row("stat(2) of every module and no more, CPU s", f"{floor} (1 : {figures['full_cpu_s'] / floor:.1f})")
    shown.add_row("the first look, every file read, CPU s", f"{figures['first_cpu_s']}")
    return shown


def main() -> None:
    figures = measure(*[int(argument) for argument in sys.argv[1:]])
    print(json.dumps(figures, indent=1))
    Console(width=110).print(table(figures))


if __name__ == "__main__":
    main()
