# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of the original's query map (spec/cdsl.md 5.3): attributes of ``com_info`` under flat names.

A key is ``ELEMENT_ATTRIBUTE`` and takes the node; elements that a node may have more than once are keyed by one of
their attributes (``eth_name_ip NODE DEV``), and the key without attribute lists them (``eth_name NODE``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from osrd.model.cluster import Cluster, Node
from osrd.model.errors import NotFoundError
from osrd.plan.queries.lookup import element_of, find_nic, find_node, properties_of


@dataclass(frozen=True, slots=True)
class Key:
    """``path`` is the element below the ``<clusternode>``, "" for itself; with ``by`` the second argument is the value
    of that attribute. ``everything`` leaves the second argument away."""

    path: str
    attribute: str
    by: str = ""

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("NODE", self.by.upper()) if self.by else ("NODE",)


#: keys about the whole cluster: the XPath
CLUSTER_KEYS = {
    "clustertype": "/cluster/@type",
    "clustertype_type": "/cluster/@type",
    "clustername": "/cluster/@name",
    "clustername_name": "/cluster/@name",
    "nodes": "count(/cluster/clusternodes/clusternode)",
    "hwids": "/cluster/clusternodes/clusternode/com_info/eth/@mac",
}

_ETH = "com_info[1]/eth"
_FILESYSTEM = "com_info[1]/filesystems/filesystem"
_NIC_ATTRIBUTES = ("name", "mac", "onboot", "ip", "mask", "gateway", "driver", "master", "slave", "type", "bridge")
_FILESYSTEM_ATTRIBUTES = ("dest", "source", "mountopts", "fstype", "mountwait", "mounttimes")
#: elements that a node has once
_SINGLE = {
    "syslog": ("name", "level", "subsys", "type", "filter"),
    "rootvolume": ("name", "fstype", "mountopts"),
    "rootsource": ("name",),
    "scsi": ("name", "driver", "failover"),
    "chrootenv": ("mountpoint", "fstype", "device", "chrootdir", "mountopts"),
    "fenceacksv": ("name",),
}

NODE_KEYS = {
    "name_name": Key("", "name"),
    "mac": Key(_ETH, "mac", by="name"),
    "hwid_by_nodeid": Key(_ETH, "mac", by="name"),
    "macs": Key(_ETH, "mac"),
    "hwids_by_nodeid": Key(_ETH, "mac"),
    "eth_name": Key(_ETH, "name"),
    **{f"eth_name_{attribute}": Key(_ETH, attribute, by="name") for attribute in _NIC_ATTRIBUTES},
    "filesystem_dest": Key(_FILESYSTEM, "dest"),
    **{f"filesystem_dest_{attribute}": Key(_FILESYSTEM, attribute, by="dest") for attribute in _FILESYSTEM_ATTRIBUTES},
    **{
        f"{element}_{attribute}": Key(f"com_info[1]/{element}", attribute)
        for element, attributes in _SINGLE.items()
        for attribute in attributes
    },
    **{f"syslog{attribute}": Key("com_info[1]/syslog", attribute) for attribute in _SINGLE["syslog"]},
    **{
        f"chroot_{attribute.removeprefix('chroot')}": Key("com_info[1]/chrootenv", attribute)
        for attribute in _SINGLE["chrootenv"]
    },
}
#: its values are no attributes
PROPERTIES = "eth_name_properties"
NAMES = (*CLUSTER_KEYS, *NODE_KEYS, PROPERTIES)


def node_key(cluster: Cluster, key: Key, arguments: Sequence[str]) -> tuple[Node, tuple[str, ...]]:
    """The node that was asked about, and the values that it has. Raises NotFoundError when there is no such node or no
    such element; an element without the attribute has no value."""
    node = find_node(cluster, arguments[0])
    root = element_of(node)
    elements = root.findall(key.path) if key.path else [root]
    if key.by:
        elements = [element for element in elements if element.get(key.by) == arguments[1]]
        if not elements:
            tag = key.path.rpartition("/")[2]
            message = f"{cluster.file}: node {node.name!r} has no <{tag}> whose {key.by} is {arguments[1]!r}"
            raise NotFoundError(message, f"{tag}_{key.by} {arguments[0]} lists them")
    return node, tuple(element.get(key.attribute, "") for element in elements if key.attribute in element.attrib)


def properties(cluster: Cluster, arguments: Sequence[str]) -> tuple[Node, tuple[str, ...]]:
    """The ``<properties>`` of a network device as NAME=VALUE, whichever of the three spellings was used."""
    node = find_node(cluster, arguments[0])
    return node, properties_of(find_nic(cluster, node, arguments[1]))
