# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingerprint of an initrd: a digest over everything that it depends on, and nothing else. Equal fingerprint, no
build (DESIGN 5); osrd.conf(5), FINGERPRINT, has the list for administrators.

The root's part of it is observed (osrd.observe.buildinputs), osrd's own part is ``baked``. What the image contains is
only known once there is one: ``content_names`` tells it from the image's own list, as a compiler's list of included
files does. The first build of a kernel has none, and is needed anyway.
"""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from osrd.model.image import Fingerprint, ImageFile, InputKind
from osrd.model.settings import BootWay

Inputs = Mapping[tuple[InputKind, str], str]

#: the file of an image's data that holds its fingerprint
BUILD = "build"
#: one line of a node's file: a shell word that the image's scripts read
_WORD = re.compile(rb"([A-Z][A-Z0-9_]*)=(.*)")
#: tables with a line for each node, which begins with the node's id
TABLES = frozenset({"nodeids", "nodenames", "nodeuuids"})
#: an input's digest, or what stands in its place, ends here; short sums of its parts follow
PARTS = ";"

#: Microcode for processors is put together from whole directories of the root.
MICROCODE = {
    "kernel/x86/microcode/GenuineIntel.bin": "usr/lib/firmware/intel-ucode",
    "kernel/x86/microcode/AuthenticAMD.bin": "usr/lib/firmware/amd-ucode",
}
#: What dracut writes itself instead of copying it, so that the root's file of that name is no input, and what is an
#: input of another kind. Directories end in a slash.
_MADE = (
    *("etc/osr/", "dev/", "proc/", "sys/", "run/", "tmp/", "usr/lib/dracut/", "lib/dracut/", "var/lib/dracut/"),
    *("etc/conf.d/", "etc/cmdline.d/", "usr/lib/initrd-release", "etc/initrd-release", "etc/os-release", "init"),
    *("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/ld.so.cache", "etc/machine-id", "etc/hostname"),
    *("etc/fstab", "etc/mtab", "etc/resolv.conf", "etc/cmdline", "etc/adjtime", "var/lib/dbus/machine-id"),
    *("early_cpio", "shutdown", "var/log/", "var/tmp/"),
)
_MADE_DIRECTORIES = tuple(name for name in _MADE if name.endswith("/"))
_MADE_FILES = frozenset(name for name in _MADE if not name.endswith("/"))
#: depmod's files, which dracut writes anew for the modules in the image
_DEPMOD = re.compile(r"(?:usr/)?lib/modules/[^/]+/modules\.[^/]+")


def fingerprint(*parts: Inputs) -> Fingerprint:
    """The fingerprint over all inputs of ``parts`` (what was observed, what is baked), in whatever order they come."""
    inputs = {key: digest for part in parts for key, digest in part.items()}
    rows = [f"{kind}\0{name}\0{inputs[kind, name]}\0" for kind, name in sorted(inputs)]
    return Fingerprint(sha256("".join(rows).encode("utf-8", "surrogateescape")).hexdigest(), inputs)


def baked(
    data: Mapping[str, bytes], modules: Mapping[str, bytes], way: BootWay, options: Sequence[str] = ()
) -> Inputs:
    """The inputs that are osrd's own: ``data`` and ``modules`` as in a BuildOrder, and the ``options`` that dracut is
    called with. The same for all kernels of a root, so it is made once for them."""
    inputs = {(InputKind.OSR, name): sha256(content).hexdigest() for name, content in modules.items()}
    inputs |= {(InputKind.CLUSTER, name): _told(name, content) for name, content in data.items() if name != BUILD}
    inputs[InputKind.OPTIONS, "way"] = sha256(way.encode()).hexdigest()
    argv = "\0".join(options).encode("utf-8", "surrogateescape")
    inputs[InputKind.OPTIONS, "dracut"] = sha256(argv).hexdigest()
    return inputs


def _told(name: str, content: bytes) -> str:
    """The digest of a file of data. Sums of the single words or lines follow, so that ``changes`` can name them."""
    digest = sha256(content).hexdigest()
    if name in TABLES:
        lines = [line.split(b" ", 1) for line in content.splitlines()]
        parts = [(line[0], line[-1]) for line in lines]
    elif name.startswith("nodes.d/"):
        found = [_WORD.fullmatch(line) for line in content.splitlines()]
        parts = [(match[1], match[2]) for match in found if match]
    else:
        return digest
    sums = " ".join(f"{key.decode('ascii', 'replace')}={zlib.crc32(value):x}" for key, value in parts)
    return f"{digest}{PARTS}{sums}"


def content_names(files: Iterable[ImageFile]) -> tuple[str, ...]:
    """The paths of an image whose counterparts in the root are inputs: everything but what dracut makes itself. Those
    that the root has not are not observed either."""
    return tuple(sorted({file.path for file in files if _is_content(file)}))


def _is_content(file: ImageFile) -> bool:
    if not (file.digest or file.target):
        return False  # directories and devices
    path = file.path
    return path not in _MADE_FILES and not path.startswith(_MADE_DIRECTORIES) and not _DEPMOD.fullmatch(path)


def content_of(before: Fingerprint | None) -> tuple[str, ...]:
    """What to observe for the next look at an image with the fingerprint ``before``."""
    if before is None:
        return ()
    return tuple(name for kind, name in before.inputs if kind is InputKind.CONTENT)
