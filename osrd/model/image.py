# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels of shared roots and the initrds built for them (DESIGN 5): what there is, what it was made from, what is
offered. Digests are sha256 in hex, sizes bytes, times seconds since the epoch. Paths inside a root have no leading
slash, as in ``osrd.model.cdsl``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from osrd.model.finding import Finding
from osrd.model.settings import BootWay


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel in a root. ``version`` is what ``uname -r`` says, and the name of its module directory; ``image`` the
    file (``boot/vmlinuz-K``, ``usr/lib/modules/K/vmlinuz``); ``modules`` the directory, "" when it has none."""

    version: str
    image: str
    digest: str
    size: int
    modules: str = ""


@dataclass(frozen=True, slots=True)
class Dracut:
    """The dracut of a root. ``version`` is its number (59, 111), ``text`` what it calls itself (``059-4``);
    ``modules`` the directory of its modules."""

    version: int
    text: str
    modules: str = "usr/lib/dracut/modules.d"


class InputKind(StrEnum):
    """What a fingerprint covers (osrd.conf(5), FINGERPRINT, lists them)."""

    KERNEL = "kernel"  # the kernel image
    DEPMOD = "depmod"  # what depmod says of its modules: one that comes or goes changes it
    DRACUT = "dracut"  # dracut's own programs and modules
    CONFIGURATION = "configuration"  # dracut.conf and its drop-ins
    CONTENT = "content"  # the root's files that the image before contained
    OSR = "osr"  # the modules osr and osr-cluster
    CLUSTER = "cluster"  # what the modules are told of the cluster
    OPTIONS = "options"  # the boot way, and what dracut is called with


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """``inputs`` maps (kind, name) to the digest of the content; ``value`` is the digest over all of them."""

    value: str
    inputs: Mapping[tuple[InputKind, str], str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file of an initrd: its path, st_mode, size, the digest of a regular file's content ("" for others), the
    target of a symbolic link."""

    path: str
    mode: int
    size: int = 0
    digest: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class ImageContent:
    """What is in an initrd. ``files`` are sorted by path; of several files of one name in several segments the last
    counts, as for the kernel. ``texts`` are the contents of its small text files by path; ``unsearched`` counts the
    text files that were left out because there were too many bytes of them."""

    files: tuple[ImageFile, ...] = ()
    texts: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    unsearched: int = 0


class ImageState(StrEnum):
    CURRENT = "current"  # what menus start
    PREVIOUS = "previous"  # one menu line away
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Image:
    """A checked pair of kernel and initrd in osrd's store. ``id`` is 16 hex digits of the digest over root, kernel
    and initrd; ``root`` the name of its [root] section, ``kernel`` its version. ``kernel_file`` and ``initrd_file``
    are absolute paths on this host. ``sequence`` grows with every image of the root. ``build`` is what the image says
    of itself and nodes report: the fingerprint with which it was ordered, while ``fingerprint`` also covers what came
    to be in it, which was known only afterwards."""

    id: str
    root: str
    kernel: str
    way: BootWay
    fingerprint: str
    built: float
    seconds: float
    kernel_file: str
    kernel_digest: str
    kernel_size: int
    initrd_file: str
    initrd_digest: str
    initrd_size: int
    sequence: int
    build: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which images of a root are offered ("": none), and the ``rejected`` ones: rolled back from, and not taken again
    by osrd itself. ``fallen`` are the names of nodes that did not come up with the current image and whose menus start
    the previous one by themselves ([root] ``previous-after``); another current image clears them."""

    current: str = ""
    previous: str = ""
    rejected: tuple[str, ...] = ()
    fallen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildFailure:
    """The last build of a kernel failed. ``when`` it ended; ``attempts`` in a row with this ``fingerprint``;
    ``message`` says why; ``log`` is the absolute path of what it printed, "" when it printed nothing or it is gone."""

    kernel: str
    fingerprint: str
    when: float
    attempts: int
    message: str
    log: str = ""


@dataclass(frozen=True, slots=True)
class RootImages:
    """The images of one root, the newest first (highest sequence), what is chosen of them, and the failed builds, one
    for each kernel. ``findings`` tell what of the store cannot be read; with ``unknown`` that is the choice itself, so
    that nothing may be concluded from an empty one."""

    images: tuple[Image, ...] = ()
    choice: Choice = Choice()
    failures: tuple[BuildFailure, ...] = ()
    findings: tuple[Finding, ...] = ()
    unknown: bool = False

    def get(self, identity: str) -> Image | None:
        return next((image for image in self.images if image.id == identity), None)

    def state(self, image: Image) -> ImageState:
        if image.id == self.choice.current:
            return ImageState.CURRENT
        return ImageState.PREVIOUS if image.id == self.choice.previous else ImageState.KEPT


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """Everything a build needs. ``path`` is the root on this host, ``root`` its section. ``link`` is the path of the
    CDSL link in the root and ``tree`` whose tree is seen there during the build ("" both in a root without CDSLs).
    ``data`` are files below /etc/osr/initrd, ``modules`` those of the dracut modules by their path below
    usr/lib/dracut (``modules.d/95osr/module-setup.sh``), as in the image's root while it is built; nothing of it is
    written into the shared root."""

    root: str
    path: str
    kernel: Kernel
    way: BootWay
    fingerprint: str
    data: Mapping[str, bytes] = field(repr=False)
    modules: Mapping[str, bytes] = field(repr=False)
    link: str = ""
    tree: str = ""


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """Seconds, MiB of memory (files written included), MiB of the finished image, nice(1) value."""

    timeout: float = 900.0
    memory: int = 2048
    size: int = 512
    nice: int = 10


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What the ``node`` (its name in cluster.conf) last said of itself through its own tree (osr.dracut(7), NODE
    REPORT), which anybody who can write in the root may have forged: the ``step`` it reached
    (``root`` from the initrd, ``up`` from the running system), since ``time``; ``fingerprint`` is the ``build`` of the
    image that it booted, "" unknown; ``attempts`` counts boots of this image since the node last was up."""

    node: str
    step: str
    time: float
    kernel: str = ""
    fingerprint: str = ""
    boot_id: str = ""
    attempts: int = 0
