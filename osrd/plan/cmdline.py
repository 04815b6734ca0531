# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel command line of a node: what dracut (dracut.cmdline(7)) and the ``osr`` module read.

Values come from cluster.conf, so every word is made of characters that no boot loader, no shell and not the kernel
gives a meaning. A value that is not is refused with a reason: a line that boots the wrong thing is worse than none.
"""

import re

from osrd.model.cluster import Node, RootVolume
from osrd.model.errors import InvalidConfigError
from osrd.model.settings import BootWay
from osrd.plan.bootroot import boot_root

#: Where the CDSLs are in a root that was made as the Open Sharedroot how-to says.
CDSL_TREE = "/cluster/cdsl"
CDSL_LINK = "/cdsl.local"

_WORD = re.compile(r"[A-Za-z0-9_./:=,@%+\[\]~-]+", re.ASCII)
_NOT_IN_APPEND = re.compile(r"[\x00-\x1f\x7f\\'`]|\$\{")
_IPXE_OPERATORS = frozenset({"||", "&&", ";"})
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_./:=,@%+ -]")
_NEEDS_GRUB_QUOTES = re.compile(r"[^A-Za-z0-9_./:=,@%+-]")


def is_word(text: str) -> bool:
    """Whether ``text`` can be part of a command line, a title or a file name in every boot loader's language."""
    return _WORD.fullmatch(text) is not None


def word(text: str, attribute: str) -> str:
    """``text`` itself. Raises InvalidConfigError naming ``attribute`` when a boot loader would misread it."""
    if _WORD.fullmatch(text) is None:
        raise InvalidConfigError(
            f"{attribute} {text!r} has characters that cannot be passed on a kernel command line",
            f"use only letters, digits and _./:=,@%+-[]~ in {attribute}",
        )
    return text


def node_words(node: Node, cluster: str, way: BootWay) -> tuple[str, ...]:
    """The words that are the same for every NIC of the node. Raises InvalidConfigError."""
    if node.nodeid is None:
        raise InvalidConfigError(f"nodeid {node.nodeid_text!r} is no number from 1 to 99999", "give the node an id")
    words = [f"nodeid={node.nodeid}"]
    if node.root is not None and node.root.is_nfs and node.root.fstype != "nfs3":
        # Type "nfs" negotiates version 4 as well.
        words.append(word(f"nfs.nfs4_unique_id={nfs_identity(node, cluster)}", "cluster name"))
    if way is BootWay.STATIC:
        words += _root_words(node.root)
        words += [f"cdsltree={CDSL_TREE}", f"cdsllink={CDSL_LINK}"]
    words.append("rd.neednet=1")
    return tuple(words)


def nfs_identity(node: Node, cluster: str) -> str:
    """Under what name the node speaks to NFSv4 servers: two that use one export under one name steal each other's
    lease and hang."""
    return f"osr:{cluster}:{node.nodeid}"


def _root_words(volume: RootVolume | None) -> list[str]:
    """``root=`` and what belongs to it."""
    if volume is None or not volume.path:
        raise InvalidConfigError("the boot way is static and the node has no rootvolume", "add a <rootvolume>")
    root = boot_root(volume)
    # The word rw is needed too: dracut lets ro/rw of the command line win, and some kernels default to ro.
    words = [
        f"root={root.text}",
        f"rootfstype={root.fstype}" if root.fstype else "",
        root.mode,
        f"rootflags={root.options}" if root.options else "",
    ]
    return [word(text, "rootvolume") for text in words if text]


def append_words(append: str, where: str) -> tuple[str, ...]:
    """The administrator's own words, split as the kernel does: double quotes hold blanks together.

    Raises InvalidConfigError for what would not arrive unchanged through all three boot loaders.
    """
    if _NOT_IN_APPEND.search(append) or append.count('"') % 2:
        raise InvalidConfigError(
            f"append of {where} has a control character, a single quote, a backslash, a backtick, ${{ or an unpaired "
            "double quote, which do not pass unchanged through every boot loader: " + repr(append),
            f"remove it from append of {where}",
        )
    words = re.findall(r'(?:[^\s"]|"[^"]*")+', append)
    bad = sorted(_IPXE_OPERATORS & {part for text in words for part in text.split()})
    if bad:
        raise InvalidConfigError(f"append of {where} has {bad[0]!r}, which iPXE would obey", "remove it")
    return tuple(words)


def is_plain(args: str) -> bool:
    """Whether a whole command line means the same to GRUB as to the kernel."""
    return _NOT_PLAIN.search(args) is None


def grub_words(words: tuple[str, ...]) -> str:
    """Words joined for GRUB. Its ``linux`` command quotes words with blanks for the kernel itself, so the kernel's
    double quotes are taken off first."""
    return " ".join(_grub_word(text.replace('"', "")) for text in words)


def _grub_word(text: str) -> str:
    return f"'{text}'" if _NEEDS_GRUB_QUOTES.search(text) else text
