# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON files of the image store: bytes to values and back, and nothing in between.

Each says in ``version`` which osrd may read it. A newer one is refused (UnsupportedError), so that an older osrd never
takes what it does not understand for nothing; anything else that is not as osrd wrote it is an InvalidConfigError.
The same value is always the same bytes.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from osrd.model.errors import InvalidConfigError, UnsupportedError
from osrd.model.image import BuildFailure, Choice, Fingerprint, Image, ImageFile, InputKind
from osrd.model.settings import BootWay

VERSION = 1
#: names of the files of an image, in its directory
KERNEL, INITRD, LOG = "vmlinuz", "initrd.img", "build.log"
IMAGE, CONTENTS, FINGERPRINT = "image.json", "contents.json", "fingerprint.json"
#: names in the directory of a root
CHOICE, FAILURES, FAILED = "choice.json", "failures.json", "failed"

_T = TypeVar("_T")
_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


def is_identity(name: str) -> bool:
    """Whether ``name`` can be the id of an image, and so the name of its directory."""
    return _ID.fullmatch(name) is not None


def render_image(image: Image) -> bytes:
    return _rendered(
        {
            "id": image.id,
            "root": image.root,
            "kernel": image.kernel,
            "way": image.way,
            "fingerprint": image.fingerprint,
            "build": image.build,
            "built": image.built,
            "seconds": image.seconds,
            "sequence": image.sequence,
            "kernel_digest": image.kernel_digest,
            "kernel_size": image.kernel_size,
            "initrd_digest": image.initrd_digest,
            "initrd_size": image.initrd_size,
        }
    )


def parse_image(data: bytes, file: str) -> Image:
    """The image whose directory ``file`` is in. Raises InvalidConfigError, UnsupportedError."""
    given = _Given(data, file)
    directory = file.rpartition("/")[0]
    return Image(
        id=given.matching("id", _ID),
        root=given.text("root"),
        kernel=given.text("kernel"),
        way=given.made("way", BootWay),
        fingerprint=given.text("fingerprint"),
        built=given.number("built"),
        seconds=given.number("seconds"),
        kernel_file=f"{directory}/{KERNEL}",
        kernel_digest=given.matching("kernel_digest", _DIGEST),
        kernel_size=given.count("kernel_size"),
        initrd_file=f"{directory}/{INITRD}",
        initrd_digest=given.matching("initrd_digest", _DIGEST),
        initrd_size=given.count("initrd_size"),
        sequence=given.count("sequence"),
        build=given.text("build"),
    )


def render_choice(choice: Choice) -> bytes:
    return _rendered(
        {
            "current": choice.current,
            "previous": choice.previous,
            "rejected": list(choice.rejected),
            "fallen": list(choice.fallen),
        }
    )


def parse_choice(data: bytes, file: str) -> Choice:
    """Raises InvalidConfigError, UnsupportedError."""
    given = _Given(data, file)
    return Choice(given.text("current"), given.text("previous"), given.texts("rejected"), given.texts("fallen"))


def render_failures(failures: Iterable[BuildFailure]) -> bytes:
    """``log`` is stored as a name, so that the state directory can be moved."""
    rows = [
        {
            "kernel": failure.kernel,
            "fingerprint": failure.fingerprint,
            "when": failure.when,
            "attempts": failure.attempts,
            "message": failure.message,
            "log": failure.log.rpartition("/")[2],
        }
        for failure in failures
    ]
    return _rendered({"failures": rows})


def parse_failures(data: bytes, file: str) -> tuple[BuildFailure, ...]:
    """Raises InvalidConfigError, UnsupportedError."""
    directory = f"{file.rpartition('/')[0]}/{FAILED}"
    return tuple(
        BuildFailure(
            row.text("kernel"),
            row.text("fingerprint"),
            row.number("when"),
            row.count("attempts"),
            row.text("message"),
            f"{directory}/{log}" if (log := row.text("log")) and "/" not in log else "",
        )
        for row in _Given(data, file).rows("failures")
    )


