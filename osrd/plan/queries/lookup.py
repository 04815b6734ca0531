# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding nodes and network devices. What is not unique is an error that names both parties, never the first one."""

from collections.abc import Sequence

from lxml import etree

from osrd.model.address import normalised_mac
from osrd.model.cluster import Cluster, Nic, Node
from osrd.model.errors import ConflictError, InvalidArgsError, NotFoundError
from osrd.parse.clusternode import Element, safe_parser

_IDS = "the query nodeids lists the ids"


def find_node(cluster: Cluster, key: str) -> Node:
    """The node whose id is ``key`` or, if there is none, whose name is.

    Raises NotFoundError for nobody, ConflictError for more than one.
    """
    for matches in (_with_id(cluster, key), [i for i, node in enumerate(cluster.nodes) if node.name == key]):
        if matches:
            return _only(cluster, matches, f"{key!r} is the id or name of")
    raise NotFoundError(f"{cluster.file}: no node has the id or name {key!r}", _IDS)


def node_with_id(cluster: Cluster, key: str) -> Node:
    """The node whose id is ``key``, with the errors of ``find_node``."""
    if matches := _with_id(cluster, key):
        return _only(cluster, matches, f"{key!r} is the id of")
    raise NotFoundError(f"{cluster.file}: no node has the id {key!r}", _IDS)


def node_with_mac(cluster: Cluster, text: str) -> tuple[Node, Nic]:
    """The node and its first NIC with the hardware address ``text``, in any spelling and case.

    Raises InvalidArgsError for what is no hardware address, NotFoundError when nobody has it, ConflictError when more
    than one node has it: whichever was meant, the other would boot or mount what is not his.
    """
    mac = normalised_mac(text)
    if mac is None:
        raise InvalidArgsError(f"{text!r} is no hardware address", "write it as 00:16:3e:00:00:01")
    matches = [i for i, node in enumerate(cluster.nodes) if any(nic.mac == mac for nic in node.nics)]
    if not matches:
        fix = 'add mac="..." to the <eth> of its node; the query hwids lists all addresses'
        raise NotFoundError(f"{cluster.file}: no node has a NIC with the hardware address {mac}", fix)
    node = _only(cluster, matches, f"{mac} is the hardware address of")
    return node, next(nic for nic in node.nics if nic.mac == mac)


def find_nic(cluster: Cluster, node: Node, key: str) -> Nic:
    """The NIC of ``node`` that is named ``key`` or, failing that, has it as hardware address."""
    mac = normalised_mac(key)
    for nic in (*(nic for nic in node.nics if nic.name == key), *(nic for nic in node.nics if mac and nic.mac == mac)):
        return nic
    names = ", ".join(nic.name for nic in node.nics) or "none"
    raise NotFoundError(f"{cluster.file}: node {node.name!r} has no network device {key!r}", f"it has: {names}")


def element_of(node: Node) -> Element:
    """The node's own element, for attributes that the model takes apart or leaves out."""
    return etree.fromstring(node.source, safe_parser())


def properties_of(nic: Nic) -> tuple[str, ...]:
    """The ``<property>`` elements of a NIC as NAME=VALUE, whichever of their three spellings was used."""
    return tuple(f"{name}={value}" for name, value in nic.properties)


def _with_id(cluster: Cluster, key: str) -> list[int]:
    return [
        index
        for index, node in enumerate(cluster.nodes)
        if node.nodeid_text == key != "" or (node.nodeid is not None and str(node.nodeid) == key)
    ]


def _only(cluster: Cluster, indices: Sequence[int], what: str) -> Node:
    if len(indices) == 1:
        return cluster.nodes[indices[0]]
    some = [f"{cluster.nodes[index].name!r} ({cluster.file}:{cluster.lines[index]})" for index in indices[:2]]
    more = f" and {len(indices) - 2} more" if len(indices) > 2 else ""
    raise ConflictError(f"{what} {some[0]} and of {some[1]}{more}", "give each node its own")
