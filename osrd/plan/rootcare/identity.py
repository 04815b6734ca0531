# SPDX-License-Identifier: GPL-3.0-or-later
"""Files by which a machine is known to others: nodes with one identity are one machine to DHCP, NFS and the journal.

**machine-id.** Every node gets a random id of its own, written before it first boots. Not "uninitialized" and not a
missing file: either makes systemd believe in a first boot (machine-id(5), ConditionFirstBoot=), and then it applies
its presets to /etc/systemd/system, which all nodes share. Not derived from cluster and node names: machine-id(5)
wants it unique in the world and kept confidential, and each cluster that was started from an example has its name.
The template holds an empty file: a node made from it later is not on its first boot, and makes an id of its own.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from osrd.model.cdsl import FileKind
from osrd.model.finding import Severity
from osrd.model.rootcare import Family, Fresh, Link, MakeHostDependent, Remark, Renew, Repair, Write
from osrd.plan.rootcare.lines import assigned, assignment, edited
from osrd.plan.rootcare.view import Copy, Root, remark

MACHINE_ID = "etc/machine-id"
HOSTNAME = "etc/hostname"
NETWORK = "etc/sysconfig/network"
_DBUS_ID = "var/lib/dbus/machine-id"
_ID = re.compile(rb"(?!0{32})[0-9a-f]{32}\n?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """A file whose content must be another one on every node. ``valid`` tells content that is one."""

    path: str
    fresh: Fresh
    severity: Severity
    harm: str
    mode: int = 0o644
    valid: Callable[[bytes], bool] = bool


def _is_machine_id(data: bytes) -> bool:
    return _ID.fullmatch(data) is not None


IDENTITIES = (
    Identity(
        MACHINE_ID,
        Fresh.MACHINE_ID,
        Severity.ERROR,
        "they ask DHCP for the same address and mix their journals",
        0o444,
        _is_machine_id,
    ),
    Identity("etc/hostid", Fresh.HOST_ID, Severity.WARNING, "ZFS and others take them for one host"),
    Identity(
        "etc/iscsi/initiatorname.iscsi", Fresh.ISCSI, Severity.WARNING, "their iSCSI sessions end each other", 0o600
    ),
    Identity("etc/nvme/hostnqn", Fresh.NVME_NQN, Severity.WARNING, "NVMe targets take them for one host"),
    Identity("etc/nvme/hostid", Fresh.NVME_ID, Severity.WARNING, "NVMe targets take them for one host"),
    Identity("var/lib/random-seed", Fresh.SEED, Severity.WARNING, "their random numbers start alike", 0o600),
    Identity("var/lib/urandom/random-seed", Fresh.SEED, Severity.WARNING, "their random numbers start alike", 0o600),
    Identity("var/lib/misc/random-seed", Fresh.SEED, Severity.WARNING, "their random numbers start alike", 0o600),
)


def identities(root: Root) -> Iterator[Remark]:
    for identity in IDENTITIES:
        if not root.has(identity.path.rpartition("/")[0]) and not root.is_host_dependent(identity.path):
            continue
        if root.is_host_dependent(identity.path):
            yield from _unequal(root, identity)
        else:
            yield from _shared(root, identity)


def _shared(root: Root, identity: Identity) -> Iterator[Remark]:
    """One file for all nodes. A system with systemd needs a machine-id, others that have one use it (D-Bus)."""
    physical = root.physical(identity.path, "")
    seen = root.reader.look(physical) if root.has(physical) else None
    repairs: list[Repair] = []
    if seen is None:
        if identity.path != MACHINE_ID or not root.systemd:
            return
        repairs.append(Write(identity.path, None, b"", identity.mode))
        message = f"/{identity.path} is missing, so the first node to boot makes one for all"
    elif seen.kind is not FileKind.FILE:
        return
    else:
        message = f"/{identity.path} is the same for all nodes: {identity.harm}"
    like = root.reader.read(physical) or b"" if seen else b""
    repairs.append(MakeHostDependent(identity.path))
    repairs += [Renew(identity.path, node, identity.fresh, identity.mode, like) for node in root.hosts]
    repairs.append(Write(identity.path, like, b"", identity.mode, root.template, secret=True))
    fix = f"osrctl cdsl make {root.path} /{identity.path}, then give every node's copy its own content"
    yield remark(f"root-{word(identity.fresh)}", identity.severity, message, fix, *repairs, path=identity.path)


def _unequal(root: Root, identity: Identity) -> Iterator[Remark]:
    """A copy for every node: no two the same, none that is not valid, nothing in the template."""
    held: dict[bytes, str] = {}
    for copy in root.copies(identity.path):
        data = root.reader.read(copy.path) if _is_file(root, copy) else None
        if copy.node == root.template:
            if data:
                message = f"/{identity.path} of the template is not empty: new nodes get the same, and {identity.harm}"
                fix = f"truncate -s 0 {root.path}/{copy.path}"
                repair = Write(identity.path, data, b"", identity.mode, copy.node, secret=True)
                yield _about(root, identity, copy, message=message, fix=fix, repair=repair)
        elif data is None or not identity.valid(data):
            if identity.path != MACHINE_ID and data is None:
                continue
            what = "is missing: systemd takes every boot for the first one" if data is None else "holds no valid id"
            message = f"/{identity.path} of {copy.node} {what}"
            yield _about(
                root, identity, copy, message=message, fix=_renewal(root, copy), repair=_renew(identity, copy, data)
            )
        elif (other := held.setdefault(data.strip(), copy.node)) != copy.node:
            message = f"/{identity.path} of {copy.node} is also that of {other}: {identity.harm}"
            yield _about(
                root, identity, copy, message=message, fix=_renewal(root, copy), repair=_renew(identity, copy, data)
            )


def _is_file(root: Root, copy: Copy) -> bool:
    seen = root.reader.look(copy.path)
    return seen is not None and seen.kind is FileKind.FILE


def _renew(identity: Identity, copy: Copy, data: bytes | None) -> Renew:
    return Renew(identity.path, copy.node, identity.fresh, identity.mode, data or b"")


def _renewal(root: Root, copy: Copy) -> str:
    return f"osrctl root prepare {root.path} writes a new one into {root.path}/{copy.path}"


def _about(root: Root, identity: Identity, copy: Copy, *, message: str, fix: str, repair: Repair) -> Remark:
    code, place = f"root-{word(identity.fresh)}", root.place(copy)
    return remark(code, identity.severity, message, fix, repair, path=identity.path, node=copy.node, place=place)


def word(fresh: Fresh) -> str:
    """As it is in the codes of findings."""
    return fresh.lower().replace(" ", "-")


def dbus_id(root: Root) -> Iterator[Remark]:
    """systemd takes the id of a node whose machine-id is empty from here, unless it is a symlink; debootstrap leaves
    a real file. Below a shared /var/lib all nodes would get the same."""
    for copy in root.copies(_DBUS_ID):
        if not root.has(copy.path.rpartition("/")[0]):
            continue
        seen = root.reader.look(copy.path)
        if seen is None or seen.kind is FileKind.LINK:
            continue
        message = f"/{_DBUS_ID} is a file of its own: nodes without a machine-id get the same one from it"
        fix = f"ln -sf /{MACHINE_ID} {root.path}/{copy.path}"
        repair = Link(_DBUS_ID, f"/{MACHINE_ID}", copy.node)
        yield remark("root-dbus-id", Severity.ERROR, message, fix, repair, path=_DBUS_ID, node=copy.node)


def hostname(root: Root) -> Iterator[Remark]:
    """/etc/hostname holds the node's name in cluster.conf; the template's is empty, which means none (hostname(5))."""
    if root.is_host_dependent(HOSTNAME):
        for copy in root.copies(HOSTNAME):
            data = root.reader.read(copy.path) if root.has(copy.path) else None
            wanted = _hostname_of(root, copy.node)
            if wanted is None or _name_in(data) == wanted:
                continue
            yield _wrong_name(root, copy, data, wanted)
        return
    physical = root.physical(HOSTNAME, "")
    seen = root.reader.look(physical) if root.has(physical) else None
    if (seen is None and not root.systemd) or (seen is not None and seen.kind is not FileKind.FILE):
        return
    data = root.reader.read(physical) if seen else None
    message = f"all nodes have the host name of /{HOSTNAME}" if data else f"/{HOSTNAME} cannot differ between nodes"
    repairs: list[Repair] = [] if seen else [Write(HOSTNAME, None, b"")]
    repairs.append(MakeHostDependent(HOSTNAME))
    for node in root.trees:
        wanted = _hostname_of(root, node)
        if wanted is not None and wanted != _name_in(data):
            repairs.append(Write(HOSTNAME, data or b"", _line(wanted), node=node))
    fix = f"osrctl cdsl make {root.path} /{HOSTNAME}, then write every node's name into its copy"
    yield remark("root-hostname", Severity.ERROR, message, fix, *repairs, path=HOSTNAME)


def _hostname_of(root: Root, node: str) -> str | None:
    """What a tree's hostname file should hold; None where nobody can know."""
    return "" if node == root.template else root.hosts.get(node) or None


