# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh host keys: each node its own.

The files are made host-dependent one by one, because sshd_config beside them is configuration and shared. The price:
a program that makes a missing key (ssh-keygen -A, Fedora's sshd-keygen) renames it over the link in the shared
directory, and then all nodes have that one key. So a node's key must be there before the node boots: they are made
on this host, and a missing or empty one is an error, not something to leave to the first boot.
"""

import re
from collections.abc import Iterator

from osrd.model.cdsl import FileKind
from osrd.model.finding import Severity
from osrd.model.rootcare import MakeHostDependent, Remark, RenewKey, Repair, Write
from osrd.plan.rootcare.view import Copy, Root, remark

_DIRECTORY = "etc/ssh"
_KEY = re.compile(r"ssh_host_([a-z0-9]+)_key")
#: what ssh-keygen -t makes; others (dsa, the first protocol's) are not made any more
_ALGORITHMS = frozenset({"rsa", "ecdsa", "ed25519"})


def keys(root: Root) -> Iterator[Remark]:
    if not root.has(_DIRECTORY) or root.is_host_dependent(_DIRECTORY):
        return
    for name in root.reader.names(root.physical(_DIRECTORY, "")):
        match = _KEY.fullmatch(name)
        if match is None:
            continue
        path = f"{_DIRECTORY}/{name}"
        if root.is_host_dependent(path):
            yield from _copies(root, path, match[1])
        else:
            yield _common(root, path, match[1])


def _common(root: Root, path: str, algorithm: str) -> Remark:
    message = f"all nodes have the ssh host key /{path}: each can pass for every other one"
    if algorithm not in _ALGORITHMS:
        fix = f"remove {root.path}/{path}: keys of this kind are not used any more"
        return remark("root-ssh-key", Severity.WARNING, message, fix, path=path)
    repairs: list[Repair] = [MakeHostDependent(path)]
    public = f"{path}.pub"
    if root.has(public):
        repairs.append(MakeHostDependent(public))
    repairs += [_renew(root, path, node, algorithm) for node in root.hosts]
    private = root.reader.read(root.physical(path, "")) or b""
    repairs.append(Write(path, private, b"", 0o600, root.template, secret=True))
    if root.has(public):
        repairs.append(
            Write(public, root.reader.read(root.physical(public, "")), b"", 0o644, root.template, secret=True)
        )
    fix = f"osrctl cdsl make {root.path} /{path}, then ssh-keygen a key into every node's copy"
    return remark("root-ssh-key", Severity.WARNING, message, fix, *repairs, path=path)


def _copies(root: Root, path: str, algorithm: str) -> Iterator[Remark]:
    held: dict[bytes, str] = {}
    for copy in root.copies(path):
        seen = root.reader.look(copy.path) if root.has(copy.path) else None
        data = (root.reader.read(copy.path) or b"") if seen is not None and seen.kind is FileKind.FILE else b""
        renew = _renew(root, path, copy.node, algorithm)
        if copy.node == root.template:
            if data:
                message = f"the template has an ssh host key /{path}; nodes made from it would all have it"
                repair = Write(path, data, b"", 0o600, copy.node, secret=True)
                yield _about(
                    root, path, copy, message=message, fix=f"truncate -s 0 {root.path}/{copy.path}", repair=repair
                )
        elif not data:
            message = f"{copy.node} has no ssh host key /{path}; making it, the node would give one key to all"
            yield _about(root, path, copy, message=message, fix=_fix(root, copy, algorithm), repair=renew)
        elif (other := held.setdefault(data, copy.node)) != copy.node:
            message = f"{copy.node} has the same ssh host key /{path} as {other}"
            yield _about(root, path, copy, message=message, fix=_fix(root, copy, algorithm), repair=renew)


def _renew(root: Root, path: str, node: str, algorithm: str) -> RenewKey:
    return RenewKey(path, node, algorithm, f"root@{root.hosts.get(node) or node}")


def _fix(root: Root, copy: Copy, algorithm: str) -> str:
    return f"ssh-keygen -t {algorithm} -N '' -f {root.path}/{copy.path}"


def _about(root: Root, path: str, copy: Copy, *, message: str, fix: str, repair: Repair) -> Remark:
    severity = Severity.ERROR if "no ssh host key" in message else Severity.WARNING
    place = root.place(copy)
    return remark("root-ssh-key", severity, message, fix, repair, path=path, node=copy.node, place=place)
