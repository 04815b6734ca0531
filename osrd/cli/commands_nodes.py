# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at nodes: nodes, show."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from osrd.bus.names import MANAGER, NODE
from osrd.cli import findings
from osrd.cli.completion import complete_node
from osrd.cli.output import emit_json, emit_lines, emit_table, paint
from osrd.cli.session import Bus, Session, json_option, pass_session
from osrd.cli.text import local_time, safe, shown
from osrd.model.address import normalised_mac
from osrd.model.errors import NotFoundError


@click.command()
@click.option("-w", "--wide", is_flag=True, help="Add addresses, hardware addresses, root and boot way.")
@json_option
@pass_session
def nodes(session: Session, wide: bool) -> None:
    """List the nodes in the order of cluster.conf."""
    if wide:
        _nodes_wide(session)
    else:
        _nodes_brief(session)


def _nodes_brief(session: Session) -> None:
    async def work(bus: Bus) -> list[Any]:
        (rows,) = await bus.call(MANAGER, "ListNodes", "a{sv}", {})
        return list(rows)

    rows = session.run(work)
    if session.json:
        keys = ("path", "id", "name", "boot_state", "quarantined")
        emit_json({"nodes": [dict(zip(keys, row, strict=True)) for row in rows]})
        return
    emit_table(
        ("ID", "NAME", "BOOT", "STATE"),
        [(id_, name, boot, _held(quarantined)) for _, id_, name, boot, quarantined in rows],
    )


def _nodes_wide(session: Session) -> None:
    async def work(bus: Bus) -> tuple[list[Any], dict[str, dict[str, dict[str, Any]]]]:
        (rows,) = await bus.call(MANAGER, "ListNodes", "a{sv}", {})
        return list(rows), await bus.managed_objects()

    rows, objects = session.run(work)
    # ListNodes has the order; a node removed between the two calls is left out.
    views = [(path, objects[path][NODE]) for path, *_ in rows if NODE in objects.get(path, {})]
    if session.json:
        emit_json({"nodes": [node_object(path, view) for path, view in views]})
        return
    headers = ("ID", "NAME", "ADDRESS", "MAC", "ROOT", "MODE", "BOOT", "STATE")
    emit_table(headers, [_wide_row(view) for _, view in views])


def _wide_row(view: Mapping[str, Any]) -> Sequence[str]:
    nics = [nic for nic in view["Nics"] if nic.get("boots")] or view["Nics"][:1]
    root = view["Root"]
    return (
        view["Id"],
        view["Name"],
        " ".join(nic["ip"] for nic in nics if nic["ip"]),
        " ".join(nic["mac"] for nic in nics if nic["mac"]),
        root.get("section") or root.get("name", ""),
        view["BootMode"],
        view["BootState"],
        _held(view["Quarantined"]),
    )


def _held(quarantined: bool) -> str:
    return "quarantined" if quarantined else "ok"


def node_object(path: str, view: Mapping[str, Any]) -> dict[str, Any]:
    """A node as ``--json`` shows it."""
    return {
        "path": path,
        "id": view["Id"],
        "name": view["Name"],
        "votes": view["Votes"],
        "boot_state": view["BootState"],
        "boot_state_since": view["BootStateSince"],
        "boot_mode": view["BootMode"],
        "quarantined": view["Quarantined"],
        "root": view["Root"],
        "nics": view["Nics"],
        "findings": view["Findings"],
    }


@click.command()
@click.argument("node", shell_complete=complete_node)
@json_option
@pass_session
def show(session: Session, node: str) -> None:
    """Show everything about NODE.

    NODE is an id, a name or a hardware address.
    """

    async def work(bus: Bus) -> tuple[str, dict[str, Any]]:
        path = await find_node(bus, node)
        return path, await bus.properties(path, NODE)

    path, view = session.run(work)
    if session.json:
        emit_json(node_object(path, view))
    else:
        emit_lines(_node_lines(path, view))


async def find_node(bus: Bus, key: str) -> str:
    """The object path of the node with this id or name or, failing that, hardware address. Raises NotFoundError."""
    try:
        (path,) = await bus.call(MANAGER, "GetNode", "sa{sv}", key, {})
    except NotFoundError:
        # Names come first: a node may well be called deadbeef0001.
        if normalised_mac(key) is None:
            raise
        (path,) = await bus.call(MANAGER, "GetNodeByMac", "sa{sv}", key, {})
    return str(path)


def _node_lines(path: str, view: Mapping[str, Any]) -> Iterator[str]:
    state = paint("quarantined") if view["Quarantined"] else "ok"
    yield f"Node:       {safe(view['Name'])} (id {safe(view['Id']) or 'missing'}), {state}"
    yield f"Votes:      {view['Votes']}"
    since = f" since {local_time(view['BootStateSince'])}" if view["BootStateSince"] else ""
    yield f"Boot:       {safe(view['BootMode'])}, state {paint(view['BootState'])}{since}"
    yield f"Root:       {_facts(view['Root'], first='name')}"
    for nic in view["Nics"]:
        yield f"NIC:        {_facts(nic, first='name')}"
    yield f"Object:     {safe(path)}"
    if view["Findings"]:
        yield ""
        yield from findings.lines(view["Findings"])


def _facts(mapping: Mapping[str, Any], first: str) -> str:
    """``eth0: mac 00:..., ip 10.0.0.1``: what is set, the flags by their name alone."""
    facts = [
        key if value is True else f"{key} {shown(value)}"
        for key, value in mapping.items()
        if key != first and value not in ("", False)
    ]
    return f"{shown(mapping.get(first, ''))}: {', '.join(facts)}".removesuffix(": ")
