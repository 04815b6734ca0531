# SPDX-License-Identifier: GPL-3.0-or-later
"""cluster.conf -> Cluster. Reads everything, judges nothing: that is osrd.parse.validation's work.

``elements`` splits the file at its ``<clusternode>`` elements; here each of them becomes a Node (or the one that the
last parse made of the same text), and what is left between them becomes the rest of the Cluster.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from lxml import etree

from osrd.model.cluster import (
    Attributes,
    Cluster,
    FailoverDomain,
    FenceDevice,
    Node,
    Oddity,
)
from osrd.parse.clusternode import Element, device, oddity, parse_node, safe_parser
from osrd.parse.elements import Document, Layout, read_document, refuse, scan

T = TypeVar("T")

_CLUSTER = frozenset(("name", "config_version", "type", "alias"))
#: elements below <cluster> that some program reads: cman, fenced, rgmanager, dlm, corosync
_SECTIONS = (
    "clusternodes",
    "fencedevices",
    "rm",
    "cman",
    "fence_daemon",
    "fence_xvmd",
    "totem",
    "quorumd",
    "logging",
    "dlm",
    "gfs_controld",
    "group",
    "groupd",
    "uidgid",
    "clvmd",
    "rrp",
    "interface",
)
_VERSION = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_PRIORITY = re.compile(r"[0-9]{1,9}", re.ASCII)


def parse_cluster(data: bytes, file: str, known: Mapping[bytes, Node] | None = None) -> Cluster:
    """Parse the bytes of ``file`` (its name is used in messages only).

    ``known`` maps the source text of nodes to Nodes of an earlier parse (see ``nodes_by_source``); those objects are
    used again, so the cost of an unchanged node is that of finding its end. Raises InvalidConfigError, one line that
    begins with ``file:line: ``, when the file cannot be read as a cluster.conf at all.
    """
    document = read_document(data, file)
    return build_cluster(document, scan(document), known)


def nodes_by_source(cluster: Cluster) -> dict[bytes, Node]:
    """What to pass as ``known`` to the next parse."""
    return {node.source: node for node in cluster.nodes}


def build_cluster(document: Document, layout: Layout, known: Mapping[bytes, Node] | None = None) -> Cluster:
    """The Cluster of a file that has been scanned already."""
    body = document.body
    lines = document.lines([start for start, _ in layout.nodes])
    get = (known or {}).get
    nodes: list[Node] = []
    rest: list[bytes] = []
    last = 0
    for index, (start, end) in enumerate(layout.nodes):
        source = body[start:end]
        node = get(source)
        if node is None:
            node = _guarded(document, lines[index], parse_node, source)
        nodes.append(node)
        gap = body[last:start]
        if not gap.isspace():
            rest.append(gap)
        last = end
    rest.append(body[last:])
    root = _guarded(document, 1, _parse_rest, b"".join(rest))
    where = dict(zip(root.iter("*"), document.lines(layout.outer), strict=True))
    return _Rest(document, where).cluster(root, tuple(nodes), tuple(lines))


def _parse_rest(source: bytes) -> Element:
    return etree.fromstring(source, safe_parser())


def _guarded(document: Document, line: int, parse: Callable[[bytes], T], source: bytes) -> T:
    """``parse(source)``; what libxml2 refuses although expat found it well-formed is the file's fault too."""
    try:
        return parse(source)
    except etree.XMLSyntaxError as error:
        message = str(error.msg).splitlines()[0] if error.msg else "not well-formed"
        refuse(document.file, line + (error.lineno or 1) - 1, f"libxml2 refuses this: {message}", "repair the markup")


class _Rest:
    """Reads everything outside of the nodes. ``where`` knows the line of each element."""

    def __init__(self, document: Document, where: dict[Element, int]) -> None:
        self._document = document
        self._where = where
        self._odd: list[Oddity] = []

    def cluster(self, root: Element, nodes: tuple[Node, ...], lines: tuple[int, ...]) -> Cluster:
        fencedevices: list[FenceDevice] = []
        domains: list[FailoverDomain] = []
        totem: Attributes = ()
        for section in root:
            if section.tag == "fencedevices":
                fencedevices += [device(child, self._where[child]) for child in section if child.tag == "fencedevice"]
            elif section.tag == "rm":
                found = (child for group in section if group.tag == "failoverdomains" for child in group)
                domains += [self._domain(child) for child in found if child.tag == "failoverdomain"]
            elif section.tag == "totem":
                totem = _attributes(section)
            elif section.tag == "clusternodes":
                for child in section:
                    self._odd.append(oddity(child, self._where[child], ("clusternode",)))
            elif section.tag not in _SECTIONS:
                self._odd.append(oddity(section, self._where[section], _SECTIONS))
        version = root.get("config_version", "")
        return Cluster(
            file=self._document.file,
            name=root.get("name", ""),
            config_version=int(version) if _VERSION.fullmatch(version) else None,
            type=root.get("type", ""),
            nodes=nodes,
            lines=lines,
            fencedevices=tuple(fencedevices),
            failoverdomains=tuple(domains),
            totem=totem,
            extra=self._extra(root),
            line=self._where[root],
            oddities=tuple(self._odd),
            leading_space=bool(self._document.lead) and self._document.body.startswith(b"<?xml"),
            config_version_text=version,
        )

    def _extra(self, root: Element) -> Attributes:
        extra = tuple((key, value) for key, value in _attributes(root) if key not in _CLUSTER)
        self._odd += [oddity(root, self._where[root], _CLUSTER, key) for key, _ in extra]
        return extra

    def _domain(self, element: Element) -> FailoverDomain:
        members = [child for child in element if child.tag == "failoverdomainnode"]
        return FailoverDomain(
            name=element.get("name", ""),
            members=tuple((child.get("name", ""), _priority(child.get("priority", ""))) for child in members),
            extra=tuple((key, value) for key, value in _attributes(element) if key != "name"),
            line=self._where[element],
            member_lines=tuple(self._where[child] for child in members),
        )


def _attributes(element: Element) -> Attributes:
    return tuple((str(key), str(value)) for key, value in element.items())


def _priority(text: str) -> int | None:
    return int(text) if _PRIORITY.fullmatch(text) else None
