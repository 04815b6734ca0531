# SPDX-License-Identifier: GPL-3.0-or-later
"""The root's own cluster.conf and resolv.conf."""

import re
from collections.abc import Iterator

from osrd.model.cdsl import FileKind
from osrd.model.finding import Severity
from osrd.model.rootcare import Permit, Remark, Write
from osrd.plan.rootcare.view import Root, remark

CLUSTER_CONF = "etc/cluster/cluster.conf"
_VERSION = re.compile(rb'<cluster\b[^>]*?\bconfig_version\s*=\s*["\']([0-9]{1,10})["\']')
#: attributes of fence devices and of the fence-ack server that are secrets
SECRET = re.compile(rb'(\b(?:passwd|password|passwd_script|snmp_priv_passwd|secret|key)\s*=\s*)("[^"]*"|\'[^\']*\')')
_GENERATED = (b"NetworkManager", b"dhclient", b"resolvconf", b"dhcpcd", b"networkd", b"systemd-resolved")


def same_cluster(root: Root) -> Iterator[Remark]:
    """Programs on the nodes read the root's file; boot entries and addresses come from this host's."""
    if root.cluster_conf is None or root.is_host_dependent(CLUSTER_CONF):
        return
    directory = root.has("etc/cluster")
    inside = root.read(CLUSTER_CONF) if directory else None
    if inside == root.cluster_conf:
        return
    fix = f"install -D -m 640 {root.cluster_file} {root.path}/{CLUSTER_CONF}"
    # Fence devices have passwords in it.
    write = Write(CLUSTER_CONF, inside, root.cluster_conf, 0o640)
    if inside is None:
        message = "the root has no cluster.conf of its own"
    elif _version(inside) > _version(root.cluster_conf):
        message = (
            f"the root's cluster.conf is version {_version(inside)}, this host's is {_version(root.cluster_conf)}"
        )
        fix = f"find out which one is right; if the root's is: cp {root.path}/{CLUSTER_CONF} {root.cluster_file}"
        yield remark("root-cluster-conf", Severity.WARNING, message, fix, path=CLUSTER_CONF)
        return
    else:
        message = "the root's cluster.conf is another one than this host's"
    yield remark("root-cluster-conf", Severity.WARNING, message, fix, write, path=CLUSTER_CONF)


def _version(data: bytes) -> int:
    match = _VERSION.search(data)
    return int(match[1]) if match else 0


def secrets(root: Root) -> Iterator[Remark]:
    """Fence passwords can switch any node off: nobody but root may read them."""
    if not root.has("etc/cluster"):
        return
    for copy in root.copies(CLUSTER_CONF):
        mode = root.reader.mode(copy.path) if root.has(copy.path) else None
        if mode is None or not mode & 0o007 or not SECRET.search(root.reader.read(copy.path) or b""):
            continue
        message = "the root's cluster.conf has fence passwords in it, and every user of a node can read it"
        fix = f"chmod o= {root.path}/{copy.path}"
        repair = Permit(CLUSTER_CONF, mode & ~0o007, copy.node)
        yield remark("root-secrets", Severity.WARNING, message, fix, repair, path=CLUSTER_CONF, node=copy.node)


def resolv_conf(root: Root) -> Iterator[Remark]:
    """A link into /run is each node's own. A file that a program wrote is the source machine's, and the program on one
    node writes it for all."""
    path = "etc/resolv.conf"
    if root.is_host_dependent(path):
        return
    seen = root.look(path)
    if seen is not None and seen.kind is FileKind.LINK:
        target = seen.text.removeprefix("/").removeprefix("../")
        if target.startswith(("run/", "var/run/")):
            return
        message = f"/{path} is a link to {seen.text}, which is the same file for all nodes"
    elif seen is not None and any(word in (root.read(path) or b"") for word in _GENERATED):
        message = f"/{path} was generated on the source machine, and each node would generate it for all"
    else:
        return
    fix = f"osrctl cdsl make {root.path} /{path}, or write one by hand that is right for all nodes"
    yield remark("root-resolv-conf", Severity.INFO, message, fix, path=path)
