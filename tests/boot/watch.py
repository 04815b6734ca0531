# SPDX-License-Identifier: GPL-3.0-or-later
"""How far nodes are, as somebody sees it who watches the bus."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from tests.boot.lab import Lab
from tests.boot.machine import Machine
from tests.end_to_end.monitor import Monitor
from tests.eventually import eventually

_NODES = "/org/opensharedroot/Osrd1/nodes/"
#: All steps of a boot. Where iPXE is in the firmware no loader is fetched; its first script counts as one.
WHOLE = ["dhcp", "loader", "kernel", "initrd", "root", "up"]
#: What servers tell of it: the rest stands in a root that this host does not see.
SERVED = ["dhcp", "loader", "kernel", "initrd"]

#: time, node id and state
Change = tuple[str, str, str]


class Watch:
    """Watches from the moment of its making, and calls ``told`` with each change, in a thread. Times are this host's,
    of when the signal came."""

    def __init__(self, lab: Lab, told: Callable[[Change], object] = lambda change: None) -> None:
        self.seen: list[Change] = []
        self._told = told
        self._file = lab.directory / "states.log"
        self._monitor = Monitor(lab, self._hear)

    def _hear(self, signal: dict[str, Any]) -> None:
        if not signal["path"].startswith(_NODES) or signal["signal"] != "PropertiesChanged":
            return
        state = signal["arguments"][1].get("BootState")
        if state is not None:
            change = signal["time"], signal["path"].removeprefix(_NODES), state
            self.seen.append(change)
            self._told(change)

    def is_up(self, nodeid: int) -> bool:
        return self.states(nodeid)[-1:] == ["up"]

    def states(self, nodeid: int) -> list[str]:
        """What a node went through; a loader that fetches several files tells so several times."""
        return [state for state, _ in groupby(state for _, node, state in self.seen if node == str(nodeid))]

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What is seen in the block is written down beside the consoles."""
        try:
            yield
        finally:
            self._file.write_text("".join(f"{time} node {node} {state}\n" for time, node, state in self.seen))


def says_that_it_is_up(machine: Machine) -> None:
    """What a node reports in its own tree, where this host does not see it."""
    eventually(lambda: "step=up" in machine.ask("cat /cdsl.local/.osr/report").splitlines(), "up is reported", 120)
