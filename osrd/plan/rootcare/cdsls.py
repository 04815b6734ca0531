# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths a root should have once per node, and which below them once for all (spec/cdsl.md 4.4, the seed).

The seed: /var per node, /var/lib shared, since the package databases in there describe the one /usr that all have.
What 2011 did not know is that modern /var/lib also holds what only one machine may own: the random seed, DHCP leases
and the id derived from them, cluster states. Whole directories are made host-dependent, not the files in them: a file
that does not exist yet would be made by the first node, in the shared directory, for all.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from osrd.model.cdsl import CdslType, FileKind
from osrd.model.finding import Severity
from osrd.model.rootcare import Family, MakeHostDependent, MakeShared, Remark, SetAside
from osrd.plan.rootcare.view import Root, remark, upwards

_HOST, _SHARED = CdslType.HOSTDEPENDENT, CdslType.SHARED


@dataclass(frozen=True, slots=True)
class Wanted:
    """``why`` completes "/PATH holds ..."; ``family`` of None: whatever the distribution."""

    path: str
    type: CdslType
    why: str
    severity: Severity = Severity.WARNING
    family: Family | None = None


#: Parents before what is below them. What does not exist in a root is not made.
WANTED = (
    Wanted("var", _HOST, "logs, spools, locks and caches that two nodes must not write at once", Severity.ERROR),
    Wanted("var/lib", _SHARED, "the package database, which describes the files that all nodes share", Severity.ERROR),
    Wanted("var/cache/debconf", _SHARED, "debconf's answers, which belong to the packages", family=Family.DEBIAN),
    Wanted("var/lib/systemd", _HOST, "random seed, timers and states of devices", Severity.ERROR),
    Wanted(
        "var/lib/systemd/deb-systemd-helper-enabled",
        _SHARED,
        "what packages enabled in /etc/systemd, which is shared",
        family=Family.DEBIAN,
    ),
    Wanted(
        "var/lib/systemd/deb-systemd-helper-masked",
        _SHARED,
        "what packages masked in /etc/systemd, which is shared",
        family=Family.DEBIAN,
    ),
    Wanted("var/lib/dhcp", _HOST, "DHCP leases and the client id"),
    Wanted("var/lib/dhclient", _HOST, "DHCP leases and the client id"),
    Wanted("var/lib/dhcpcd", _HOST, "DHCP leases and the client id"),
    Wanted("var/lib/NetworkManager", _HOST, "leases and the secret that addresses are derived from"),
    Wanted("var/lib/nfs", _HOST, "the NFS locks and clients of one machine"),
    Wanted("var/lib/chrony", _HOST, "the drift of one clock"),
    Wanted("var/lib/ntp", _HOST, "the drift of one clock"),
    Wanted("var/lib/ntpsec", _HOST, "the drift of one clock"),
    Wanted("var/lib/logrotate", _HOST, "when the logs of one node were rotated"),
    Wanted("var/lib/logrotate.status", _HOST, "when the logs of one node were rotated"),
    Wanted("var/lib/corosync", _HOST, "the ring id of one node"),
    Wanted("var/lib/pacemaker", _HOST, "one node's copy of the cluster state"),
    Wanted("var/lib/pcsd", _HOST, "the certificate and tokens of one node"),
    Wanted("var/lib/iscsi", _HOST, "the iSCSI sessions of one initiator"),
    Wanted("var/lib/libvirt", _HOST, "the virtual machines of one host"),
    Wanted("var/lib/containers", _HOST, "the running containers of one host"),
    Wanted("var/lib/docker", _HOST, "the running containers of one host"),
    Wanted("etc/adjtime", _HOST, "the drift of one hardware clock"),
    Wanted("etc/multipath", _HOST, "the disks that one node found"),
    Wanted("etc/lvm/archive", _HOST, "backups of one node's LVM"),
    Wanted("etc/lvm/backup", _HOST, "backups of one node's LVM"),
    Wanted("etc/lvm/devices", _HOST, "the disks that one node found"),
    Wanted("etc/sysconfig/network", _HOST, "the host name", family=Family.REDHAT),
)

#: Directories of /var that cannot be shared; judged one by one where an administrator chose not to split /var.
_OF_VAR = ("account", "cache", "local", "lock", "log", "run", "spool", "tmp")

#: State that identifies the source machine and that a program makes again when it is missing: directory and names.
_STALE = {
    "var/lib/dhcp": (".leases", ".lease"),
    "var/lib/dhclient": (".leases", ".lease"),
    "var/lib/dhcpcd": (".lease", ".lease6", "duid", "secret"),
    "var/lib/NetworkManager": (".lease", "secret_key", "seen-bssids", "timestamps"),
    "var/lib/systemd": ("random-seed", "credential.secret"),
}


