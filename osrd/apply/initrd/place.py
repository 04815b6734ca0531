# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory that a build fills: no file in it has its name before it is complete and on the disk."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from osrd.apply.cdsl.space import size
from osrd.apply.files import remove_temp, temp_name
from osrd.model.errors import FailedError

_WRITABLE = os.O_RDWR | os.O_CLOEXEC
#: file systems without files that have no name (O_TMPFILE)
_NO_UNNAMED = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


class Place:
    """An existing directory. Use as a context manager. Methods raise OSError and FailedError."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)

    def name(self, name: str) -> str:
        return os.path.join(self._path, name)

    def clear(self, names: Iterable[str]) -> None:
        """Remove what an earlier build left."""
        for name in names:
            for each in (name, temp_name(name, 0)):
                with suppress(FileNotFoundError):
                    os.unlink(each, dir_fd=self.fd)

    def check_space(self, needed: int) -> None:
        found = os.fstatvfs(self.fd)
        free = found.f_bavail * found.f_frsize
        if free < needed:
            raise FailedError(
                f"{self._path}: a build needs {size(needed)}, and {size(free)} are free",
                "make room there",
                passing=True,
            )

    @contextmanager
    def new_file(self, name: str) -> Iterator["NewFile"]:
        """A file for writing, which is gone when the block ends unless it was kept."""
        try:
            fd = os.open(".", _WRITABLE | os.O_TMPFILE, 0o600, dir_fd=self.fd)
            temporary = ""
        except OSError as error:
            if error.errno not in _NO_UNNAMED:
                raise
            temporary = temp_name(name, 0)
            fd = os.open(temporary, _WRITABLE | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=self.fd)
        try:
            yield NewFile(self.fd, fd, temporary, name)
        finally:
            os.close(fd)
            if temporary:
                remove_temp(self.fd, temporary)


class NewFile:
    """A file that gets its name when it is kept."""

    def __init__(self, directory: int, fd: int, temporary: str, name: str) -> None:
        self.fd = fd
        self._directory = directory
        self._temporary = temporary
        self._name = name

    def keep(self) -> None:
        """It is on the disk, with its name. Raises OSError."""
        os.fchmod(self.fd, 0o644)
        os.fsync(self.fd)
        if self._temporary:
            os.rename(self._temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        else:
            os.link(f"/proc/self/fd/{self.fd}", self._name, dst_dir_fd=self._directory)
        os.fsync(self._directory)
