# SPDX-License-Identifier: GPL-3.0-or-later
"""The root as its own dracut sees it while an image is built: an overlay that takes all writes, and osrd's files.

    scratch (tmpfs, over /run, in the mount namespace of the guard alone)
      osrd-lower  the root with what is mounted in it, a clone: read-only, no devices, no set-user-ID
      upper       tmpfs, as big as the memory limit: data and work of the overlay, run, tmp
      root        the overlay

Everything is joined by descriptors that were opened inside the root, so no symlink in it leads anywhere else.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from osrd.apply.devices import mount_devices
from osrd.apply.initrd.placing import own_directory, put_files
from osrd.apply.syscalls import (
    AT_FDCWD,
    AT_RECURSIVE,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    mount_setattr,
    move_mount,
    new_mount,
    open_tree,
)
from osrd.model.cdsl import FileKind
from osrd.model.errors import ConflictError, UnsupportedError
from osrd.observe.inside import Inside, open_in_root
from osrd.observe.mounts import physical_path, read_mounts
from osrd.plan.bindmounts import resolved

_UPPER = {"data": 0o755, "work": 0o755, "run": 0o755, "run/osrd": 0o755, "run/osrd/tmp": 0o700, "tmp": 0o1777}
#: in the room: what dracut writes to, and the image
TEMPORARY, IMAGE = "/run/osrd/tmp", "/run/osrd/initrd"

_PLAIN = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
#: a file in memory needs about a KiB of it even when it is empty
_FILES_PER_MIB = 64
#: file systems that have files and nothing else; in others are switches of this host
_FILE_SYSTEMS = {
    *("btrfs", "ceph", "erofs", "ext2", "ext3", "ext4", "f2fs", "gfs2", "nfs", "nfs4", "ocfs2", "overlay", "squashfs"),
    *("tmpfs", "vfat", "xfs", "zfs"),
}
#: a directory that every host has and the guard does not need
_PLACE = "/run"
#: where the clone of the root is; the mount table of this host has nothing else below it
_LOWER = "osrd-lower"
#: what is mounted there on this host is another one in the room
_OURS = ("dev", "proc", "run", "sys", "tmp")


def detached(root: int) -> int:
    """A clone of the root that is open as ``root``, with what is mounted in it: it can be read, and that is all.
    Nothing that is mounted in the one appears in the other, and any mount namespace can take it. Raises OSError."""
    clone = open_tree(root, flags=OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)
    try:
        mount_setattr(clone, set_=_PLAIN | MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE, recursive=True)
    except OSError:
        os.close(clone)
        raise
    return clone


class Room:
    """For a process in a mount namespace of its own. Its working directory is the room afterwards.

    ``lower`` is what ``detached`` made of the root at ``path`` (for messages) and is closed; ``tree`` ("": none) is
    seen where ``link`` leads; ``files`` are written, paths relative to the root. Raises OSError and OsrdError.
    """

    def __init__(
        self, path: str, lower: int, memory: int, link: str, tree: str, *, files: Mapping[str, bytes]
    ) -> None:
        scratch = new_mount("tmpfs", _PLAIN, mode="0755", size="1m")
        move_mount(scratch, AT_FDCWD, _PLACE)
        inodes = str(_FILES_PER_MIB * memory)
        self._upper = new_mount("tmpfs", _PLAIN, mode="0755", size=f"{memory}m", nr_inodes=inodes)
        for name, mount in ((_LOWER, lower), ("upper", self._upper)):
            os.mkdir(name, 0o755, dir_fd=scratch)
            move_mount(mount, scratch, name)
        for name, mode in _UPPER.items():
            os.mkdir(name, dir_fd=self._upper)
            os.chmod(name, mode, dir_fd=self._upper)
        os.mkdir("root", 0o755, dir_fd=scratch)
        self._root = _overlay(path, scratch)
        with Inside(path, os.dup(self._root)) as inside:
            place = _bind_tree(inside, link, tree) if tree else ""
        self._show_mounts(lower, place)
        self._furnish(files)
        os.close(lower)
        os.close(scratch)
        os.fchdir(self._root)

    def used(self) -> int:
        """Bytes of all that was written."""
        found = os.fstatvfs(self._upper)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def image(self) -> int:
        """A descriptor of the image, when all that ran in the room is gone. Raises NotFoundError, ConflictError."""
        with Inside("", os.open("run", _DIRECTORY, dir_fd=self._upper)) as run:
            return run.regular(IMAGE.removeprefix("/run/"))

    def _show_mounts(self, lower: int, place: str) -> None:
        """What is mounted in the root on this host: the overlay has the root's own file system alone. Read-only."""
        start = f"{physical_path(lower)}/"
        for mount in read_mounts():
            path = mount.point.removeprefix(start)
            if path == mount.point or mount.fstype not in _FILE_SYSTEMS:
                continue
            if path.partition("/")[0] in _OURS or (place and f"{path}/".startswith(f"{place}/")):
                continue
            source = open_in_root(lower, path, os.O_PATH)
            _attach(open_tree(source), open_in_root(self._root, path, os.O_PATH))
            os.close(source)

    def _furnish(self, files: Mapping[str, bytes]) -> None:
        put_files(self._root, files)
        for name in ("run", "tmp"):
            _attach(open_tree(self._upper, name), own_directory(self._root, name))
        with _held(own_directory(self._root, "dev")) as target:
            mount_devices(target, own_user=False, terminals=False)
        os.close(own_directory(self._root, "proc"))


def _overlay(path: str, scratch: int) -> int:
    os.fchdir(scratch)
    try:
        mount = new_mount(
            "overlay",
            _PLAIN,
            lowerdir=_LOWER,
            upperdir="upper/data",
            workdir="upper/work",
            redirect_dir="nofollow",
            **dict.fromkeys(("index", "metacopy", "xino"), "off"),
        )
    except OSError as error:
        raise UnsupportedError(
            f"this host cannot lay an overlay over {path}: {error.strerror}",
            "Linux with overlayfs is needed (modprobe overlay), and a file system that it takes",
        ) from error
    move_mount(mount, scratch, "root")
    return mount


def _bind_tree(inside: Inside, link: str, tree: str) -> str:
    """Show ``tree`` where ``link`` leads: that place."""
    seen = inside.look(link)
    place = link
    if seen is not None and seen.kind is FileKind.LINK:
        place = resolved(link, seen.text) or ""
    if not place or seen is None:
        raise ConflictError(f"{inside.name(link)} leads nowhere in the root", f"osrctl cdsl repair {inside.path}")
    if place != tree:
        with _held(inside.directory(tree)) as source:
            _attach(open_tree(source), inside.directory(place))
    return place


def _attach(mount: int, target: int) -> None:
    """Put the one on the other; both descriptors are closed."""
    with _held(mount), _held(target):
        move_mount(mount, target)


@contextmanager
def _held(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)
