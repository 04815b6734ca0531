# SPDX-License-Identifier: GPL-3.0-or-later
"""Directory descriptors for everything that reads or writes published files: no path is resolved twice, and none
through a symlink that somebody planted inside a directory that osrd fills."""

import os
from collections.abc import Iterable
from types import TracebackType
from typing import Self

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Directories:
    """Directories by absolute path, each opened once and kept until the ``with`` block ends.

    ``bases`` (the TFTP root) are the administrator's own paths and may be reached through symlinks. Below a base
    each component is opened from the one above it and must not be a symlink; a directory outside all bases must
    not itself be one.
    """

    def __init__(self, bases: Iterable[str] = ()) -> None:
        # The longest first: the innermost base that contains a path decides.
        self._bases = tuple(sorted((base.rstrip("/") for base in bases), key=len, reverse=True))
        self._descriptors: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in self._descriptors.values():
            os.close(fd)
        self._descriptors.clear()

    def fd(self, path: str) -> int:
        """The descriptor of the directory ``path``.

        Raises OSError: FileNotFoundError when it is missing, NotADirectoryError when a symlink or file is there.
        """
        fd = self._descriptors.get(path)
        if fd is None:
            fd = self._descriptors[path] = self._opened(path)
        return fd

    def _opened(self, path: str) -> int:
        if path in self._bases:
            return os.open(path, _FLAGS)
        if any(path.startswith(base + "/") for base in self._bases):
            parent, _, name = path.rpartition("/")
            return os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=self.fd(parent or "/"))
        return os.open(path or "/", _FLAGS | os.O_NOFOLLOW)

    def missing(self, path: str) -> tuple[str, ...]:
        """The directories that would have to be made for ``path``, outermost first. Raises OSError like ``fd``."""
        try:
            self.fd(path)
        except FileNotFoundError:
            return (*self.missing(path.rpartition("/")[0] or "/"), path)
        return ()

    def forget(self, path: str) -> None:
        """Close the descriptor of a directory that was removed."""
        fd = self._descriptors.pop(path, None)
        if fd is not None:
            os.close(fd)

    @property
    def opened(self) -> dict[str, int]:
        """What is open now, by path."""
        return dict(self._descriptors)
