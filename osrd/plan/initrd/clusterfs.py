# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's initrd has to know before it can mount GFS2 or OCFS2 from a disk that several nodes have mounted: who
the others are. The files are taken to /etc/osr in the image by the modules osr-gfs2 and osr-ocfs2.

    corosync/corosync.conf      membership and quorum for GFS2, corosync.conf(5)
    dlm/dlm.conf                its lock manager, dlm.conf(5)
    ocfs2/cluster.conf          OCFS2's own cluster in the kernel, ocfs2.cluster.conf(5)

Nothing in them is secret, since an image is served to whoever asks: corosync speaks unencrypted, with no key, and no
fence device is known. In an initrd nobody can be fenced; therefore a cluster that starts from nothing waits until all
its nodes have been seen once (wait_for_all), and dlm_controld does not want the absent ones fenced first. What happens
to a node that fails later is for the running system to decide, by dlm_stonith(8).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Interface

from osrd.model.cluster import Cluster, Node
from osrd.model.errors import InvalidConfigError, OsrdError, UnsupportedError
from osrd.model.finding import Finding, Place, Severity
from osrd.parse.validation_nic import host_address
from osrd.plan.nics import fixed_address
from osrd.plan.queries.ocfs2 import ocfs2_conf, ocfs2_node

GFS2, OCFS2 = "gfs2", "ocfs2"
_COROSYNC, _DLM, _O2CB = "corosync/corosync.conf", "dlm/dlm.conf", "ocfs2/cluster.conf"
#: GFS2 keeps the cluster's name in its superblock: gfs2 will have no other one
_CLUSTER_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_NODE_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}", re.ASCII)
#: what no two nodes of OCFS2's cluster have in common
_OWN = ("ip_address", "number", "name")
#: links of knet
_LINKS = 8
#: milliseconds; corosync has no opinion on more than a quarter of an hour
_TOKEN = range(100, 900_001)

_DLM_CONF = """\
# Made by osrd. TCP, since SCTP is in no initrd; who is absent at the start was never seen, see corosync.conf.
protocol=tcp
enable_startup_fencing=0
"""


@dataclass(frozen=True, slots=True)
class ClusterFiles:
    """``files`` by path below /etc/osr/initrd: none where nobody has such a file system. A finding that is an error
    and names a node says that this node cannot mount its own; one that names nobody that no node can."""

    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    findings: tuple[Finding, ...] = ()


def clusterfs_files(cluster: Cluster, nodes: Iterable[Node] | None = None) -> ClusterFiles:
    """The files for all ``nodes`` (None: those of ``cluster``): membership is the cluster's, whatever roots it has."""
    there = tuple(sorted(cluster.nodes if nodes is None else nodes, key=lambda node: (node.nodeid or 0, node.name)))
    lines = {node.name: line for node, line in zip(cluster.nodes, cluster.lines, strict=True)}
    making = _Making(replace(cluster, nodes=there, lines=tuple(lines.get(node.name, cluster.line) for node in there)))
    making.refuse_unlocked()
    if any(needs(node, GFS2) for node in there):
        making.corosync()
    if any(needs(node, OCFS2) for node in there):
        making.o2cb()
    return ClusterFiles(dict(sorted(making.files.items())), tuple(making.findings))


def needs(node: Node, fstype: str) -> bool:
    """Whether the node's initrd mounts a file system of this kind that other nodes may have mounted, too."""
    return any(kind == fstype and not _unlocked(options) for kind, _, options in _mounts(node))


def _mounts(node: Node) -> list[tuple[str, str, str]]:
    """Type, device and options of what the initrd mounts."""
    found = [(node.root.fstype, node.root.path, node.root.mountopts)] if node.root is not None else []
    found += [(item.fstype, item.source, item.mountopts) for item in node.filesystems]
    return [(fstype.strip().lower(), device, options) for fstype, device, options in found]


def _unlocked(options: str) -> bool:
    return "lockproto=lock_nolock" in options.split(",")


