# SPDX-License-Identifier: GPL-3.0-or-later
"""CDSLs of one file system: what is host-dependent, what is shared, and under which names (spec/cdsl.md 1-3).

Every path is relative to the root of that file system, without a leading slash, as ``os.fsdecode`` gives it: any byte
string is a legal file name, undecodable bytes are surrogates. A *public* path is what programs open (``var/lib``); a
*physical* path is where the bytes are (``cluster/shared/var/lib``).
"""

from dataclasses import dataclass, field
from enum import StrEnum

#: Attributes of an element that osrd does not use and keeps, as (name, value).
Extra = tuple[tuple[str, str], ...]

#: The attribute of a CDSL that only the nodes have that were named when it was made: nodes that come later do not.
FOR_SOME = ("scope", "some")

#: The one place of the inventory (spec/cdsl.md 0, generation 3) and the place of generations 1 and 2.
INVENTORY = ".cdsl_inventory.xml"
OLD_INVENTORY = "var/lib/cdsl/cdsl_inventory.xml"
#: osrd's own directory in a shared root: lock, journal, staged copies, backups. Root's only.
WORK = ".osrd"
#: The name, beside the node trees, of the directory that the bind mount goes to (DESIGN 5); no node may have it.
MOUNT_POINT = "local"


class CdslType(StrEnum):
    """HOSTDEPENDENT: one copy per node; SHARED: one copy for all, below a host-dependent path."""

    HOSTDEPENDENT = "hostdependent"
    SHARED = "shared"

    @property
    def other(self) -> "CdslType":
        return CdslType.SHARED if self is CdslType.HOSTDEPENDENT else CdslType.HOSTDEPENDENT


class MarkerStyle(StrEnum):
    """How the directory beside the link to a nested CDSL's other half is named: ``.cdsl.lib`` (generation 3) or
    ``lib.cdsl`` (generations 1 and 2), see spec/cdsl.md 2.3."""

    PREFIX = "prefix"
    SUFFIX = "suffix"


class FileKind(StrEnum):
    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"
    OTHER = "other"  # device, FIFO, socket


@dataclass(frozen=True, slots=True)
class Seen:
    """What is at a physical path, symlinks not followed. ``text`` is the target of a link. ``device`` numbers the
    file system; ``empty`` is only told of directories."""

    kind: FileKind
    text: str = ""
    device: int = 0
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of the machinery. The defaults are the seed's; generation 3 has ``.cluster/cdsl`` and so on.

    ``tree/NODE/...`` holds node copies, ``shared/...`` shared ones. ``link`` is either a symlink to ``tree/local``
    (what osrd makes: links then resolve the same physically, through the mount and under a prefix) or an empty
    directory (older layouts); the running node's tree is bind-mounted there. ``default`` is the template tree.
    """

    tree: str = "cluster/cdsl"
    shared: str = "cluster/shared"
    link: str = "cdsl.local"
    default: str = "default"
    prefix: str = ""
    marker: str = ".cdsl"
    style: MarkerStyle = MarkerStyle.PREFIX

    @property
    def mount_point(self) -> str:
        """Where the bind mount goes in layouts that osrd makes."""
        return f"{self.tree}/{MOUNT_POINT}"

    def node_tree(self, node: str) -> str:
        return f"{self.tree}/{node}"


@dataclass(frozen=True, slots=True)
class Cdsl:
    """One CDSL. ``src`` is its public path; ``nodes`` the directory names of the nodes that have it, the template
    not among them; ``timestamp`` is kept as text and never interpreted."""

    src: str
    type: CdslType
    nodes: tuple[str, ...] = ()
    timestamp: str = ""
    extra: Extra = ()


@dataclass(frozen=True, slots=True)
class ChildRepository:
    """Another mounted file system with CDSLs of its own. ``path`` is its mount point, ``resource`` its inventory."""

    path: str
    resource: str = INVENTORY
    extra: Extra = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything the inventory file says. ``maxnodeidnum`` > 0: the nodes are 1..N and cluster.conf does not count.

    ``file`` is where it was read from ("" for a new one); what is written always goes to INVENTORY.
    """

    layout: Layout = Layout()
    cdsls: tuple[Cdsl, ...] = ()
    maxnodeidnum: int = 0
    use_nodeids: bool = True
    mountpoint: str = ""
    repositories: tuple[ChildRepository, ...] = ()
    extra: Extra = ()
    file: str = field(default="", compare=False)

    def get(self, src: str) -> Cdsl | None:
        return next((cdsl for cdsl in self.cdsls if cdsl.src == src), None)


@dataclass(frozen=True, slots=True)
class Members:
    """The nodes of cluster.conf that use a root: their ids and names as text, in the order of the file."""

    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class Place(StrEnum):
    """Where a removed copy goes that is not the one that is kept."""

    BACKUP = "backup"  # .osrd/backup/NAME/NODE
    BESIDE = "beside"  # PATH.NODE, as com-rmcdsl does


@dataclass(frozen=True, slots=True)
class Removal:
    """How to remove a CDSL. ``winner`` is the node whose content becomes everybody's ("": they must not differ).
    ``recursive`` takes CDSLs below along; ``discard`` means that the data goes, too."""

    winner: str = ""
    recursive: bool = False
    discard: bool = False
    others: Place = Place.BACKUP


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change of a shared root did: lines for people, and the backups it made (paths inside the root)."""

    lines: tuple[str, ...] = ()
    backups: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.lines)
