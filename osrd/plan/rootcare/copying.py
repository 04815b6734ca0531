# SPDX-License-Identifier: GPL-3.0-or-later
"""Copying a system into a new root: what stays behind, how rsync is told, and what it tells (rsync(1))."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: what a running system puts there by itself
_VOLATILE = ("proc", "sys", "dev", "run", "tmp", "var/tmp")
#: nodes boot over the network: these belong to the source machine's disk
_BOOT_LOADERS = ("boot/efi", "boot/grub", "boot/grub2", "boot/loader", "boot/extlinux")
_OTHERS = ("lost+found", "boot/lost+found", "usr/lost+found", "var/lost+found", "swapfile", "swap.img", ".osrd")
#: directories that are copied even where they are file systems of their own: a root is nothing without them
PARTS = ("boot", "usr", "var")
#: mount points of a running system: that they are file systems of their own is not worth a word
VIRTUAL = frozenset({"proc", "sys", "dev", "run", "tmp", "mnt", "media"})

_WILD, _SPECIAL = re.compile(r"[*?\[]"), re.compile(r"[*?\[\\]")
_PROGRESS = re.compile(r"\s*([0-9][0-9,.]*)\s+[0-9]+%\s")
#: a destination that keeps no labels (NFS) says so for each file
_UNSUPPORTED = re.compile(r"(?:xattr|_acl|xal_set).*(?:\(95\)|not supported)", re.IGNORECASE)
_CLOSING = re.compile(r"rsync error: some files/attrs were not transferred")
PARTIAL, VANISHED = 23, 24  # exit statuses


@dataclass(frozen=True, slots=True)
class Excluded:
    """A path of the source, relative to it, that is not copied; ``contents``: an empty directory is."""

    path: str
    contents: bool = False

    def matches(self, path: str) -> bool:
        """Whether ``path`` itself stays behind."""
        if self.contents:
            return path.startswith(self.path + "/")
        return path == self.path or path.startswith(self.path + "/")


def exclusions(swap: Iterable[str] = (), destination: str = "", others: Iterable[str] = ()) -> tuple[Excluded, ...]:
    """``swap`` are swap files, ``destination`` is the new root where it is inside the source; all relative to the
    source. ``others`` are an administrator's, with or without a leading slash; ``PATH/*`` means the contents."""
    found = [Excluded(path, True) for path in (*_VOLATILE, *_BOOT_LOADERS)]
    found += [Excluded(path) for path in (*_OTHERS, *swap, destination) if path]
    for text in others:
        path = text.strip("/")
        contents = path.endswith("/*")
        if path := path.removesuffix("/*"):
            found.append(Excluded(path, contents))
    return tuple(dict.fromkeys(found))


def below(excluded: Iterable[Excluded], part: str) -> tuple[Excluded, ...]:
    """The exclusions as they are in the directory ``part``, which is copied by itself."""
    prefix = f"{part}/"
    return tuple(
        Excluded(each.path.removeprefix(prefix), each.contents) for each in excluded if each.path.startswith(prefix)
    )


def rsync_argv(source: str, destination: str, excluded: Iterable[Excluded]) -> list[str]:
    """Everything about the files, hard links, ACLs, attributes, holes; this one file system; ids as numbers."""
    patterns = [f"--exclude={_pattern(each)}" for each in excluded]
    options = ["-aHAXS", "--one-file-system", "--numeric-ids", "--info=progress2", "--no-human-readable"]
    return ["rsync", *options, *patterns, "--", f"{source.rstrip('/')}/", f"{destination.rstrip('/')}/"]


def _pattern(excluded: Excluded) -> str:
    """An anchored pattern that matches this name only. rsync takes backslashes for escapes in patterns with wildcards
    only."""
    wild = _WILD.search(excluded.path) is not None or excluded.contents
    path = _SPECIAL.sub(r"\\\g<0>", excluded.path) if wild else excluded.path
    return f"/{path}/*" if excluded.contents else f"/{path}"


def rsync_bytes(text: str) -> int | None:
    """How much it says to have copied (a line of --info=progress2); None for other lines."""
    match = _PROGRESS.match(text)
    return int(re.sub("[,.]", "", match[1])) if match else None


def is_only_labels(complaints: str) -> bool:
    """Whether all that rsync could not do is to keep ACLs and attributes."""
    lines = [line for line in complaints.splitlines() if line.strip()]
    told = [line for line in lines if _UNSUPPORTED.search(line)]
    return bool(told) and all(_UNSUPPORTED.search(line) or _CLOSING.search(line) for line in lines)
