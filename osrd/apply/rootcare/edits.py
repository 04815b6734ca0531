# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits inside a root that other hosts write in: each atomic, each with what was there kept as a backup.

What comes is made under the backup's own name and then changes places with what is there (RENAME_EXCHANGE): there is
no moment at which either is missing, and what ends up as the backup is the very object that was there, with its owner,
labels and times. File systems without such a rename (NFS) get a copy as backup first.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from osrd.apply.cdsl.work import BACKUP, make_directory, make_work, sync_directory
from osrd.apply.files import put_in_place, remove_temp, temp_name, write_temp
from osrd.apply.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2
from osrd.model.errors import ConflictError, FailedError, NotFoundError
from osrd.observe.inside import Inside
from osrd.plan.rootcare.lines import LARGEST

_NO_SUCH_RENAME = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


#: a directory's descriptor and a name in it
Slot = tuple[int, str]


class Edits:
    """Edits of one run in one root; ``name`` is that of its directory of backups. Paths are physical. Every method
    wants the root's lock to be held; each returns the backup's path inside the root, "" when there was nothing."""

    def __init__(self, inside: Inside, name: str) -> None:
        self._inside = inside
        self._backup = f"{BACKUP}/{name}"

    def make_directory(self, path: str, mode: int) -> str:
        """Raises ConflictError when something is there meanwhile."""
        with self._named(path) as (parent, name):
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
                fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            except FileExistsError as error:
                raise self._moved(path) from error
            try:
                os.fchmod(fd, mode)
            finally:
                os.close(fd)
            sync_directory(parent)
        return ""

    def create(self, path: str, data: bytes, mode: int) -> str:
        """A new file. Raises ConflictError when something is there meanwhile."""
        with self._named(path) as (parent, name):
            temp = temp_name(name, os.getpid())
            write_temp(parent, temp, data, mode, sync=True)
            try:
                put_in_place(parent, temp, name, fresh=True)
            except FileExistsError as error:
                raise self._moved(path) from error
            finally:
                remove_temp(parent, temp)
            sync_directory(parent)
        return ""

    def replace(self, path: str, was: bytes | None, data: bytes) -> str:
        """Other content for a regular file that holds ``was`` (None: whatever it holds); owner, mode, ACLs and labels
        stay. Raises ConflictError when it is no such file or holds something else, and for a file with more names
        than this one: whose they are, nobody knows."""
        old = self._opened(path)
        try:
            if was is not None and _content(old) != was:
                raise self._moved(path)
            with self._named(path) as live, self._kept(path) as kept:
                write_temp(*kept, data, 0o600, sync=False)
                try:
                    _make_like(old, *kept)
                    self._swap(path, old, live, kept)
                except OSError as error:
                    remove_temp(*kept)
                    raise self._inside.refusal(path, error) from error
                self._sync(live[0], kept[0])
                return f"{self._backup}/{path}"
        finally:
            os.close(old)

    def _swap(self, path: str, old: int, live: Slot, kept: Slot) -> None:
        """The new file at ``kept`` and ``old``, which should be at ``live``, change places. Raises OSError."""
        try:
            renameat2(*kept, *live, RENAME_EXCHANGE)
        except OSError as error:
            if error.errno not in _NO_SUCH_RENAME:
                raise
            if not _swap_by_copy(old, live, kept):
                raise self._moved(path) from error
            return
        if not _is_same(old, *kept):
            # Somebody put another file there since it was read: that one gets its place back.
            renameat2(*kept, *live, RENAME_EXCHANGE)
            remove_temp(*kept)
            raise self._moved(path)

    def link(self, path: str, text: str) -> str:
        """A symlink in place of whatever is there."""
        with self._named(path) as (parent, name):
            with suppress(FileExistsError):
                os.symlink(text, name, dir_fd=parent)
                sync_directory(parent)
                return ""
            with self._kept(path) as (keep, kept):
                os.symlink(text, kept, dir_fd=keep)
                try:
                    renameat2(keep, kept, parent, name, RENAME_EXCHANGE)
                except OSError as error:
                    os.unlink(kept, dir_fd=keep)
                    if error.errno not in _NO_SUCH_RENAME:
                        raise self._inside.refusal(path, error) from error
                    os.rename(name, kept, src_dir_fd=parent, dst_dir_fd=keep)
                    os.symlink(text, name, dir_fd=parent)
                self._sync(parent, keep)
                return f"{self._backup}/{path}"

    def set_aside(self, path: str) -> str:
        """Whatever is at ``path`` becomes the backup. Raises ConflictError when nothing is there any more."""
        with self._named(path) as (parent, name), self._kept(path) as (keep, kept):
            try:
                _rename_new(parent, name, keep, kept)
            except FileNotFoundError as error:
                raise self._moved(path) from error
            except OSError as error:
                raise self._inside.refusal(path, error) from error
            self._sync(parent, keep)
        return f"{self._backup}/{path}"

    def permit(self, path: str, mode: int) -> str:
        fd = self._opened(path)
        try:
            os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)
        return ""

    def _opened(self, path: str) -> int:
        """The regular file at ``path``, which has no other name."""
        fd = self._inside.regular(path)
        names = os.fstat(fd).st_nlink
        if names == 1:
            return fd
        os.close(fd)
        raise ConflictError(
            f"{self._inside.name(path)} has {names} names (hard links), so an edit may be meant for another file",
            "copy it to a file of its own: cp -p it aside, then mv the copy over it",
        )

    @contextmanager
    def _named(self, path: str) -> Iterator[tuple[int, str]]:
        try:
            with self._inside.holding(path) as place:
                yield place
        except NotFoundError as error:
            raise ConflictError(error.message, "make that directory, or repair the root's CDSLs first") from error
        except OSError as error:
            raise FailedError(f"{self._inside.name(path)}: {error.strerror}") from error

    @contextmanager
    def _kept(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory and the name of the backup of ``path``, parents made as needed."""
        make_work(self._inside)
        parent, _, name = f"{self._backup}/{path}".rpartition("/")
        parts = parent.split("/")
        for count in range(2, len(parts) + 1):
            make_directory(self._inside, "/".join(parts[:count]))
        fd = self._inside.directory(parent)
        try:
            yield fd, name
        finally:
            os.close(fd)

    def _sync(self, *directories: int) -> None:
        for fd in directories:
            sync_directory(fd)

    def _moved(self, path: str) -> ConflictError:
        return ConflictError(
            f"{self._inside.name(path)} is not any more what it was when it was looked at", "look again and try again"
        )


def _make_like(old: int, directory: int, name: str) -> None:
    """Give a new file owner, mode, ACLs and labels of the open ``old``, and make it durable. Raises OSError."""
    fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        status = os.fstat(old)
        os.fchown(fd, status.st_uid, status.st_gid)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
        for attribute in os.listxattr(old):
            _copy_attribute(old, fd, attribute)
        os.fsync(fd)
    finally:
        os.close(fd)


def _is_same(fd: int, directory: int, name: str) -> bool:
    """Whether the open file is the one that has this name."""
    return os.path.samestat(os.stat(name, dir_fd=directory, follow_symlinks=False), os.fstat(fd))


def _swap_by_copy(old: int, live: Slot, kept: Slot) -> bool:
    """The same where two files cannot change places: the backup is a copy, the new file comes by a plain rename.
    False when somebody has put another file there. Raises OSError."""
    directory, name = live
    temp = temp_name(name, os.getpid())
    os.rename(kept[1], temp, src_dir_fd=kept[0], dst_dir_fd=directory)
    try:
        write_temp(*kept, _content(old), 0o600, sync=False)
        _make_like(old, *kept)
        if not _is_same(old, *live):
            remove_temp(*kept)
            return False
        os.rename(temp, name, src_dir_fd=directory, dst_dir_fd=directory)
        return True
    finally:
        remove_temp(directory, temp)


def _content(fd: int) -> bytes:
    return os.pread(fd, LARGEST + 1, 0)


def _copy_attribute(old: int, new: int, name: str) -> None:
    try:
        os.setxattr(new, name, os.getxattr(old, name))
    except OSError as error:
        # Attributes that the file system makes itself (system.nfs4_acl of a plain mode) can be read only.
        if error.errno not in (errno.EOPNOTSUPP, errno.ENODATA):
            raise


def _rename_new(parent: int, name: str, keep: int, kept: str) -> None:
    """Rename to a name that nothing has. Raises OSError."""
    try:
        renameat2(parent, name, keep, kept, RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in _NO_SUCH_RENAME:
            raise
        os.rename(name, kept, src_dir_fd=parent, dst_dir_fd=keep)
