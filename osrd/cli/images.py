# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's images as commands name and show them."""

import re
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from osrd.bus.names import MANAGER, SHARED_ROOT
from osrd.cli.root_change import object_of
from osrd.cli.root_option import complete_root
from osrd.cli.session import Bus, Session, completing
from osrd.cli.shared_root import Where, find_root, read_configuration
from osrd.model.errors import ConflictError, NotFoundError, OsrdError, UnsupportedError

Row = dict[str, Any]

_IDENTITY = re.compile(r"[0-9a-f]{1,16}", re.ASCII)


async def list_images(bus: Bus) -> list[Row]:
    """Those of one root together, the newest first."""
    (rows,) = await bus.call(MANAGER, "ListImages", "a{sv}", {})
    return list(rows)


def named_image(word: str, rows: Sequence[Row]) -> Row | None:
    """The image whose id is ``word`` or begins with it; None when there is none. Raises ConflictError for several."""
    found = [row for row in rows if row["id"].startswith(word)] if _IDENTITY.fullmatch(word) else []
    if len(found) > 1:
        raise ConflictError(f"{len(found)} images begin with {word}", "give more of the id")
    return found[0] if found else None


def image(word: str, rows: Sequence[Row]) -> Row:
    """The same. Raises NotFoundError when there is none."""
    found = named_image(word, rows)
    if found is None:
        raise NotFoundError(f"there is no image {word}", "osrctl initrd list shows them")
    return found


def image_in_state(state: str, root: str, rows: Sequence[Row]) -> Row:
    """The current or previous image of a root. Raises NotFoundError."""
    for row in rows:
        if row["root"] == root and row["state"] == state:
            return row
    raise NotFoundError(f"the root {root} has no {state} image", "osrctl initrd list shows what there is")


def root_named(session: Session, word: str) -> Where:
    """The root that a user means: a name may be one that only the running osrd knows, which may have another
    osrd.conf. Raises NotFoundError."""
    try:
        return find_root(word, read_configuration(session.configuration))
    except NotFoundError:
        if "/" in word:
            raise
        return Where("", word)


async def root_object(bus: Bus, where: Where) -> str:
    """The daemon's object of a root. Raises UnsupportedError when it has none, NotFoundError for an unknown name."""
    path = await object_of(bus, where)
    if path is None and where.name:
        # Roots that no node uses are in no listing.
        (path,) = await bus.call(MANAGER, "GetRoot", "sa{sv}", where.name, {})
    if path is None:
        raise UnsupportedError(
            f"osrd knows no root at {where.path}", "add a [root NAME] section with this path to osrd.conf"
        )
    return str(path)


async def root_name(bus: Bus, where: Where) -> str:
    """What the daemon calls it."""
    return str((await bus.properties(await root_object(bus, where), SHARED_ROOT))["Name"])


def complete_root_or_image(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of roots, and ids of images of the running osrd; a shell has no place for errors."""
    try:
        rows = completing(context).run(list_images)
    except (OsrdError, OSError):
        rows = []
    ids = [CompletionItem(row["id"], help=row["kernel"]) for row in rows if row["id"].startswith(incomplete)]
    return [*complete_root(context, parameter, incomplete), *ids]
