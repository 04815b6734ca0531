# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes do to each other: the same MAC, address, id or name, an address that is a gateway or a server.

The clean case must be cheap with 10,000 nodes: it is decided by the sizes of sets, and only what a set tells is
looked for node by node.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from osrd.model.cluster import Cluster, Nic, Node
from osrd.model.finding import Finding, Place, Severity
from osrd.parse.validation_draft import label, shown, title
from osrd.parse.validation_nic import called
from osrd.parse.validation_node import Facts

Found = list[tuple[int, Finding]]


@dataclass(frozen=True, slots=True)
class Claim:
    """``what`` (with ``of`` in front of its owner) of the node ``index`` that is at ``line`` of it."""

    index: int
    what: str
    text: str
    line: int = 0


def judge_pairs(cluster: Cluster, facts: Sequence[Facts]) -> Found:
    """The findings, each with the index of its node."""
    nodes = cluster.nodes
    found: Found = []
    ids = [node.nodeid for node in nodes if node.nodeid is not None]
    if repeated := _repeated(ids):
        found += _duplicates(cluster, "nodeid", repeated, lambda node: _own(node.nodeid, "nodeid", node.nodeid_text))
    names = [node.name.lower() for node in nodes if node.name]
    if repeated := _repeated(names):
        found += _duplicates(cluster, "name", repeated, lambda node: _own(node.name.lower(), "name", node.name))
    if repeated := _repeated([mac for fact in facts for mac in fact.macs]):
        found += _duplicates(cluster, "mac", repeated, _macs)
    addresses = [address for fact in facts for address in fact.addresses]
    if repeated := _repeated(addresses):
        found += _duplicates(cluster, "ip", repeated, _addresses)
    taken = set(addresses)
    found += _servers(cluster, facts, taken)
    found += _gateways(cluster, facts, taken)
    found += _devices(cluster, facts)
    return found


def _repeated(values: list[Hashable] | list[str] | list[int]) -> set[Hashable]:
    if len(set(values)) == len(values):
        return set()
    return {value for value, count in Counter(values).items() if count > 1}


Owned = Iterable[tuple[Hashable, str, str, int]]


def _own(key: Hashable, what: str, text: str) -> Owned:
    return ((key, what, text, 0),)


def _macs(node: Node) -> Owned:
    return [(nic.mac, f"MAC of {called(nic)}", nic.mac_text, nic.line) for nic in node.boot_nics]


def _addresses(node: Node) -> Owned:
    once = {nic.address: nic for nic in reversed(node.nics) if nic.address}
    return [(address, f"IP address of {called(nic)}", address, nic.line) for address, nic in once.items()]


def _duplicates(cluster: Cluster, attribute: str, repeated: set[Hashable], owned: Callable[[Node], Owned]) -> Found:
    """One finding per node that shares a value with others. It names the first of the others and how many more."""
    claims: dict[Hashable, list[Claim]] = {key: [] for key in repeated}
    for index, node in enumerate(cluster.nodes):
        for key, what, text, line in owned(node):
            if key in claims:
                claims[key].append(Claim(index, what, text, line))
    found: Found = []
    for sharing in claims.values():
        if len(sharing) > 1:  # one node may well hold an address twice, that is no matter between nodes
            for claim in sharing:
                other = sharing[1] if claim is sharing[0] else sharing[0]
                found.append((claim.index, _duplicate(cluster, attribute, claim, other, len(sharing) - 2)))
    return found


def _duplicate(cluster: Cluster, attribute: str, claim: Claim, other: Claim, more: int) -> Finding:
    mine, its = title(cluster, claim.index), title(cluster, other.index)
    place, other_place = cluster.place(claim.index, claim.line), cluster.place(other.index, other.line)
    also = f" and {more} more nodes" if more > 1 else " and 1 more node" if more else ""
    what, text = claim.what.split(" of ")[0], claim.text if claim.text.isprintable() else shown(claim.text)
    both = f"{mine} (line {place.line}) and {its} (line {other_place.line}){also}"
    message = f"{both} have the same {what} {text}"
    fix = f"correct the {claim.what} of {mine} or the {other.what} of {its}, so that each node has its own"
    return _pair(cluster, f"duplicate-{attribute}", (claim, other), message, fix)


