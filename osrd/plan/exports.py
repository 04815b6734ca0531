# SPDX-License-Identifier: GPL-3.0-or-later
"""The exports(5) file: every root on this host, to exactly the nodes that mount it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter

from osrd.model.cluster import RootVolume
from osrd.model.finding import Finding, Severity
from osrd.model.settings import RootSettings, Settings
from osrd.plan.hosts import Sorted, packed

_PLAIN = re.compile(rb"[A-Za-z0-9_./:=,@%+~-]")
_OPTIONS = re.compile(r"[A-Za-z0-9_./:=,@%+~-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Export:
    """A path of this host and the options it is exported with."""

    path: str
    options: str


def export_of(settings: Settings, volume: RootVolume, root: RootSettings | None, server: str) -> Export | None:
    """How ``volume`` is exported by this host; None when it is no NFS root or another host's.

    It is this host's when its server is ``server`` (this host's address), or when its section gives ``path``: the
    volume may name the server as only the administrator knows it. Whether the path is mounted from a server now does
    not count: of two boot hosts the other one has it so until it takes over, and needs the line then. The options are
    used as configured: fsid= and the like are the administrator's.
    """
    if not volume.is_nfs or (root and root.left_to_its_server):
        return None
    here = root.path if root else ""
    if not here and (not volume.server or volume.server != server):
        return None
    options = root.export_options if root and root.export_options is not None else settings.nfs.options
    path = here or volume.path
    return Export(path, options) if path.startswith("/") else None


def unsafe_options(export: Export) -> bool:
    """Whether the options would end the parenthesis or the line that they are in."""
    return _OPTIONS.fullmatch(export.options) is None


def bad_options(export: Export) -> Finding:
    return Finding(
        "export-options",
        Severity.ERROR,
        f"export options {export.options!r} of {export.path} cannot be in exports(5); the file stays as it is",
        "correct options in [nfs] or export-options in the [root] section",
        attribute="options",
        value=export.options,
    )


def pools(settings: Settings) -> tuple[tuple[int, int, str], ...]:
    """The subnets that ip="dhcp" nodes may get an address from: first and last address as numbers, and text."""
    return tuple(
        (int(subnet.network.network_address), int(subnet.network.broadcast_address), str(subnet.network))
        for subnet in settings.subnets
        if subnet.range is not None
    )


def dynamic_clients(gateways: Iterable[str], known: tuple[tuple[int, int, str], ...]) -> tuple[Sorted, ...]:
    """The subnets that NICs with these gateways may be in; every pool when a NIC has no gateway that tells."""
    found: set[Sorted] = set()
    for gateway in gateways:
        number = packed(gateway)
        inside = [(first, text) for first, last, text in known if number is not None and first <= number <= last]
        found.update(inside or [(first, text) for first, _, text in known])
    return tuple(sorted(found))


def exports_file(clients: Mapping[Export, Iterable[Sorted]], cluster_file: str) -> bytes:
    """The file: one line per path, paths and clients in order. Two volumes can name one path (by two names of the
    server); a client is listed once, with the options of the first in order."""
    by_path: dict[str, list[Export]] = {}
    for export in sorted(clients, key=lambda export: (export.path, export.options)):
        by_path.setdefault(export.path, []).append(export)
    lines = []
    for path, exports in by_path.items():
        line: dict[Sorted, str] = {}
        for export in reversed(exports):
            line.update(dict.fromkeys(clients[export], export.options))
        if line:
            lines.append(f"{escaped(path)} {_listed(line)}\n")
    return (f"# Made by osrd from {cluster_file}; edits are undone.\n" + "".join(lines)).encode()


def _listed(line: Mapping[Sorted, str]) -> str:
    """The clients with their options, which nearly always are the same for all."""
    options = set(line.values())
    if len(options) == 1:
        ending = f"({options.pop()})"
        return f"{ending} ".join(map(itemgetter(1), sorted(line))) + ending
    return " ".join([f"{text}({options})" for (_, text), options in sorted(line.items())])


def escaped(path: str) -> str:
    """A path as exports(5) reads it: everything but plain characters as ``\\ooo``."""
    raw = path.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if _PLAIN.match(bytes([byte])) else f"\\{byte:03o}" for byte in raw)


def no_subnet(node: str) -> Finding:
    """A node whose address nobody knows cannot be allowed to mount its root."""
    return Finding(
        "export-no-address",
        Severity.WARNING,
        f'node {node} has only NICs with ip="dhcp" and no [subnet] with a range says which addresses it may get, so '
        "its root is not exported to it",
        "add a [subnet NETWORK] section with range, or give the node a fixed address",
        node=node,
    )
