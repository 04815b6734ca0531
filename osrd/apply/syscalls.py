# SPDX-License-Identifier: GPL-3.0-or-later
"""System calls that Python's ``os`` lacks: renames that replace nothing or swap, and mounts by descriptor.

Every function raises OSError with the errno of the kernel and the name it was about. Names are ``str`` as
``os.fsdecode`` gives. Numbers of the mount API are the same on every architecture that Linux gained since 5.1 and on
those that osrd runs on (x86, arm, riscv, s390, ppc). From man 2 open_tree, move_mount, fsopen, mount_setattr,
renameat2, unshare, pivot_root.
"""

import ctypes
import os

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _MOUNT_SETATTR = 428, 429, 430, 431, 432, 442

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40

FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 1, 6

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MNT_DETACH = 2

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2


class _MountAttributes(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_libc.syncfs.argtypes = (ctypes.c_int,)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


def _checked(result: int, name: str = "") -> int:
    """The result of a call, or its errno as OSError."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name or None)
    return result


def _int(value: int) -> ctypes.c_long:
    return ctypes.c_long(value)


def renameat2(old_directory: int, old: str, new_directory: int, new: str, flags: int) -> None:
    """Rename with RENAME_NOREPLACE or RENAME_EXCHANGE; EINVAL or ENOSYS where the file system has neither."""
    # The bytes stay referenced by these names until the call is over.
    from_, to = os.fsencode(old), os.fsencode(new)
    _checked(_libc.renameat2(old_directory, from_, new_directory, to, flags), new)


def syncfs(fd: int) -> None:
    """Everything of the file system that holds the open file is on its disk."""
    _checked(_libc.syncfs(fd))


def unshare(flags: int) -> None:
    """Leave the caller's namespaces (CLONE_NEWNS, CLONE_NEWUSER). Only for processes with one thread."""
    _checked(_libc.unshare(flags))


def setns(fd: int, kind: int) -> None:
    """Enter the namespace of this kind that ``fd`` stands for."""
    _checked(_libc.setns(fd, kind))


def umount2(path: str, flags: int) -> None:
    """Unmount what is mounted at ``path``; MNT_DETACH as soon as nobody uses it."""
    _checked(_libc.umount2(os.fsencode(path), flags), path)


def open_tree(directory: int, path: str = "", flags: int = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC) -> int:
    """A descriptor of the mount at ``path`` relative to ``directory`` ("": the directory itself), with
    OPEN_TREE_CLONE a detached bind of it; without AT_RECURSIVE nothing that is mounted below comes along. A symlink
    as last component is not followed."""
    if not path:
        flags |= AT_EMPTY_PATH
    flags |= AT_SYMLINK_NOFOLLOW
    name = os.fsencode(path)
    return _checked(_libc.syscall(_int(_OPEN_TREE), _int(directory), ctypes.c_char_p(name), _int(flags)), path)


def move_mount(mount: int, directory: int, path: str = "") -> None:
    """Attach the detached mount ``mount`` at ``path`` relative to ``directory`` ("": the directory itself)."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if path else MOVE_MOUNT_T_EMPTY_PATH)
    name = ctypes.c_char_p(os.fsencode(path))
    empty = ctypes.c_char_p(b"")
    _checked(_libc.syscall(_int(_MOVE_MOUNT), _int(mount), empty, _int(directory), name, _int(flags)), path)


def mount_setattr(
    directory: int, path: str = "", *, set_: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False
) -> None:
    """Change attributes (MOUNT_ATTR_*) or propagation (MS_PRIVATE) of a mount, with ``recursive`` of all below it."""
    flags = (0 if path else AT_EMPTY_PATH) | (AT_RECURSIVE if recursive else 0)
    attributes = _MountAttributes(set_, clear, propagation, 0)
    name = ctypes.c_char_p(os.fsencode(path))
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    reference = ctypes.byref(attributes)
    _checked(_libc.syscall(_int(_MOUNT_SETATTR), _int(directory), name, _int(flags), reference, size), path)


def new_mount(kind: str, attributes: int = 0, **options: str) -> int:
    """A detached mount of a new file system of this kind (``tmpfs``), with its options; attach it with move_mount."""
    context = _checked(_libc.syscall(_int(_FSOPEN), ctypes.c_char_p(kind.encode()), _int(FSOPEN_CLOEXEC)), kind)
    try:
        for key, value in options.items():
            _configure(context, _FSCONFIG_SET_STRING, key, value)
        _configure(context, _FSCONFIG_CMD_CREATE)
        return _checked(_libc.syscall(_int(_FSMOUNT), _int(context), _int(FSMOUNT_CLOEXEC), _int(attributes)), kind)
    finally:
        os.close(context)


def _configure(context: int, command: int, key: str | None = None, value: str | None = None) -> None:
    name = ctypes.c_char_p(key.encode() if key else None)
    text = ctypes.c_char_p(os.fsencode(value) if value is not None else None)
    _checked(_libc.syscall(_int(_FSCONFIG), _int(context), _int(command), name, text, _int(0)), key or "")


def pivot_root(new: str, old: str) -> None:
    """Make the mount at ``new`` this namespace's root; the former root is then at ``old``."""
    _checked(_libc.pivot_root(os.fsencode(new), os.fsencode(old)), new)
