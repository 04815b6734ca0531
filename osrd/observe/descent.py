# SPDX-License-Identifier: GPL-3.0-or-later
"""Walking a tree that others write to, by descriptors: no path is resolved twice, no symlink followed, no mount
entered, any depth, one open directory at a time."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from osrd.model.errors import ConflictError, FailedError
from osrd.observe.inside import Inside, open_beneath

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK


class Descent:
    """A place in a tree: ``fd`` is the directory that the walk is in. Made by ``descent``."""

    def __init__(self, inside: Inside, base: str, fd: int) -> None:
        self._inside = inside
        self._base = base
        self.fd = fd
        self._above: list[tuple[str, int, int]] = []

    @property
    def depth(self) -> int:
        """How many directories below the top the walk is."""
        return len(self._above)

    def relative(self, name: str = "") -> str:
        """The path of ``name`` (or of the directory itself), relative to the top."""
        parts = [part for part, _, _ in self._above]
        return "/".join([*parts, name] if name else parts)

    def physical(self, name: str = "") -> str:
        """The same relative to the root."""
        return "/".join(part for part in (self._base, self.relative(name)) if part)

    def down(self, name: str) -> None:
        """Into the subdirectory ``name``. Raises ConflictError for a mount point, or when it is a directory no more;
        FileNotFoundError when it is gone."""
        try:
            fd = open_beneath(self.fd, name, _FLAGS)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise self.mounted(name) from error
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise self.moved(name) from error
            raise self.failed(error, name) from error
        here = os.fstat(self.fd)
        self._above.append((name, here.st_dev, here.st_ino))
        os.close(self.fd)
        self.fd = fd

    def up(self) -> None:
        """Back to the directory above. It must be the one that the walk came from: a directory that a node moves
        away meanwhile leads elsewhere (ConflictError)."""
        _, device, inode = self._above[-1]
        try:
            # ".." is looked at before anything in it is
            fd = os.open("..", _FLAGS | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except OSError as error:
            raise self.failed(error) from error
        above = os.fstat(fd)
        if (above.st_dev, above.st_ino) != (device, inode):
            os.close(fd)
            raise self.moved()
        self._above.pop()
        os.close(self.fd)
        self.fd = fd

    def mounted(self, name: str) -> ConflictError:
        return ConflictError(
            f"{self._inside.name(self.physical(name))} is a mount point: what is mounted there belongs to another"
            " file system",
            "unmount it first",
        )

    def moved(self, name: str = "") -> ConflictError:
        return ConflictError(
            f"{self._inside.name(self.physical(name))} was replaced while it was read", "try again when it is quiet"
        )

    def failed(self, error: OSError, name: str = "") -> FailedError:
        return FailedError(f"{self._inside.name(self.physical(name))}: {error.strerror}")


@contextmanager
def descent(inside: Inside, path: str) -> Iterator[Descent]:
    """Stand in the directory ``path`` of a root. Raises NotFoundError, and ConflictError when it is a mount point."""
    walk = Descent(inside, path, inside.listing(path))
    try:
        yield walk
    finally:
        os.close(walk.fd)
