# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory to bytes, in the shape of generation 3 (spec/cdsl.md 1.4): tabs, attributes sorted by name."""

import re
from collections.abc import Iterator, Mapping

from osrd.model.cdsl import Cdsl, ChildRepository, Inventory, MarkerStyle
from osrd.model.errors import InvalidArgsError
from osrd.parse.inventory_names import ESCAPED, escaped, reference

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9._:-]*", re.ASCII)
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_QUOTED = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


def render_inventory(inventory: Inventory) -> bytes:
    """The file for this inventory; the same inventory is always the same bytes, and what was parsed from them is
    rendered to them again. Raises InvalidArgsError for settings that XML cannot hold."""
    return "".join(_lines(inventory)).encode()


def _lines(inventory: Inventory) -> Iterator[str]:
    yield f"<cdsls{_attributes(settings(inventory))}>\n"
    if inventory.repositories:
        yield "\t<repositories>\n"
        yield from (f"\t\t<repository{_attributes(_repository(child))}/>\n" for child in inventory.repositories)
        yield "\t</repositories>\n"
    else:
        yield "\t<repositories/>\n"
    #: CDSLs mostly have the same nodes, and there may be thousands
    blocks: dict[tuple[str, ...], str] = {}
    for cdsl in inventory.cdsls:
        if cdsl.nodes not in blocks:
            blocks[cdsl.nodes] = _nodes(cdsl.nodes, inventory)
        yield f"\t<cdsl{_attributes(_entry(cdsl))}>\n{blocks[cdsl.nodes]}\t</cdsl>\n"
    yield "</cdsls>\n"


def settings(inventory: Inventory) -> dict[str, str]:
    """The attributes of <cdsls>, those that osrd does not use among them."""
    layout = inventory.layout
    known = {
        "config_version": "2.0",
        "default_dir": layout.default,
        "expandstring": layout.marker,
        "link": layout.link,
        "maxnodeidnum": str(inventory.maxnodeidnum),
        "mountpoint": inventory.mountpoint,
        "node_prefix": layout.prefix,
        "sharedtree": layout.shared,
        "tree": layout.tree,
        "use_nodeids": str(inventory.use_nodeids),
    }
    if layout.style is not MarkerStyle.PREFIX:
        known["markerstyle"] = layout.style
    return {**dict(inventory.extra), **known}


def _entry(cdsl: Cdsl) -> dict[str, str]:
    src, way = escaped(cdsl.src)
    own = {"src": src, "timestamp": cdsl.timestamp, "type": str(cdsl.type)}
    return {**dict(cdsl.extra), **own, **({ESCAPED: way} if way else {})}


def _repository(child: ChildRepository) -> dict[str, str]:
    path, way = escaped(child.path)
    return {**dict(child.extra), "path": path, "resource": child.resource, **({ESCAPED: way} if way else {})}


def _nodes(nodes: tuple[str, ...], inventory: Inventory) -> str:
    if not nodes:
        return "\t\t<nodes/>\n"
    lines = []
    for node in nodes:
        ref, way = reference(node, inventory)
        attributes = _attributes({"ref": ref, **({ESCAPED: way} if way else {})})
        lines.append(f"\t\t\t<noderef{attributes}/>\n")
    return f"\t\t<nodes>\n{''.join(lines)}\t\t</nodes>\n"


def _attributes(values: Mapping[str, str]) -> str:
    return "".join(f' {_checked(name)}="{_text(name, values[name])}"' for name in sorted(values))


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidArgsError(f'a setting of an inventory cannot be called "{name}"', "use letters, digits and _")
    return name


def _text(name: str, value: str) -> str:
    if _FORBIDDEN.search(value):
        raise InvalidArgsError(f"the setting {name} holds characters that XML cannot store", "write it without them")
    return value.translate(_QUOTED)
