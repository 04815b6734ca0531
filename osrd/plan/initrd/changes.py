# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an initrd is built: the difference of two fingerprints in lines for people."""

import re
from collections.abc import Iterator, Mapping

from osrd.model.image import Fingerprint, InputKind
from osrd.plan.initrd.fingerprint import PARTS, TABLES

#: digests of symlinks begin so (osrd.observe.digests)
_LINK = "-> "
_TABLES = {"nodeids": "the hardware addresses", "nodenames": "the name", "nodeuuids": "the UUID"}
#: tables that every node is in
_COMPLETE = ("nodeids", "nodenames")
_WORDS = {
    "OSR_ROOT": "the root volume",
    "OSR_ROOTFSTYPE": "the root's file system type",
    "OSR_ROOTFLAGS": "the root's mount options",
    "OSR_ROOTTRIES": "how often the root is tried",
    "OSR_ROOTWAIT": "how long the root is waited for",
    "OSR_PRIMARY": "the hardware address",
    "OSR_NODENAME": "the name",
    "OSR_HOSTNAME": "the host name",
    "OSR_NFSID": "the NFS identity",
    "OSR_MACHINEID": "the machine id",
    "OSR_ISCSI_INITIATOR": "the iSCSI initiator",
}
_FAMILIES = {"OSR_SYSLOG": "the syslog settings", "OSR_FS": "the file systems", "OSR_NIC": "the network"}
_SIMPLE = {
    InputKind.KERNEL: "the kernel",
    InputKind.DEPMOD: "the list of kernel modules",
    InputKind.DRACUT: "dracut",
    InputKind.OSR: "the dracut modules of osrd",
}
_OPTIONS = {"way": "the boot way", "dracut": "the options of dracut"}
_NETWORK_OF = re.compile(r"(?:osr-|legacy/)([0-9]+)(?:-[^/]*)?$")
#: what stays one line each, of any number; the rest is counted
_SHOWN = 10


def changes(
    before: Fingerprint | None, after: Fingerprint, names: Mapping[str, str] | None = None, most: int = _SHOWN
) -> tuple[str, ...]:
    """What of the inputs is not as it was, the most telling first; empty when nothing changed. ``names`` are node
    names by id. At most ``most`` lines and one that counts the rest."""
    if before is None:
        return ("there is no initrd for this kernel yet",)
    lines = list(dict.fromkeys(_lines(before, after, names or {})))
    if len(lines) <= most + 1:
        return tuple(lines)
    return (*lines[:most], f"{len(lines) - most} more changes")


def _lines(before: Fingerprint, after: Fingerprint, names: Mapping[str, str]) -> Iterator[str]:
    order = list(InputKind)
    differing = {
        key for key in before.inputs.keys() | after.inputs.keys() if before.inputs.get(key) != after.inputs.get(key)
    }
    first = (InputKind.OPTIONS, InputKind.CLUSTER, InputKind.KERNEL)
    for kind, name in sorted(differing, key=lambda key: (key[0] not in first, order.index(key[0]), key[1])):
        old, new = before.inputs.get((kind, name), ""), after.inputs.get((kind, name), "")
        if kind in _SIMPLE:
            yield f"{_SIMPLE[kind]} changed"
        elif kind is InputKind.OPTIONS:
            yield f"{_OPTIONS.get(name, name)} changed"
        elif kind is InputKind.CLUSTER:
            yield from _cluster(name, old, new, names)
        elif not _followed(kind, old, new, before, after):
            yield f"{_shown(name)} {_verb(old, new)}"


def _verb(old: str, new: str) -> str:
    if not old:
        return "is new"
    return "changed" if new else "is gone"


def _followed(kind: InputKind, old: str, new: str, before: Fingerprint, after: Fingerprint) -> bool:
    """Whether it is a symlink with the same text as before: what it leads to tells for itself."""
    if not (old.startswith(_LINK) and new.startswith(_LINK)):
        return False
    texts = {digest.partition("\0")[0] for digest in (old, new)}
    if len(texts) > 1:
        return False
    target = texts.pop().rpartition("/")[2].removeprefix(_LINK)
    keys = (key for key in after.inputs if key[0] is kind and key[1].rpartition("/")[2] == target)
    return any(before.inputs.get(key) != after.inputs[key] for key in keys)


def _cluster(name: str, old: str, new: str, names: Mapping[str, str]) -> Iterator[str]:
    before, after = _parts(old), _parts(new)
    keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if name in TABLES:
        for node in keys:
            if name in _COMPLETE and not (node in before and node in after):
                yield f"{_node(node, names)} {_verb(before.get(node, ''), after.get(node, ''))}"
            else:
                yield f"{_TABLES[name]} of {_node(node, names)} changed"
    elif name.startswith("nodes.d/"):
        node = _node(name.removeprefix("nodes.d/").removesuffix(".conf"), names)
        if not old or not new:
            yield f"{node} {_verb(old, new)}"
            return
        for key in keys:
            yield f"{_word(key)} of {node} changed"
    elif name.startswith("network/"):
        match = _NETWORK_OF.search(name)
        yield f"the network of {_node(match[1], names) if match else 'the nodes'} changed"
    else:
        yield "what is the same for all nodes changed"


def _word(key: str) -> str:
    families = (text for prefix, text in _FAMILIES.items() if key.startswith(prefix))
    return _WORDS.get(key) or next(families, key)


def _parts(digest: str) -> dict[str, str]:
    sums = digest.partition(PARTS)[2]
    return dict(part.partition("=")[::2] for part in sums.split(" ")) if sums else {}


def _node(identity: str, names: Mapping[str, str]) -> str:
    return names.get(identity) or f"node {identity}"


def _shown(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