def _name_in(data: bytes | None) -> str:
    """hostname(5): the first line that is neither empty nor a comment."""
    for line in (data or b"").decode(errors="replace").splitlines():
        if line.strip() and not line.strip().startswith("#"):
            return line.strip()
    return ""


def _line(name: str) -> bytes:
    return f"{name}\n".encode(errors="surrogateescape") if name else b""


def _wrong_name(root: Root, copy: Copy, data: bytes | None, wanted: str) -> Remark:
    held = _name_in(data)
    if not wanted:
        message = f"the template's /{HOSTNAME} names {held!r}; nodes made from it would all have that name"
    else:
        message = f"{copy.node} is {wanted} in cluster.conf and {held or 'nameless'} in its /{HOSTNAME}"
    fix = f"write {wanted or 'nothing'} into {root.path}/{copy.path}"
    repair = Write(HOSTNAME, data, _line(wanted), node=copy.node)
    place = root.place(copy)
    return remark("root-hostname", Severity.WARNING, message, fix, repair, path=HOSTNAME, node=copy.node, place=place)


def old_network(root: Root) -> Iterator[Remark]:
    """Red Hat's /etc/sysconfig/network: the host name of systems before systemd, and (the seed) no hardware address.
    That the file is host-dependent at all is another rule's business."""
    if root.family is not Family.REDHAT or not root.has("etc/sysconfig"):
        return
    split = root.is_host_dependent(NETWORK)
    for copy in root.copies(NETWORK):
        data = root.reader.read(copy.path) if root.has(copy.path) and _is_file(root, copy) else None
        if data is None:
            continue
        for node in [copy.node] if split else root.trees:
            wanted = _network_of(root, node, data)
            if wanted == data:
                continue
            message = f"/{NETWORK} of {node} has the host name or the hardware address of another machine"
            fix = (
                f"set HOSTNAME to the node's name in {root.path}/{root.physical(NETWORK, node) if split else NETWORK}"
            )
            repair = Write(NETWORK, data, wanted, node=node)
            yield remark("root-sysconfig-network", Severity.WARNING, message, fix, repair, path=NETWORK, node=node)


def _network_of(root: Root, node: str, data: bytes) -> bytes:
    """``data`` with this node's name. Where the file names no host, /etc/hostname does, except before systemd."""
    name = _hostname_of(root, node)

    def edit(line: bytes) -> bytes | None:
        key, value = assignment(line)
        if key in ("HWADDR", "MACADDR"):
            return None
        if key != "HOSTNAME" or name is None or value == name:
            return line
        return f"HOSTNAME={name}".encode(errors="surrogateescape") if name else None

    new = edited(data, edit)
    if name and not root.systemd and "HOSTNAME" not in assigned(new):
        new += (b"" if new.endswith(b"\n") or not new else b"\n") + f"HOSTNAME={name}\n".encode()
    return new