def host_dependent(root: Root) -> Iterator[Remark]:
    """A registered path is decided, even against the table: an administrator knows better."""
    decided = {cdsl.src: cdsl.type for cdsl in root.inventory.cdsls} if root.inventory else {}
    for wanted in _wanted(root):
        if wanted.family not in (None, root.family) or wanted.path in decided:
            continue
        # What is above it as it will be, when the rows before this one are done.
        present = next((decided[part] for part in upwards(wanted.path) if part in decided), _SHARED)
        if present is wanted.type or not _is_there(root, wanted.path):
            continue
        decided[wanted.path] = wanted.type
        repair = MakeHostDependent(wanted.path) if wanted.type is _HOST else MakeShared(wanted.path)
        verb, word = ("make", "host-dependent") if wanted.type is _HOST else ("share", "shared")
        message = f"/{wanted.path} is not {word}; it holds {wanted.why}"
        fix = f"osrctl cdsl {verb} {root.path} /{wanted.path}"
        yield remark(f"root-{word}", wanted.severity, message, fix, repair, path=wanted.path)


def _wanted(root: Root) -> Iterator[Wanted]:
    """The table, for this root. Where parts of /var are host-dependent and /var itself is not (the way of spec/cdsl.md
    4.4), its own way is followed: what is below /var/lib counts, and each directory that cannot be shared."""
    below = [cdsl for cdsl in root.inventory.cdsls if cdsl.src.startswith("var/")] if root.inventory else []
    by_parts = bool(below) and root.cover("var") is None
    for wanted in WANTED:
        if wanted.path == "var" and by_parts:
            yield from (Wanted(f"var/{name}", _HOST, "what two nodes must not write at once") for name in _OF_VAR)
        else:
            yield wanted


def _is_there(root: Root, path: str) -> bool:
    """Whether it exists, on one node at least, as something that can have copies."""
    if not root.has(path):
        return False
    found = [root.reader.look(copy.path) for copy in root.copies(path) if root.has(copy.path)]
    return any(seen is not None and seen.kind in (FileKind.DIRECTORY, FileKind.FILE) for seen in found)


def stale(root: Root) -> Iterator[Remark]:
    """Before the copies are made there is one such file; afterwards each node's is its own, unless it was copied."""
    for directory, names in _STALE.items():
        if root.is_host_dependent(directory):
            yield from _copied(root, directory, names)
            continue
        physical = root.physical(directory, "")
        if not root.has(physical):
            continue
        for name in root.reader.names(physical):
            if name.endswith(names):
                path = f"{directory}/{name}"
                message = f"/{path} was made by the source machine; nodes that start from it share its identity"
                fix = f"rm {root.path}/{physical}/{name}"
                yield remark("root-stale-state", Severity.WARNING, message, fix, SetAside(path), path=path)


def _copied(root: Root, directory: str, names: tuple[str, ...]) -> Iterator[Remark]:
    """The template may have none, and no two nodes the same."""
    held: dict[bytes, str] = {}
    for copy in reversed(root.copies(directory)):
        if not root.has(copy.path):
            continue
        for name in root.reader.names(copy.path):
            seen = root.reader.look(f"{copy.path}/{name}") if name.endswith(names) else None
            if seen is None or seen.kind is not FileKind.FILE:
                continue
            data = root.reader.read(f"{copy.path}/{name}") or b""
            other = held.setdefault(name.encode(errors="surrogateescape") + b"\0" + data, copy.node)
            if copy.node != root.template and other == copy.node:
                continue
            path = f"{directory}/{name}"
            whose = "the template for new nodes has one" if copy.node == root.template else f"it is also {other}'s"
            message = f"/{path} of {copy.node} identifies one machine, and {whose}"
            fix = f"rm {root.path}/{copy.path}/{name}"
            yield remark(
                "root-stale-state",
                Severity.WARNING,
                message,
                fix,
                SetAside(path, copy.node),
                path=path,
                node=copy.node,
            )


def data_of_all(root: Root) -> Iterator[Remark]:
    """Content that people expect to be the same everywhere, below a /var that is not."""
    for path in ("var/www", "var/ftp", "var/named"):
        if not root.is_host_dependent(path) or (cover := root.cover(path)) is None or cover.src == path:
            continue
        if any(root.has(copy.path) for copy in root.copies(path)):
            message = f"/{path} is host-dependent with /{cover.src}: what is written on one node is not on the others"
            fix = f"if it should be the same on all nodes: osrctl cdsl share {root.path} /{path}"
            yield remark("root-var-data", Severity.INFO, message, fix, path=path)