class _Making:
    """The files while they are made. ``cluster`` has the nodes in the order of their ids."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.files: dict[str, bytes] = {}
        self.findings: list[Finding] = []

    def refuse_unlocked(self) -> None:
        """Two nodes that mount one GFS2 without locks destroy it."""
        users: dict[str, list[int]] = {}
        for index, node in enumerate(self._cluster.nodes):
            for fstype, device, options in _mounts(node):
                if fstype == GFS2 and _unlocked(options):
                    users.setdefault(device, []).append(index)
        for device, indexes in users.items():
            for index in indexes if len(indexes) > 1 else ():
                other = next(self._cluster.nodes[each].name for each in indexes if each != index)
                message = f"{device} is mounted without locks (lock_nolock) by this node and by {other}"
                fix = "leave lockproto=lock_nolock out, or give each node a device of its own"
                self._tell("gfs2-nolock", Severity.ERROR, UnsupportedError(message, fix), index)

    def corosync(self) -> None:
        if not self._named(GFS2):
            return
        members = self._members()
        if not members:
            return
        self.files[_COROSYNC] = corosync_conf(self._cluster.name, members, self._token()).encode()
        self.files[_DLM] = _DLM_CONF.encode()
        message = "corosync's traffic is not encrypted: a key in an initrd would be served to whoever asks for it"
        fix = "keep the network of the cluster's nodes to themselves"
        self._tell("corosync-unencrypted", Severity.INFO, UnsupportedError(message, fix))

    def _token(self) -> int | None:
        """How long a member may be silent: ``<totem token="MILLISECONDS"/>``, as cluster.conf(5) of cman has it."""
        text = dict(self._cluster.totem).get("token")
        if text is None:
            return None
        if re.fullmatch("[0-9]{1,9}", text, re.ASCII) and int(text) in _TOKEN:
            return int(text)
        message = f"token={text!r} of <totem> is no number of milliseconds"
        fix = f"write one from {_TOKEN.start} to {_TOKEN.stop - 1}, or leave it to corosync"
        self._tell("initrd-cluster", Severity.WARNING, InvalidConfigError(message, fix))
        return None

    def o2cb(self) -> None:
        good: list[int] = []
        taken: dict[tuple[str, str], str] = {}
        for index, node in enumerate(self._cluster.nodes):
            try:
                known = {pair: node.name for pair in ocfs2_node(self._cluster, index) if pair[0] in _OWN}
                _refuse_double(node.name, [taken[pair] for pair in known if pair in taken])
            except OsrdError as error:
                self._left_out(index, OCFS2, error)
            else:
                taken |= known
                good.append(index)
        if not any(needs(self._cluster.nodes[index], OCFS2) for index in good):
            return
        nodes, lines = self._cluster.nodes, self._cluster.lines
        of_good = replace(
            self._cluster, nodes=tuple(nodes[each] for each in good), lines=tuple(lines[each] for each in good)
        )
        try:
            self.files[_O2CB] = ocfs2_conf(of_good).encode()
        except UnsupportedError as error:
            self._tell("initrd-cluster", Severity.ERROR, error)

    def _named(self, fstype: str) -> bool:
        name = self._cluster.name
        if _CLUSTER_NAME.fullmatch(name):
            return True
        error = UnsupportedError(
            f"{name!r} is no name that a cluster with {fstype} can have",
            "use 1 to 32 letters, digits, - and _ in name= of <cluster>",
        )
        self._tell("initrd-cluster", Severity.ERROR, error)
        return False

    def _members(self) -> tuple["Member", ...]:
        """Who can be a member. A node without an address in the file still is what it is, but nobody finds it."""
        found: list[Member] = []
        for index, node in enumerate(self._cluster.nodes):
            try:
                member = _member(node)
                _refuse_double(node.name, [other.name for other in found if member.is_like(other)])
            except InvalidConfigError as error:
                self._left_out(index, GFS2, error)
            else:
                found.append(member)
        return tuple(found) if any(needs(node, GFS2) for node in self._cluster.nodes) else ()

    def _left_out(self, index: int, fstype: str, error: OsrdError) -> None:
        """An error for a node that mounts such a file system; the others may do without it."""
        concerned = needs(self._cluster.nodes[index], fstype)
        self._tell("initrd-member", Severity.ERROR if concerned else Severity.WARNING, error, index)

    def _tell(self, code: str, severity: Severity, error: OsrdError, index: int | None = None) -> None:
        name = "" if index is None else self._cluster.nodes[index].name
        line = self._cluster.line if index is None else self._cluster.lines[index]
        place = Place(self._cluster.file, line)
        self.findings.append(Finding(code, severity, error.message, error.fix, place, node=name))


@dataclass(frozen=True, slots=True)
class Member:
    """A node as corosync knows it. ``addresses`` has at least one."""

    nodeid: int
    name: str
    votes: int
    addresses: tuple[IPv4Interface, ...]

    def is_like(self, other: "Member") -> bool:
        shared = {address.ip for address in self.addresses} & {address.ip for address in other.addresses}
        return self.nodeid == other.nodeid or self.name == other.name or bool(shared)


def corosync_conf(name: str, members: tuple[Member, ...], token: int | None = None) -> str:
    """The file, with its last line feed, for the members in this order. ``token`` in milliseconds."""
    lines = ["# Made by osrd from cluster.conf.", "totem {", "\tversion: 2", f"\tcluster_name: {name}"]
    lines += ["\ttransport: knet", "\tcrypto_cipher: none", "\tcrypto_hash: none"]
    lines += [] if token is None else [f"\ttoken: {token}"]
    lines += ["}", "nodelist {"]
    for member, addresses in zip(members, _links(members), strict=True):
        lines.append("\tnode {")
        lines += [f"\t\tring{link}_addr: {address}" for link, address in enumerate(addresses)]
        lines += [f"\t\tnodeid: {member.nodeid}", f"\t\tname: {member.name}"]
        lines += [f"\t\tquorum_votes: {member.votes}", "\t}"]
    lines += ["}", "quorum {", "\tprovider: corosync_votequorum", "\twait_for_all: 1"]
    if [member.votes for member in members] == [1, 1]:
        lines.append("\ttwo_node: 1")
    lines += ["}", "logging {", "\tto_stderr: yes", "\tto_syslog: no", "\tto_logfile: no", "\ttimestamp: off", "}"]
    return "".join(f"{line}\n" for line in lines)


def _links(members: tuple[Member, ...]) -> list[tuple[str, ...]]:
    """The addresses of each member. One link for each network that all of them are in, in the order of the first
    member's NICs; without any, each member's first address, which routers have to know."""
    common = set.intersection(*({address.network for address in member.addresses} for member in members))
    networks = list(dict.fromkeys(address.network for address in members[0].addresses if address.network in common))
    if not networks:
        return [(str(member.addresses[0].ip),) for member in members]
    links = []
    for member in members:
        by_network = {address.network: str(address.ip) for address in reversed(member.addresses)}
        links.append(tuple(by_network[network] for network in networks[:_LINKS]))
    return links


def _member(node: Node) -> Member:
    if node.nodeid is None:
        raise InvalidConfigError(f"nodeid {node.nodeid_text!r} of {node.name} is no number", "give the node an id")
    if not _NODE_NAME.fullmatch(node.name):
        raise InvalidConfigError(f"corosync cannot use {node.name!r} as a name", "rename the node")
    if not (node.votes.isascii() and node.votes.isdigit() and len(node.votes) < 5):
        raise InvalidConfigError(f"votes {node.votes!r} of {node.name} is no number", "correct votes=")
    addresses = []
    for nic in node.nics:
        if nic.address and host_address(nic.address) is not None:
            addresses.append(fixed_address(nic))
    if not addresses:
        fix = 'give one of its <eth> an ip="..."; dhcp is not enough'
        raise InvalidConfigError(f"{node.name} has no fixed address, by which the other nodes find it", fix)
    return Member(node.nodeid, node.name, int(node.votes), tuple(addresses))


def _refuse_double(name: str, others: list[str]) -> None:
    """Neither corosync nor OCFS2 takes a file in which two nodes are one: no node would start."""
    if others:
        raise InvalidConfigError(f"{name} has the id, the name or an address of {others[0]}", "correct one of them")
