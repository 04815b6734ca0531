# SPDX-License-Identifier: GPL-3.0-or-later
"""The queries that have a name of their own: name, arguments, separator of the values, answer (spec/cdsl.md 5.3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from osrd.model.cluster import Cluster, FailoverDomain, Nic, Node
from osrd.model.errors import InvalidArgsError, NotFoundError
from osrd.plan.queries.lookup import (
    element_of,
    find_nic,
    find_node,
    node_with_id,
    node_with_mac,
    properties_of,
)
from osrd.plan.queries.ocfs2 import ocfs2_conf

Values = tuple[str, ...]
Arguments = Sequence[str]


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """``arguments`` are their names, for messages; ``last_is_separator`` lets one more be the separator, as the oldest
    generation of the command had it. ``properties`` is what -p adds to the values."""

    arguments: Values
    about: str
    run: Callable[[Cluster, Arguments], Values]
    separator: str = " "
    last_is_separator: bool = False
    properties: Callable[[Cluster, Arguments], Values] | None = None


def _of_node(value: Callable[[Node], str]) -> Callable[[Cluster, Arguments], Values]:
    return lambda cluster, arguments: (value(find_node(cluster, arguments[0])),)


def _of_nic(value: Callable[[Node, Nic], str]) -> Callable[[Cluster, Arguments], Values]:
    def run(cluster: Cluster, arguments: Arguments) -> Values:
        node = find_node(cluster, arguments[0])
        return (value(node, find_nic(cluster, node, arguments[1])),)

    return run


def _slave(node: Node, nic: Nic) -> str:
    """As it is written, "no" too: the model knows only whether it means yes."""
    names = [other.name for other in node.nics]
    eths = element_of(node).findall("com_info[1]/eth")
    return eths[names.index(nic.name)].get("slave", "")


def _nodename_of_mac(cluster: Cluster, arguments: Arguments) -> Values:
    return (node_with_mac(cluster, arguments[0])[0].name,)


def _nodeid_of_mac(cluster: Cluster, arguments: Arguments) -> Values:
    node, _ = node_with_mac(cluster, arguments[0])
    if not node.nodeid_text:
        message = f"{cluster.file}: node {node.name!r}, which has that hardware address, has no nodeid"
        raise NotFoundError(message, 'add nodeid="N" to its <clusternode>')
    return (node.nodeid_text,)


def _ifconfig(cluster: Cluster, arguments: Arguments) -> Values:
    _, nic = node_with_mac(cluster, arguments[0])
    return (nic.name, nic.ip, nic.mask)


def _properties(cluster: Cluster, arguments: Arguments) -> Values:
    return properties_of(node_with_mac(cluster, arguments[0])[1])


def _hosts(cluster: Cluster, _: Arguments) -> Values:
    """Lines of hosts(5). The blank before the tab is the original's, scripts may cut at either."""
    first = ((next((nic.address for nic in node.nics if nic.address), ""), node.name) for node in cluster.nodes)
    return tuple(f"{address} \t{name}" for address, name in first if address)


def _domain(cluster: Cluster, name: str) -> FailoverDomain:
    for domain in cluster.failoverdomains:
        if domain.name == name:
            return domain
    names = ", ".join(domain.name for domain in cluster.failoverdomains) or "none"
    raise NotFoundError(f"{cluster.file}: there is no failover domain {name!r}", f"there is: {names}")


def _domain_nodes(cluster: Cluster, arguments: Arguments) -> Values:
    return tuple(name for name, _ in _domain(cluster, arguments[0]).members)


def _preferred_node(cluster: Cluster, arguments: Arguments) -> Values:
    """The node with the lowest number; nodes without one come after all others, equals in the order of the file."""
    domain = _domain(cluster, arguments[0])
    if not domain.members:
        message = f"{cluster.file}:{domain.line}: the failover domain {domain.name!r} has no node"
        raise NotFoundError(message, "add a <failoverdomainnode>")
    ranked = [(priority is None, priority or 0, index) for index, (_, priority) in enumerate(domain.members)]
    return (domain.members[min(ranked)[2]][0],)


