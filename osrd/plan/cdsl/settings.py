# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing one setting of the inventory (com-cdslinvadm set, spec/cdsl.md 1.2)."""

from dataclasses import replace

from osrd.model.cdsl import Inventory
from osrd.model.errors import ConflictError, InvalidArgsError
from osrd.model.transaction import Transaction
from osrd.parse.inventory import render_inventory
from osrd.plan.cdsl.index import with_cdsls
from osrd.plan.cdsl.nodes import check_nodes
from osrd.plan.cdsl.words import printable

#: Names that decide where everything is: with data there, another value would lose sight of it.
_FIXED = ("tree", "sharedtree", "link", "default_dir", "node_prefix", "expandstring", "use_nodeids", "markerstyle")
_MAX_NODES = 99999


def with_setting(inventory: Inventory, name: str, value: str) -> Transaction | None:
    """``name`` as the inventory file calls it; what osrd does not know is kept for those who do. None when it has that
    value already. Raises InvalidArgsError, ConflictError for a setting that cannot be changed any more."""
    if name in _FIXED:
        raise ConflictError(
            f"{name} cannot be changed: the trees that exist would not be found any more",
            "choose it when the infrastructure is made (osrctl cdsl init)",
        )
    if name == "config_version":
        raise InvalidArgsError("config_version tells the format of the inventory and is not a setting")
    if name == "maxnodeidnum":
        if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) <= _MAX_NODES):
            raise InvalidArgsError(f"maxnodeidnum is a number from 0 to {_MAX_NODES}, not {value!r}")
        after = replace(inventory, maxnodeidnum=int(value))
        check_nodes(after, (value,))
    elif name == "mountpoint":
        after = replace(inventory, mountpoint=value.strip("/"))
    else:
        if not name.isidentifier():
            raise InvalidArgsError(f"{printable(name)!r} is no name of a setting")
        after = replace(inventory, extra=tuple(sorted({**dict(inventory.extra), name: value}.items())))
    if after == inventory:
        return None
    after = with_cdsls(after, after.cdsls)
    return Transaction(
        f"set {name}", (), inventory=render_inventory(after), lines=(f"{name} is {printable(value)} now",)
    )
