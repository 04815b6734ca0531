# SPDX-License-Identifier: GPL-3.0-or-later
"""The child process in which cp and rm run: it sees the host's programs and one file system, and nothing else.

Started by Confined. Its own mount namespace has a tmpfs as "/" with
read-only binds of the host's programs and, at ``/osrd-root``, a clone of the mount that holds the root: what is
mounted below is not in it, and on new enough kernels no symlink in it is followed, whoever swaps one in. Without
the right to mount the same in a user namespace.

It is a child of osrd, or an instance of osrd-copy@.service (osrd/apply/apart.py), which has a mount namespace of its
own and gets a clone of the root's mount. Its stdin is a stream socket: after a line with descriptors (the root, and
its lock, which programs inherit) it reads a job per line (JSON), starts it, and says what it has written and how it
ended; another line kills all that run. At the end of the stream it kills what still runs: copies never outlive the
osrd that wanted them.
"""

import errno
import json
import os
import select
import signal
import socket
import stat
import sys
from contextlib import suppress
from typing import Any

if __name__ == "__main__":
    # Run as a file with python -I -S: the package is found from here and nowhere else.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

from osrd.apply import syscalls

ROOT = "osrd-root"
_PROGRAMS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec")
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_LAST = 4096  # bytes of a job's messages that are kept
_MOST_DESCRIPTORS = 16
_TICK = 0.2  # seconds between two looks at what was written


def confine(root: int, *, is_clone: bool) -> None:
    """Leave everything but the programs and the root. Raises OSError."""
    if not is_clone:
        os.fchdir(root)  # the one way to name the root in the new namespace: its mounts are copies
    _own_namespace()
    top = syscalls.new_mount("tmpfs", syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOSUID, mode="0755")
    clone = os.dup(root) if is_clone else syscalls.open_tree(syscalls.AT_FDCWD, ".")
    _restrict(clone)
    binds = {ROOT: clone}
    links = {}
    for name in _PROGRAMS:
        try:
            found = os.lstat(f"/{name}")
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(found.st_mode):
            links[name] = os.readlink(f"/{name}")
        elif stat.S_ISDIR(found.st_mode):
            binds[name] = syscalls.open_tree(syscalls.AT_FDCWD, f"/{name}")
            attributes = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOSUID
            syscalls.mount_setattr(binds[name], set_=attributes)
    _make_private()
    syscalls.move_mount(top, syscalls.AT_FDCWD, "/")
    os.fchdir(top)
    for name, text in links.items():
        os.symlink(text, name, dir_fd=top)
    for name, mount in binds.items():
        os.mkdir(name, 0o755, dir_fd=top)
        syscalls.move_mount(mount, top, name)
        os.close(mount)
    os.chroot(".")
    os.chdir("/")
    os.close(top)
    os.close(root)


def _own_namespace() -> None:
    """Who may mount needs no user namespace, whatever his number; and would lose by one: of a root that something is
    mounted in, a namespace with fewer rights cannot have the root alone."""
    user, group = os.geteuid(), os.getegid()
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS)
    except PermissionError:
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)


def _make_private() -> None:
    """Nothing that is mounted from here on is seen by anybody else. Raises OSError."""
    try:
        syscalls.mount_setattr(syscalls.AT_FDCWD, "/", propagation=syscalls.MS_PRIVATE, recursive=True)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # In a chroot that is no mount of its own. Entering the own namespace anew leads to its real root, from where
        # the mount that holds the chroot can be reached; the programs of the chroot are open already.
        own = os.pidfd_open(os.getpid())
        syscalls.setns(own, syscalls.CLONE_NEWNS)
        os.close(own)
        syscalls.mount_setattr(syscalls.AT_FDCWD, "/", propagation=syscalls.MS_PRIVATE, recursive=True)


def _restrict(clone: int) -> None:
    attributes = syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NOEXEC
    try:
        syscalls.mount_setattr(clone, set_=attributes | syscalls.MOUNT_ATTR_NOSYMFOLLOW)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # Before Linux 5.14. Links then lead somewhere inside the root or into the empty "/".
        syscalls.mount_setattr(clone, set_=attributes)


