# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of an initrd: no secrets, since TFTP serves it to anyone. Findings name the file, never the secret."""

import re
from collections.abc import Iterator

from osrd.model.cluster import Cluster, FenceDevice
from osrd.plan.initrd.subject import Findings, Subject, error, warning

#: attributes of fence devices that are secrets
SECRET_ATTRIBUTES = frozenset(
    {"passwd", "password", "passwd_script", "snmp_priv_passwd", "snmp_auth_passwd", "secret", "key", "community"}
)
#: Where cluster data would be. Passwords that are short, or words like any other, are only looked for here: they are
#: in many files without being anybody's password.
_CLUSTER = ("etc/osr/", "etc/cluster/", "etc/corosync/", "etc/ocfs2/", "etc/pacemaker/", "etc/cmdline.d/", "etc/dlm/")
_SURE_LENGTH = 8
_WORD = re.compile(rb"[A-Za-z]+|[0-9]+")
_SHORTEST = 3

_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----\s")
#: by name, since they are no text
_KEY_FILES = re.compile(r"(?:.*/)?(?:authkey|[^/]*\.keytab|cib\.key|ssh_host_\w+_key)")
_SHADOW = ("etc/shadow", "etc/gshadow", "etc/shadow-", "etc/gshadow-")
#: the second field of a line that lets somebody in: not locked (! and *), not empty
_HASHED = re.compile(rb"^([^:\n]+):(?![!*:x]?:)([^:!*\n][^:\n]{8,}):", re.MULTILINE)


def fence_passwords(subject: Subject) -> Findings:
    secrets = list(_secrets(subject.cluster))
    for path, text in sorted(subject.content.texts.items()):
        for device, secret in secrets:
            if _searched(path, secret) and secret in text and _stands_alone(secret, text):
                message = f"{path} in the initrd has a password of the fence device {device}"
                fix = "look how it got into the root's dracut.conf or modules, and keep cluster.conf out of the image"
                yield error("initrd-secret", message, fix, value=path)
                break


def _secrets(cluster: Cluster) -> Iterator[tuple[str, bytes]]:
    seen: set[bytes] = set()
    for device in _devices(cluster):
        for name, value in device.attributes:
            secret = value.encode("utf-8", "surrogateescape")
            if name in SECRET_ATTRIBUTES and len(secret) >= _SHORTEST and secret not in seen:
                seen.add(secret)
                yield device.name, secret


def _devices(cluster: Cluster) -> Iterator[FenceDevice]:
    yield from cluster.fencedevices
    for node in cluster.nodes:
        for method in node.fence:
            yield from method.devices


def _searched(path: str, secret: bytes) -> bool:
    return path.startswith(_CLUSTER) or (len(secret) >= _SURE_LENGTH and not _WORD.fullmatch(secret))


def _stands_alone(secret: bytes, text: bytes) -> bool:
    """Not as a part of a longer word."""
    pattern = rb"(?<![A-Za-z0-9_])" + re.escape(secret) + rb"(?![A-Za-z0-9_])"
    return re.search(pattern, text) is not None


def private_keys(subject: Subject) -> Findings:
    for path, file in sorted(subject.files.items()):
        by_name = bool(file.size) and _KEY_FILES.fullmatch(path)
        if by_name or _PRIVATE_KEY.search(subject.content.texts.get(path, b"")):
            message = f"{path} in the initrd is a private key"
            yield error("initrd-secret", message, "look which dracut module or dracut.conf puts it there", value=path)


def password_hashes(subject: Subject) -> Findings:
    for path in _SHADOW:
        users = [
            match[1].decode("utf-8", "replace") for match in _HASHED.finditer(subject.content.texts.get(path, b""))
        ]
        if users:
            message = f"{path} in the initrd has the password hash of {', '.join(users[:3])}"
            yield error("initrd-secret", message, "leave hostonly out of the root's dracut.conf", value=path)


def not_searched(subject: Subject) -> Findings:
    if subject.content.unsearched:
        message = (
            f"{subject.content.unsearched} text files of the initrd were not searched for secrets: it has too many"
        )
        yield warning("initrd-not-searched", message, "look at what dracut.conf puts into the image")
