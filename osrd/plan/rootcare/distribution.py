# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose ways a root has (os-release(5))."""

from osrd.model.rootcare import Family
from osrd.plan.rootcare.view import Reader

#: os-release(5): the first that exists counts. On most systems the first is a symlink to the second.
PLACES = ("usr/lib/os-release", "etc/os-release")
_DEBIAN = frozenset({"debian", "ubuntu"})
_REDHAT = frozenset({"fedora", "rhel", "centos"})


def family_of(data: bytes) -> Family:
    """From the content of os-release: ID and ID_LIKE, quoted or not."""
    words: set[str] = set()
    for line in data.decode(errors="replace").splitlines():
        key, _, value = line.partition("=")
        if key.strip() in ("ID", "ID_LIKE"):
            words |= set(value.strip().strip("\"'").lower().split())
    if words & _DEBIAN:
        return Family.DEBIAN
    return Family.REDHAT if words & _REDHAT else Family.OTHER


def family(reader: Reader) -> Family:
    """Of a root. Systems older than os-release are told by a file that each family always had."""
    for place in PLACES:
        seen = reader.look(place)
        if seen is not None and not seen.text and (data := reader.read(place)) is not None:
            return family_of(data)
    if reader.look("etc/debian_version"):
        return Family.DEBIAN
    return Family.REDHAT if reader.look("etc/redhat-release") else Family.OTHER