def render_contents(files: Iterable[ImageFile]) -> bytes:
    """One array for each file: they are a few thousand."""
    return _rendered({"files": [[each.path, each.mode, each.size, each.digest, each.target] for each in files]})


def parse_contents(data: bytes, file: str) -> tuple[ImageFile, ...]:
    """Raises InvalidConfigError, UnsupportedError."""
    files = []
    for row in _Given(data, file).array("files"):
        match row:
            case [str(path), int(mode), int(size), str(digest), str(target)]:
                files.append(ImageFile(path, mode, size, digest, target))
            case _:
                raise _damaged(file, "files")
    return tuple(files)


def render_fingerprint(fingerprint: Fingerprint) -> bytes:
    inputs = [[kind, name, digest] for (kind, name), digest in sorted(fingerprint.inputs.items())]
    return _rendered({"value": fingerprint.value, "inputs": inputs})


def parse_fingerprint(data: bytes, file: str) -> Fingerprint:
    """Raises InvalidConfigError, UnsupportedError."""
    given = _Given(data, file)
    inputs: dict[tuple[InputKind, str], str] = {}
    kinds = {kind.value: kind for kind in InputKind}
    for row in given.array("inputs"):
        match row:
            case [str(kind), str(name), str(digest)] if kind in kinds:
                inputs[kinds[kind], name] = digest
            case _:
                raise _damaged(file, "inputs")
    return Fingerprint(given.text("value"), inputs)


def _rendered(values: Mapping[str, object]) -> bytes:
    """ASCII, so that names that are no UTF-8 come back as they were."""
    return json.dumps({"version": VERSION, **values}, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _damaged(file: str, what: str) -> InvalidConfigError:
    return InvalidConfigError(f"{file} is damaged: {what} is missing or not what osrd writes")


class _Given:
    """An object of JSON whose values are taken out one by one, each of the right type."""

    def __init__(self, data: bytes, file: str) -> None:
        self._file = file
        try:
            values = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidConfigError(f"{file} is damaged: it is no JSON ({error})") from error
        if not isinstance(values, dict):
            raise _damaged(file, "everything")
        self._values: dict[str, Any] = values
        version = self.count("version")
        if version > VERSION:
            raise UnsupportedError(
                f"{file} was written by a newer osrd (format {version}, this one knows {VERSION})",
                "use that osrd again, or move the file away",
            )
        if version < 1:
            raise _damaged(file, "version")

    @classmethod
    def _row(cls, values: dict[str, Any], file: str) -> "_Given":
        row = cls.__new__(cls)
        row._file, row._values = file, values
        return row

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if not isinstance(value, str):
            raise _damaged(self._file, name)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.array(name)
        if not all(isinstance(value, str) for value in values):
            raise _damaged(self._file, name)
        return tuple(values)

    def matching(self, name: str, pattern: re.Pattern[str]) -> str:
        value = self.text(name)
        if pattern.fullmatch(value) is None:
            raise _damaged(self._file, name)
        return value

    def made(self, name: str, make: Callable[[str], _T]) -> _T:
        try:
            return make(self.text(name))
        except ValueError:
            raise _damaged(self._file, name) from None

    def count(self, name: str) -> int:
        value = self._values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise _damaged(self._file, name)
        return value

    def number(self, name: str) -> float:
        value = self._values.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e12:
            raise _damaged(self._file, name)
        return float(value)

    def array(self, name: str) -> list[Any]:
        value = self._values.get(name)
        if not isinstance(value, list):
            raise _damaged(self._file, name)
        return value

    def rows(self, name: str) -> "list[_Given]":
        values = self.array(name)
        if not all(isinstance(value, dict) for value in values):
            raise _damaged(self._file, name)
        return [self._row(value, self._file) for value in values]