def _converted(cluster: Cluster, arguments: Arguments) -> Values:
    if arguments[0].lower() != "ocfs2":
        raise InvalidArgsError(f"cannot convert to {arguments[0]!r}", "ocfs2 is the one format there is")
    return (ocfs2_conf(cluster),)


def _nodeids(cluster: Cluster, _: Arguments) -> Values:
    return tuple(node.nodeid_text for node in cluster.nodes if node.nodeid_text)


def _netdevs(cluster: Cluster, arguments: Arguments) -> Values:
    return tuple(nic.name for nic in find_node(cluster, arguments[0]).nics)


_NODEID = NamedQuery(("MAC",), "id of the node with that hardware address", _nodeid_of_mac)
_NODENAME = NamedQuery(("MAC",), "name of the node with that hardware address", _nodename_of_mac)
_NODENAME_BY_ID = NamedQuery(("ID",), "name of the node", lambda c, a: (node_with_id(c, a[0]).name,))
_NODE = ("NODE",)
_NIC = ("NODE", "DEV")
_ROOT = "of the node's root file system"

QUERIES: dict[str, NamedQuery] = {
    "nodeids": NamedQuery((), "ids of all nodes, in the order of the file", _nodeids, last_is_separator=True),
    "nodename": _NODENAME,
    "nodeid": _NODEID,
    "nodenamebyid": _NODENAME_BY_ID,
    "netdevs": NamedQuery(_NODE, "names of its network devices", _netdevs, last_is_separator=True),
    "ip": NamedQuery(_NIC, "address, or dhcp", _of_nic(lambda _, nic: nic.ip)),
    "mask": NamedQuery(_NIC, "network mask", _of_nic(lambda _, nic: nic.mask)),
    "gateway": NamedQuery(_NIC, "default gateway", _of_nic(lambda _, nic: nic.gateway)),
    "master": NamedQuery(_NIC, "bond that it belongs to", _of_nic(lambda _, nic: nic.master)),
    "slave": NamedQuery(_NIC, "yes for members of a bond", _of_nic(_slave)),
    "ifconfig": NamedQuery(("MAC",), "device, address and mask", _ifconfig, properties=_properties),
    "hosts": NamedQuery((), "lines for /etc/hosts", _hosts, "\n"),
    "rootvolume": NamedQuery(_NODE, f"name {_ROOT}", _of_node(lambda node: node.root.name if node.root else "")),
    "rootfs": NamedQuery(_NODE, f"type {_ROOT}", _of_node(lambda node: node.root.fstype if node.root else "")),
    "mountopts": NamedQuery(
        _NODE, f"mount options {_ROOT}", _of_node(lambda node: node.root.mountopts if node.root else "")
    ),
    "syslog": NamedQuery(_NODE, "its log host", _of_node(lambda node: node.syslog.name if node.syslog else "")),
    "scsifailover": NamedQuery(
        _NODE, "driver or mapper", _of_node(lambda node: (node.scsi and node.scsi.failover) or "driver")
    ),
    "failoverdomainnodes": NamedQuery(("DOMAIN",), "its nodes", _domain_nodes, last_is_separator=True),
    "failoverdomainprefnode": NamedQuery(("DOMAIN",), "its preferred node", _preferred_node),
    "convert": NamedQuery(("ocfs2",), "the file /etc/ocfs2/cluster.conf", _converted),
    # Keys of the original's query map that look nodes up. As queries no map can bring back its exact comparison of
    # hardware addresses, which takes the first of two nodes and misses the other case.
    "nodeid_by_hwid": _NODEID,
    "nodename_by_hwid": _NODENAME,
    "nodename_by_id": _NODENAME_BY_ID,
}
