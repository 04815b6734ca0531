# SPDX-License-Identifier: GPL-3.0-or-later
"""What building initrds needs of the rest of osrd: a root to look at, something that builds. Values and protocols."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from osrd.engine.api import ImageDifference
from osrd.engine.places import Watched
from osrd.engine.rootwork import Control
from osrd.model.cluster import Cluster, Node
from osrd.model.finding import Finding
from osrd.model.image import Choice, Fingerprint, Image, Kernel, NodeReport, RootImages
from osrd.model.settings import BootWay, BuildUse, RootSettings, Settings
from osrd.plan.roots import boot_way


@dataclass(frozen=True, slots=True)
class Aim:
    """Whose initrds are to be built: those of ``root``, for ``nodes`` of ``cluster`` (None while no usable
    cluster.conf says who they are; then nothing is built). Quarantined nodes are as they were last published."""

    root: RootSettings
    settings: Settings
    cluster: Cluster | None
    nodes: tuple[Node, ...] = ()

    @property
    def way(self) -> BootWay:
        return boot_way(self.settings, self.root)

    @property
    def builds(self) -> bool:
        return self.settings.build.enabled is not BuildUse.NO

    def is_like(self, other: "Aim") -> bool:
        """Whether nothing is another. Clusters of 10,000 nodes are not compared: one that was read anew is another."""
        return (
            self.cluster is other.cluster
            and self.nodes is other.nodes
            and self.root == other.root
            and (self.settings is other.settings or self.settings == other.settings)
        )


def aims_of(cluster: Cluster | None, settings: Settings, nodes: tuple[Node, ...] = ()) -> dict[str, Aim]:
    """The roots that take part: on this host, and without a kernel of the administrator's choice."""
    return {root.name: Aim(root, settings, cluster, nodes) for root in settings.roots if root.takes_images}


@dataclass(frozen=True, slots=True)
class Wish:
    """An image that can be built now. ``reason`` says why it should, in words."""

    kernel: Kernel
    fingerprint: Fingerprint
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look at a root saw. ``wishes`` has what can be built, by kernel version; those in ``wanted`` should be,
    in this order. ``failed`` are recorded builds that would fail once more, by kernel version. ``reports`` are what
    nodes say of themselves. ``watched`` are directories of this host whose changes may change the answer. ``chosen``:
    the look made another choice among the images than before."""

    kernels: tuple[Kernel, ...] = ()
    images: RootImages = field(default_factory=RootImages)
    wishes: Mapping[str, Wish] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    failed: Mapping[str, Finding] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    reports: tuple[NodeReport, ...] = ()
    watched: Watched = field(default_factory=dict)
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A build that went well: the image is checked, stored and chosen. ``findings`` are what the checks remarked."""

    image: Image
    choice: Choice
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Again:
    """What is not wanted although it is missing: ``held`` has the fingerprints that could not be built, by kernel
    version. ``retried`` are kernel versions whose recorded failures do not count: somebody asked. ``full``: nothing is
    taken as it was, not even kernel modules that depmod says nothing new about."""

    held: Mapping[str, str] = field(default_factory=dict)
    retried: frozenset[str] = frozenset()
    full: bool = False


class BuildWork(Protocol):
    """For one root. Every method is called in a thread, may hang with the root's file system, and raises OsrdError."""

    def look(self, aim: Aim, again: Again) -> Sight:
        """Survey the root, see what is to be built, choose among the images that there are. With nothing to do nothing
        is written (law 1)."""

    def build(self, aim: Aim, wish: Wish, control: Control) -> Made:
        """Build, check, store and choose. Raises FailedError with the last lines of the log; a build that is
        cancelled, or fails, leaves the images that there are."""

    def rollback(self, aim: Aim, image: str) -> Choice:
        """Choose ``image`` ("": the previous one). Raises NotFoundError and ConflictError."""

    def prune(self, aim: Aim) -> tuple[str, ...]:
        """Remove images that nobody needs; their ids."""

    def difference(self, one: str, other: str) -> ImageDifference:
        """What changed between two images. Raises NotFoundError."""

    def log(self, image: str) -> bytes:
        """What the build of ``image`` said, "": the last build. Raises NotFoundError."""


class WorkOf(Protocol):
    """Makes the work for the root with this name."""

    def __call__(self, name: str) -> BuildWork: ...
