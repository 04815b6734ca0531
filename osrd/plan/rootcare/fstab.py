# SPDX-License-Identifier: GPL-3.0-or-later
"""/etc/fstab (fstab(5)): nodes get their root from the initrd, and the disks of the copied machine are not theirs."""

from collections.abc import Iterator
from dataclasses import dataclass

from osrd.model.finding import Severity
from osrd.model.rootcare import CommentOut, Remark
from osrd.plan.rootcare.lines import lines
from osrd.plan.rootcare.view import Copy, Root, remark

_TAGS = ("UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "ID=")
#: on storage that all nodes see
_CLUSTER = frozenset({"gfs", "gfs2", "ocfs2"})


@dataclass(frozen=True, slots=True)
class Entry:
    line: int
    device: str
    place: str
    type: str
    options: tuple[str, ...]

    @property
    def on_a_disk(self) -> bool:
        return self.device.startswith((*_TAGS, "/dev/")) and not self.device.startswith("/dev/shm")


def entries(data: bytes) -> Iterator[Entry]:
    """What is no comment. Lines with fewer than three fields count for nothing, as for mount(8)."""
    for number, line in enumerate(lines(data), 1):
        fields = line.decode(errors="surrogateescape").split()
        if len(fields) >= 3 and not fields[0].startswith("#"):
            options = tuple((fields[3] if len(fields) > 3 else "defaults").split(","))
            place = fields[1] if fields[1] == "/" else fields[1].rstrip("/")
            yield Entry(number, fields[0].strip('"'), place, fields[2], options)


def fstab(root: Root) -> Iterator[Remark]:
    for copy in root.copies("etc/fstab"):
        data = root.reader.read(copy.path)
        if data is None:
            continue
        for entry in entries(data):
            yield from _judged(root, copy, data, entry)


def _judged(root: Root, copy: Copy, data: bytes, entry: Entry) -> Iterator[Remark]:
    repair = CommentOut("etc/fstab", data, (entry.line,), copy.node)
    place = root.place(copy, entry.line)
    fix = f"comment out line {entry.line} of {place.file}"
    if entry.place == "/":
        message = f"/etc/fstab mounts {entry.device} as the root; nodes get their root from the initrd"
        yield remark(
            "root-fstab-root", Severity.ERROR, message, fix, repair, path="etc/fstab", node=copy.node, place=place
        )
    elif root.inventory is not None and entry.place.strip("/") in (
        root.inventory.layout.link,
        root.inventory.layout.mount_point,
    ):
        message = f"/etc/fstab mounts {entry.place}, the CDSL link; the initrd binds every node's own tree there"
        yield remark(
            "root-fstab-link", Severity.ERROR, message, fix, repair, path="etc/fstab", node=copy.node, place=place
        )
    elif entry.type == "swap":
        message = f"/etc/fstab swaps on {entry.device}, which was the source machine's"
        yield remark(
            "root-fstab-swap", Severity.WARNING, message, fix, repair, path="etc/fstab", node=copy.node, place=place
        )
    elif entry.on_a_disk and entry.type not in _CLUSTER and not {"nofail", "noauto"} & set(entry.options):
        message = f"/etc/fstab mounts {entry.device} at {entry.place}; a node without that disk waits, then gives up"
        fix = f"{fix}, or add nofail to its options if the nodes do have such a disk"
        yield remark(
            "root-fstab-disk", Severity.WARNING, message, fix, repair, path="etc/fstab", node=copy.node, place=place
        )
