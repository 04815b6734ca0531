# SPDX-License-Identifier: GPL-3.0-or-later
"""One build: from what is wanted to an image in the store. Whatever fails before that leaves all as it was."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from osrd.apply.initrd.build import Built, build
from osrd.apply.initrd.store import Finished, ImageStore
from osrd.apply.initrd.unpack import image_kernel_version, read_image
from osrd.engine.buildwork import Aim, Wish
from osrd.engine.initrdroot import Baked, Seen
from osrd.engine.rootwork import Control
from osrd.model.errors import CancelledError, ConflictError, FailedError, InvalidConfigError, OsrdError
from osrd.model.finding import Finding
from osrd.model.image import (
    BuildFailure,
    BuildLimits,
    BuildOrder,
    Dracut,
    Image,
    ImageContent,
    InputKind,
    RootImages,
)
from osrd.observe.buildinputs import InputObserver
from osrd.plan.initrd.check import blocks, check, room
from osrd.plan.initrd.fingerprint import Inputs, content_names, fingerprint
from osrd.plan.initrd.subject import Subject
from osrd.plan.members import uses

#: What an input counts as that changed while the image was built: no digest is like it, so a build is wanted again.
_UNSURE = "changed while the image was built"
#: How far a job is when dracut is done, and when the image was looked at.
_BUILT, _CHECKED = 0.9, 0.97
#: Of the largest image that is allowed, what has to be free where none is known.
_QUARTER_MIB = 1 << 18


#: whether an input whose file changed last then (st_ctime_ns) changed while the image was built
Changed = Callable[[tuple[InputKind, str], int], bool]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a build stands on: what is wanted for whom, the root as it was seen, and what osrd adds to it."""

    aim: Aim
    wish: Wish
    found: Seen
    dracut: Dracut
    baked: Baked

    @property
    def order(self) -> BuildOrder:
        return BuildOrder(
            root=self.aim.root.name,
            path=self.aim.root.path,
            kernel=self.wish.kernel,
            way=self.aim.way,
            fingerprint=self.wish.fingerprint.value,
            data=self.baked.data,
            modules=self.baked.modules,
            link=self.found.link,
            tree=self.found.tree,
        )

    @property
    def limits(self) -> BuildLimits:
        settings = self.aim.settings.build
        return BuildLimits(settings.timeout, settings.memory, settings.size, settings.nice)


def _changed(before: Mapping[tuple[InputKind, str], int], started: float) -> Changed:
    """Whose time was known before the build changed when it has another one, whatever clock made either: that of an
    NFS server, or this host's before it was set. Of a file that no image had there is only this host's clock."""
    start = int(started * 1e9)
    return lambda key, ctime: ctime != before[key] if key in before else ctime > start


