# SPDX-License-Identifier: GPL-3.0-or-later
"""The pairs that osrd's image store offers the nodes of a root, and what is to be said when it offers none.

The store is believed as far as the files agree with it. What was published once stays bootable whatever becomes of the
store: its content is in the owned directory under the very name that menus use.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from osrd.model.finding import Finding, Severity
from osrd.model.image import Image, RootImages
from osrd.model.netboot import HostFacts, StoredPair
from osrd.model.output import Kind
from osrd.model.settings import BootWay, BuildUse, RootSettings, Settings
from osrd.plan.bootfiles import BootFile, Pair, as_stored
from osrd.plan.roots import boot_way

_NOTHING = RootImages()


@dataclass(frozen=True, slots=True)
class ImagePairs:
    """What the store has for one root: None for a pair that it has not. ``rejected`` are pairs that were rolled back
    from; ``way`` is how the images boot when that is not what the settings say; ``spare`` are the files of all images.
    """

    current: Pair | None = None
    previous: Pair | None = None
    rejected: frozenset[StoredPair] = frozenset()
    way: BootWay | None = None
    spare: tuple[BootFile, ...] = ()
    findings: tuple[Finding, ...] = ()


def image_pairs(root: RootSettings, settings: Settings, facts: HostFacts) -> ImagePairs:
    """What the nodes of ``root``, which has no ``kernel`` in osrd.conf, are offered."""
    images = facts.images.get(root.name, _NOTHING)
    findings = list(images.findings)
    chosen = images.get(images.choice.current)
    if chosen is None:
        if not images.unknown:
            findings.append(_no_image(root, settings, images))
        return ImagePairs(spare=tuple(_spare(images, facts)), findings=tuple(findings))
    published = set(facts.pairs.get(root.name, ()))
    current = _pair(chosen, facts, published, findings)
    before = images.get(images.choice.previous)
    previous = _pair(before, facts, published, findings) if before is not None else None
    return ImagePairs(
        current,
        previous,
        frozenset(StoredPair(image.kernel_digest, image.initrd_digest) for image in _rejected(images)),
        _way(root, settings, [image for image in (chosen, before) if image is not None]),
        tuple(_spare(images, facts)),
        tuple(findings),
    )


def _pair(image: Image, facts: HostFacts, published: set[StoredPair], findings: list[Finding]) -> Pair | None:
    """The files of ``image``; those that are damaged only as published, None when they were not. A finding for each
    that is damaged."""
    files = [
        _file(Kind.KERNEL, image.kernel_file, image.kernel_digest, facts),
        _file(Kind.INITRD, image.initrd_file, image.initrd_digest, facts),
    ]
    pair = (files[0], files[1])
    damaged = [
        path for file, path in zip(files, (image.kernel_file, image.initrd_file), strict=True) if not file.source
    ]
    served = as_stored(pair) in published
    findings += [_damaged(image, path, served=served) for path in damaged]
    return pair if served or not damaged else None


def _file(kind: Kind, path: str, digest: str, facts: HostFacts) -> BootFile:
    """With its source only if that holds what it should."""
    state = facts.files.get(path)
    if state is None or state.digest != digest:
        return BootFile(kind, digest)
    return BootFile(kind, digest, path, state.size)


def _rejected(images: RootImages) -> Iterator[Image]:
    return (image for image in images.images if image.id in images.choice.rejected)


def _spare(images: RootImages, facts: HostFacts) -> Iterator[BootFile]:
    """A generation that is rolled back to may need any of them. Those that were looked at have to be right."""
    offered = (images.choice.current, images.choice.previous)
    for image in images.images:
        if image.id in offered:
            yield _file(Kind.KERNEL, image.kernel_file, image.kernel_digest, facts)
            yield _file(Kind.INITRD, image.initrd_file, image.initrd_digest, facts)
        else:
            yield BootFile(Kind.KERNEL, image.kernel_digest, image.kernel_file, image.kernel_size)
            yield BootFile(Kind.INITRD, image.initrd_digest, image.initrd_file, image.initrd_size)


def _way(root: RootSettings, settings: Settings, offered: list[Image]) -> BootWay | None:
    """An initrd that was built for a static boot finds nothing without the command line of one; a full one boots with
    it as well. So a change of the way waits until no static image is offered any more."""
    configured = boot_way(settings, root)
    static = any(image.way is BootWay.STATIC for image in offered)
    return BootWay.STATIC if static and configured is not BootWay.STATIC else None


def _damaged(image: Image, path: str, *, served: bool) -> Finding:
    effect = "it is served as it was published before" if served else "so it is not offered"
    return Finding(
        "image-damaged",
        Severity.WARNING if served else Severity.ERROR,
        f"{path} of image {image.id} of [root {image.root}] is gone or not what was stored; {effect}",
        f"check the disk of the state directory, and run 'osrctl initrd build {image.root}'",
        attribute="kernels",
        value=path,
    )


def _no_image(root: RootSettings, settings: Settings, images: RootImages) -> Finding:
    """Why the nodes of ``root`` are offered nothing new, and what to do."""
    where, build = f"[root {root.name}]", f"'osrctl initrd build {root.name}'"
    severity, code = Severity.WARNING, "no-kernel"
    if images.choice.current:
        severity, code = Severity.ERROR, "image-missing"
        message = f"image {images.choice.current}, which nodes of {where} boot, is gone from the store"
        message += "; they keep the menus they have"
        fix = f"run {build}, or choose another one with 'osrctl initrd rollback {root.name}'"
    elif images.failures:
        failure = images.failures[-1]
        message = f"nodes of {where} get no boot entries yet: the initrd of kernel {failure.kernel} could not be built"
        message += f" ({failure.message})"
        fix = f"see 'osrctl initrd log {root.name}', solve it, and run {build}"
    elif settings.build.enabled is BuildUse.NO:
        message = f"{where} names no kernel, and no initrd was built for it, so its nodes get no boot entries"
        fix = f"run {build}, set enabled = auto in [build], or set kernel and initrd in {where} of osrd.conf"
    else:
        message = f"nodes of {where} get no boot entries yet: their initrd is being built"
        fix = f"wait for it, 'osrctl initrd list {root.name}' shows how far it is; {build} begins at once"
    return Finding(code, severity, message, fix, attribute="kernel", value=images.choice.current)
