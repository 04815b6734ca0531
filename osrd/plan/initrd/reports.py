# SPDX-License-Identifier: GPL-3.0-or-later
"""What node reports mean: whose tree is whose, how far a node is."""

from collections.abc import Mapping

from osrd.model.cdsl import Inventory, Members
from osrd.model.errors import OsrdError
from osrd.model.image import NodeReport
from osrd.model.view import BootState
from osrd.plan.cdsl.nodes import identities


def report_trees(inventory: Inventory, members: Members) -> Mapping[str, str]:
    """The name of each node to the name of its directory in the tree, where its report is. By the inventory's own rule
    of names; nodes that have no tree are left out."""
    try:
        trees = set(identities(inventory, members))
    except OsrdError:
        return {}  # the inventory's own findings say so
    by_id = inventory.use_nodeids or inventory.maxnodeidnum > 0
    names = {
        name: f"{inventory.layout.prefix}{identity}" if by_id else name
        for name, identity in zip(members.names, members.ids, strict=True)
    }
    return {name: tree for name, tree in names.items() if tree in trees}


def boot_state(report: NodeReport | None) -> BootState:
    """How far a node is, as it said itself. UP means that it was up when it said so: nothing tells that it went down
    before it boots again."""
    if report is None:
        return BootState.UNKNOWN
    return BootState.UP if report.step == "up" else BootState.ROOT
