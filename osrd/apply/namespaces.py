# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces of a process that shows a root to a command (unshare(2), namespaces(7), prctl(2))."""

import ctypes
import errno
import os
import signal

from osrd.apply.syscalls import (
    AT_FDCWD,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_PRIVATE,
    mount_setattr,
    unshare,
)
from osrd.model.errors import UnsupportedError

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP = 1, 24
#: what acts on the machine and not on files: CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME; and
#: CAP_SYS_PTRACE, by which the command would get at the host's files through /proc/1
_MACHINE_CAPABILITIES = (16, 17, 19, 22, 25)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


def enter_own_namespaces() -> bool:
    """Give this process its own mounts, private in both directions, and its future children their own process
    numbers. Whoever may not do that gets a user namespace, too, in which he is root over his own files: True then.

    Only for a process with one thread. Raises UnsupportedError when the host allows neither.
    """
    namespaces = CLONE_NEWNS | CLONE_NEWPID
    user, group = os.geteuid(), os.getegid()
    own_user = user != 0
    try:
        if not own_user:
            try:
                unshare(namespaces)
            except PermissionError:  # root of a container
                own_user = True
        if own_user:
            unshare(namespaces | CLONE_NEWUSER)
            _map_to_root(user, group)
    except OSError as error:
        raise UnsupportedError(
            f"a private view of a root is not possible here: namespaces: {error.strerror}",
            "run it as root, or allow user namespaces (sysctl user.max_user_namespaces,"
            " kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)",
        ) from error
    _own_mounts()
    return own_user


def enter_sealed_namespaces() -> None:
    """Give this process its own mounts, private in both directions, network without any interface that is up, IPC and
    names of this machine, and its future children their own process numbers; without a user namespace, in which files
    would have no owners but one.

    Only for a process with one thread. Raises UnsupportedError when the host does not allow it.
    """
    try:
        unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    except OSError as error:
        raise UnsupportedError(
            f"programs of a root cannot be sealed off here: namespaces: {error.strerror}",
            "run osrd as root, with CAP_SYS_ADMIN and all namespaces; its unit has them by osrd-build.socket",
        ) from error
    _own_mounts()


def _own_mounts() -> None:
    try:
        # Before anything is mounted or unmounted: in a shared mount that would happen to the host, too.
        mount_setattr(AT_FDCWD, "/", propagation=MS_PRIVATE, recursive=True)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise UnsupportedError("this kernel lacks mount_setattr", "Linux 5.12 or newer is needed") from error
        raise UnsupportedError(
            f"a private view of a root is not possible here: {error.strerror} ('/' is no mount point)",
            "run it outside of the chroot",
        ) from error


def _map_to_root(user: int, group: int) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def die_with_parent(parent: int) -> None:
    """This process is killed when its parent, which had the number ``parent``, ends however that happens."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def leave_the_machine_alone() -> None:
    """Programs started from here on load no kernel modules, set no clock, do not reboot, reach no hardware and no
    process that has more rights than they."""
    for capability in _MACHINE_CAPABILITIES:
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
