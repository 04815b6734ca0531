# SPDX-License-Identifier: GPL-3.0-or-later
"""What a booting machine is told: which loader per firmware, which script for iPXE, what this host knows of files."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from osrd.model.image import RootImages
from osrd.model.output import FileState
from osrd.model.settings import Architecture


@dataclass(frozen=True, slots=True)
class BootFiles:
    """``loaders`` maps a firmware family to the TFTP name of its loader (``osr/pxelinux.0``); families without a
    usable loader are absent. ``ipxe_script`` is what clients that already run iPXE get: a TFTP
    name, or a URL where there is a web server."""

    server: str
    loaders: Mapping[Architecture, str]
    ipxe_script: str


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """The text of a template and the file it came from, for error messages. ``error`` says why it could not be read,
    "" when it could."""

    text: str
    origin: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class StoredPair:
    """A kernel and initrd (sha256 in hex, "" initrd when none) that was current for a root, newest first in lists."""

    kernel: str
    initrd: str


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the pure planner must know of this host: regular files that settings may refer to (absolute path to state,
    absent paths missing), template sources by name, and the pairs each root had before.

    ``sources`` maps the paths of ``files`` that are inside a shared root to where their content really is, symbolic
    links resolved in there; ``modules`` maps directories of GRUB modules to a digest over all of them; ``present``
    holds the paths below the TFTP root, of those that matter, at which there is a file; ``images`` has the images of
    each [root] that takes its kernels from osrd's store, by name.
    """

    files: Mapping[str, FileState] = field(default_factory=dict)
    templates: Mapping[str, TemplateSource] = field(default_factory=dict)
    pairs: Mapping[str, tuple[StoredPair, ...]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    present: frozenset[str] = frozenset()
    images: Mapping[str, RootImages] = field(default_factory=dict)
