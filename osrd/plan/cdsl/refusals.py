# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before anything is done, and what to do instead (spec/cdsl.md 2.7, 6.1 no. 3, 4, 7, 8, 20, 33)."""

from collections.abc import Sequence
from typing import NoReturn

from osrd.model.cdsl import Cdsl, CdslType, FileKind, Inventory, Seen
from osrd.model.errors import ConflictError, InvalidArgsError, NotFoundError, UnsupportedError
from osrd.model.layout import machinery_mistake, path_mistake, within
from osrd.plan.cdsl.index import Index, parent_path
from osrd.plan.cdsl.sight import Look, Sight, Walk
from osrd.plan.cdsl.words import command, listed, printable, shown

#: bytes, of Linux's file systems
_LONGEST_NAME = 255
#: how people call the two types
WORD = {CdslType.HOSTDEPENDENT: "host-dependent", CdslType.SHARED: "shared"}


def check_path(index: Index, src: str) -> None:
    """Raises InvalidArgsError unless ``src`` is a public path that may become a CDSL."""
    if not src:
        raise InvalidArgsError("/ is the root itself, which cannot be a CDSL", "name something in it")
    if mistake := path_mistake(src):
        raise InvalidArgsError(f"{shown(src)} {mistake}", "write the path without it")
    if mistake := machinery_mistake(src, index.layout):
        raise InvalidArgsError(f"{shown(src)} {mistake}", "name a path outside of the CDSL machinery")
    for child in index.inventory.repositories:
        if within(src, child.path) or within(child.path, src):
            raise UnsupportedError(
                f"{shown(child.path)} is another file system with CDSLs of its own",
                f"use {shown(child.path)} as the ROOT for what is in it",
            )


def check_type(index: Index, src: str, kind: CdslType) -> Cdsl | None:
    """The parent of the CDSL to be. Raises ConflictError when it is one already, has others below it, or does not
    alternate with its parent."""
    if present := index.by_src.get(src):
        _refuse_present(present, kind)
    if registered := index.descendants(src):
        names = listed(shown(cdsl.src) for cdsl in registered)
        raise ConflictError(
            f"{shown(src)} cannot become {WORD[kind]}: below it {names} {_are(registered)} registered already",
            f"remove those first ({command('remove', shown(registered[0].src))}), then make them again",
        )
    parent = index.parent(src)
    if parent and parent.type is kind:
        raise ConflictError(
            f"{shown(src)} is {WORD[kind]} already, as part of {shown(parent.src)}", "nothing needs to be done"
        )
    if parent is None and kind is CdslType.SHARED:
        raise ConflictError(
            f"{shown(src)} is shared already: it is not inside of anything host-dependent", "nothing needs to be done"
        )
    return parent


def _are(registered: Sequence[Cdsl]) -> str:
    return "is" if len(registered) == 1 else "are"


def _refuse_present(present: Cdsl, kind: CdslType) -> NoReturn:
    if present.type is kind:
        raise ConflictError(f"{shown(present.src)} is {WORD[kind]} already", "nothing needs to be done")
    raise ConflictError(
        f"{shown(present.src)} is a {WORD[present.type]} CDSL and cannot become {WORD[kind]} as well",
        f"remove it first: {command('remove', shown(present.src))}",
    )


def check_collision(inventory: Inventory, cdsl: Cdsl) -> None:
    """Raises ConflictError when in ``inventory``, which has ``cdsl`` in it, its data would mix with another's,
    InvalidArgsError when marked names become too long."""
    index = Index(inventory)
    if any(len(part.encode("utf-8", "surrogateescape")) > _LONGEST_NAME for part in index.expanded(cdsl).split("/")):
        raise InvalidArgsError(
            f"the data of {shown(cdsl.src)} would need a directory with a name of more than {_LONGEST_NAME} bytes",
            "use a shorter name for the directory it is in",
        )
    if other := index.collision(cdsl):
        marker = printable(inventory.layout.marker)
        raise ConflictError(
            f'{shown(cdsl.src)} would have its data where {shown(other.src)} has its own: "{marker}" is in a name',
            f"rename the one with {marker} in its path",
        )


def check_source(index: Index, sight: Sight, place: str, public: str, node: str) -> Seen:
    """What is at the physical path that is to be copied. Raises NotFoundError when nothing is, or when it is a
    symlink that leads nowhere, UnsupportedError when it is on another file system."""
    seen = sight(place)
    if seen is None:
        obstacle = sight.obstacle(place)
        why = f": {shown(obstacle)} is no directory" if obstacle else ""
        raise NotFoundError(f"{shown(public)} does not exist{why}", "make it first, or correct the path")
    if seen.kind is FileKind.LINK and not Walk(index, node, sight).reaches(place):
        raise NotFoundError(
            f"{shown(public)} is a symlink to {printable(seen.text)}, which does not exist",
            "correct the symlink first",
        )
    above = sight(parent_path(place))
    if above is not None and above.device != seen.device:
        raise UnsupportedError(
            f"{shown(public)} is on another file system than the directory it is in", "unmount it first"
        )
    return seen


def check_destination(look: Look, place: str, public: str) -> None:
    """Raises ConflictError when something is where data should go: left over, or a user's own file."""
    if look(place) is not None:
        raise ConflictError(
            f"{shown(place)} exists already, where the data of {shown(public)} belongs",
            f"it is not registered: look what it is and move it away, or see {command('rebuild')}",
        )


def registered(index: Index, src: str) -> Cdsl:
    """The CDSL at ``src``. Raises NotFoundError that names what is near."""
    if cdsl := index.by_src.get(src):
        return cdsl
    parent = index.parent(src)
    part = f", but part of {shown(parent.src)}, which is" if parent else ""
    raise NotFoundError(f"{shown(src)} is not a registered CDSL{part}", f"see {command('list')}")


def divergent(src: str, differing: Sequence[str], doing: str) -> ConflictError:
    """The nodes' copies differ and nobody said whose content is to win."""
    names = listed(map(printable, differing))
    who = f"node {names} has" if len(differing) == 1 else f"nodes {names} have"
    return ConflictError(
        f"{shown(src)} cannot be {doing}: what {who} there differs from the others'",
        "say whose content is to win with --from NODE; the others' is kept under .osrd/backup",
    )
