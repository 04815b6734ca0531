# SPDX-License-Identifier: GPL-3.0-or-later
"""Roots whose initrds are built in memory: the seam between the build lanes and everything that a build does."""

import threading
from dataclasses import dataclass, field, replace

from osrd.engine.api import ImageDifference
from osrd.engine.buildwork import Again, Aim, Made, Sight, Wish
from osrd.engine.rootwork import Control
from osrd.model.errors import CancelledError, ConflictError, FailedError, NotFoundError, OsrdError
from osrd.model.finding import Finding
from osrd.model.image import Choice, Fingerprint, Image, Kernel, RootImages
from osrd.model.settings import BootWay


def kernel(version: str) -> Kernel:
    return Kernel(version, f"boot/vmlinuz-{version}", f"digest of {version}", 1000, f"usr/lib/modules/{version}")


@dataclass
class FakeBuilds:
    """Implements osrd.engine.buildwork.BuildWork. ``inputs`` has what the image of each kernel is made from; ``gate``
    holds builds in the middle, ``look_gate`` looks; ``disturbed`` is how many builds the root changes under."""

    inputs: dict[str, str] = field(default_factory=dict)
    images: RootImages = field(default_factory=RootImages)
    failure: OsrdError | None = None
    disturbed: int = 0
    recorded: dict[str, Finding] = field(default_factory=dict)
    look_failure: OsrdError | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    look_gate: threading.Event = field(default_factory=threading.Event)
    looks: int = 0
    built: list[str] = field(default_factory=list)
    building: threading.Event = field(default_factory=threading.Event)
    pruned: int = 0

    def __post_init__(self) -> None:
        self.gate.set()
        self.look_gate.set()

    def look(self, aim: Aim, again: Again) -> Sight:
        self.looks += 1
        assert self.look_gate.wait(30)
        if self.look_failure is not None:
            raise self.look_failure
        wishes = {
            version: Wish(kernel(version), Fingerprint(print_, {}), "it is new")
            for version, print_ in self.inputs.items()
        }
        newest: dict[str, str] = {}
        for image in self.images.images:
            newest.setdefault(image.kernel, image.fingerprint)
        wanted = tuple(
            version
            for version, print_ in self.inputs.items()
            if aim.builds
            and newest.get(version) != print_
            and again.held.get(version) != print_
            and (version not in self.recorded or version in again.retried)
        )
        kernels = tuple(map(kernel, self.inputs))
        return Sight(
            kernels, self.images, wishes, wanted, failed=self.recorded, watched={f"{aim.root.path}/boot": None}
        )

    def build(self, aim: Aim, wish: Wish, control: Control) -> Made:
        version = wish.kernel.version
        self.built.append(version)
        self.building.set()
        control.progress(0.5, "half of it")
        assert self.gate.wait(30)
        if control.cancelled():
            raise CancelledError("cancelled")
        if self.disturbed:
            self.disturbed -= 1
            raise DISTURBED
        if self.failure is not None:
            raise self.failure
        self.recorded.pop(version, None)
        number = len(self.images.images) + 1
        image = Image(
            f"{number:016x}",
            aim.root.name,
            version,
            BootWay.FULL,
            wish.fingerprint.value,
            0.0,
            1.0,
            "k",
            "",
            1,
            "i",
            "",
            1,
            number,
        )
        choice = Choice(image.id, self.images.choice.current)
        self.images = RootImages((image, *self.images.images), choice)
        return Made(image, choice)

    def rollback(self, aim: Aim, image: str) -> Choice:
        wanted = image or self.images.choice.previous
        if self.images.get(wanted) is None:
            raise NotFoundError(f"there is no image {wanted or 'before'}")
        before = self.images.choice
        self.images = replace(self.images, choice=Choice(wanted, before.current, (before.current,)))
        return self.images.choice

    def prune(self, aim: Aim) -> tuple[str, ...]:
        self.pruned += 1
        return ()

    def difference(self, one: str, other: str) -> ImageDifference:
        return ImageDifference((f"{one} to {other}",))

    def log(self, image: str) -> bytes:
        if image and self.images.get(image) is None:
            raise NotFoundError("there is no such log")
        return b"dracut said\n"


#: A build whose kernel was written to meanwhile.
DISTURBED = ConflictError("the kernel changed while its initrd was being built", "osrd builds again when it rests")
#: A build that this host had no room for.
FULL = FailedError("/var/lib/osrd has 3 MiB free", "make room there", passing=True)
#: A build that ends as dracut would end it.
REFUSED = FailedError("dracut ended with status 1: no space", "look at /var/lib/osrd/builds/log")
