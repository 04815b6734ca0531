# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of the Boot Loader Specification (type 1): ``KEY VALUE`` lines in loader/entries/*.conf."""

import re
from dataclasses import dataclass

#: where the version is in the path of a kernel, for entries that do not tell it
_IN_PATH = (re.compile(r"/([^/]+)/linux"), re.compile(r"/(?:vmlinuz|vmlinux)-([^/]+)"))


@dataclass(frozen=True, slots=True)
class BootEntry:
    """``linux`` is the kernel's path from the top of its file system; both are "" when the entry starts none."""

    version: str = ""
    linux: str = ""


def parse_boot_entry(data: bytes) -> BootEntry:
    """Total: what is no entry has neither. The first line with a key counts."""
    values: dict[str, str] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        key, _, value = line.strip().partition(" ")
        if key in ("linux", "version"):
            values.setdefault(key, value.strip())
    linux = values.get("linux", "")
    matches = [match[1] for pattern in _IN_PATH if (match := pattern.search(linux))]
    version = values.get("version") or (matches[0] if matches else "")
    return BootEntry(version, linux)
