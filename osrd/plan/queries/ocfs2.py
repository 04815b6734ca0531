# SPDX-License-Identifier: GPL-3.0-or-later
"""cluster.conf -> /etc/ocfs2/cluster.conf, the file of the O2CB cluster stack (ocfs2-tools, o2cb(7))."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from osrd.model.cluster import Cluster, Node
from osrd.model.errors import UnsupportedError
from osrd.plan.queries.lookup import element_of

_PORT = "7777"
#: O2NM_MAX_NODES - 1
_HIGHEST = 254
#: what the file's grammar can hold: a line feed in a name would forge a line
_NAME = re.compile(r"[^\s=]{1,64}")


def ocfs2_conf(cluster: Cluster) -> str:
    """The file, with its last line feed. Nodes are numbered by their ids and reached at their first fixed address, at
    ``tcp_port`` of the <clusternode> if it has one.

    Raises UnsupportedError, naming the node, when one has no id up to 254, no fixed address, or a name that the file
    cannot hold: the other nodes would wait for it in vain.
    """
    _check_name(cluster.file, cluster.line, "the cluster", cluster.name)
    about: list[tuple[str, Iterable[tuple[str, str]]]] = [
        ("cluster", (("node_count", str(len(cluster.nodes))), ("name", cluster.name)))
    ]
    about += [("node", ocfs2_node(cluster, index)) for index in range(len(cluster.nodes))]
    return "\n".join(
        "".join([f"{title}:\n", *(f"\t{key} = {value}\n" for key, value in entries)]) for title, entries in about
    )


def ocfs2_node(cluster: Cluster, index: int) -> tuple[tuple[str, str], ...]:
    """What the file says of ``nodes[index]``. Raises UnsupportedError."""
    node, line = cluster.nodes[index], cluster.lines[index]
    _check_name(cluster.file, line, "a node", node.name)
    if node.nodeid is None or node.nodeid > _HIGHEST:
        fix = f'write nodeid="N" with a number from 1 to {_HIGHEST}'
        raise UnsupportedError(f"{cluster.file}:{line}: node {node.name!r} has no id that OCFS2 can use", fix)
    return (
        ("ip_port", _port(cluster.file, line, node)),
        ("ip_address", _address(cluster.file, line, node)),
        ("number", str(node.nodeid)),
        ("name", node.name),
        ("cluster", cluster.name),
    )


def _port(file: str, line: int, node: Node) -> str:
    port = element_of(node).get("tcp_port") or _PORT
    if not re.fullmatch("[0-9]{1,5}", port, re.ASCII) or not 0 < int(port) < 65536:
        fix = f'write tcp_port="N" with a number up to 65535, or leave it out for {_PORT}'
        raise UnsupportedError(f"{file}:{line}: {port!r} of node {node.name!r} is no port", fix)
    return port


def _address(file: str, line: int, node: Node) -> str:
    for nic in node.nics:
        if nic.address:
            try:
                return str(ip_address(nic.address))
            except ValueError as error:
                fix = f'correct ip="..." of {nic.name!r}'
                message = f"{file}:{line + nic.line}: {nic.address!r} of node {node.name!r} is no address"
                raise UnsupportedError(message, fix) from error
    fix = 'give one of its <eth> an ip="..."; dhcp is not enough'
    raise UnsupportedError(f"{file}:{line}: node {node.name!r} has no fixed address", fix)


def _check_name(file: str, line: int, whose: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        message = f"{file}:{line}: OCFS2 cannot use {name!r} as the name of {whose}"
        raise UnsupportedError(message, "use 1 to 64 characters without blanks")
