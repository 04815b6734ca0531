# SPDX-License-Identifier: GPL-3.0-or-later
"""The files osrd publishes, as values: what should be, what was published, what is on the disk."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from hashlib import sha256

from osrd.model.finding import Finding
from osrd.model.value import value


class Stage(IntEnum):
    """The order of publishing: nothing is named before it can be fetched. Removals come after all stages."""

    EXPORTS = 1
    HOSTS = 2
    LOADER = 3
    KERNEL = 4
    MENU = 5
    DHCP = 6


class Kind(StrEnum):
    """What an output is; a broken template freezes all outputs of its kind."""

    LOADER = "loader"
    KERNEL = "kernel"
    INITRD = "initrd"
    PXELINUX = "pxelinux"
    GRUB = "grub"
    IPXE = "ipxe"
    DHCP = "dhcp"
    EXPORTS = "exports"
    HOSTS = "hosts"


class Service(StrEnum):
    """A server that has to be told when its files changed."""

    DHCP = "dhcp"
    NFS = "nfs"


def text_recipe(content: bytes) -> str:
    """The recipe of content that osrd rendered itself."""
    return sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class CopyOf:
    """Content is a file of this host, copied with ``cp --reflink=auto``; ``digest`` is its sha256 in hex. ``shared``
    is one in a shared root: ``source`` was a path without symbolic links when it was looked at, and what is there now
    is any node's."""

    source: str
    digest: str
    size: int
    shared: bool = False


@dataclass(frozen=True, slots=True)
class BuiltBy:
    """Content is what a program writes to the path that replaces ``{output}`` in ``argv``."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StaysAs:
    """Already published under this very name; its source may be gone (a kernel kept as ``previous``)."""

    digest: str


Content = bytes | CopyOf | BuiltBy | StaysAs


@value
class Output:
    """One file that should exist.

    ``recipe`` identifies the content: its sha256 (hex) when it is known beforehand, ``built:HEX`` (a hash over all
    inputs of the program) when only the program knows. ``node`` is the name of the node it is for, "" for shared
    files. ``made_from`` names the inputs (law 8).
    """

    path: str
    kind: Kind
    stage: Stage
    recipe: str
    node: str = ""
    made_from: tuple[str, ...] = ()
    mode: int = 0o644


@value
class Published:
    """One row of the manifest: a file that osrd made and therefore owns. ``digest`` is the sha256 (hex) written."""

    path: str
    kind: Kind
    stage: Stage
    recipe: str
    digest: str
    size: int
    mode: int
    node: str
    generation: int
    made_from: tuple[str, ...] = ()


@value
class FileState:
    """A regular file as found on the disk: sha256 in hex, size in bytes, permission bits."""

    digest: str
    size: int
    mode: int


class NotAFile(StrEnum):
    """What else can be found at a path."""

    ABSENT = "absent"
    OTHER = "other"  # a directory, a symlink, a device
    UNREADABLE = "unreadable"


Found = FileState | NotAFile


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that should be published.

    ``contents`` maps recipes to content; a recipe that is missing is already published or stored. ``frozen_kinds``
    and ``frozen_nodes`` name published files that must neither be changed nor removed, since what should replace
    them is unknown (a broken template, a missing kernel, DESIGN law 4).
    """

    outputs: Mapping[str, Output]
    contents: Mapping[str, Content] = field(default_factory=dict, repr=False)
    frozen_kinds: frozenset[Kind] = frozenset()
    frozen_nodes: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()
    changed: tuple[Mapping[str, Output], frozenset[str]] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class KernelPair:
    """A kernel and initrd that a menu offers: file names inside the owned TFTP directory, "" initrd when none."""

    kernel: str
    initrd: str
    title: str
