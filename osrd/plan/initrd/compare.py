# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed between two initrds: for ``osrctl initrd diff``, and for whoever wonders why one is twice the other."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from osrd.model.image import ImageFile
from osrd.parse.kernelmodules import module_name

_TREE = re.compile(r"((?:usr/)?lib/modules)/[^/]+/")
_UNITS = ("bytes", "KiB", "MiB", "GiB")
_UNIT = 1024
_EXACT = 10


@dataclass(frozen=True, slots=True)
class Difference:
    """One file that is not the same. ``before`` and ``after`` are None where it is not there."""

    path: str
    before: ImageFile | None
    after: ImageFile | None

    @property
    def grown(self) -> int:
        """Bytes more, negative when fewer."""
        return (self.after.size if self.after else 0) - (self.before.size if self.before else 0)

    @property
    def weight(self) -> int:
        """Bytes that are concerned, to sort by."""
        return max(self.after.size if self.after else 0, self.before.size if self.before else 0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Files that differ, the largest first, kernel modules apart. Paths in modules' trees have ``*`` in place of the
    kernel's version, so that images of different kernels can be compared. Sizes are unpacked bytes."""

    files: tuple[Difference, ...] = ()
    modules: tuple[Difference, ...] = ()
    before_size: int = 0
    after_size: int = 0

    def __bool__(self) -> bool:
        return bool(self.files or self.modules)


def compare(before: Iterable[ImageFile], after: Iterable[ImageFile]) -> Comparison:
    old, new = _by_path(before), _by_path(after)
    found = [
        Difference(path, old.get(path), new.get(path))
        for path in old.keys() | new.keys()
        if not _same(old.get(path), new.get(path))
    ]
    found.sort(key=lambda difference: (-difference.weight, difference.path))
    return Comparison(
        tuple(difference for difference in found if not module_name(difference.path)),
        tuple(difference for difference in found if module_name(difference.path)),
        sum(file.size for file in old.values()),
        sum(file.size for file in new.values()),
    )


def _by_path(files: Iterable[ImageFile]) -> dict[str, ImageFile]:
    return {_TREE.sub(r"\1/*/", file.path): file for file in files}


def _same(old: ImageFile | None, new: ImageFile | None) -> bool:
    if old is None or new is None:
        return False
    return (old.mode, old.digest, old.target) == (new.mode, new.digest, new.target)


def lines(comparison: Comparison, most: int = 40) -> tuple[str, ...]:
    """For people: sizes, one line about all kernel modules, and at most ``most`` files."""
    if not comparison:
        return ("nothing differs",)
    total = comparison.after_size - comparison.before_size
    shown = [
        f"unpacked {_size(comparison.before_size)} before, {_size(comparison.after_size)} after ({_signed(total)})"
    ]
    if comparison.modules:
        shown.append(f"kernel modules: {_counted(comparison.modules)}")
    shown += [_line(difference) for difference in comparison.files[:most]]
    if len(comparison.files) > most:
        shown.append(f"{len(comparison.files) - most} more files: {_counted(comparison.files[most:])}")
    return tuple(shown)


def _counted(differences: Iterable[Difference]) -> str:
    each = list(differences)
    counts = {
        "added": sum(difference.before is None for difference in each),
        "removed": sum(difference.after is None for difference in each),
    }
    counts["changed"] = len(each) - sum(counts.values())
    told = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{', '.join(told)} ({_signed(sum(difference.grown for difference in each))})"


def _line(difference: Difference) -> str:
    path = difference.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    old, new = difference.before, difference.after
    if old is None and new is not None:
        return f"+ {path} ({_size(new.size)})"
    if new is None and old is not None:
        return f"- {path} ({_size(old.size)})"
    assert old is not None
    assert new is not None
    if old.target != new.target:
        return f"  {path}: leads to {new.target or 'itself'} instead of {old.target or 'itself'}"
    if old.digest == new.digest:
        return f"  {path}: mode {new.mode & 0o7777:o} instead of {old.mode & 0o7777:o}"
    return f"  {path} ({_size(new.size)}, {_signed(difference.grown)})"


def _signed(count: int) -> str:
    return f"{'-' if count < 0 else '+'}{_size(abs(count))}"


def _size(count: int) -> str:
    value, unit = float(count), 0
    while value >= _UNIT and unit + 1 < len(_UNITS):
        value /= _UNIT
        unit += 1
    return f"{count} bytes" if not unit else f"{value:.1f} {_UNITS[unit]}"