class Jobs:
    """What runs, by the descriptor that its messages come from. ``processes`` is /proc."""

    def __init__(self, null: int, processes: int) -> None:
        self._null = null
        self._processes = processes
        self._running: dict[int, tuple[int, int, bytes]] = {}
        self._told: dict[int, int] = {}

    @property
    def descriptors(self) -> list[int]:
        return list(self._running)

    def start(self, number: int, argv: list[str]) -> None:
        """Start job ``number``."""
        read, write = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, self._null, 0), (os.POSIX_SPAWN_DUP2, self._null, 1)]
        actions.append((os.POSIX_SPAWN_DUP2, write, 2))
        try:
            pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
        except OSError as error:
            os.close(read)
            say({"job": number, "status": 127, "error": f"{argv[0]}: {error.strerror}"})
            return
        finally:
            os.close(write)
        self._running[read] = (number, pid, b"")

    def tell(self) -> None:
        """Say how much each has written, when that is more than before."""
        for number, pid, _ in self._running.values():
            written = self._written(pid)
            if written > self._told.get(number, 0):
                self._told[number] = written
                say({"job": number, "written": written})

    def _written(self, process: int) -> int:
        """How many bytes a process has written so far, 0 when that is not told."""
        with suppress(OSError, StopIteration):
            fd = os.open(f"{process}/io", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._processes)
            with open(fd, "rb") as file:  # bytes: this Python's own files cannot be read any more, encodings neither
                return next(int(line.split()[1]) for line in file if line.startswith(b"wchar"))
        return 0

    def hear(self, fd: int) -> None:
        """Read messages of a job; at their end it is over."""
        number, pid, last = self._running[fd]
        data = os.read(fd, 65536)
        if data:
            self._running[fd] = (number, pid, (last + data)[-_LAST:])
            return
        os.close(fd)
        del self._running[fd]
        self._told.pop(number, None)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        lines = os.fsdecode(last).split("\n")
        say({"job": number, "status": status, "error": next((line for line in reversed(lines) if line), "")})

    def stop(self) -> None:
        """Kill what runs; that it ended is heard like any other end."""
        for _, pid, _ in self._running.values():
            os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill what runs, wait for it, and then for whatever that had started kill the process group, ourselves
        included."""
        self.stop()
        for _, pid, _ in self._running.values():
            os.waitpid(pid, 0)
        if self._running:
            os.killpg(0, signal.SIGKILL)


def say(message: dict[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(0, data) :]


def serve(jobs: Jobs) -> None:
    """Until the end of the stream."""
    heard = b""
    while True:
        poll = select.poll()
        for fd in (0, *jobs.descriptors):
            poll.register(fd, select.POLLIN)
        ready = poll.poll(_TICK * 1000 if jobs.descriptors else None)
        jobs.tell()
        for fd, _ in ready:
            if fd != 0:
                jobs.hear(fd)
                continue
            data = _read()
            if not data:
                jobs.kill()
                return
            *lines, heard = (heard + data).split(b"\n")
            for line in lines:
                job = json.loads(line)
                if "stop" in job:
                    jobs.stop()
                else:
                    jobs.start(job["job"], job["argv"])


def _read() -> bytes:
    try:
        return os.read(0, 65536)
    except ConnectionResetError:  # osrd is gone, and did not hear all of it
        return b""


def _greeting() -> tuple[dict[str, Any], list[int]]:
    """The first line and the descriptors, which programs inherit. Nothing else is sent before the answer."""
    heard, descriptors = b"", list[int]()
    with socket.socket(fileno=os.dup(0)) as connection:
        while not heard.endswith(b"\n"):
            data, received, *_ = socket.recv_fds(connection, 65536, _MOST_DESCRIPTORS)
            if not data:
                sys.exit(1)
            heard += data
            descriptors += received
    greeting: dict[str, Any] = json.loads(heard)
    return greeting, descriptors


def main() -> None:
    greeting, (root, *_held) = _greeting()
    os.environ.clear()
    os.environ.update(_ENVIRONMENT)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    processes = -1  # without /proc no progress is told
    with suppress(OSError):
        processes = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        confine(root, is_clone=greeting["clone"])
    except OSError as error:
        say({"refused": f"{error.strerror}{f': {error.filename}' if error.filename else ''}", "errno": error.errno})
        return
    say({"ready": True})
    serve(Jobs(null, processes))


if __name__ == "__main__":
    main()
