# SPDX-License-Identifier: GPL-3.0-or-later
"""How the dracut of a root is called, and what its output says of how far it is."""

import re
from collections.abc import Iterable

from osrd.model.image import BuildOrder
from osrd.model.settings import BootWay

_MODULES = {BootWay.STATIC: ("osr",), BootWay.FULL: ("osr", "osr-cluster")}
_INCLUDING = re.compile(r"\*\*\* Including module: (.*?) \*\*\*")
#: what dracut says between its modules and its end, and how far it is then
_STAGES = (
    ("*** Including modules done", 0.5),
    ("*** Installing kernel module dependencies", 0.55),
    ("*** Resolving executable dependencies", 0.6),
    ("*** Resolving dependencies for executables", 0.6),  # the same of dracut-ng
    ("*** Hardlinking files", 0.65),
    ("*** Stripping files", 0.7),
    ("*** Creating image file", 0.75),
    ("*** Creating initramfs image file", 0.98),
)
#: of the modules of an image that is not for one machine; more come a little closer to the next stage each
_USUAL_MODULES = 40
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def dracut_argv(order: BuildOrder, output: str, temporary: str) -> tuple[str, ...]:
    """The command, as it is called in the root: an image for every node, not for the machine that it is built on."""
    return (
        "dracut",
        "--force",
        "--no-hostonly",
        "--no-hostonly-cmdline",
        "--reproducible",
        *("--stdlog", "4"),  # what it does, step by step: dracut-ng says only what is wrong otherwise
        *("--tmpdir", temporary),
        *("--kver", order.kernel.version),
        *("--add", " ".join(_MODULES[order.way])),
        output,
    )


def shown(line: str) -> str:
    """A line of a program's output as it may go to a terminal, a journal or a message: no control characters."""
    return _CONTROL.sub("", line.replace("\t", " ")).rstrip()


class Progress:
    """How far dracut is, from its lines; it never goes back."""

    def __init__(self) -> None:
        self._modules = 0
        self._fraction = 0.0

    def heard(self, lines: Iterable[str]) -> tuple[float, str] | None:
        """The fraction done and what is being done, when one of ``lines`` says something about that."""
        told = None
        for line in lines:
            if found := _INCLUDING.search(line):
                self._modules += 1
                self._reached(0.5 * self._modules / (self._modules + _USUAL_MODULES))
                told = f"module {found[1]}"
                continue
            for start, fraction in _STAGES:
                if start in line:
                    self._reached(fraction)
                    told = line.partition("*** ")[2].strip("* ")
        return None if told is None else (self._fraction, told)

    def _reached(self, fraction: float) -> None:
        self._fraction = max(self._fraction, fraction)
