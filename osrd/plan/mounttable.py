# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a mount table that need no file system: which mount is reached at a path, and what of its file system
is there. Paths are absolute, normalised and without symlinks; mount points in the table are so, too."""

from collections.abc import Iterable, Iterator

from osrd.model.mount import Mount

#: nfs_show_path() of the kernel says "/" for every directory of an NFS mount; the whole path is in the source
_PLACE_IN_SOURCE = frozenset({"nfs", "nfs4"})
_OUTSIDE = 0  # stands for every parent that the reader of the table cannot see (those of "/", those beyond a chroot)


class MountTable:
    """A mount table that a path can be looked up in the way the kernel walks it: a mount that is covered by another
    one, or lies below a covered directory, is not found."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        listed = tuple(mounts)
        known = {mount.id for mount in listed}
        # The kernel has at most one mount on a directory of a mount; what is mounted over it has it as parent.
        self._children = {
            (mount.parent if mount.parent in known - {mount.id} else _OUTSIDE, mount.point): mount for mount in listed
        }

    def reached(self, path: str) -> Iterator[Mount]:
        """The mounts that a walk to ``path`` enters, one after the other."""
        current = _OUTSIDE
        for place in _prefixes(path):
            while (mount := self._children.get((current, place))) is not None:
                current = mount.id
                yield mount

    def holding(self, path: str) -> Mount | None:
        """The mount that ``path`` is in. None in a chroot that is only a directory of a mount: that one is hidden."""
        return next(reversed(tuple(self.reached(path))), None)

    def stack(self, point: str) -> tuple[Mount, ...]:
        """The mounts on exactly the directory ``point``, the visible one last."""
        return tuple(mount for mount in self.reached(point) if mount.point == point)


def place_in(mount: Mount, path: str = "") -> str:
    """Where ``path``, which is in this mount ("": its root), is in the mount's file system. Two mounts of the same
    device show the same directory where their places are equal."""
    base = mount.source if mount.fstype in _PLACE_IN_SOURCE else mount.root
    below = path[len(mount.point.rstrip("/")) :].strip("/") if path else ""
    return f"{base.rstrip('/')}/{below}" if below else base


def _prefixes(path: str) -> Iterator[str]:
    """ "/", "/a", "/a/b" of "/a/b"."""
    yield "/"
    position = 0
    while path != "/" and position != -1:
        position = path.find("/", position + 1)
        yield path[:position] if position != -1 else path
