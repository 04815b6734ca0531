# SPDX-License-Identifier: GPL-3.0-or-later
"""What an initrd is told of the cluster: the files that the dracut modules find below /etc/osr/initrd when an image is
built, and take to /etc/osr in it (osr.dracut(7), DATA).

    format              2
    cmdline             parameters of dracut.cmdline(7), one a line; a boot loader's win
    osr.conf            names of the CDSLs and of the cluster
    nodeids             NODEID MAC...       lower case, sorted by id          from here on in the full way only
    nodenames           NODEID NAME
    nodes.d/ID.conf     what node ID is to do, osrd/plan/initrd/node.py
    network/...         its NICs for each provider, osrd/plan/initrd/network.py
    corosync/, dlm/, ocfs2/     who the others are, for GFS2 and OCFS2, in both ways, osrd/plan/initrd/clusterfs.py

The .conf files are lines ``KEY='value'``: values are data for a ``while read`` loop as well as for a shell that
sources the file; a quote in a value is ``'"'"'``, and no value has a line break. The same inputs give the same bytes.
The version of cluster.conf is not in them, nor is time: an edit that means nothing to an initrd must not rebuild it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from osrd.model.cdsl import Layout
from osrd.model.cluster import Cluster, Node
from osrd.model.errors import InvalidConfigError, OsrdError
from osrd.model.finding import Finding, Severity
from osrd.model.settings import BootWay, RootSettings, Settings
from osrd.parse.validation import Validator
from osrd.plan.bootroot import boot_root
from osrd.plan.initrd.clusterfs import GFS2, OCFS2, clusterfs_files, needs
from osrd.plan.initrd.network import node_network
from osrd.plan.initrd.node import extra_filesystems, node_values, plain, root_string
from osrd.plan.members import uses

#: what the files mean; the modules refuse another number
FORMAT = 2
#: where they are in a root, and in the image's root while it is built
PLACE = "etc/osr/initrd"
_KEYFILES = "network/nm/"
#: KiB that a small file takes of a node's memory until the initrd is left, and MiB of them that are worth a word
_FILE, _MUCH = 5, 64


@dataclass(frozen=True, slots=True)
class InitrdData:
    """``files`` by path below PLACE. A finding that is an error names a node that is not in them."""

    files: Mapping[str, bytes] = field(repr=False)
    findings: tuple[Finding, ...] = ()


def initrd_data(
    cluster: Cluster,
    settings: Settings,
    root: RootSettings | None,
    layout: Layout,
    way: BootWay,
    *,
    nodes: Iterable[Node] | None = None,
    by_name: bool = False,
) -> InitrdData:
    """The files for the nodes of ``root`` (None: for all). ``nodes`` are those that are published (None: the ones
    of ``cluster`` that have no errors); ``by_name``: the node trees are called like the nodes, not like their ids."""
    files = {"format": b"%d\n" % FORMAT, "cmdline": b""}
    try:
        files["osr.conf"] = conf(_names(cluster, layout))
    except InvalidConfigError as error:
        return InitrdData({}, (_finding("initrd-data", Severity.ERROR, error),))
    published = _published(cluster, nodes)
    members = _members(published, settings, root)
    shared = clusterfs_files(cluster, published)
    if any(needs(node, fstype) for node in members for fstype in (GFS2, OCFS2)):
        files |= shared.files
    if way is BootWay.STATIC:
        return InitrdData(files, shared.findings)
    found = _Collected(files)
    found.findings += shared.findings
    refused = {finding.node for finding in shared.findings if finding.severity is Severity.ERROR}
    for node in members:
        if node.name not in refused:
            found.add(node, cluster.name, _tree(node, layout, by_name))
    found.finish()
    return InitrdData(dict(sorted(files.items())), tuple(found.findings))


def mode_of(path: str) -> int:
    """The permission bits of a file of the data: NetworkManager takes no profile that others can read."""
    return 0o600 if path.startswith(_KEYFILES) else 0o644


def conf(values: Mapping[str, str]) -> bytes:
    """Lines ``KEY='value'``. Raises InvalidConfigError for a value that is no line."""
    return "".join(f"{key}={quoted(plain(value, key))}\n" for key, value in values.items()).encode(
        errors="surrogateescape"
    )


def quoted(value: str) -> str:
    """``value`` as shlex.quote writes it, but in quotes whatever it is."""
    return "'" + value.replace("'", "'\"'\"'") + "'"


def _names(cluster: Cluster, layout: Layout) -> dict[str, str]:
    return {
        "OSR_CLUSTER": cluster.name,
        "OSR_CDSLTREE": f"/{layout.tree}",
        "OSR_CDSLLINK": f"/{layout.link}",
        "OSR_CDSLSHARED": f"/{layout.shared}",
        "OSR_CDSLBIND": "bind",
    }


def _tree(node: Node, layout: Layout, by_name: bool) -> str:
    return node.name if by_name else f"{layout.prefix}{node.nodeid}"


def _published(cluster: Cluster, nodes: Iterable[Node] | None) -> tuple[Node, ...]:
    if nodes is not None:
        return tuple(nodes)
    quarantined = Validator().judge(cluster).quarantined
    return tuple(node for index, node in enumerate(cluster.nodes) if index not in quarantined)


def _members(nodes: Iterable[Node], settings: Settings, root: RootSettings | None) -> list[Node]:
    members = [node for node in nodes if node.com_info and (root is None or uses(node, settings, root))]
    return sorted(members, key=lambda node: (node.nodeid or 0, node.name))


class _Collected:
    """The tables while the nodes are gone through. A node is in all of them or in none."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files
        self._ids: list[str] = []
        self._names: list[str] = []
        self._roots: set[tuple[str, ...]] = set()
        self.findings: list[Finding] = []

    def add(self, node: Node, cluster: str, tree: str) -> None:
        try:
            values = node_values(node, cluster, tree)
            macs = [nic.mac for nic in node.boot_nics]
            if not macs:
                raise InvalidConfigError(f"no NIC of {node.name} has a hardware address", "set mac= of its NIC")
        except InvalidConfigError as error:
            self._tell("initrd-node", Severity.ERROR, error, node)
            return
        self._files[f"nodes.d/{node.nodeid}.conf"] = conf(values)
        self._ids.append(f"{node.nodeid} {' '.join(macs)}\n")
        self._names.append(f"{node.nodeid} {node.name}\n")
        self._network(node, cluster)
        self._root(node)
        for why in extra_filesystems(node)[1]:
            self._tell("initrd-filesystem", Severity.WARNING, why, node)

    def _network(self, node: Node, cluster: str) -> None:
        network = node_network(node, cluster)
        self._files.update((f"network/{path}", data) for path, data in network.files.items())
        for error in network.wrong:
            self._tell("initrd-network", Severity.WARNING, error, node)
        for error in network.unsaid:
            self._tell("initrd-network-option", Severity.INFO, error, node)
        if not network.configured:
            none = InvalidConfigError(f"no NIC of {node.name} has an address", 'set ip= to an address or "dhcp"')
            self._tell("initrd-network", Severity.WARNING, none, node)

    def _root(self, node: Node) -> None:
        root = boot_root(node.root)
        # Without "block:": dracut 059's generator would put another one before it, and wait for a device of that name.
        text = root_string(root.text, root.fstype).removeprefix("block:")
        words = [f"root={text}", f"rootfstype={root.fstype}" if root.fstype else ""]
        words += [f"rootflags={root.options}" if root.options else "", root.mode]
        # A cluster's file system cannot be mounted at once: the network and the other nodes come first.
        at_once = root.is_device and not any(needs(node, fstype) for fstype in (GFS2, OCFS2))
        self._roots.add(tuple(filter(None, words)) if at_once else ())

    def finish(self) -> None:
        if (megabytes := len(self._files) * _FILE // 1024) >= _MUCH:
            message = f"the data of {len(self._ids)} nodes takes {megabytes} MiB of memory of each node while it boots"
            much = InvalidConfigError(message, "use way = static, whose initrd does not know the nodes")
            self.findings.append(_finding("initrd-many-nodes", Severity.WARNING, much))
        self._files["nodeids"] = "".join(self._ids).encode()
        self._files["nodenames"] = "".join(self._names).encode()
        # systemd and dracut find a device by themselves when they are told of it at once.
        if len(self._roots) == 1:
            self._files["cmdline"] = "".join(f"{word}\n" for word in next(iter(self._roots))).encode()

    def _tell(self, code: str, severity: Severity, error: OsrdError, node: Node) -> None:
        self.findings.append(_finding(code, severity, error, node.name))


def _finding(code: str, severity: Severity, error: OsrdError, node: str = "") -> Finding:
    return Finding(code, severity, error.message, error.fix, node=node)
