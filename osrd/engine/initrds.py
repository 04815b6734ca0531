# SPDX-License-Identifier: GPL-3.0-or-later
"""The initrds of one root: what there is, what is wanted, what is chosen. The chain of the pure and impure parts."""

from collections.abc import Mapping
from dataclasses import replace

from osrd.apply.initrd.store import ImageStore
from osrd.engine.api import ImageChange, ImageDifference
from osrd.engine.buildview import failure_of, graded
from osrd.engine.buildwork import Again, Aim, Made, Sight, Wish
from osrd.engine.initrdbuild import Build, Ground
from osrd.engine.initrdroot import Baked, BakedParts, Reports, absent, seen, watched_in
from osrd.engine.rootwork import Control
from osrd.model.errors import FailedError, NotFoundError, OsrdError
from osrd.model.image import Choice, Dracut, Fingerprint, Image, Kernel, NodeReport, RootImages
from osrd.observe.buildinputs import InputObserver, Look
from osrd.observe.images import ImageReader, image_directory, read_contents, read_fingerprint
from osrd.observe.inputs import read_input
from osrd.observe.kernels import Survey
from osrd.parse.imagestore import LOG
from osrd.plan.initrd.changes import changes
from osrd.plan.initrd.choice import choose, fallen, retained, rollback, wanted
from osrd.plan.initrd.compare import Difference, compare, lines
from osrd.plan.initrd.fingerprint import content_of

#: Bytes of a build's log that are read.
_LOG_LIMIT = 4 << 20
#: Reasons for a build that are told.
_REASONS = 3