class Build:
    """Of one image. ``observer`` is that of the looks at the root."""

    def __init__(self, ground: Ground, store: ImageStore, observer: InputObserver, control: Control) -> None:
        self._ground = ground
        self._order = ground.order
        self._store = store
        self._observer = observer
        self._control = control

    def run(self) -> tuple[Image, tuple[Finding, ...]]:
        """The image, stored, and what the checks remarked. Raises FailedError, with the way to the log, for what is
        written down in the store as well, and without for what passes; CancelledError; ConflictError when the root
        changed meanwhile."""
        root = self._order.root
        images = self._store.root(root)
        self._check_room(images)
        before = self._before()
        with self._store.staging(root) as staging:
            try:
                built = build(self._order, self._ground.limits, staging, self._heard, self._control.cancelled)
                return self._stored(built, images, before)
            except (FailedError, InvalidConfigError) as error:
                if error.passing:
                    raise FailedError(error.message, error.fix, passing=True) from error
                raise self._recorded(error, f"{staging}/log") from error

    def _heard(self, fraction: float, message: str) -> None:
        self._control.progress(_BUILT * fraction, message)

    def _before(self) -> Mapping[tuple[InputKind, str], int]:
        """When each file changed last that goes into the image, as far as the one before it tells which those are."""
        order = self._order
        with self._observer.looking(order.path, order.link, order.tree) as look:
            return look.ctimes(self._ground.wish.fingerprint.inputs)

    def _stored(
        self, built: Built, images: RootImages, before: Mapping[tuple[InputKind, str], int]
    ) -> tuple[Image, tuple[Finding, ...]]:
        self._control.progress(_BUILT, "checking the image")
        ended = time.time()
        content = read_image(built.initrd)
        changed = _changed(before, ended - built.seconds)
        inputs, findings = self._judged(built, content, images, changed)
        if blocks(findings):
            raise FailedError(findings[0].message, findings[0].fix)
        if self._control.cancelled():
            raise CancelledError("cancelled")
        self._control.progress(_CHECKED, "storing the image")
        finished = Finished(
            order=self._order,
            fingerprint=fingerprint(inputs, self._ground.baked.inputs),
            contents=content.files,
            initrd=built.initrd,
            when=ended,
            seconds=built.seconds,
            log=built.log,
        )
        return self._store.add(finished), findings

    def _judged(
        self, built: Built, content: ImageContent, images: RootImages, changed: Changed
    ) -> tuple[Inputs, tuple[Finding, ...]]:
        """What the image was made from, and what is wrong with it."""
        ground, order = self._ground, self._order
        aim = ground.aim
        with self._observer.looking(order.path, order.link, order.tree) as look:
            modules = look.modules(order.kernel)
            inputs = dict(look.observe(order.kernel, ground.dracut, content_names(content.files)))
            times = look.ctimes(inputs)
        if (InputKind.KERNEL, order.kernel.image) not in times:
            # Without its root the image is nothing to judge, and what is missing in the root no mistake of it.
            raise ConflictError(
                f"{order.path}/{order.kernel.image} is gone since its initrd was built",
                "mount the root again if it was unmounted; osrd builds again",
            )
        inputs.update({key: _UNSURE for key, ctime in times.items() if changed(key, ctime)})
        assert aim.cluster is not None
        subject = Subject(
            order=order,
            dracut=ground.dracut,
            size=built.initrd_size,
            content=content,
            own_version=image_kernel_version(built.kernel),
            cluster=aim.cluster,
            nodes=tuple(node for node in aim.nodes if uses(node, aim.settings, aim.root)),
            modules=modules,
            history=images.images,
            limits=ground.limits,
        )
        return inputs, check(subject)

    def _check_room(self, images: RootImages) -> None:
        """Before minutes of work are for nothing. Raises FailedError."""
        place = self._store.state
        sizes = [size for image in images.images[:1] for size in (image.kernel_size, image.initrd_size)]
        status = os.statvfs(place)
        needed = sizes or [self._ground.limits.size * _QUARTER_MIB]
        for finding in room(status.f_bavail * status.f_frsize, needed, place):
            raise FailedError(finding.message, finding.fix, passing=True)

    def _recorded(self, error: OsrdError, log: str) -> FailedError:
        """The failure in the store, and the error that names the log where it stays."""
        kernel, print_ = self._order.kernel.version, self._order.fingerprint
        before = [
            failure.attempts
            for failure in self._store.root(self._order.root).failures
            if (failure.kernel, failure.fingerprint) == (kernel, print_)
        ]
        failure = BuildFailure(
            kernel=kernel,
            fingerprint=print_,
            when=time.time(),
            attempts=sum(before) + 1,
            message=error.message,
            log=log if os.path.exists(log) else "",
        )
        try:
            recorded = self._store.fail(self._order.root, failure)
        except (FailedError, ConflictError):
            return FailedError(error.message, error.fix)  # what failed matters more than that it is not written down
        fix = error.fix.replace(log, recorded.log) if recorded.log else error.fix
        if recorded.log and recorded.log not in fix:
            fix = f"{fix}; its output is in {recorded.log}" if fix else f"its output is in {recorded.log}"
        return FailedError(error.message, fix)
