# SPDX-License-Identifier: GPL-3.0-or-later
"""File names in an inventory. Most are written as they are, as the original programs do; what XML cannot hold is
escaped, and an attribute says so: ``src="a%0Ab" escaped="percent"`` (each escape is one byte of the file name)."""

import re

from osrd.model.cdsl import Inventory

ESCAPED = "escaped"
_WAY = "percent"
#: What no XML document can hold, what reading would change (white space in attributes), and undecodable bytes.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u2028\u2029]")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})|%")
#: the form that generations 1 and 2 wrote, to have a legal IDREF
_ID_REF = re.compile(r"id_(.+)", re.DOTALL)
_NUMBERED_REF = re.compile(r"id_([0-9]+)", re.ASCII)


class BadNameError(ValueError):
    """A name that is not written as it should be; completes the sentence "NAME="VALUE" ..."."""


def unescaped(text: str, way: str) -> str:
    """A name out of an attribute. Raises BadNameError."""
    if not way:
        return text
    if way != _WAY:
        raise BadNameError(f'is escaped as "{way[:40]}", which is unknown')

    def byte(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            raise BadNameError("has a % without two hexadecimal digits")
        return bytes([int(match[1], 16)])

    return _ESCAPE.sub(byte, text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def escaped(name: str, *, force: bool = False) -> tuple[str, str]:
    """The text for an attribute and how it is escaped ("": not at all)."""
    if not force and not _ODD.search(name):
        return name, ""
    first = name[0] if force else ""
    text = "".join(_percent(each) if each == "%" or _ODD.match(each) else each for each in name[len(first) :])
    return (_percent(first) if first else "") + text, _WAY


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))


def directory_name(ref: str, inventory: Inventory, *, old: bool) -> str:
    """The name of the tree that a ``noderef`` means: the bare id with the prefix; ``id_1`` is 1, as older generations
    wrote it and migrated files still have it."""
    match = (_ID_REF if old else _NUMBERED_REF).fullmatch(ref)
    node = match[1] if match else ref
    prefix = inventory.layout.prefix if inventory.use_nodeids else ""
    has_it = node.startswith(prefix) and node != prefix
    return node if has_it else f"{prefix}{node}"


def reference(node: str, inventory: Inventory) -> tuple[str, str]:
    """What to write for a node's tree, and how it is escaped: the inverse of ``directory_name`` and ``unescaped``."""
    prefix = inventory.layout.prefix if inventory.use_nodeids else ""
    for ref in (node.removeprefix(prefix), node):
        if ref and directory_name(ref, inventory, old=False) == node:
            return (ref, "") if not _ODD.search(ref) else escaped(node, force=True)
    return escaped(node, force=True)
