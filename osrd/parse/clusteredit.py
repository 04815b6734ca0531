# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of cluster.conf that a careful administrator would make by hand: bytes in, bytes out.

Only the touched attribute or element and ``config_version`` change; comments, line ends, quoting, alignment and
encoding stay. The result is parsed and judged before it is returned: an edit that did anything else, or that would
bring an error into the cluster, is refused.

All three functions raise InvalidConfigError when ``data`` is no cluster.conf, ConflictError when ``expected_version``
(0 means any) is not the file's config_version or a value is taken, NotFoundError for an unknown node or interface, and
InvalidArgsError for attributes and values that cannot be. ``known`` and ``validator``, both optional, save the work of
parsing and judging unchanged nodes (``nodes_by_source`` of a Cluster, and the Validator that judged it).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from osrd.model.cluster import Cluster, Node, node_keys
from osrd.model.errors import ConflictError, FailedError, InvalidArgsError, NotFoundError
from osrd.model.finding import Finding, Severity
from osrd.parse.clusterconf import build_cluster, nodes_by_source, parse_cluster
from osrd.parse.elements import Document, Layout, read_document, scan
from osrd.parse.markup import Markup, deeper, insert_child, lead, read_markup, read_start_tag, set_attribute
from osrd.parse.nodechange import (
    Change,
    Style,
    apply_change,
    find_target,
    read_changes,
    style_of,
    with_defaults,
    with_nic,
)
from osrd.parse.validation import Validator
from osrd.parse.validation_draft import label, shown

#: a warning in a file that was found, but nothing that osrd should write
_ALSO_REFUSED = ("invalid-votes",)
_MAX_ID = 99999


def add_node(
    data: bytes,
    file: str,
    name: str,
    attributes: Mapping[str, str],
    expected_version: int = 0,
    *,
    known: Mapping[bytes, Node] | None = None,
    validator: Validator | None = None,
) -> bytes:
    """Add a ``<clusternode>`` after the last one.

    Without ``nodeid`` it gets the lowest free one; without ``root`` the root volume, type and mount options of the
    last node that has one; a fixed address without ``mask`` or ``gateway`` those of that node's first interface. An
    empty value means: leave it out.
    """
    edit = _begin(data, file, expected_version, known)
    if not name or "name" in attributes:
        raise InvalidArgsError("a new node needs one name", "give it once, and not among the attributes")
    for index, node in enumerate(edit.cluster.nodes):
        if node.name == name:
            place = edit.cluster.place(index)
            raise ConflictError(f"{place}: there is a node {shown(name)} already", "use another name")
    asked = read_changes({"name": name, "nodeid": _free_id(edit.cluster), **attributes})
    body, start, style, last = _with_empty_node(edit)
    changes = with_nic(with_defaults(asked, last), last)
    end = start + len(_EMPTY_NODE)
    for change in changes:
        size = len(body)
        body = apply_change(body, (start, end), change, style)
        end += len(body) - size
    return _finish(edit, body, _Intent(len(edit.cluster.nodes), added=True, changes=tuple(changes)), validator)


def set_node(
    data: bytes,
    file: str,
    node: str,
    attributes: Mapping[str, str],
    expected_version: int = 0,
    *,
    known: Mapping[bytes, Node] | None = None,
    validator: Validator | None = None,
) -> bytes:
    """Change attributes of the node with this key, id or name; an empty value removes the attribute. Interfaces and
    the root volume are made when they are missing. Values that the file has already change nothing, not even
    ``config_version``."""
    edit = _begin(data, file, expected_version, known)
    index = _find(edit.cluster, node)
    start, end = edit.layout.nodes[index]
    body = edit.body
    markup = read_markup(body, start, end)
    style = style_of(body, markup, _container_lead(edit, start))
    changes = with_nic(read_changes(attributes), markup)
    for change in changes:
        size = len(body)
        body = apply_change(body, (start, end), change, style)
        end += len(body) - size
    if body == edit.body:
        return data
    return _finish(edit, body, _Intent(index, changes=tuple(changes)), validator)


def remove_node(
    data: bytes,
    file: str,
    node: str,
    expected_version: int = 0,
    *,
    known: Mapping[bytes, Node] | None = None,
    validator: Validator | None = None,
) -> bytes:
    """Remove the node with this key, id or name, and the line break before it. Comments around it stay."""
    edit = _begin(data, file, expected_version, known)
    index = _find(edit.cluster, node)
    start, end = edit.layout.nodes[index]
    body = edit.body[: start - len(lead(edit.body, start))] + edit.body[end:]
    return _finish(edit, body, _Intent(index, removed=True), validator)


_EMPTY_NODE = b"<clusternode/>"


@dataclass(frozen=True, slots=True)
class _Edit:
    """The file before the edit."""

    document: Document
    layout: Layout
    cluster: Cluster

    @property
    def body(self) -> bytes:
        return self.document.body


@dataclass(frozen=True, slots=True)
class _Intent:
    """What is meant to be different afterwards: the node at ``index``, in the attributes of ``changes``."""

    index: int
    added: bool = False
    removed: bool = False
    changes: tuple[Change, ...] = ()


def _begin(data: bytes, file: str, expected_version: int, known: Mapping[bytes, Node] | None) -> _Edit:
    document = read_document(data, file)
    layout = scan(document)
    cluster = build_cluster(document, layout, known)
    if expected_version and expected_version != cluster.config_version:
        message = f"{file} has config_version {cluster.config_version or 'none'}, not {expected_version} as expected"
        raise ConflictError(message, "look at the file again and repeat the change")
    return _Edit(document, layout, cluster)


