# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of the mount table, and what is bound at the link of a shared root.

Paths are ``str`` as ``os.fsdecode`` gives (any bytes; undecodable ones are surrogates)."""

from dataclasses import dataclass
from enum import StrEnum

from osrd.model.cdsl import Layout, Seen


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount as proc_pid_mountinfo(5) tells it. ``root`` is the directory *of the file system* that is visible at
    ``point``; ``point`` is a path of the process that read the table. ``device`` is ``major:minor`` of the file
    system, which for btrfs and the like is not what stat(2) says of its files. ``tags`` are the optional fields
    (``shared:7``), options are kept as the kernel wrote them.
    """

    id: int
    parent: int
    device: str
    root: str
    point: str
    options: str = ""
    tags: tuple[str, ...] = ()
    fstype: str = ""
    source: str = ""
    super_options: str = ""

    @property
    def shared(self) -> bool:
        """Whether mounts made in it appear in other namespaces, too (mount_namespaces(7))."""
        return any(tag.startswith("shared:") for tag in self.tags)

    @property
    def slave(self) -> bool:
        """Whether mounts made elsewhere appear in it."""
        return any(tag.startswith("master:") for tag in self.tags)

    def __str__(self) -> str:
        """For people: what is mounted there."""
        if self.root == "/" or self.source == self.fstype:
            return f"{self.fstype} of {self.source}" if self.source not in ("", self.fstype) else self.fstype
        return f"directory {self.root} of {self.source} ({self.fstype})"


class Holds(StrEnum):
    """What is mounted at the link's mount point of a shared root."""

    NOTHING = "nothing"
    NODE = "node"  # a node tree of this root
    STALE = "stale"  # something of this root that was a node tree: deleted, archived or replaced meanwhile
    FOREIGN = "foreign"  # anything else


@dataclass(frozen=True, slots=True)
class Bound:
    """What is at one mount point. ``stack`` are the mounts on exactly this directory, the visible one last; ``point``
    is its absolute path."""

    holds: Holds
    point: str
    node: str = ""
    stack: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True)
class RootSeen:
    """What a look into a shared root tells about its bind mount.

    ``path`` is absolute and without symlinks; ``link`` is what is at the layout's link, ``tree`` what is at the tree
    of the node that is wanted. ``point`` is what is at the mount point; of interest while nothing is mounted there.
    """

    path: str
    layout: Layout
    link: Seen | None
    point: Seen | None
    tree: Seen | None
