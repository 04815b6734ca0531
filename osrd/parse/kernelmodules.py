# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules by name: what depmod's tables and the paths of an image say; ``-`` is the same as ``_``."""

import re
from dataclasses import dataclass

_FILE = re.compile(r"(?:.*/)?([^/]+)\.ko(?:\.(?:gz|xz|zst|bz2|lz4))?")


@dataclass(frozen=True, slots=True)
class KernelModules:
    """The modules that can be loaded into a kernel, and those that are part of it."""

    loadable: frozenset[str] = frozenset()
    builtin: frozenset[str] = frozenset()


def parse_modules(dependencies: bytes, builtin: bytes) -> KernelModules:
    """From modules.dep and modules.builtin. Total: what is no module's path is none."""
    return KernelModules(_names(dependencies), _names(builtin))


def module_name(path: str) -> str:
    """The name of the module in the file ``path``, "" when it is none."""
    match = _FILE.fullmatch(path)
    return normalised(match[1]) if match else ""


def normalised(name: str) -> str:
    return name.replace("-", "_")


def _names(table: bytes) -> frozenset[str]:
    lines = table.decode("utf-8", "surrogateescape").split("\n")
    return frozenset(name for line in lines if (name := module_name(line.partition(":")[0].strip())))
