# SPDX-License-Identifier: GPL-3.0-or-later
"""Preparing a root for many nodes, as values: what is wrong with it, and the repairs that make it right.

Paths are public paths relative to the root (see osrd.model.cdsl). ``node`` is the tree whose copy is meant (a node's
or the template's); "" where a path has one copy for all.
"""

from dataclasses import dataclass
from enum import StrEnum

from osrd.model.finding import Finding


class Family(StrEnum):
    """Whose ways of configuring things a root has, from ID and ID_LIKE of its os-release(5)."""

    DEBIAN = "debian"
    REDHAT = "redhat"
    OTHER = "other"


class Fresh(StrEnum):
    """Content that must be another one on every node and that only chance can make."""

    MACHINE_ID = "machine id"
    HOST_ID = "host id"
    ISCSI = "iSCSI initiator name"
    NVME_NQN = "NVMe host name"
    NVME_ID = "NVMe host id"
    SEED = "random seed"


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    path: str
    mode: int = 0o755
    node: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """The file gets the content ``data``. ``was`` is what it must hold before, None: nothing is there yet. What
    ``mode`` says counts for new files; others keep owner, mode and labels. ``secret`` content is never shown."""

    path: str
    was: bytes | None
    data: bytes
    mode: int = 0o644
    node: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class CommentOut:
    """These lines (counted from 1) of a file that holds ``was`` become comments."""

    path: str
    was: bytes
    lines: tuple[int, ...]
    node: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink with this text, in place of whatever is there; that is kept as a backup."""

    path: str
    text: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class SetAside:
    """The file, link or directory goes away; it is kept as a backup."""

    path: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class Permit:
    """Other permission bits."""

    path: str
    mode: int
    node: str = ""


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """The trees, the link and the inventory."""


@dataclass(frozen=True, slots=True)
class MakeHostDependent:
    """One copy per node, by the CDSL engine."""

    path: str


@dataclass(frozen=True, slots=True)
class MakeShared:
    """One copy for all, below a host-dependent path, by the CDSL engine."""

    path: str


@dataclass(frozen=True, slots=True)
class Renew:
    """This node's copy gets content of its own, in the form that ``like`` has."""

    path: str
    node: str
    fresh: Fresh
    mode: int = 0o644
    like: bytes = b""


@dataclass(frozen=True, slots=True)
class RenewKey:
    """This node's ssh host key and the public key beside it (``path.pub``) are made anew."""

    path: str
    node: str
    algorithm: str
    comment: str = ""


Repair = (
    MakeDirectory
    | Write
    | CommentOut
    | Link
    | SetAside
    | Permit
    | Infrastructure
    | MakeHostDependent
    | MakeShared
    | Renew
    | RenewKey
)


@dataclass(frozen=True, slots=True)
class Remark:
    """A finding, and what `root prepare` does about it: nothing, where only the administrator can know."""

    finding: Finding
    repairs: tuple[Repair, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One repair, and the codes of the findings that it is for."""

    codes: tuple[str, ...]
    repair: Repair
