# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared root seen from outside without ever leaving it (DESIGN law 5).

Any node's root can write in there, at any moment: a path that is checked and then used by name is a race that the
node wins. So the kernel resolves each path in one call that refuses symlinks, ``..``, magic links and other mounts
(openat2(2)), and the result is a descriptor; the last component is then looked at or changed relative to it.

Paths are ``str`` as ``os.fsdecode`` gives, relative to the root, "" the root itself. What is refused is a
ConflictError that names the path; what the file system cannot do is a FailedError.
"""

import ctypes
import errno
import functools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from osrd.model.cdsl import FileKind, Seen
from osrd.model.errors import ConflictError, FailedError, NotFoundError, OsrdError, UnsupportedError

_OPENAT2 = 437
_AT_FDCWD = -100
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x01, 0x02, 0x04, 0x08, 0x10
_RESOLVE = _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH
_DIRECTORY = os.O_DIRECTORY | os.O_CLOEXEC
#: the kernel takes paths of less than 4096 bytes in one call; longer ones are walked in pieces
_PIECE = 3500


class _How(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


#: syscall(2) for openat2 alone: with types it is a third quicker, and a look at a root opens thousands of directories
_syscall = ctypes.CDLL(None, use_errno=True)["syscall"]
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_SIZE = ctypes.sizeof(_How)


@functools.cache
def _how(flags: int, resolve: int) -> tuple[_How, int]:
    """What openat2 is asked for and where that is; the kernel only reads it."""
    how = _How(flags | os.O_CLOEXEC, 0, resolve)
    return how, ctypes.addressof(how)


def open_beneath(directory: int, path: str, flags: int) -> int:
    """A descriptor of what ``path`` is below the open ``directory``: no symlink on the way nor at its end, no other
    mount, no ``..`` out of it. Raises OSError (ELOOP for a symlink, EXDEV for a mount); UnsupportedError when the
    kernel is older than this protection: there is no safe way around it."""
    return _open(directory, path, flags, _RESOLVE)


def open_in_root(directory: int, path: str, flags: int) -> int:
    """A descriptor of what ``path`` is for a process whose "/" is the open ``directory``: symlinks mean what they mean
    in there, and lead nowhere else; what is mounted in it counts. Raises like open_beneath."""
    return _open(directory, path, flags, _IN_ROOT | _NO_MAGICLINKS)


def _open(directory: int, path: str, flags: int, resolve: int) -> int:
    fd: int = _syscall(_OPENAT2, directory, os.fsencode(path), _how(flags, resolve)[1], _SIZE)
    if fd >= 0:
        return fd
    number = ctypes.get_errno()
    if number == errno.ENOSYS:
        raise UnsupportedError(
            "this kernel cannot open files safely inside a root that others write to (openat2)",
            "Linux 5.6 or newer is needed",
        )
    raise OSError(number, os.strerror(number), path)


def open_regular(directory: int, name: str) -> int:
    """A descriptor of what was a regular file ``name`` in the open ``directory`` a moment ago; nothing else is really
    opened. Raises OSError."""
    path = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(path).st_mode):
            raise OSError(errno.ELOOP, "was replaced while it was read")
        return os.open(f"/proc/self/fd/{path}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(path)


def open_real(path: str) -> int:
    """A descriptor of the regular file at the absolute ``path``, on which there was no symlink a moment ago and may be
    none now; nothing else is really opened. Raises OSError."""
    place = _open(_AT_FDCWD, path, os.O_PATH, _NO_MAGICLINKS | _NO_SYMLINKS)
    try:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise OSError(errno.ELOOP, "was replaced by what is no regular file", path)
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    finally:
        os.close(place)


def is_plain(path: str) -> bool:
    """Whether ``path`` names something below a root by components alone: relative, none empty, ``.`` or ``..``."""
    try:
        return b"\0" not in os.fsencode(path) and all(part not in ("", ".", "..") for part in path.split("/"))
    except UnicodeEncodeError:
        return False  # no file name's decoding


class Inside:
    """An open shared root. ``path`` is the administrator's name of it, for messages; ``fd`` its descriptor.

    ``inherited`` are descriptors that programs working in this root must keep open as long as they live: the lock.
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.inherited: list[int] = []

    @classmethod
    def open(cls, path: str) -> Self:
        """The root at ``path``, which is the administrator's and may lead through symlinks. Raises NotFoundError."""
        try:
            return cls(path, os.open(path, os.O_RDONLY | _DIRECTORY))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"{path}: {error.strerror}", "name the directory of a shared root") from error
        except OSError as error:
            raise FailedError(f"{path}: {error.strerror}") from error

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def name(self, path: str) -> str:
        """``path`` as the administrator sees it from the host, for messages."""
        return os.path.join(self.path, path) if path else self.path

    def opened(self, path: str, flags: int) -> int:
        """A descriptor of ``path``, which the caller closes. Raises OSError only when nothing is there
        (FileNotFoundError, NotADirectoryError); else ConflictError or FailedError that names ``path``."""
        if path and not is_plain(path):
            raise ConflictError(f"{path!r} is not a path inside {self.path}")
        try:
            return self._walked(path, flags)
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            raise self.refusal(path, error) from error

    def _walked(self, path: str, flags: int) -> int:
        at = self.fd
        try:
            while len(os.fsencode(path)) > _PIECE and "/" in path[:_PIECE]:
                piece, _, rest = _split(path)
                fd = open_beneath(at, piece, os.O_PATH | os.O_DIRECTORY)
                if at != self.fd:
                    os.close(at)
                at, path = fd, rest
            return open_beneath(at, path or ".", flags)
        finally:
            if at != self.fd:
                os.close(at)

    def refusal(self, path: str, error: OSError) -> OsrdError:
        """What to tell about an errno for ``path``."""
        if error.errno == errno.ELOOP:
            return ConflictError(
                f"{self.name(self._culprit(path, error))}: a symlink is in the way",
                "a directory is needed there; look who made it one, and put the directory back",
            )
        if error.errno == errno.EXDEV:
            return ConflictError(
                f"{self.name(self._culprit(path, error))}: another file system is mounted in the way",
                "unmount it first",
            )
        return FailedError(f"{self.name(path)}: {error.strerror}")

    def _culprit(self, path: str, error: OSError) -> str:
        """The first part of ``path`` that gives the same error."""
        parts = path.split("/")
        for count in range(1, len(parts)):
            part = "/".join(parts[:count])
            try:
                os.close(self._walked(part, os.O_PATH))
            except OSError as again:
                if again.errno == error.errno:
                    return part
        return path

    def directory(self, path: str) -> int:
        """An O_PATH descriptor of the directory, which the caller closes. Raises NotFoundError when it is not there
        or no directory, ConflictError for what does not stay inside."""
        return self._directory(path, os.O_PATH)

    def listing(self, path: str) -> int:
        """Like ``directory``, a descriptor that can be listed and synced."""
        return self._directory(path, os.O_RDONLY | os.O_NONBLOCK)

    def _directory(self, path: str, flags: int) -> int:
        try:
            return self.opened(path, flags | os.O_DIRECTORY)
        except OSError as error:
            raise NotFoundError(f"{self.name(path)}: {error.strerror}") from error

    @contextmanager
    def holding(self, path: str) -> Iterator[tuple[int, str]]:
        """The descriptor of the directory that holds ``path``, and the last component. Raises like ``directory``,
        ConflictError for the root itself, which nothing holds."""
        parent, _, name = path.rpartition("/")
        if not is_plain(path):
            raise ConflictError(f"{path!r} is not a path below {self.path}")
        fd = self.directory(parent)
        try:
            yield fd, name
        finally:
            os.close(fd)

    def status(self, path: str) -> os.stat_result | None:
        """lstat(2) of ``path``; None when nothing is there."""
        if not path:
            return os.fstat(self.fd)
        try:
            with self.holding(path) as (fd, name):
                return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (NotFoundError, FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self.refusal(path, error) from error

    def look(self, path: str) -> Seen | None:
        """What is at ``path``, None when nothing is. A directory that is a mount point is never told as empty."""
        found = self.status(path)
        if found is None:
            return None
        kind = _kind(found.st_mode)
        if kind is FileKind.LINK:
            text = self.link(path)
            return None if text is None else Seen(kind, text, found.st_dev)
        return Seen(kind, "", found.st_dev, kind is FileKind.DIRECTORY and self._empty(path))

    def link(self, path: str) -> str | None:
        """The text of the symlink ``path``; None when no symlink is there."""
        try:
            with self.holding(path) as (fd, name):
                return os.readlink(name, dir_fd=fd)
        except NotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
                return None
            raise self.refusal(path, error) from error

    def _empty(self, path: str) -> bool:
        try:
            fd = self.listing(path)
        except (NotFoundError, ConflictError):
            return False  # gone meanwhile, or a mount point
        try:
            with os.scandir(fd) as entries:
                return next(entries, None) is None
        finally:
            os.close(fd)

    def names(self, path: str) -> list[str]:
        """The sorted names in the directory ``path``. Raises like ``directory``."""
        fd = self.listing(path)
        try:
            return sorted(os.listdir(fd))
        except OSError as error:
            raise self.refusal(path, error) from error
        finally:
            os.close(fd)

    def regular(self, path: str, flags: int = os.O_RDONLY) -> int:
        """A descriptor of the regular file ``path``. What it is, is known before it is really opened: opening a FIFO
        waits, and opening a device does things. Raises NotFoundError; ConflictError when it is no regular file."""
        try:
            place = self.opened(path, os.O_PATH)
        except OSError as error:
            raise NotFoundError(f"{self.name(path)}: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(place).st_mode):
                raise ConflictError(
                    f"{self.name(path)} is no regular file", "look who put it there, and remove what is there"
                )
            return os.open(f"/proc/self/fd/{place}", flags | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise self.refusal(path, error) from error
        finally:
            os.close(place)

    def read(self, path: str, limit: int) -> bytes:
        """The content of the regular file ``path``. Raises NotFoundError; ConflictError for anything else than a
        regular file and for more than ``limit`` bytes."""
        with os.fdopen(self.regular(path), "rb") as file:
            try:
                data = file.read(limit + 1)
            except OSError as error:
                raise self.refusal(path, error) from error
        if len(data) > limit:
            raise ConflictError(f"{self.name(path)} has more than {limit} bytes", "look who made it that big")
        return data


def _split(path: str) -> tuple[str, str, str]:
    """A first part of ``path`` that the kernel takes in one call, and the rest."""
    head = os.fsdecode(os.fsencode(path)[:_PIECE])
    cut = head.rfind("/")
    return (path[:cut], "/", path[cut + 1 :]) if cut > 0 else path.partition("/")


def _kind(mode: int) -> FileKind:
    if stat.S_ISDIR(mode):
        return FileKind.DIRECTORY
    if stat.S_ISREG(mode):
        return FileKind.FILE
    return FileKind.LINK if stat.S_ISLNK(mode) else FileKind.OTHER
