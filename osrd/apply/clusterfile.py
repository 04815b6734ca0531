# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacing cluster.conf, the administrator's own file: compare-and-swap, atomic, keeping owner, mode and xattrs."""

import os
import stat
from contextlib import suppress
from hashlib import sha256

from osrd.model.errors import ConflictError, FailedError


def replace_cluster_conf(path: str, data: bytes, expected_digest: str) -> None:
    """Put ``data`` in the place of the file whose sha256 is ``expected_digest``.

    Raises ConflictError when somebody changed the file since it was read, FailedError when it cannot be written.
    A symlink is followed to the file it names, so that a link into a version-controlled directory stays a link.
    """
    target = os.path.realpath(path)
    directory, name = os.path.split(target)
    temporary = os.path.join(directory, f".{name}.osrd-edit")
    try:
        _write_beside(target, temporary, data)
        with open(target, "rb") as current:
            if sha256(current.read()).hexdigest() != expected_digest:
                raise ConflictError(f"{path} was changed by somebody else meanwhile", "look at it and try again")
        os.rename(temporary, target)
        _sync_directory(directory)
    except OSError as error:
        raise FailedError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _write_beside(target: str, temporary: str, data: bytes) -> None:
    status = os.stat(target)
    with suppress(FileNotFoundError):  # left by a killed edit; the name is only ever ours
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
        _copy_xattrs(target, descriptor)
        os.fsync(descriptor)


def _copy_xattrs(source: str, descriptor: int) -> None:
    """ACLs and SELinux labels are xattrs; a file system without them, or a foreign namespace, has none to keep."""
    with suppress(OSError):
        for name in os.listxattr(source):
            with suppress(OSError):
                os.setxattr(descriptor, name, os.getxattr(source, name))


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
