# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's root volume as dracut wants it (dracut.cmdline(7): NFS, standard): the same words on a command line and in
the data of an initrd. What the words may be made of is the caller's to judge."""

from dataclasses import dataclass

from osrd.model.cluster import RootVolume
from osrd.model.errors import InvalidConfigError

_VERSIONS = ("vers=", "nfsvers=", "minorversion=")


@dataclass(frozen=True, slots=True)
class BootRoot:
    """``text`` is what ``root=`` says: ``nfs4:server:/path:options``, or a device (``/dev/...``, ``LABEL=...``).
    ``mode`` is ``rw`` or ``ro``; ``fstype`` and the other ``options`` are told apart for devices only, since NFS has
    them in its text."""

    text: str
    mode: str
    fstype: str = ""
    options: str = ""

    @property
    def is_device(self) -> bool:
        return not self.text.startswith(("nfs:", "nfs4:"))


def boot_root(volume: RootVolume | None) -> BootRoot:
    """Raises InvalidConfigError for a node without root volume."""
    if volume is None or not volume.path:
        raise InvalidConfigError("the node has no rootvolume", "add a <rootvolume>")
    options = [option for option in volume.mountopts.split(",") if option]
    mode = "ro" if "ro" in options else "rw"
    rest = [option for option in options if option not in ("ro", "rw")]
    if not volume.is_nfs:
        return BootRoot(volume.path, mode, volume.fstype, ",".join(rest))
    versioned = any(option.startswith(_VERSIONS) for option in rest)
    scheme = "nfs"
    if volume.fstype == "nfs4":
        scheme = "nfs4"
        rest = [option for option in rest if option != "nolock"]
        rest += [] if versioned else ["vers=4.2"]
    elif volume.fstype == "nfs3" and not versioned:
        rest.append("vers=3")
    server = f"{volume.server}:" if volume.server else ""
    return BootRoot(f"{scheme}:{server}{volume.path}:{','.join([mode, *rest])}", mode)
