# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of an inventory by the names of its attributes (spec/cdsl.md 1.2), as scripts ask for them."""

from collections.abc import Iterator

from osrd.model.cdsl import INVENTORY, Inventory
from osrd.model.errors import NotFoundError
from osrd.parse.inventory_file import settings

#: How generations 1 and 2 call them.
_OLD_NAMES = {"cdsltree": "tree", "cdsltree_shared": "sharedtree", "cdsl_link": "link"}


def settings_of(inventory: Inventory) -> Iterator[tuple[str, str]]:
    """Name and value in the order of the file: that of the alphabet. Attributes that osrd does not use are there,
    too."""
    known = settings(inventory)
    if not inventory.file.endswith(INVENTORY):
        known["config_version"] = "1"
    yield from sorted(known.items())


def setting(inventory: Inventory, name: str) -> str:
    """The value of one. Raises NotFoundError."""
    values = dict(settings_of(inventory))
    key = _OLD_NAMES.get(name, name)
    if key not in values:
        raise NotFoundError(f"there is no setting {name}", f"there are: {', '.join(values)}")
    return values[key]


def current_name(name: str) -> str:
    """The name of today for a setting."""
    return _OLD_NAMES.get(name, name)
