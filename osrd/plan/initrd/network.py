# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of one node for each of the three providers that a dracut may have (osr.dracut(7), DATA).

``systemd/*`` and ``nm/*`` match by hardware address and may be there for all nodes at once. ``systemd/ID/*`` and
``nm/ID/*`` make devices of their own (bonds, VLANs, bridges), which no address tells apart: they are the whole
network of node ID and must be put in place when it is known that this is node ID, as must what ``legacy/ID`` says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from osrd.model.cluster import Node
from osrd.model.errors import InvalidConfigError
from osrd.plan.initrd.devices import Device, devices
from osrd.plan.initrd.keyfiles import key_files
from osrd.plan.initrd.keyfiles import unknown_options as unknown_to_nm
from osrd.plan.initrd.networkd import networkd_files
from osrd.plan.initrd.networkd import unknown_options as unknown_to_networkd
from osrd.plan.nics import NicKind, primary
from osrd.plan.nicwords import network_words


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """``files`` by path below ``network/``. ``wrong``: devices that are left out, ``unsaid``: what one provider cannot
    be told. ``configured``: at least one NIC will have an address."""

    files: Mapping[str, bytes] = field(repr=False)
    wrong: tuple[InvalidConfigError, ...] = ()
    unsaid: tuple[InvalidConfigError, ...] = ()
    configured: bool = True


def node_network(node: Node, cluster: str) -> NodeNetwork:
    """Never raises: what cannot be said is told."""
    assert node.nodeid is not None
    found, wrong = devices(node)
    files: dict[str, bytes] = {}
    layered = any(device.kind is not NicKind.ETHERNET for device in found)
    below = f"{node.nodeid}/" if layered else ""
    for name, data in networkd_files(node.nodeid, found).items():
        files[f"systemd/{below}{name}"] = data
    for name, data in key_files(cluster, node.nodeid, found).items():
        files[f"nm/{below}{name}"] = data
    unsaid = [*_options(node, found)]
    nic = primary(node)
    if nic is not None:
        try:
            words = network_words(node, nic)
        except InvalidConfigError as error:
            unsaid.append(error)
        else:
            files[f"legacy/{node.nodeid}"] = "".join(f"{word}\n" for word in words).encode()
    configured = any(device.dhcp or device.address for device in found)
    return NodeNetwork(files, wrong, tuple(unsaid), configured)


def _options(node: Node, found: tuple[Device, ...]) -> list[InvalidConfigError]:
    unsaid = []
    for provider, unknown in (("systemd-networkd", unknown_to_networkd), ("NetworkManager", unknown_to_nm)):
        for device in found:
            if names := unknown(device):
                message = f"{provider} of an initrd is not told {', '.join(names)} of {device.label} of {node.name}"
                unsaid.append(InvalidConfigError(message, "nothing, if the bond works without"))
    return unsaid
