# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose tree this host keeps mounted at the link of a shared root (osrd.conf(5), ``link``)."""

import re
from collections.abc import Sequence

from osrd.model.cdsl import Members
from osrd.model.settings import NO_LINK

_DIGITS = re.compile(r"(\d+)")


def wanted_tree(trees: Sequence[str], members: Members, prefix: str, link: str) -> str:
    """The directory name of the tree, "" for none. ``trees`` are those of the root's nodes, ``prefix`` what the
    layout puts before node ids; ``link`` is a tree, or the id or the name of a node, NO_LINK, or "" for the lowest.

    A ``link`` that is no node's is taken as it is: then the mount cannot be made, which is told.
    """
    if link == NO_LINK:
        return ""
    if not link:
        return min(trees, key=_natural, default="")
    if link in trees:
        return link
    ids = dict(zip(members.names, members.ids, strict=True))
    for spelling in (prefix + link, ids.get(link, link), prefix + ids.get(link, link), _name_of(members, link)):
        if spelling in trees:
            return spelling
    return link


def _name_of(members: Members, identity: str) -> str:
    names = dict(zip(members.ids, members.names, strict=True))
    return names.get(identity, "")


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """``node9`` comes before ``node10``."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name))
