# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the disk what the inventory says, without losing anything: links, trees and copies come back, no entry is
forgotten, and a real object where a link should be becomes a backup."""

from collections.abc import Sequence

from osrd.model.cdsl import Inventory
from osrd.model.transaction import Transaction
from osrd.plan.cdsl.builder import Builder
from osrd.plan.cdsl.index import index_of
from osrd.plan.cdsl.infrastructure import add_infrastructure
from osrd.plan.cdsl.restoring import complete, outermost_first, relink
from osrd.plan.cdsl.sight import Look


def repair(inventory: Inventory, nodes: Sequence[str], look: Look, when: str) -> Transaction | None:
    """For ``nodes`` and the template (without nodes: for all that the inventory lists); None when nothing is amiss
    that can be repaired. Data that exists nowhere stays missing, and check goes on telling of it."""
    index = index_of(inventory)
    listed_nodes = dict.fromkeys(node for cdsl in inventory.cdsls for node in cdsl.nodes)
    chosen = tuple(nodes or listed_nodes)
    builder = Builder(index, look, when)
    lines = add_infrastructure(builder, chosen)
    holders = {*chosen, inventory.layout.default}
    for cdsl in outermost_first(inventory.cdsls):
        lines += complete(builder, cdsl, holders)
        lines += relink(builder, cdsl, holders)
    return builder.done("repair CDSLs", lines=lines)
