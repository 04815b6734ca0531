# SPDX-License-Identifier: GPL-3.0-or-later
"""A wanted change of one attribute of a node, and carrying it out in the text of the file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from osrd.model.errors import InvalidArgsError, NotFoundError
from osrd.parse.markup import Markup, deeper, escaped, insert_child, lead, read_markup, set_attribute

_NODE_KEYS = ("name", "nodeid", "votes")
_ROOT_KEYS = {"root": "name", "fstype": "fstype", "mountopts": "mountopts"}
_NIC_KEYS = ("ip", "mac", "mask", "gateway")
_FIRST_NIC = "eth0"


@dataclass(frozen=True, slots=True)
class Change:
    """``element`` is "clusternode", "rootvolume" or "eth"; ``nic`` is the name of the eth, "" for the first one."""

    element: str
    attribute: str
    value: str
    nic: str = ""


@dataclass(frozen=True, slots=True)
class Style:
    """The line break and indentation before a node, its com_info and the elements in that, and the quote in use."""

    node: bytes
    com_info: bytes
    leaf: bytes
    quote: bytes = b'"'


def read_changes(attributes: Mapping[str, str]) -> list[Change]:
    """The changes that a caller asks for. Raises InvalidArgsError for a key that does not exist."""
    changes = []
    for key, value in attributes.items():
        escaped(value)
        nic, dot, last = key.rpartition(".")
        if dot and nic and last in _NIC_KEYS:
            escaped(nic)
            changes.append(Change("eth", last, value, nic))
        elif key in _NIC_KEYS:
            changes.append(Change("eth", key, value))
        elif key in _NODE_KEYS:
            changes.append(Change("clusternode", key, value))
        elif key in _ROOT_KEYS:
            changes.append(Change("rootvolume", _ROOT_KEYS[key], value))
        else:
            known = ", ".join((*_NODE_KEYS, *_ROOT_KEYS, *_NIC_KEYS))
            raise InvalidArgsError(f"unknown attribute {key!r}", f"use one of {known}, or NAME.KEY for an interface")
    return changes


def with_nic(changes: list[Change], node: Markup | None) -> list[Change]:
    """``changes`` with the first interface called by its name. Raises InvalidArgsError when two mean the same."""
    first = _first_nic(node)
    name = (first.values.get("name", "") if first else "") or _FIRST_NIC
    named = [replace(change, nic=name) if change.element == "eth" and not change.nic else change for change in changes]
    seen = set()
    for change in named:
        key = (change.element, change.nic, change.attribute)
        if key in seen:
            raise InvalidArgsError(f"{change.attribute} of {change.nic} is given twice", f"{name} is the first one")
        seen.add(key)
    return named


def with_defaults(changes: list[Change], last: Markup | None) -> list[Change]:
    """``changes`` for a new node, completed with what the ``last`` node has: its root volume if none is given, its
    file system type for another volume of the same kind, mask and gateway of its first interface for a fixed
    address. Removals are dropped, they only say that no default is wanted."""
    given = {(change.element, change.attribute) for change in changes if not change.nic}
    volume = _in_com_info(last, "rootvolume")
    defaults: list[Change] = []
    if volume and ("rootvolume", "name") not in given:
        defaults += [Change("rootvolume", key, volume.values.get(key, "")) for key in ("fstype", "name", "mountopts")]
    elif volume and _remote(_value(changes, "rootvolume", "name")) == _remote(volume.values.get("name", "")):
        defaults.append(Change("rootvolume", "fstype", volume.values.get("fstype", "")))
    nic = _first_nic(last)
    if nic and _value(changes, "eth", "ip") not in ("", "dhcp"):
        defaults += [Change("eth", key, nic.values.get(key, "")) for key in ("mask", "gateway")]
    wanted = [*changes, *(change for change in defaults if (change.element, change.attribute) not in given)]
    return _ordered([change for change in wanted if change.value], (volume, nic))


def _ordered(changes: list[Change], models: tuple[Markup | None, ...]) -> list[Change]:
    """Attributes in the order in which the ``models`` have theirs, new ones in the wiki page's."""
    order = [(model.name, attribute) for model in models if model for attribute in model.values]
    order += [("rootvolume", key) for key in ("fstype", "name", "mountopts")] + [("eth", key) for key in _NIC_KEYS]
    ranks = {"clusternode": 0, "rootvolume": 1, "eth": 2}

    def rank(change: Change) -> tuple[int, str, int]:
        key = (change.element, change.attribute)
        named = change.nic if change.element == "eth" else ""
        return ranks[change.element], named, order.index(key) if key in order else len(order)

    return sorted(changes, key=rank)


def apply_change(text: bytes, span: tuple[int, int], change: Change, style: Style) -> bytes:
    """``text`` with the change made in the ``<clusternode>`` that is ``text[span]``; missing elements are made."""
    node = read_markup(text, *span)
    target = find_target(node, change)
    if target is not None:
        return set_attribute(text, target, change.attribute, change.value)
    if not change.value:
        if change.element == "eth":
            name = node.values.get("name", "")
            raise NotFoundError(f"{name} has no network interface {change.nic!r}", "see its <eth> elements")
        return text
    com_info = node.child("com_info")
    if com_info is None:
        grown = insert_child(text, node, b"<com_info/>", style.com_info)
    elif change.element == "eth":
        quote = style.quote
        eth = b"<eth name=" + quote + escaped(change.nic, quote) + quote + b"/>"
        grown = insert_child(text, com_info, eth, style.leaf)
    else:
        grown = insert_child(text, com_info, b"<rootvolume/>", style.leaf, first=True)
    return apply_change(grown, (span[0], span[1] + len(grown) - len(text)), change, style)


def find_target(node: Markup, change: Change) -> Markup | None:
    """The element that the change is about, None when the node does not have it."""
    if change.element == "clusternode":
        return node
    com_info = node.child("com_info")
    if com_info is None:
        return None
    if change.element == "rootvolume":
        return com_info.child("rootvolume")
    nics = [child for child in com_info.children if child.name == "eth"]
    named = next((nic for nic in nics if nic.values.get("name", "") == change.nic), None)
    # the first interface may have no name; it is the one that plain "ip" and "mac" mean
    return named or (nics[0] if nics and change.nic == _FIRST_NIC and not nics[0].values.get("name") else None)


def style_of(text: bytes, node: Markup, container: bytes) -> Style:
    """How ``node`` is laid out; ``container`` is the lead of its parent. What it lacks is made up."""
    outer = lead(text, node.start)
    com_info = node.child("com_info")
    quote = node.attributes[0].quote if node.attributes else b'"'
    inner = lead(text, com_info.start) if com_info else deeper(outer, container, outer)
    if com_info and com_info.children:
        return Style(outer, inner, lead(text, com_info.children[0].start), quote)
    return Style(outer, inner, deeper(inner, outer, inner), quote)


def _first_nic(node: Markup | None) -> Markup | None:
    return _in_com_info(node, "eth")


def _in_com_info(node: Markup | None, name: str) -> Markup | None:
    com_info = node.child("com_info") if node else None
    return com_info.child(name) if com_info else None


def _value(changes: list[Change], element: str, attribute: str) -> str:
    for change in changes:
        if (change.element, change.attribute, change.nic) == (element, attribute, ""):
            return change.value
    return ""


def _remote(volume: str) -> bool:
    return ":" in volume