class Initrds:
    """Implements osrd.engine.buildwork.BuildWork. ``state`` is the state directory of the running osrd. ``difference``
    and ``log`` may be called in another thread than the rest."""

    def __init__(self, name: str, state: str) -> None:
        self._name = name
        self._state = state
        self._store = ImageStore(state)
        self._reader = ImageReader(state)  # for questions, beside the store's own
        self._observer = InputObserver()
        self._parts = BakedParts()
        self._reports = Reports()
        self._made_from: dict[str, Fingerprint] = {}  # by the value of the fingerprint
        self._kernels: tuple[Kernel, ...] = ()

    def look(self, aim: Aim, again: Again) -> Sight:
        found = seen(aim.root.path)
        if found is None:
            return Sight(images=self._store.root(self._name), findings=absent(aim.root.path))
        images = self._store.root(self._name)
        with self._observer.looking(aim.root.path, found.link, found.tree, full=again.full) as look:
            survey = look.survey()
            baked = self._parts.of(aim, found, survey.dracut) if aim.builds else None
            wishes = self._wishes(aim, look, survey, baked, images)
        self._kernels = survey.kernels
        reports, ignored = self._reports.read(aim, found)
        chosen = self._choose(aim, images, reports)
        if chosen:
            images = self._store.root(self._name)
        findings = (*survey.findings, *(baked.findings if baked is not None else ()))
        sight = Sight(
            kernels=survey.kernels,
            images=images,
            wishes=wishes,
            findings=(*(graded(findings, aim) if aim.builds else ()), *ignored),
            reports=reports,
            watched=watched_in(aim.root.path, found, survey.kernels),
            chosen=chosen,
        )
        return _judged(self._name, aim, sight, again)

    def build(self, aim: Aim, wish: Wish, control: Control) -> Made:
        found = seen(aim.root.path)
        if found is None:
            raise NotFoundError(f"{aim.root.path}: there is no such directory", "mount the root")
        with self._observer.looking(aim.root.path, found.link, found.tree) as look:
            dracut = look.survey().dracut
        baked = self._parts.of(aim, found, dracut)
        if dracut is None or baked is None:
            raise FailedError(f"{aim.root.path} has no dracut any more", "install it there")
        ground = Ground(aim, wish, found, dracut, baked)
        image, findings = Build(ground, self._store, self._observer, control).run()
        images = self._store.root(self._name)
        self._choose(aim, images, self._reports.read(aim, found)[0])
        return Made(image, self._store.root(self._name).choice, findings)

    def rollback(self, aim: Aim, image: str) -> Choice:
        choice = rollback(self._store.root(self._name), self._kernels, image)
        self._store.choose(self._name, choice)
        return choice

    def prune(self, aim: Aim) -> tuple[str, ...]:
        images = self._store.root(self._name)
        found = seen(aim.root.path)
        if images.unknown or found is None:  # nothing may be concluded
            return ()
        stay = retained(images, self._kernels, self._reports.read(aim, found)[0], aim.settings.build.keep)
        gone = tuple(image.id for image in images.images if image.id not in stay)
        for identity in gone:
            self._store.remove(self._name, identity)
        return gone

    def difference(self, one: str, other: str) -> ImageDifference:
        before, after = (self._image(identity) for identity in (one, other))
        compared = compare(read_contents(self._state, before), read_contents(self._state, after))
        made_from = [read_fingerprint(self._state, image) for image in (before, after)]
        reasons = changes(made_from[0], made_from[1], self._parts.names)
        files = tuple(_change(each) for each in (*compared.files, *compared.modules))
        return ImageDifference(reasons, lines(compared), files)

    def log(self, image: str) -> bytes:
        if image:
            directory = image_directory(self._state, self._name, self._image(image).id)
            return read_input(f"{directory}/{LOG}", _LOG_LIMIT).data
        images = self._reader.root(self._name)
        failed = max(images.failures, key=lambda failure: failure.when, default=None)
        newest = images.images[0] if images.images else None
        if failed is not None and failed.log and (newest is None or failed.when > newest.built):
            return read_input(failed.log, _LOG_LIMIT).data
        if newest is None:
            raise NotFoundError(f"nothing was built for [root {self._name}] yet", f"osrctl initrd build {self._name}")
        return self.log(newest.id)

    def _wishes(
        self, aim: Aim, look: Look, survey: Survey, baked: Baked | None, images: RootImages
    ) -> Mapping[str, Wish]:
        if baked is None or survey.dracut is None:
            return {}
        dracut: Dracut = survey.dracut
        wishes = {}
        for kernel in survey.kernels:
            before = self._before(kernel.version, images)
            now = look.fingerprint(kernel, dracut, content_of(before), baked.inputs)
            same = before is not None and before.value == now.value
            reasons = () if same else changes(before, now, baked.names, most=_REASONS)
            wishes[kernel.version] = Wish(kernel, now, "; ".join(reasons))
        return wishes

    def _before(self, version: str, images: RootImages) -> Fingerprint | None:
        """What the newest image of a kernel was made from; None when there is none, or it cannot be read: then the
        image is built anew."""
        image = next((image for image in images.images if image.kernel == version), None)
        if image is None:
            return None
        known = self._made_from.get(image.fingerprint)
        if known is None:
            try:
                known = read_fingerprint(self._state, image)
            except OsrdError:
                return None
            there = {each.fingerprint for each in images.images}
            self._made_from = {value: kept for value, kept in self._made_from.items() if value in there}
            self._made_from[image.fingerprint] = known
        return known

    def _choose(self, aim: Aim, images: RootImages, reports: tuple[NodeReport, ...]) -> bool:
        """Choose among the images; whether that made a difference."""
        choice = choose(images, self._kernels)
        choice = replace(choice, fallen=fallen(replace(images, choice=choice), reports, aim.root.previous_after))
        if choice == images.choice:
            return False
        self._store.choose(self._name, choice)
        return True

    def _image(self, identity: str) -> Image:
        image = self._reader.root(self._name).get(identity)
        if image is None:
            raise NotFoundError(
                f"[root {self._name}] has no image {identity}", "osrctl initrd list shows what there is"
            )
        return image


def _judged(name: str, aim: Aim, sight: Sight, again: Again) -> Sight:
    """What of ``sight`` is to be built, and what would only fail once more."""
    prints = {
        version: wish.fingerprint
        for version, wish in sight.wishes.items()
        if again.held.get(version) != wish.fingerprint.value
    }
    failures = [failure for failure in sight.images.failures if failure.kernel not in again.retried]
    builds = wanted(sight.kernels, sight.images, prints, failures, aim.root.kernels)
    failed = {
        failure.kernel: failure_of(name, failure)
        for failure in failures
        if failure.kernel in prints and prints[failure.kernel].value == failure.fingerprint
    }
    return replace(sight, wanted=tuple(kernel.version for kernel in builds), failed=failed)


def _change(difference: Difference) -> ImageChange:
    before, after = difference.before, difference.after
    change = "added" if before is None else "removed" if after is None else "changed"
    return ImageChange(difference.path, change, before.size if before else 0, after.size if after else 0)
