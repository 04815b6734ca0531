# SPDX-License-Identifier: GPL-3.0-or-later
"""All rules about a root, in the order in which people should read what they find."""

from collections.abc import Iterator

from osrd.model.cdsl import FileKind
from osrd.model.errors import OsrdError
from osrd.model.finding import Severity
from osrd.model.rootcare import Remark
from osrd.plan.rootcare import cdsls, clusterfile, fstab, identity, network, services, ssh, structure
from osrd.plan.rootcare.view import Root, Rule, remark

RULES: tuple[Rule, ...] = (
    structure.inventory,
    structure.nodes,
    structure.directories,
    structure.mtab,
    structure.volatile,
    structure.leftovers,
    structure.kernel,
    fstab.fstab,
    network.ifcfg,
    network.keyfiles,
    network.netplan,
    network.networkd,
    network.interfaces,
    network.persistent,
    services.selinux,
    services.network_manager,
    services.cloud_init,
    services.boot_host,
    clusterfile.same_cluster,
    clusterfile.secrets,
    clusterfile.resolv_conf,
    cdsls.host_dependent,
    cdsls.stale,
    cdsls.data_of_all,
    identity.identities,
    identity.dbus_id,
    identity.hostname,
    identity.old_network,
    ssh.keys,
)


def survey(root: Root) -> tuple[Remark, ...]:
    """Everything that is wrong with ``root``. A file that cannot be read as what it should be (a FIFO in place of
    fstab) is a finding itself and stops the one rule that wanted it, no other."""
    odd = tuple(_odd_directories(root))
    if odd:
        return odd
    # Several rules may stumble over the same file.
    return tuple(dict.fromkeys(found for rule in RULES for found in _judged(root, rule)))


def _judged(root: Root, rule: Rule) -> list[Remark]:
    found: list[Remark] = []
    try:
        for each in rule(root):
            found.append(each)
    except OsrdError as error:
        fix = error.fix or "look what it is, and remove it"
        found.append(remark("root-unreadable", Severity.ERROR, error.message, fix))
    return found


def _odd_directories(root: Root) -> Iterator[Remark]:
    """Nothing can be said about a root whose /etc leads elsewhere."""
    for path in ("etc", "var"):
        seen = root.reader.look(path)
        if root.cover(path) is not None or (seen is not None and seen.kind is FileKind.DIRECTORY):
            continue
        if path == "var" and seen is None:
            continue
        what = "is missing" if seen is None else "is a symlink" if seen.kind is FileKind.LINK else "is no directory"
        message = f"{root.path}/{path} {what}, so this is no root file system that could be judged"
        fix = f"put the directory back; for a new root: osrctl root create SOURCE {root.path}"
        yield remark("root-unreadable", Severity.ERROR, message, fix, path=path)