def _pair(cluster: Cluster, code: str, parties: tuple[Claim, Claim], message: str, fix: str) -> Finding:
    claim, other = parties
    return Finding(
        code,
        Severity.ERROR,
        message,
        fix,
        cluster.place(claim.index, claim.line),
        node=label(cluster, claim.index),
        attribute=code.removeprefix("duplicate-") if code.startswith("duplicate-") else "ip",
        value=claim.text,
        other=label(cluster, other.index),
        other_place=cluster.place(other.index, other.line),
    )


def _holders(cluster: Cluster, facts: Sequence[Facts], wanted: set[str]) -> Iterable[tuple[int, Nic]]:
    for index, fact in enumerate(facts):
        if not wanted.isdisjoint(fact.addresses):
            for nic in cluster.nodes[index].nics:
                if nic.address in wanted:
                    yield index, nic


def _servers(cluster: Cluster, facts: Sequence[Facts], taken: set[str]) -> Found:
    """Nodes that have the address of the server of a root volume."""
    servers = {fact.server for fact in facts}
    wanted = servers & taken
    if not wanted:
        return []
    users = {facts[index].server: index for index in range(len(facts) - 1, -1, -1)}
    found: Found = []
    for index, nic in _holders(cluster, facts, wanted):
        user = users[nic.address]
        root = cluster.nodes[user].root
        claims = Claim(index, "ip", nic.ip, nic.line), Claim(user, "", "", root.line if root else 0)
        message = f"{title(cluster, index)} has the IP address {nic.ip} of the server that holds the root volume"
        fix = f"give {called(nic)} of {title(cluster, index)} an address of its own, or correct the rootvolume"
        found.append((index, _pair(cluster, "ip-is-server", claims, message, fix)))
    return found


def _gateways(cluster: Cluster, facts: Sequence[Facts], taken: set[str]) -> Found:
    """Nodes that have the address that others use as their gateway. A node's own is judged with the node."""
    wanted = {gateway for fact in facts for gateway in fact.gateways} & taken
    if not wanted:
        return []
    users: dict[str, list[int]] = {gateway: [] for gateway in wanted}
    for index, fact in enumerate(facts):
        for gateway in fact.gateways:
            if gateway in users and len(users[gateway]) < 2:
                users[gateway].append(index)
    found: Found = []
    for index, nic in _holders(cluster, facts, wanted):
        user = next((one for one in users[nic.address] if one != index), None)
        if user is None:
            continue
        line = next(other.line for other in cluster.nodes[user].nics if other.gateway == nic.address)
        claims = Claim(index, "ip", nic.ip, nic.line), Claim(user, "", "", line)
        message = (
            f"{title(cluster, index)} has the IP address {nic.ip}, which {title(cluster, user)} has as its gateway"
        )
        fix = f"give {called(nic)} of {title(cluster, index)} an address of its own, or correct the gateway"
        found.append((index, _pair(cluster, "ip-is-gateway", claims, message, fix)))
    return found


def _devices(cluster: Cluster, facts: Sequence[Facts]) -> Found:
    """Fence devices that nodes use and nobody declared."""
    declared = {device.name for device in cluster.fencedevices}
    used = {name for fact in facts for name in fact.devices}
    if used <= declared:
        return []
    found: Found = []
    for index, fact in enumerate(facts):
        for name in fact.devices:
            if name not in declared:
                line = _device_line(cluster.nodes[index], name)
                found.append((index, _unknown_device(cluster, index, name, cluster.place(index, line))))
    return found


def _device_line(node: Node, name: str) -> int:
    return next(device.line for method in node.fence for device in method.devices if device.name == name)


def _unknown_device(cluster: Cluster, index: int, name: str, place: Place) -> Finding:
    message = f"{title(cluster, index)} is fenced by {shown(name)}, which is not among the fencedevices"
    fix = "add the <fencedevice> or correct the name"
    node, code = label(cluster, index), "unknown-fence-device"
    return Finding(code, Severity.WARNING, message, fix, place, node=node, attribute="device", value=name)
