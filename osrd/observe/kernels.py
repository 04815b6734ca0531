# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels of a shared root in every layout that distributions have, and the root's dracut. Nothing is executed.

What dpkg or rpm is just unpacking is told as such and left alone: the next look finds it complete.
"""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from osrd.model.finding import Finding, Severity
from osrd.model.image import Dracut, Kernel
from osrd.observe.digests import Digests, Known
from osrd.observe.inside import Inside
from osrd.observe.nodeview import NodeView
from osrd.parse.bootentry import parse_boot_entry
from osrd.parse.kernelversion import version_key

#: the module trees, the modern place first; one may be a symlink to the other
MODULES = ("usr/lib/modules", "lib/modules")
#: written by depmod at the end of a kernel's installation
_COMPLETE = "modules.dep"
_BOOT = ("boot", "boot/efi", "efi")
_IMAGE = re.compile(r"(?:vmlinuz|vmlinux|kernel|Image)-([0-9][^/]*)")
#: beside kernels: what package managers and people leave there, and kernels that no loader takes
_LEFT = re.compile(r".*(?:\.(?:old|bak|orig|dpkg-\w+|rpm\w+|hmac|sig|signed|gz|xz|bz2|zst|lz4|lzo|efi)|~)")
#: Fedora's copies of a kernel for emergencies, under a name that is no version
_RESCUE = "0-rescue"
_MACHINE_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_IN_TREE = ("vmlinuz", "vmlinux", "Image")
#: what a kernel's module directory may be called; it goes into paths and argument lists
VERSION = re.compile(r"[0-9][A-Za-z0-9._+~-]{0,127}")

_MOST_NAMES = 5000
_MOST_KERNELS = 64
_LARGEST_IMAGE = 256 << 20
_LARGEST_TEXT = 1 << 16
_VERSION_FILE = "dracut-version.sh"
#: Newer ones say their version in the program alone.
DRACUT_PROGRAMS = ("usr/bin/dracut", "usr/sbin/dracut")
_LARGEST_PROGRAM = 1 << 20
_DRACUT_VERSION = re.compile(rb"""^[ \t]*DRACUT_VERSION=["']?([0-9]{1,5})([^\s"';]{0,64})""", re.MULTILINE)
_DRACUT_PLACES = ("usr/lib/dracut", "lib/dracut", "usr/share/dracut")


@dataclass(frozen=True, slots=True)
class Survey:
    """``kernels`` are those that an initrd can be built for, the newest first; ``dracut`` is None when the root has
    none. ``findings`` say what is missing."""

    kernels: tuple[Kernel, ...] = ()
    dracut: Dracut | None = None
    findings: tuple[Finding, ...] = ()


def survey(path: str, link: str = "", tree: str = "") -> Survey:
    """What is in the root ``path``; ``link`` and ``tree`` as in a BuildOrder. Every kernel image is read: with an
    InputObserver's look only those that changed. Raises NotFoundError, FailedError when the root cannot be opened."""
    with Inside.open(path) as inside:
        return survey_with(Digests(NodeView(inside, link, tree), Known()))


def survey_with(digests: Digests) -> Survey:
    """The same, within a look."""
    view = digests.view
    images: dict[str, str] = {}
    for version, image in _images(view):
        if VERSION.fullmatch(version):
            images.setdefault(version, image)
    newest = sorted(images, key=version_key, reverse=True)[:_MOST_KERNELS]
    kernels, findings = [], []
    for version in newest:
        found = _kernel(digests, version, images[version])
        if isinstance(found, Kernel):
            kernels.append(found)
            if not found.modules:
                findings.append(_no_modules(view, found))
        else:
            findings.append(found)
    if not images:
        findings.append(_no_kernel(view))
    dracut = find_dracut(view)
    if dracut is None:
        findings.append(_no_dracut(view))
    return Survey(tuple(kernels), dracut, tuple(findings))


def _images(view: NodeView) -> Iterator[tuple[str, str]]:
    """Version and path of every kernel image, the copies that machines boot from before the ones of packages."""
    for name in view.names("boot")[:_MOST_NAMES]:
        match = _IMAGE.fullmatch(name)
        if match and not match[1].startswith(_RESCUE) and not _LEFT.fullmatch(name) and view.is_file(f"boot/{name}"):
            yield match[1], f"boot/{name}"
    for boot in _BOOT:
        yield from _entries(view, boot)
        yield from _by_machine(view, boot)
    for top in _module_tops(view):
        for version in view.names(top)[:_MOST_NAMES]:
            there = set(view.names(f"{top}/{version}"))
            for name in _IN_TREE:
                if name in there and view.is_file(f"{top}/{version}/{name}"):
                    yield version, f"{top}/{version}/{name}"
                    break


def _module_tops(view: NodeView) -> tuple[str, ...]:
    """One of two that are the same directory."""
    places = {view.physical(top): top for top in reversed(MODULES)}
    return tuple(top for top in MODULES if top in places.values())


def _entries(view: NodeView, boot: str) -> Iterator[tuple[str, str]]:
    """What the boot loader's entries start (Boot Loader Specification, type 1). Their paths count from the top of the
    file system that they are on, which may be the root or what is mounted at ``boot``."""
    for name in view.names(f"{boot}/loader/entries")[:_MOST_NAMES]:
        if not name.endswith(".conf"):
            continue
        entry = parse_boot_entry(view.read(f"{boot}/loader/entries/{name}", _LARGEST_TEXT) or b"")
        if not entry.linux or not entry.version:
            continue
        path = entry.linux.lstrip("/")
        yield from ((entry.version, each) for each in (f"{boot}/{path}", path) if view.is_file(each))


def _by_machine(view: NodeView, boot: str) -> Iterator[tuple[str, str]]:
    for machine in view.names(boot)[:_MOST_NAMES]:
        if not _MACHINE_ID.fullmatch(machine):
            continue
        for version in view.names(f"{boot}/{machine}")[:_MOST_NAMES]:
            if view.is_file(f"{boot}/{machine}/{version}/linux"):
                yield version, f"{boot}/{machine}/{version}/linux"


def _kernel(digests: Digests, version: str, image: str) -> Kernel | Finding:
    view = digests.view
    found = view.find(image)
    place, status = found if found is not None else (image, None)
    size = status.st_size if status is not None and stat.S_ISREG(status.st_mode) else 0
    if not 0 < size <= _LARGEST_IMAGE:
        return _odd_image(view, version, place, size)
    modules = _modules(view, version)
    if modules and not view.is_file(f"{modules}/{_COMPLETE}"):
        return _half_installed(view, version, modules)
    digest = digests.of(place).partition(" ")[0]
    if not _SHA256.fullmatch(digest):
        return _odd_image(view, version, place, 0)
    return Kernel(version, place, digest, size, modules)


def _modules(view: NodeView, version: str) -> str:
    """The directory of the kernel's modules, "" when it has none."""
    for top in MODULES:
        found = view.find(f"{top}/{version}")
        if found is not None and stat.S_ISDIR(found[1].st_mode):
            return found[0]
    return ""


def find_dracut(view: NodeView) -> Dracut | None:
    """The root's dracut, by what its files say."""
    for top in _DRACUT_PLACES:
        if found := _version_in(view, f"{top}/{_VERSION_FILE}", _LARGEST_TEXT):
            return Dracut(*found, f"{top}/modules.d")
    for top in _DRACUT_PLACES:
        if not view.is_directory(f"{top}/modules.d"):
            continue
        for program in DRACUT_PROGRAMS:
            if found := _version_in(view, program, _LARGEST_PROGRAM):
                return Dracut(*found, f"{top}/modules.d")
    return None


def _version_in(view: NodeView, path: str, limit: int) -> tuple[int, str] | None:
    text = view.read(path, limit)
    match = _DRACUT_VERSION.search(text) if text else None
    if match is None:
        return None
    version = match[1].decode()
    return int(version), version + match[2].decode("ascii", "replace")


def _no_kernel(view: NodeView) -> Finding:
    where = view.inside.path
    return Finding(
        "root-without-kernel",
        Severity.WARNING,
        f"no kernel was found in {where}, so there is nothing to build an initrd for",
        f"install a kernel package in {where}, or set kernel= of its [root] section",
        value=where,
    )


def _no_dracut(view: NodeView) -> Finding:
    where = view.inside.path
    return Finding(
        "root-without-dracut",
        Severity.WARNING,
        f"{where} has no dracut, so no initrd can be built for it",
        f"install the packages dracut and dracut-network in {where}",
        value=where,
    )


def _no_modules(view: NodeView, kernel: Kernel) -> Finding:
    return Finding(
        "kernel-without-modules",
        Severity.WARNING,
        f"the kernel {view.inside.name(kernel.image)} has no module directory {MODULES[0]}/{kernel.version}",
        "install the kernel's package again, or remove the kernel",
        value=kernel.version,
    )


def _half_installed(view: NodeView, version: str, modules: str) -> Finding:
    return Finding(
        "kernel-half-installed",
        Severity.WARNING,
        f"{view.inside.name(modules)} has no {_COMPLETE}: the kernel {version} is still being installed, or its"
        " installation broke off",
        f"wait until it is installed; if it never ends, run depmod {version} in the root",
        value=version,
    )


def _odd_image(view: NodeView, version: str, image: str, size: int) -> Finding:
    return Finding(
        "kernel-image-odd",
        Severity.WARNING,
        f"{view.inside.name(image)} has {size} bytes, which no kernel has; {version} is left out",
        "install the kernel's package again",
        value=version,
    )