def _find(cluster: Cluster, node: str) -> int:
    keys = node_keys(cluster)
    found = [index for index, key in enumerate(keys) if key == node]
    found = found or [index for index, one in enumerate(cluster.nodes) if str(one.nodeid) == node]
    found = found or [index for index, one in enumerate(cluster.nodes) if one.name == node and node]
    if not found:
        raise NotFoundError(f"{cluster.file} has no node {shown(node)}", "give the id or the name of a node")
    if len(found) > 1:
        places = ", ".join(f"{keys[index]} at line {cluster.lines[index]}" for index in found[:10])
        raise ConflictError(f"{len(found)} nodes are called {shown(node)}: {places}", "use one of these keys")
    return found[0]


def _free_id(cluster: Cluster) -> str:
    taken = {node.nodeid for node in cluster.nodes}
    for number in range(1, _MAX_ID + 1):
        if number not in taken:
            return str(number)
    raise ConflictError(f"all node ids from 1 to {_MAX_ID} are taken", "remove a node first")


def _container_lead(edit: _Edit, offset: int) -> bytes:
    """The lead of the ``<clusternodes>`` around ``offset``."""
    around = [start for start, end in edit.layout.containers if start < offset < end]
    return lead(edit.body, around[0]) if around else b""


def _with_empty_node(edit: _Edit) -> tuple[bytes, int, Style, Markup | None]:
    """The body with ``<clusternode/>`` where a new node belongs, its offset, how to lay it out, and the last node
    that boots, which is the model."""
    body = edit.body
    if edit.layout.nodes:
        booting = [index for index, node in enumerate(edit.cluster.nodes) if node.root]
        start, end = edit.layout.nodes[booting[-1] if booting else -1]
        model = read_markup(body, start, end)
        style = style_of(body, model, _container_lead(edit, start))
        start, end = edit.layout.nodes[-1]
        blank = lead(body, start)
        return body[:end] + blank + _EMPTY_NODE + body[end:], end + len(blank), style, model
    root = read_markup(body, edit.layout.outer[0], len(body))
    if root.child("clusternodes") is None:
        sections = root.children
        inner = lead(body, sections[0].start) if sections else deeper(b"", b"", lead(body, root.start))
        body = insert_child(body, root, b"<clusternodes/>", inner)
        root = read_markup(body, root.start, len(body))
    container = root.child("clusternodes")
    assert container, "it is there, or was just made"
    outer = lead(body, container.start)
    node = deeper(outer, lead(body, root.start), outer)
    com_info = deeper(node, outer, node)
    body = insert_child(body, container, _EMPTY_NODE, node)
    style = Style(node, com_info, deeper(com_info, node, com_info))
    return body, body.index(_EMPTY_NODE, container.start), style, None


def _finish(edit: _Edit, body: bytes, intent: _Intent, validator: Validator | None) -> bytes:
    """Raise config_version, and prove that the outcome is what was meant."""
    before = edit.cluster
    version = (before.config_version or 0) + 1
    body = set_attribute(body, read_start_tag(body, edit.layout.outer[0]), "config_version", str(version))
    data = edit.document.rendered(body)
    after = parse_cluster(data, before.file, nodes_by_source(before))
    if not (after.config_version == version and _same_rest(before, after) and _as_meant(before, after, intent)):
        raise FailedError(f"{before.file}: the edit would change more than it should", "make the change by hand")
    _refuse_errors(before, after, intent, validator or Validator())
    return data


def _same_rest(before: Cluster, after: Cluster) -> bool:
    """Whether everything outside of the nodes is equal, apart from config_version and lines."""

    def rest(cluster: Cluster) -> tuple[object, ...]:
        devices = [(device.name, device.attributes) for device in cluster.fencedevices]
        domains = [(domain.name, domain.members, domain.extra) for domain in cluster.failoverdomains]
        return cluster.name, cluster.type, cluster.extra, devices, domains

    return rest(before) == rest(after)


def _as_meant(before: Cluster, after: Cluster, intent: _Intent) -> bool:
    """Whether all other nodes are the same and the wanted values are there."""
    index = intent.index
    old = before.nodes[:index] + before.nodes[index + (not intent.added) :]
    new = after.nodes[:index] + after.nodes[index + (not intent.removed) :]
    if old != new:
        return False
    if intent.removed:
        return True
    source = after.nodes[index].source
    node = read_markup(source, 0, len(source))
    targets = [(find_target(node, change), change) for change in intent.changes]
    return all(
        target.values.get(change.attribute, "") == change.value if target else not change.value
        for target, change in targets
    )


def _refuse_errors(before: Cluster, after: Cluster, intent: _Intent, validator: Validator) -> None:
    """Raise the error that the edit would bring into the cluster; those that it had already are not its fault."""
    had = Counter(_identity(finding) for finding in validator.judge(before).findings if _matters(finding))
    new: list[Finding] = []
    for finding in validator.judge(after).findings:
        if _matters(finding):
            had[_identity(finding)] -= 1
            if had[_identity(finding)] < 0:
                new.append(finding)
    if not new:
        return
    edited = label(after, intent.index) if not intent.removed else ""
    worst = next((finding for finding in new if finding.node == edited), new[0])
    error = ConflictError if worst.other else InvalidArgsError
    also = f" (see {worst.other_place})" if worst.other_place else ""
    raise error(f"{worst.message}{also} [{worst.code}]", worst.fix)


def _matters(finding: Finding) -> bool:
    return finding.severity is Severity.ERROR or finding.code in _ALSO_REFUSED


def _identity(finding: Finding) -> tuple[str, str, str]:
    """What an error is about, whatever line or node name it has before and after the edit."""
    return finding.code, finding.attribute, finding.value
