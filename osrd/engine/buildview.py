# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown of the kernels and images of a root, and how a build that failed is told."""

from collections.abc import Mapping
from dataclasses import replace

from osrd.engine.buildwork import Aim, Sight
from osrd.model.errors import OsrdError
from osrd.model.finding import Finding, Severity
from osrd.model.image import BuildFailure, RootImages
from osrd.model.settings import BuildUse
from osrd.model.view import BuildView, ImageView, KernelState, KernelView

#: Findings of a root that cannot have initrds.
_LACKING = ("root-without-dracut", "root-without-kernel")


def view_of(
    aim: Aim, sight: Sight, failed: Mapping[str, Finding], building: str, trouble: tuple[Finding, ...]
) -> BuildView:
    """``failed`` are findings by kernel version; ``building`` is the version that is built just now, "" for none."""
    newest: dict[str, str] = {}
    for image in sight.images.images:
        newest.setdefault(image.kernel, image.id)
    kernels = tuple(
        KernelView(
            kernel.version,
            kernel.image,
            _state(kernel.version, sight, failed, building),
            newest.get(kernel.version, ""),
        )
        for kernel in sight.kernels
    )
    present = {kernel.version for kernel in sight.kernels}
    told = tuple(finding for version, finding in failed.items() if version in present)
    return BuildView(kernels, _images(sight), (*trouble, *sight.findings, *told), sight.reports)


def _state(version: str, sight: Sight, failed: Mapping[str, Finding], building: str) -> KernelState:
    if version == building:
        return KernelState.BUILDING
    if version in failed:
        return KernelState.FAILED
    if version in sight.wanted:
        return KernelState.WAITING
    has_image = any(image.kernel == version for image in sight.images.images)
    return KernelState.BUILT if has_image and version in sight.wishes else KernelState.FOUND


def _images(sight: Sight) -> tuple[ImageView, ...]:
    return tuple(
        ImageView(image, sight.images.state(image), users_of(sight, image.build)) for image in sight.images.images
    )


def users_of(sight: Sight, build: str) -> tuple[str, ...]:
    """The nodes that say that they are booted from an image that was ordered so."""
    return tuple(report.node for report in sight.reports if build and report.fingerprint == build)


def failure(name: str, version: str, error: OsrdError, *, again: bool = False) -> Finding:
    """A build that failed; ``again``: because of this host, so that it is tried again without a change."""
    fix = error.fix or ("look what is wrong with this host" if again else "see the end of the log")
    when = "by itself, ever more rarely" if again else "when something changes"
    return Finding(
        "initrd-failed",
        Severity.ERROR,
        f"[root {name}] the initrd for {version} could not be built: {error.message}",
        f"{fix}; osrd tries again {when}, or when asked: osrctl initrd build {name}",
        value=version,
    )


def failure_of(name: str, recorded: BuildFailure) -> Finding:
    """A build that failed, as it was written down."""
    fix = f"see {recorded.log}" if recorded.log else ""
    return failure(name, recorded.kernel, OsrdError(recorded.message, fix))


def graded(findings: tuple[Finding, ...], aim: Aim) -> tuple[Finding, ...]:
    """What keeps a root from having initrds is an error where osrd.conf says that it must have them."""
    if aim.settings.build.enabled is not BuildUse.YES:
        return findings
    return tuple(
        replace(finding, severity=Severity.ERROR) if finding.code in _LACKING else finding for finding in findings
    )


def cancellation(name: str, version: str) -> Finding:
    """A build that somebody cancelled is not begun again by itself."""
    return Finding(
        "initrd-cancelled",
        Severity.WARNING,
        f"[root {name}] the build of the initrd for {version} was cancelled",
        f"build it: osrctl initrd build {name}",
        value=version,
    )


def told_choice(name: str, before: RootImages, after: RootImages) -> str:
    """A line for the journal about another choice, "" when it is the same."""
    current = after.get(after.choice.current)
    if current is None or after.choice.current == before.choice.current:
        return ""
    previous = after.get(after.choice.previous)
    instead = f", {previous.kernel} ({previous.id}) is the one before" if previous else ""
    return f"[root {name}] nodes boot {current.kernel} ({current.id}) from now on{instead}"
