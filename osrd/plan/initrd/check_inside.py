# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of an initrd: are osrd's modules in it, with all their hooks and what they are told of the cluster, and does
it have one network, and nobody's identity."""

import re
from collections.abc import Iterator
from hashlib import sha256

from osrd.model.cluster import Node
from osrd.model.settings import BootWay
from osrd.plan.initrd.clusterfs import GFS2, OCFS2, needs
from osrd.plan.initrd.subject import MODULES_LIST, NETWORK_PROVIDERS, Findings, Subject, error

#: where hooks are; dracut looks in all of them
_HOOKS = ("usr/lib/dracut/hooks", "var/lib/dracut/hooks", "lib/dracut/hooks", "etc/dracut/hooks")
#: hooks are in var from this version on
_VAR_SINCE = 102
_INST_HOOK = re.compile(rb'^\s*inst_hook\s+(\S+)\s+([0-9]{2})\s+"\$(?:\{moddir\}|moddir)/([^"/]+)"', re.MULTILINE)
_SETUP = "module-setup.sh"
_HANDLER = "osrroot"
_SWITCH = "switch_root"
#: modules for file systems that several nodes have mounted, and the data that they take along
_CLUSTER_FS = {GFS2: ("osr-gfs2", ("corosync/", "dlm/")), OCFS2: ("osr-ocfs2", ("ocfs2/",))}
#: what the module osr takes along; the other data is osr-cluster's
_COMMON = ("format", "build", "osr.conf", "cmdline")
_NODES = "nodeids"
#: data that has another place in the image
_PLACES = {"cmdline": "etc/cmdline.d/10-osr.conf"}
_MACHINE_IDS = ("etc/machine-id", "var/lib/dbus/machine-id")
_MACHINE_ID = re.compile(rb"[0-9a-fA-F]{32}\s*")
_LOG = "look at the log of the build (osrctl initrd log)"


def wanted_modules(subject: Subject) -> tuple[str, ...]:
    """osrd's modules that must be in the image."""
    wanted = ["osr"]
    if subject.order.way is BootWay.FULL:
        wanted.append("osr-cluster")
    for fstype, (module, _) in _CLUSTER_FS.items():
        if any(needs(node, fstype) for node in subject.nodes):
            wanted.append(module)
    return tuple(wanted)


def dracut_modules(subject: Subject) -> Findings:
    if not subject.dracut_modules:
        message = f"the initrd has no list of dracut's modules ({MODULES_LIST})"
        yield error("initrd-not-of-dracut", message, _LOG)
        return
    for name in wanted_modules(subject):
        if name not in subject.dracut_modules:
            message = f"the dracut module {name} is not in the initrd, so no node could boot with it"
            yield error("initrd-module-missing", message, f"{_LOG}; a dracut.conf in the root may omit it", value=name)


def hooks(subject: Subject) -> Findings:
    """Every hook that the modules' own setup names, and the program that mounts the root."""
    names = {path.rpartition("/hooks/")[2] for path in subject.files if path.startswith(_HOOKS)}
    place = _HOOKS[1] if subject.dracut.version >= _VAR_SINCE else _HOOKS[0]
    for hook in _wanted_hooks(subject):
        if hook not in names:
            message = f"the hook {place}/{hook} is not in the initrd"
            yield error("initrd-hook-missing", message, _LOG, value=hook)
    if _HANDLER not in subject.programs:
        yield error("initrd-hook-missing", f"the program {_HANDLER} is not in the initrd", _LOG, value=_HANDLER)


def _wanted_hooks(subject: Subject) -> Iterator[str]:
    for path, source in sorted(subject.order.modules.items()):
        directory, _, name = path.rpartition("/")
        module = directory.rpartition("/")[2].lstrip("0123456789")
        if name == _SETUP and module in wanted_modules(subject):
            for match in _INST_HOOK.finditer(source):
                hook, priority, script = (part.decode("utf-8", "replace") for part in match.groups())
                yield f"{hook}/{priority}-{script}"


def network_provider(subject: Subject) -> Findings:
    """Two of them fight over the NIC; with none a root on the network is never mounted."""
    if not subject.dracut_modules:
        return
    found = [name for name in NETWORK_PROVIDERS if name in subject.dracut_modules]
    reached = any(_is_reached(node) for node in subject.nodes)
    if len(found) > 1:
        message = f"the initrd has more than one network provider: {', '.join(found)}"
        fix = "leave one: omit_dracutmodules in a dracut.conf of the root"
        yield error("initrd-network-providers", message, fix, value=" ".join(found))
    elif not found and reached:
        message = "the initrd cannot bring up the network, by which the root or the other nodes are reached"
        fix = "install dracut-network in the root, and what its provider needs (osr.dracut(7))"
        yield error("initrd-no-network", message, fix)


def _is_reached(node: Node) -> bool:
    """Whether the node's root, or who else has it mounted, is behind a network."""
    on_server = node.root is not None and node.root.is_nfs
    return on_server or any(needs(node, fstype) for fstype in _CLUSTER_FS)


def hand_over(subject: Subject) -> Findings:
    """systemd goes over to the root by itself. dracut without it calls a program, and does not fail when it lacks."""
    modules = subject.dracut_modules
    if modules and "systemd" not in modules and _SWITCH not in subject.programs:
        message = f"the initrd has neither systemd nor {_SWITCH}, so no node could go over to its root"
        yield error("initrd-no-switch-root", message, "install util-linux (Debian 14: util-linux-extra) in the root")


def data_files(subject: Subject) -> Findings:
    """What the nodes are told is what this build was told."""
    if subject.order.way is BootWay.FULL and _NODES not in subject.order.data:
        message = f"no node of {subject.cluster.file} is in the initrd, so none could boot with it"
        yield error("initrd-without-nodes", message, "look at the findings of the nodes that use this root")
    taken = [*_COMMON, *(start for module, starts in _CLUSTER_FS.values() for start in starts)]
    for name, content in sorted(subject.order.data.items()):
        if not content or not (subject.order.way is BootWay.FULL or name.startswith(tuple(taken))):
            continue
        path = _PLACES.get(name, f"etc/osr/{name}")
        file = subject.files.get(path)
        if file is None or file.digest != sha256(content).hexdigest():
            what = "is not in the initrd" if file is None else "in the initrd is not what this build was told"
            yield error("initrd-data-missing", f"{path} {what}", _LOG, value=path)


def no_identity(subject: Subject) -> Findings:
    """With a common machine id DHCP takes all nodes for one client; old tools sourced what is in etc/conf.d."""
    for path in _MACHINE_IDS:
        if _MACHINE_ID.fullmatch(subject.content.texts.get(path, b"")):
            message = f"the initrd has a machine id ({path}), which would be every node's"
            yield error("initrd-machine-id", message, "leave hostonly out of the root's dracut.conf", value=path)
    for path in subject.files:
        if path.startswith("etc/conf.d/osr"):
            message = f"{path} is in the initrd, where dracut would run it as shell"
            yield error(
                "initrd-conf-d", message, "remove the old modules of Open Sharedroot from the root", value=path
            )
