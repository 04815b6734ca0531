# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a shared root when nobody is asked but the files: which cluster.conf counts, and what it says."""

import os
from dataclasses import dataclass, field

from osrd.model.cdsl import Members
from osrd.model.errors import InvalidConfigError, NotFoundError, OsrdError
from osrd.model.finding import Finding, Place, Severity
from osrd.model.settings import RootSettings, Settings
from osrd.observe.inputs import read_input
from osrd.observe.inroot import read_in_root
from osrd.parse.clusterconf import parse_cluster
from osrd.parse.elements import MAX_SIZE
from osrd.plan.members import members_of

#: Where a cluster.conf is in a shared root.
INSIDE = "etc/cluster/cluster.conf"


@dataclass(frozen=True, slots=True)
class KnownMembers:
    """``file`` is the cluster.conf they are from, "" when there is none; ``findings`` are warnings."""

    members: Members = field(default_factory=Members)
    file: str = ""
    findings: tuple[Finding, ...] = ()


def find_members(root: str, settings: Settings, named: str = "") -> KnownMembers:
    """The nodes of the root at ``root``: from the cluster.conf ``named``, else the root's own, else this host's.

    Where osrd.conf has a section for the root only the nodes that use it count. A file that was named must be usable:
    raises NotFoundError or InvalidConfigError. One that was merely found and is no cluster.conf is a warning and means
    no nodes, since an inventory with maxnodeidnum does not need it, and what needs nodes says so itself.
    """
    section = section_of(root, settings)
    if named:
        return _parsed(read_input(named, MAX_SIZE).data, named, settings, section)
    try:
        data, file = _found(root, settings)
        return _parsed(data, file, settings, section)
    except NotFoundError:
        return KnownMembers()
    except InvalidConfigError as error:
        return KnownMembers(findings=(_unusable(error),))


def section_of(root: str, settings: Settings) -> RootSettings | None:
    """The section of osrd.conf whose path is the directory ``root``, by whatever name."""
    wanted = _identity(root)
    return next((one for one in settings.roots if one.path and _identity(one.path) == wanted), None)


def _identity(path: str) -> object:
    """What two names of one directory have in common; a name that leads nowhere is only like itself."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.normpath(path)
    return status.st_dev, status.st_ino


def _found(root: str, settings: Settings) -> tuple[bytes, str]:
    own = f"{root.rstrip('/')}/{INSIDE}"
    try:
        return read_in_root(root, INSIDE, MAX_SIZE), own
    except NotFoundError:
        return read_input(settings.cluster_conf, MAX_SIZE).data, settings.cluster_conf


def _parsed(data: bytes, file: str, settings: Settings, section: RootSettings | None) -> KnownMembers:
    members, findings = members_of(parse_cluster(data, file), settings, section)
    return KnownMembers(members, file, findings)


def _unusable(error: OsrdError) -> Finding:
    message = f"{error.message}; no node is known from it"
    fix = error.fix or "correct it, or name another cluster.conf"
    return Finding("cluster-conf-unusable", Severity.WARNING, message, fix, Place(INSIDE))
