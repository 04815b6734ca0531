# SPDX-License-Identifier: GPL-3.0-or-later
"""Which node trees there should be (spec/cdsl.md 1.3)."""

from collections.abc import Iterable, Sequence

from osrd.model.cdsl import Inventory, Members
from osrd.model.errors import InvalidArgsError, NotFoundError
from osrd.model.layout import node_mistake
from osrd.plan.cdsl.words import listed, printable


def identities(inventory: Inventory, members: Members, explicit: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of the node trees: those in ``explicit``, else ``1..maxnodeidnum``, else the members of cluster.conf.
    None at all: ().

    Explicit ones may be written without the prefix, and must be known from one of these sources or the inventory: a
    typo must not become a node (spec/cdsl.md 2.1). Raises NotFoundError for those, InvalidArgsError for names that no
    directory can have and for a prefix together with names.
    """
    known = _known(inventory, members)
    if not explicit:
        return known
    listed_nodes = (node for cdsl in inventory.cdsls for node in cdsl.nodes)
    every = dict.fromkeys((*known, *listed_nodes))
    prefix = inventory.layout.prefix
    chosen = [node if node in every else f"{prefix}{node}" for node in explicit]
    if unknown := [node for node, name in zip(explicit, chosen, strict=True) if name not in every]:
        raise NotFoundError(
            f"no node is called {listed(map(printable, unknown))}; known are {listed(map(printable, every))}",
            "name a node of cluster.conf, or raise maxnodeidnum",
        )
    return tuple(dict.fromkeys(chosen))


def _known(inventory: Inventory, members: Members) -> tuple[str, ...]:
    prefix = inventory.layout.prefix
    if inventory.maxnodeidnum > 0:
        return _legal(inventory, (f"{prefix}{number}" for number in range(1, inventory.maxnodeidnum + 1)))
    if inventory.use_nodeids:
        return _legal(inventory, (f"{prefix}{node}" for node in members.ids))
    if prefix:
        raise InvalidArgsError(
            f'the prefix "{printable(prefix)}" of node directories needs node ids, but they are named by node names',
            "set use_nodeids to True, or node_prefix to nothing",
        )
    return _legal(inventory, members.names)


def _legal(inventory: Inventory, names: Iterable[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(names))
    check_nodes(inventory, found)
    return found


def check_nodes(inventory: Inventory, nodes: Iterable[str]) -> None:
    """Raises InvalidArgsError for a name that no node's tree can have."""
    for node in nodes:
        if mistake := node_mistake(node, inventory.layout):
            raise InvalidArgsError(
                f'no node can be called "{printable(node)}": it {mistake}', "give that node another name or id"
            )
