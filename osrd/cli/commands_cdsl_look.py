# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl cdsl``: looking at a shared root. Always on the disk itself, without a lock and without osrd."""

from collections.abc import Iterator
from typing import Any

import click

from osrd.cli import findings
from osrd.cli.exits import Exit
from osrd.cli.output import emit_json, emit_lines, emit_table
from osrd.cli.root_change import look
from osrd.cli.root_option import complete_cdsl, on_root
from osrd.cli.session import Session
from osrd.cli.shared_root import Root, Where, path_in_root
from osrd.cli.text import safe
from osrd.model.cdsl import Cdsl, CdslType, Inventory, Members
from osrd.model.finding import Severity


@click.command("list")
@on_root
def list_(session: Session, where: Where) -> Exit:
    """List what is host-dependent and what is shared."""

    def show(root: Root, _members: Members) -> Exit:
        inventory = root.inventory
        if session.json:
            emit_json({"root": where.path, "cdsls": [cdsl_object(one) for one in inventory.cdsls]})
        else:
            rows = [(f"/{one.src}", one.type.value, " ".join(one.nodes) or "all") for one in inventory.cdsls]
            emit_table(("PATH", "TYPE", "NODES"), rows)
        return Exit.OK

    return look(session, where, show)


def cdsl_object(one: Cdsl) -> dict[str, Any]:
    """A CDSL as ``--json`` shows it."""
    return {"path": one.src, "type": one.type.value, "nodes": one.nodes, "timestamp": one.timestamp}


@click.command("check")
@on_root
def check(session: Session, where: Where) -> Exit:
    """Compare disk, inventory and mounts.

    Exits with 1 when there are warnings or errors.
    """

    def show(root: Root, _members: Members) -> Exit:
        found = root.check()
        mappings = [findings.as_mapping(finding) for finding in found]
        if session.json:
            emit_json({"root": where.path, "findings": mappings})
        else:
            emit_lines([*findings.lines(mappings), f"{safe(where.path)}: {findings.counted(mappings)}"])
        return Exit.NEGATIVE if any(finding.severity is not Severity.INFO for finding in found) else Exit.OK

    return look(session, where, show)


@click.command("show")
@on_root
@click.argument("path", required=False, shell_complete=complete_cdsl)
def show(session: Session, where: Where, path: str | None) -> Exit:
    """Show the names and nodes of ROOT, or where the copies of PATH are."""

    def told(root: Root, _members: Members) -> Exit:
        if path is None:
            facts = root_object(where, root)
            lines = _root_lines(facts)
        else:
            facts = path_object(root.inventory, root.public("/" + path_in_root(where.path, path)), root.nodes)
            lines = _path_lines(facts)
        if session.json:
            emit_json(facts)
        else:
            emit_lines(lines)
        return Exit.OK

    return look(session, where, told)


def root_object(where: Where, root: Root) -> dict[str, Any]:
    """The infrastructure of a root as ``--json`` shows it."""
    inventory = root.inventory
    layout = inventory.layout
    return {
        "root": where.path,
        "name": where.name,
        "inventory": inventory.file,
        "tree": layout.tree,
        "shared": layout.shared,
        "link": layout.link,
        "default": layout.default,
        "prefix": layout.prefix,
        "maxnodeidnum": inventory.maxnodeidnum,
        "use_nodeids": inventory.use_nodeids,
        "nodes": root.nodes,
        "bound": root.bound,
        "cdsls": len(inventory.cdsls),
        "repositories": [repository.path for repository in inventory.repositories],
    }


def _root_lines(facts: dict[str, Any]) -> Iterator[str]:
    name = f" ({safe(facts['name'])})" if facts["name"] else ""
    yield f"Root:       {safe(facts['root'])}{name}"
    yield f"Inventory:  {safe(facts['inventory'])}, {facts['cdsls']} CDSLs"
    yield f"Node trees: {safe(facts['tree'])}, template {safe(facts['default'])}"
    yield f"Shared:     {safe(facts['shared'])}"
    yield f"Link:       {safe(facts['link'])}, mounted: {safe(facts['bound']) or 'nothing'}"
    source = f" (1 to {facts['maxnodeidnum']})" if facts["maxnodeidnum"] else ""
    yield f"Nodes:      {safe(' '.join(facts['nodes'])) or 'none'}{source}"
    for path in facts["repositories"]:
        yield f"Below:      {safe(path)}, with an inventory of its own"


def path_object(inventory: Inventory, public: str, nodes: tuple[str, ...]) -> dict[str, Any]:
    """Where what programs open as ``public`` is, per node, as ``--json`` shows it."""
    from osrd.plan.cdsl.paths import locate, parent_of

    one = inventory.get(public) or parent_of(inventory, public)
    dependent = one is not None and one.type is CdslType.HOSTDEPENDENT
    having = (*(one.nodes or nodes), inventory.layout.default) if one and dependent else ("",)
    return {
        "path": public,
        "type": one.type.value if one else "plain",
        "cdsl": cdsl_object(one) if one else None,
        "copies": {node: locate(inventory, public, node) for node in having},
    }


def _path_lines(facts: dict[str, Any]) -> Iterator[str]:
    yield f"Path:       /{safe(facts['path'])}"
    by = f", by /{safe(facts['cdsl']['path'])}" if facts["cdsl"] else ""
    yield f"Type:       {safe(facts['type'])}{by}"
    for node, place in facts["copies"].items():
        yield f"Copy:       {safe(place)}{f' (node {safe(node)})' if node else ''}"
