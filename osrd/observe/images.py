# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the image store, <state>/images. Only reads, and parses a file again only when it changed: an unchanged
store of one root costs some thirty stat(2).

A damaged file is a finding and takes nothing else along. What the store says of content (digests) is compared with
the content where it matters, when it is published (``facts``).
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from osrd.model.errors import InvalidConfigError, NotFoundError, OsrdError, UnsupportedError
from osrd.model.finding import Finding, Place, Severity
from osrd.model.image import BuildFailure, Choice, Fingerprint, Image, ImageFile, RootImages
from osrd.observe.inputs import read_input
from osrd.parse import imagestore as form
from osrd.parse.osrdconf import is_root_name

_T = TypeVar("_T")

#: Bytes of a JSON file of the store: the contents of an image of 100,000 files are 20 MB.
JSON_LIMIT = 64 << 20
#: A file that changed this recently (ns) may change again within the same tick of the kernel's clock.
_TICK = 20_000_000


def store_directory(state: str) -> str:
    """Where the images are in the state directory."""
    return f"{state}/images"


def image_directory(state: str, root: str, identity: str) -> str:
    return f"{store_directory(state)}/{root}/{identity}"


def read_contents(state: str, image: Image) -> tuple[ImageFile, ...]:
    """The files in an image. Raises NotFoundError, InvalidConfigError, UnsupportedError."""
    file = f"{image_directory(state, image.root, image.id)}/{form.CONTENTS}"
    return form.parse_contents(read_input(file, JSON_LIMIT).data, file)


def read_fingerprint(state: str, image: Image) -> Fingerprint:
    """What an image was made from. Raises NotFoundError, InvalidConfigError, UnsupportedError."""
    file = f"{image_directory(state, image.root, image.id)}/{form.FINGERPRINT}"
    return form.parse_fingerprint(read_input(file, JSON_LIMIT).data, file)


class ImageReader:
    """Reads the store of one state directory again and again. One thread at a time."""

    def __init__(self, state: str) -> None:
        self.directory = store_directory(state)
        self._known: dict[str, tuple[tuple[int, ...], Any]] = {}
        self._used: dict[str, tuple[tuple[int, ...], Any]] = {}

    def read(self) -> Mapping[str, RootImages]:
        """What there is of each root, by the name of its section. Raises nothing for content."""
        self._used = {}
        roots = {name: self._root(name) for name in _names(self.directory) if is_root_name(name)}
        self._known = self._used
        return roots

    def root(self, name: str) -> RootImages:
        """What there is of one root, read now."""
        others = {
            file: known for file, known in self._known.items() if not file.startswith(f"{self.directory}/{name}/")
        }
        self._used = {}
        root = self._root(name)
        self._known = others | self._used
        return root

    def _root(self, root: str) -> RootImages:
        directory = f"{self.directory}/{root}"
        findings: list[Finding] = []
        unknown = False
        choice = Choice()
        # Before the images: an image is there before it is chosen, and chosen no more when it goes.
        try:
            choice = self._parsed(f"{directory}/{form.CHOICE}", form.parse_choice)
        except NotFoundError:
            pass
        except OsrdError as error:
            unknown = True
            findings.append(_choice_unusable(root, f"{directory}/{form.CHOICE}", error))
        images = []
        for name in _names(directory):
            if form.is_identity(name) and (image := self._image(root, f"{directory}/{name}", findings)):
                images.append(image)
        images.sort(key=lambda image: (-image.sequence, image.id))
        failures: tuple[BuildFailure, ...] = ()
        try:
            failures = self._parsed(f"{directory}/{form.FAILURES}", form.parse_failures)
        except NotFoundError:
            pass
        except OsrdError as error:
            findings.append(_failures_unusable(root, f"{directory}/{form.FAILURES}", error))
        return RootImages(tuple(images), choice, failures, tuple(findings), unknown)

    def _image(self, root: str, directory: str, findings: list[Finding]) -> Image | None:
        """The image in ``directory``; None, and a finding, for one that cannot be used."""
        file = f"{directory}/{form.IMAGE}"
        try:
            image = self._parsed(file, form.parse_image)
            if (image.root, image.id) != (root, directory.rpartition("/")[2]):
                raise InvalidConfigError(f"{file} is that of image {image.id} of root {image.root}")
            for path, size in ((image.kernel_file, image.kernel_size), (image.initrd_file, image.initrd_size)):
                _check_size(path, size)
        except OsrdError as error:
            if os.path.isdir(directory):  # else it was removed just now
                newer = error.fix if isinstance(error, UnsupportedError) else ""
                findings.append(image_damaged(root, directory, error.message, newer))
            return None
        return image

    def _parsed(self, file: str, parse: Callable[[bytes, str], _T]) -> _T:
        """What ``parse`` makes of ``file``, or made of it before. Raises what it and read_input() raise."""
        try:
            status = os.stat(file)
        except FileNotFoundError:
            raise NotFoundError(f"{file}: there is no such file") from None
        except OSError as error:
            raise InvalidConfigError(f"{file}: cannot be read: {error.strerror}") from error
        now = time.time_ns()
        seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = self._known.get(file)
        if known is None or known[0] != seen:
            value = parse(read_input(file, JSON_LIMIT).data, file)
            known = seen, value
            if status.st_ctime_ns > now - _TICK:
                return value
        self._used[file] = known
        found: _T = known[1]
        return found


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []  # nothing was built yet


def _check_size(path: str, size: int) -> None:
    try:
        found = os.stat(path, follow_symlinks=False).st_size
    except OSError as error:
        raise InvalidConfigError(f"{path}: {error.strerror}") from error
    if found != size:
        raise InvalidConfigError(f"{path} has {found} bytes instead of {size}")


def image_damaged(root: str, place: str, why: str, fix: str = "") -> Finding:
    """An image that cannot be used any more, or not by this osrd."""
    return Finding(
        "image-damaged",
        Severity.WARNING,
        f"an image of [root {root}] cannot be used: {why}; boot files that are published stay as they are",
        fix or f"remove {place} when nothing in it is needed, and run 'osrctl initrd build {root}'",
        Place(place),
        value=place,
    )


def _choice_unusable(root: str, file: str, error: OsrdError) -> Finding:
    return Finding(
        "image-choice-unusable",
        Severity.ERROR,
        f"which image the nodes of [root {root}] boot is unknown: {error.message}; they keep the menus they have",
        error.fix or f"run 'osrctl initrd rollback {root} IMAGE' to choose one; the damaged file is kept",
        Place(file),
        value=file,
    )


def _failures_unusable(root: str, file: str, error: OsrdError) -> Finding:
    return Finding(
        "image-failures-unusable",
        Severity.WARNING,
        f"failed builds of [root {root}] are not known: {error.message}",
        error.fix or f"remove {file}; builds that failed are tried again then",
        Place(file),
        value=file,
    )
