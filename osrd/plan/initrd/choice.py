# SPDX-License-Identifier: GPL-3.0-or-later
"""Which initrds to build, which image nodes boot, which may go.

Everything is level-triggered: each function looks at what there is and gives what should be, and gives the same when
it is asked again. That the choice only changes for a reason is what keeps nodes on what they boot well with:

- a new image of the newest kernel becomes the current one, and what was current becomes the previous one;
- an image that was rolled back from is rejected: only another one, built later, is taken instead;
- when a kernel goes away in the root and nothing can take its place, its image stays offered.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from osrd.model.errors import ConflictError, NotFoundError
from osrd.model.image import BuildFailure, Choice, Fingerprint, Image, Kernel, NodeReport, RootImages
from osrd.model.settings import KernelUse


def wanted(
    kernels: Sequence[Kernel],
    images: RootImages,
    fingerprints: Mapping[str, Fingerprint],
    failures: Iterable[BuildFailure] = (),
    policy: KernelUse = KernelUse.NEWEST,
) -> tuple[Kernel, ...]:
    """The kernels that need a build, in the order in which to build them: the newest first.

    ``kernels`` are those of the root, the newest first; ``fingerprints`` are by version what an image would be made
    from now, where that is known. A build that failed and is among ``failures`` is not wanted again before something
    changes; the caller leaves out those that are to be tried again.
    """
    failed = {(failure.kernel, failure.fingerprint) for failure in failures}
    builds = []
    for kernel in _distinct(kernels if policy is KernelUse.ALL else kernels[:1]):
        fingerprint = fingerprints.get(kernel.version)
        newest = _newest(images.images, kernel.version)
        if fingerprint is None or (newest is not None and newest.fingerprint == fingerprint.value):
            continue
        if (kernel.version, fingerprint.value) not in failed:
            builds.append(kernel)
    return tuple(builds)


def choose(images: RootImages, kernels: Sequence[Kernel]) -> Choice:
    """What should be offered of ``images``, given the ``kernels`` of the root, the newest first: of the newest kernel
    that has one, the newest image that is not rejected; what is current when there is none. Where what is current is
    gone from the store and nothing is better, it stays chosen: published files outlive their images. A choice that
    cannot be read is left to an administrator."""
    if images.unknown:
        return images.choice
    choice, have = images.choice, {image.id for image in images.images}
    rejected = tuple(identity for identity in choice.rejected if identity in have)
    good = [image for image in images.images if image.id not in rejected]
    best = min(good, key=_order(kernels), default=None)
    present = {kernel.version for kernel in kernels}
    if best is not None and best.kernel not in present and choice.current in have:
        best = None  # only images of kernels that are gone: no reason to leave the current one
    current = best.id if best is not None else choice.current
    previous = choice.previous
    if current != choice.current and choice.current in have:
        previous = choice.current
    if previous == current or previous not in have:
        others = [image for image in good if image.id != current]
        other = min(others, key=_order(kernels), default=None)
        previous = other.id if other is not None else ""
    fallen = choice.fallen if current == choice.current else ()
    return Choice(current, previous, rejected, fallen)


def rollback(images: RootImages, kernels: Sequence[Kernel] = (), to: str = "") -> Choice:
    """Offer the image ``to``, or else the previous one, instead of the current one. All that ``choose`` would take
    before the wanted one is rejected, so the current one is if that is newer. Raises NotFoundError when there is no
    such image, ConflictError when it is current already."""
    choice = images.choice
    target = images.get(to or choice.previous)
    if target is None:
        raise NotFoundError(
            f"there is no image {to}" if to else "there is no image to go back to",
            "osrctl initrd list shows what there is",
        )
    if target.id == choice.current:
        raise ConflictError(f"image {target.id} is the current one already", "name another one")
    order = _order(kernels)
    rejected = tuple(
        image.id
        for image in images.images
        if image is not target and (image.id in choice.rejected or order(image) < order(target))
    )
    after = replace(images, choice=Choice(target.id, "", rejected))
    return choose(after, kernels)


def retained(
    images: RootImages, kernels: Sequence[Kernel], reports: Iterable[NodeReport] = (), keep: int = 2
) -> frozenset[str]:
    """The ids of the images that stay; ``keep`` is how many at least, as far as there are so many.

    Whatever the number, those stay that are offered, that a node says it booted, and the newest of each kernel that
    the root has: without that one the very same would be built again.
    """
    booted = {report.fingerprint for report in reports if report.fingerprint}
    stay = {image.id for image in images.images if image.build in booted}
    stay |= {images.choice.current, images.choice.previous} & {image.id for image in images.images}
    for kernel in kernels:
        if (newest := _newest(images.images, kernel.version)) is not None:
            stay.add(newest.id)
    for image in images.images:
        if len(stay) >= keep:
            break
        stay.add(image.id)
    return frozenset(stay)


def fallen(images: RootImages, reports: Iterable[NodeReport], after: int) -> tuple[str, ...]:
    """The nodes that should start the previous image by themselves: those that tried ``after`` times to come up with
    the current one, until they came up with it. 0 means none. Sorted, so that equal ones are the same."""
    current = images.get(images.choice.current)
    if not after or current is None or not images.choice.previous:
        return ()
    found = set(images.choice.fallen)
    for report in reports:
        if report.fingerprint and report.fingerprint == current.build:
            if report.step == "up":
                found.discard(report.node)
            elif report.attempts >= after:
                found.add(report.node)
    return tuple(sorted(found))


def _distinct(kernels: Iterable[Kernel]) -> Iterable[Kernel]:
    """The first kernel of each version."""
    found: dict[str, Kernel] = {}
    for kernel in kernels:
        found.setdefault(kernel.version, kernel)
    return found.values()


def _newest(images: Iterable[Image], kernel: str) -> Image | None:
    return max((image for image in images if image.kernel == kernel), key=lambda image: image.sequence, default=None)


def _order(kernels: Sequence[Kernel]) -> Callable[[Image], tuple[int, int]]:
    """Sorts what nodes should boot first to the front: the newest kernel, of it the newest image; images of kernels
    that are gone come last."""
    place = {kernel.version: -index for index, kernel in enumerate(reversed(kernels))}
    return lambda image: (place.get(image.kernel, 1), -image.sequence)
