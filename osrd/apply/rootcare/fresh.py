# SPDX-License-Identifier: GPL-3.0-or-later
"""Content that chance makes: ids that no two nodes may have, and ssh host keys."""

import os
import re
import secrets
import tempfile
import uuid

from osrd.apply.runner import NOT_FOUND, Runner
from osrd.model.errors import FailedError, UnsupportedError
from osrd.model.rootcare import Fresh, RenewKey

_INITIATOR = re.compile(rb"(?m)^(\s*InitiatorName\s*=\s*)(\S+)")
#: bytes; what systemd and the init scripts before it keep
_SEED = 512


class Maker:
    """Makes identities. Those of one node that belong together (NVMe's host name and host id) fit together."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._nvme: dict[str, uuid.UUID] = {}

    def fresh(self, kind: Fresh, node: str, like: bytes) -> bytes:
        """New content for ``node`` in the form that the content ``like`` has."""
        match kind:
            case Fresh.MACHINE_ID:
                data = f"{uuid.uuid4().hex}\n".encode()
            case Fresh.HOST_ID:
                data = secrets.token_bytes(4)
            case Fresh.ISCSI:
                data = _initiator(like)
            case Fresh.NVME_NQN:
                data = f"nqn.2014-08.org.nvmexpress:uuid:{self._host(node)}\n".encode()
            case Fresh.NVME_ID:
                data = f"{self._host(node)}\n".encode()
            case Fresh.SEED:
                data = secrets.token_bytes(_SEED)
        return data

    def _host(self, node: str) -> uuid.UUID:
        return self._nvme.setdefault(node, uuid.uuid4())

    def key(self, wanted: RenewKey) -> tuple[bytes, bytes]:
        """A private ssh host key and its public one. It is made on this host and never by a program of the root,
        which is not trusted. Raises UnsupportedError without ssh-keygen, FailedError."""
        with tempfile.TemporaryDirectory(prefix="osrd-") as directory:
            file = os.path.join(directory, "key")
            argv = ("ssh-keygen", "-q", "-t", wanted.algorithm, "-N", "", "-C", wanted.comment, "-f", file)
            done = self._runner.run(argv)
            if done.returncode == NOT_FOUND:
                raise UnsupportedError(
                    "ssh-keygen is not installed on this host, so the nodes keep one ssh host key in common",
                    "install openssh-client (Debian) or openssh (Fedora), and run this again",
                )
            if not done.ok:
                raise FailedError(f"ssh-keygen cannot make a {wanted.algorithm} key: {done.stderr.strip()}")
            return _read(file), _read(f"{file}.pub")


def _read(file: str) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()


def _initiator(like: bytes) -> bytes:
    """The same name up to its last colon, and twelve random digits; comments of the file stay."""
    random = secrets.token_hex(6).encode()
    match = _INITIATOR.search(like)
    if match is None:
        return b"InitiatorName=iqn.1994-05.org.open-iscsi:" + random + b"\n"
    stem = match[2].rpartition(b":")[0] or match[2]
    return like[: match.start(2)] + stem + b":" + random + like[match.end(2) :]
