# SPDX-License-Identifier: GPL-3.0-or-later
"""The image store: <state>/images, one directory for each root, in it one for each image, named by its id.

    <root>/<id>/{vmlinuz,initrd.img,image.json,contents.json,fingerprint.json,build.log}
    <root>/choice.json      which of them are offered
    <root>/failures.json    the last failed build of each kernel; <root>/failed/ has what they printed
    <root>/.staged/         the build that is under way, <root>/.removed/ an image that is on its way out

An image comes into being by one rename of a directory that is complete and durable; it is offered by the rename of a
new choice.json, after that. Killed anywhere in between there is the old state or the new one, and ``recover`` removes
what never became anything. Whoever reads sees whole files at every instant (DESIGN law 2).
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256

from osrd.apply.initrd.copying import copy_inside, replace_file, sync, tail, take, write
from osrd.model.errors import ConflictError, FailedError, InvalidConfigError, NotFoundError
from osrd.model.image import BuildFailure, BuildOrder, Choice, Fingerprint, Image, ImageFile, RootImages
from osrd.observe.images import JSON_LIMIT, ImageReader
from osrd.observe.inputs import read_input
from osrd.observe.inside import Inside
from osrd.observe.nodeview import NodeView
from osrd.parse import imagestore as form
from osrd.parse.osrdconf import is_root_name

_STAGED, _REMOVED, _WHOLE = ".staged", ".removed", "image"
#: Logs of failed builds that stay, and bytes of each log that do.
LOGS = 20
LOG_BYTES = 1 << 20
_LOG = re.compile(r"\d{15}\.log", re.ASCII)


@dataclass(frozen=True, slots=True)
class Finished:
    """A build that was checked and is to be stored. ``initrd`` and ``log`` are paths in the staging directory, which
    the build may have written there; ``when`` is the end in seconds since the epoch, ``seconds`` what it took."""

    order: BuildOrder
    fingerprint: Fingerprint
    contents: tuple[ImageFile, ...]
    initrd: str
    when: float
    seconds: float
    log: str = ""


class ImageStore:
    """The one writer of the store of one state directory (whose lock the caller has). At most one build and one other
    call for each root at a time; several roots at once are fine. Every call raises FailedError when the host is in
    trouble (no space, I/O error) and UnsupportedError when a newer osrd wrote what would be replaced; the store is as
    it was then."""

    def __init__(self, state: str) -> None:
        self.state = state
        self._reader = ImageReader(state)

    def read(self) -> Mapping[str, RootImages]:
        """The images, the choice and the failures of each root that has any, by the name of its section."""
        return self._reader.read()

    def root(self, name: str) -> RootImages:
        """Those of one root."""
        return self._reader.root(name)

    def recover(self) -> None:
        """Remove what killed calls left; when osrd starts, before any build. What cannot be removed stays."""
        for name in _entries(self._reader.directory):
            if is_root_name(name):
                for leftover in (_STAGED, _REMOVED):
                    shutil.rmtree(f"{self._reader.directory}/{name}/{leftover}", ignore_errors=True)

    @contextmanager
    def staging(self, root: str) -> Iterator[str]:
        """An empty directory, on the file system of the store, that only root may enter, for the build of an image of
        ``root``; it is removed at the end with what is left in it."""
        directory = self._directory(root)
        path = f"{directory}/{_STAGED}"
        with _trouble(path):
            os.makedirs(directory, mode=0o755, exist_ok=True)
            _remove(path)
            os.mkdir(path, 0o700)
            ours = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield path
        finally:
            # A build that hung on a dead server ends when another one has begun: what is there then is not its own.
            with suppress(OSError):
                if os.path.samestat(os.fstat(ours), os.lstat(path)):
                    shutil.rmtree(path, ignore_errors=True)
            os.close(ours)

    def add(self, built: Finished) -> Image:
        """Store a build, within its ``staging``. It is not offered before it is chosen. An image with the very same
        kernel and initrd is there already: it becomes the newest one. Raises ConflictError or NotFoundError when the
        kernel in the root is no longer the one that was ordered."""
        order = built.order
        directory = self._directory(order.root)
        whole = f"{directory}/{_STAGED}/{_WHOLE}"
        with _trouble(whole):
            os.mkdir(whole, 0o755)
            os.chmod(whole, 0o755)
            with Inside.open(order.path) as inside:
                view = NodeView(inside, order.link, order.tree)
                kernel_digest, kernel_size = copy_inside(
                    view, order.kernel.image, f"{whole}/{form.KERNEL}", order.kernel.size
                )
            if kernel_digest != order.kernel.digest:
                raise ConflictError(
                    f"{order.path}/{order.kernel.image} changed while its initrd was built",
                    "wait until the update of the root is complete; osrd builds again",
                )
            initrd_digest, initrd_size = take(built.initrd, f"{whole}/{form.INITRD}")
            text = f"{order.root}\0{kernel_digest}\0{initrd_digest}".encode()
            identity = sha256(text).hexdigest()[:16]
            place = f"{directory}/{identity}"
            image = Image(
                id=identity,
                root=order.root,
                kernel=order.kernel.version,
                way=order.way,
                fingerprint=built.fingerprint.value,
                built=built.when,
                seconds=built.seconds,
                kernel_file=f"{place}/{form.KERNEL}",
                kernel_digest=kernel_digest,
                kernel_size=kernel_size,
                initrd_file=f"{place}/{form.INITRD}",
                initrd_digest=initrd_digest,
                initrd_size=initrd_size,
                sequence=self._next(order.root),
                build=order.fingerprint,
            )
            write(f"{whole}/{form.LOG}", tail(built.log, LOG_BYTES) if built.log else b"")
            write(f"{whole}/{form.CONTENTS}", form.render_contents(built.contents))
            write(f"{whole}/{form.FINGERPRINT}", form.render_fingerprint(built.fingerprint))
            write(f"{whole}/{form.IMAGE}", form.render_image(image))
            sync(whole)
            if os.path.isdir(place):
                self._renew(whole, place)
            else:
                os.rename(whole, place)
            sync(directory)
        self._put_failures(order.root, order.kernel.version, None)
        return image

    def _next(self, root: str) -> int:
        return max((image.sequence for image in self._reader.root(root).images), default=0) + 1

    @staticmethod
    def _renew(whole: str, place: str) -> None:
        """Put the files of ``whole`` over those of the same image, each at once; what is damaged is whole then. What
        image.json says is true before and after each step."""
        _usable(f"{place}/{form.IMAGE}", form.parse_image)
        for name in (form.KERNEL, form.INITRD, form.LOG, form.CONTENTS, form.FINGERPRINT, form.IMAGE):
            os.rename(f"{whole}/{name}", f"{place}/{name}")
            if name is form.FINGERPRINT:
                sync(place)
        sync(place)

    def choose(self, root: str, choice: Choice) -> None:
        """Offer these images from now on; writes nothing when they are offered already. Raises NotFoundError for an
        image that is not in the store whole. A damaged choice is kept beside the new one."""
        images = self._reader.root(root)
        if not images.unknown and images.choice == choice:
            return
        for identity in (choice.current, choice.previous):
            known = identity in (images.choice.current, images.choice.previous)
            if identity and images.get(identity) is None and not known:
                raise NotFoundError(f"[root {root}] has no image {identity}", "osrctl initrd list shows what there is")
        directory = self._directory(root)
        file = f"{directory}/{form.CHOICE}"
        with _trouble(file):
            os.makedirs(directory, mode=0o755, exist_ok=True)
            if not _usable(file, form.parse_choice):
                _keep_aside(file)
            replace_file(file, form.render_choice(choice))

    def remove(self, root: str, identity: str) -> None:
        """Remove an image. Raises NotFoundError, ConflictError for one that is offered."""
        images = self._reader.root(root)
        place = f"{self._directory(root)}/{identity}"
        if not form.is_identity(identity) or not os.path.isdir(place):
            raise NotFoundError(f"[root {root}] has no image {identity}", "osrctl initrd list shows what there is")
        if images.unknown or identity in (images.choice.current, images.choice.previous):
            raise ConflictError(
                f"image {identity} of [root {root}] is offered to nodes", "choose another one first: osrctl initrd"
            )
        _usable(f"{place}/{form.IMAGE}", form.parse_image)
        gone = f"{self._directory(root)}/{_REMOVED}"
        with _trouble(place):
            _remove(gone)
            os.rename(place, gone)
            sync(self._directory(root))
            _remove(gone)

    def fail(self, root: str, failure: BuildFailure) -> BuildFailure:
        """Record a failed build, in place of the one before of the same kernel. ``log`` is the file that the build
        wrote: its end is copied, and the record that is returned names the copy."""
        directory = self._directory(root)
        logs = f"{directory}/{form.FAILED}"
        with _trouble(logs):
            kept = ""
            if failure.log:
                os.makedirs(logs, mode=0o755, exist_ok=True)
                kept = f"{logs}/{int(failure.when * 1000):015d}.log"
                replace_file(kept, tail(failure.log, LOG_BYTES))
            recorded = replace(failure, log=kept)
            self._put_failures(root, failure.kernel, recorded)
            told = {each.log for each in self._reader.root(root).failures}
            for name in sorted(filter(_LOG.fullmatch, _entries(logs)), reverse=True)[LOGS:]:
                if f"{logs}/{name}" not in told:
                    os.unlink(f"{logs}/{name}")
        return recorded

    def _put_failures(self, root: str, kernel: str, failure: BuildFailure | None) -> None:
        """Make ``failure`` the one of ``kernel``. A damaged record is kept aside."""
        file = f"{self._directory(root)}/{form.FAILURES}"
        before = self._reader.root(root).failures
        after = tuple(each for each in before if each.kernel != kernel) + ((failure,) if failure else ())
        if after == before:
            return
        with _trouble(file):
            os.makedirs(self._directory(root), mode=0o755, exist_ok=True)
            if not _usable(file, form.parse_failures):
                _keep_aside(file)
            replace_file(file, form.render_failures(after[-LOGS:]))

    def _directory(self, root: str) -> str:
        if not is_root_name(root):
            raise NotFoundError(f"{root!r} is no name of a [root] section")
        return f"{self._reader.directory}/{root}"


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _remove(path: str) -> None:
    """Remove a directory and all in it, if it is there. Raises OSError."""
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


def _usable(file: str, parse: Callable[[bytes, str], object]) -> bool:
    """Whether there is nothing at ``file``, or what osrd writes; False for what is damaged. Raises UnsupportedError
    for what a newer osrd wrote: that is not to be replaced."""
    try:
        parse(read_input(file, JSON_LIMIT).data, file)
    except NotFoundError:
        return True
    except InvalidConfigError:
        return False
    return True


def _keep_aside(file: str) -> None:
    """Give the damaged ``file`` a second name, so that replacing it loses nothing. Raises OSError."""
    for number in range(1, 1000):
        name = f"{file}.damaged-{number}"
        try:
            os.link(file, name, follow_symlinks=False)
        except FileExistsError:
            if os.path.samestat(os.lstat(file), os.lstat(name)):
                return
        else:
            return


@contextmanager
def _trouble(path: str) -> Iterator[None]:
    """An OSError as what happened to the store."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else path
        raise FailedError(
            f"the image store cannot be changed: {where}: {error.strerror}",
            "free some space or check the disk of the state directory; images that are offered are as they were",
            passing=True,
        ) from error
