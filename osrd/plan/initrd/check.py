# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a finished initrd may be published. Everything that is wrong is told at once; an error keeps it from being
published, and the pair before stays what nodes boot. A warning does not.
"""

import re
from collections.abc import Iterable, Sequence

from osrd.model.finding import Finding, Severity
from osrd.parse.kernelmodules import module_name
from osrd.plan.initrd.check_drivers import file_systems, nic_drivers
from osrd.plan.initrd.check_inside import (
    data_files,
    dracut_modules,
    hand_over,
    hooks,
    network_provider,
    no_identity,
)
from osrd.plan.initrd.check_secrets import fence_passwords, not_searched, password_hashes, private_keys
from osrd.plan.initrd.subject import Findings, Subject, error, warning

_MIB = 1 << 20
_TREE = re.compile(r"(?:usr/)?lib/modules/([^/]+)/")
#: An image of another size than the one before it by more than this factor has more or less in it than was meant.
_ODD_FACTOR = 2.0
#: what a file system should have left when a build is done
_RESERVE = 64 * _MIB


def check(subject: Subject) -> tuple[Finding, ...]:
    """Everything that is wrong with it, errors first."""
    findings = [finding for rule in _RULES for finding in rule(subject)]
    return tuple(sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR))


def blocks(findings: Iterable[Finding]) -> bool:
    """Whether any of the findings keeps the image from being published."""
    return any(finding.severity is Severity.ERROR for finding in findings)


def room(free: int, sizes: Sequence[int], where: str) -> tuple[Finding, ...]:
    """Whether ``free`` bytes at ``where`` are enough for a kernel and an initrd of about the ``sizes`` (bytes) of the
    pair before, or as large as they may get. Asked before a build."""
    needed = sum(sizes) + _RESERVE
    if free >= needed:
        return ()
    message = f"{where} has {free // _MIB} MiB free, and a new kernel and initrd need about {needed // _MIB} MiB"
    fix = "make room there, or keep fewer images (keep= in [build] of osrd.conf)"
    return (error("initrd-no-room", message, fix, value=where),)


def size(subject: Subject) -> Findings:
    """Against the limit, and against the image before it."""
    kernel = subject.order.kernel.version
    limit = subject.limits.size * _MIB
    if not subject.size or not subject.content.files:
        yield error("initrd-empty", f"the initrd of {kernel} is empty", "look at the log of the build")
        return
    if subject.size > limit:
        message = f"the initrd of {kernel} has {_mib(subject.size)} MiB, more than the {subject.limits.size} allowed"
        yield error("initrd-too-big", message, "look what dracut.conf puts into it, or raise the limit in [build]")
    images = [image for image in subject.history if image.way is subject.order.way]
    before = next((image for image in images if image.kernel == kernel), images[0] if images else None)
    if before is not None and before.initrd_size and not _alike(subject.size, before.initrd_size):
        message = f"the initrd of {kernel} has {_mib(subject.size)} MiB, the one before it {_mib(before.initrd_size)}"
        fix = f"look at osrctl initrd diff {before.id} and the new one, whether something is missing or too much"
        yield warning("initrd-size-jump", message, fix, value=before.id)


def _alike(one: int, other: int) -> bool:
    return one <= other * _ODD_FACTOR and other <= one * _ODD_FACTOR


def _mib(count: int) -> str:
    return f"{count / _MIB:.1f}"


def kernel_version(subject: Subject) -> Findings:
    """A kernel finds modules by its own version, whatever its file is called."""
    kernel = subject.order.kernel
    if subject.own_version != kernel.version:
        message = f"the kernel {kernel.image} says that it is {subject.own_version!r}, not {kernel.version!r}"
        fix = "install the kernel's package again, so that image and modules belong together"
        yield error("initrd-kernel-mismatch", message, fix, value=subject.own_version)
    trees = {match[1] for path in subject.files if module_name(path) and (match := _TREE.match(path))}
    if kernel.modules and kernel.version not in trees:
        yield error(
            "initrd-without-modules",
            f"the initrd has no modules for {kernel.version}"
            + (f", but for {', '.join(sorted(trees))}" * bool(trees)),
            "look at the log of the build; depmod may have failed in the root",
            value=kernel.version,
        )
    elif len(trees) > 1:
        message = f"the initrd has the modules of several kernels: {', '.join(sorted(trees))}"
        yield warning("initrd-foreign-modules", message, "look which dracut.conf installs them")


_RULES = (
    size,
    kernel_version,
    dracut_modules,
    hooks,
    network_provider,
    hand_over,
    data_files,
    nic_drivers,
    file_systems,
    no_identity,
    fence_passwords,
    private_keys,
    password_hashes,
    not_searched,
)
