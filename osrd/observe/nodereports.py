# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nodes of a shared root say of themselves: ``<cdsltree>/<node's tree>/.osr/report`` of each.

A look costs one openat2(2) and one stat(2) for each node; a report is only read when its file changed. What is no
report is a finding and otherwise ignored: the file, its directory and the tree are the node's, which may be broken or
worse. Not for the writer thread: a root on a dead server does not answer.
"""

import errno
import os
import stat
from collections.abc import Mapping

from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding, Place, Severity
from osrd.model.image import NodeReport
from osrd.observe.inside import Inside, is_plain, open_beneath
from osrd.parse.nodereport import LIMIT, parse_report

#: Where a node's report is in its tree.
REPORT = ".osr/report"
#: Findings of one look: 10,000 broken reports are one problem.
_MOST_FINDINGS = 20
#: A file that changed this recently (ns) may change again without its times moving: other hosts write here.
_UNSETTLED = 2_000_000_000

_Signature = tuple[int, int, int, int, int]
#: a report, or why it is none
_Known = tuple[_Signature, NodeReport | str]


class ReportReader:
    """Reads the reports of one root again and again. Not thread safe."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self.read_files = 0

    def read(
        self, inside: Inside, tree: str, nodes: Mapping[str, str], now: int
    ) -> tuple[Mapping[str, NodeReport], tuple[Finding, ...]]:
        """The reports by name of the node, of those in ``nodes``: the name of each to the name of its directory in
        ``tree``. ``now`` is in ns since the epoch. Nodes without a report are absent; raises nothing for content."""
        reports: dict[str, NodeReport] = {}
        findings: list[Finding] = []
        known: dict[str, _Known] = {}
        for name, directory in nodes.items():
            path = f"{tree}/{directory}/{REPORT}" if tree else f"{directory}/{REPORT}"
            entry = self._entry(inside, path, name)
            if entry is None:
                continue
            signature, found = entry
            if signature[3] < now - _UNSETTLED and signature[4] < now - _UNSETTLED:
                known[path] = entry
            if isinstance(found, NodeReport):
                reports[name] = found
            elif len(findings) < _MOST_FINDINGS:
                findings.append(_ignored(name, inside.name(path), found))
        self._known = known
        return reports, tuple(findings)

    def _entry(self, inside: Inside, path: str, name: str) -> _Known | None:
        """What is at ``path``, None when there is nothing."""
        if not is_plain(path):
            return None
        try:
            # No FIFO waits and no device does anything: it is not really opened yet.
            place = open_beneath(inside.fd, path, os.O_PATH)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            return (0, 0, 0, 0, 0), _REASONS.get(error.errno or 0, error.strerror or "cannot be read")
        try:
            status = os.fstat(place)
            signature = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            known = self._known.get(path)
            if known is not None and known[0] == signature and _is_of(known[1], name):
                return known
            return signature, self._report(place, status, name)
        finally:
            os.close(place)

    def _report(self, place: int, status: os.stat_result, name: str) -> NodeReport | str:
        """The report in an open (O_PATH) file, or what is wrong with it."""
        if not stat.S_ISREG(status.st_mode):
            return "is no regular file"
        if status.st_size > LIMIT:
            return f"has more than {LIMIT} bytes"
        try:
            fd = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                self.read_files += 1
                data = os.read(fd, LIMIT + 1)
            finally:
                os.close(fd)
            return parse_report(data, name)
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        except InvalidConfigError as error:
            return error.message


_REASONS = {
    errno.ELOOP: "is a symbolic link, or behind one",
    errno.EXDEV: "is on another file system",
}


def _is_of(found: NodeReport | str, name: str) -> bool:
    return isinstance(found, str) or found.node == name


def _ignored(node: str, path: str, why: str) -> Finding:
    return Finding(
        "node-report-ignored",
        Severity.WARNING,
        f"the report of node {node} is ignored: {path} {why}",
        "look who wrote it, and remove it; the node writes another one when it boots",
        Place(path),
        node=node,
        value=path,
    )
