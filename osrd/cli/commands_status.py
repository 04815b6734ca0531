# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon at a glance: status, generations, jobs; and cancel."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from osrd.bus.names import JOB, MANAGER, ROOT
from osrd.cli import findings
from osrd.cli.exits import Exit
from osrd.cli.output import emit_json, emit_lines, emit_table, paint
from osrd.cli.session import Bus, Session, json_option, pass_session
from osrd.cli.text import local_time, safe
from osrd.model.view import State

#: How many findings fit on the one screen of ``status``.
FIRST_FINDINGS = 5

#: What a state means where its name does not say it.
_HINTS = {
    State.INVALID: "; the last good state is still served",
    State.PINNED: "; a rollback is held until the inputs change or `osrctl apply`",
}


@click.command()
@click.option("--exit-code", is_flag=True, help="Exit with 1 unless the state is ready and everything is in sync.")
@json_option
@pass_session
def status(session: Session, exit_code: bool) -> Exit:
    """Show osrd and the first findings on one screen."""

    async def work(bus: Bus) -> tuple[dict[str, Any], int]:
        (nodes,) = await bus.call(MANAGER, "ListNodes", "a{sv}", {})
        return await bus.properties(ROOT, MANAGER), sum(node[4] for node in nodes)

    manager, quarantined = session.run(work)
    if session.json:
        emit_json(_status_object(manager, quarantined))
    else:
        emit_lines(_status_lines(manager, quarantined))
    return Exit.OK if not exit_code or (manager["State"] == State.READY and manager["InSync"]) else Exit.NEGATIVE


def _status_object(manager: Mapping[str, Any], quarantined: int) -> dict[str, Any]:
    return {
        "state": manager["State"],
        "in_sync": manager["InSync"],
        "generation": manager["Generation"],
        "cluster": manager["ClusterName"],
        "config_version": manager["ConfigVersion"],
        "nodes": manager["NodeCount"],
        "quarantined": quarantined,
        "dhcp": manager["DhcpState"],
        "nfs": manager["NfsState"],
        "watch": manager["WatchMode"],
        "version": manager["Version"],
        "findings_total": manager["FindingsTotal"],
        "findings": manager["Findings"],
    }


def _status_lines(manager: Mapping[str, Any], quarantined: int) -> Iterator[str]:
    known = findings.in_order(manager["Findings"])
    total = manager["FindingsTotal"]
    in_sync = "in sync" if manager["InSync"] else "not in sync"
    held = f" ({click.style(f'{quarantined} quarantined', fg='red')})" if quarantined else ""
    yield f"State:      {paint(manager['State'])}, {in_sync}{_HINTS.get(manager['State'], '')}"
    yield f"Cluster:    {_cluster(manager)}"
    yield f"Generation: {manager['Generation'] or 'none published yet'}"
    yield f"Nodes:      {manager['NodeCount']}{held}"
    yield f"DHCP:       {paint(manager['DhcpState'])}"
    yield f"NFS:        {paint(manager['NfsState'])}"
    yield f"Watching:   {safe(manager['WatchMode'])}"
    yield f"Version:    osrd {safe(manager['Version'])}"
    yield f"Findings:   {findings.counted(known) if total == len(known) else total}"
    if known:
        yield ""
        yield from findings.lines(known[:FIRST_FINDINGS])
    if total > FIRST_FINDINGS:
        yield f"... and {total - FIRST_FINDINGS} more: osrctl --json status"


def _cluster(manager: Mapping[str, Any]) -> str:
    if not (manager["ClusterName"] or manager["ConfigVersion"]):
        return "none yet"
    return f"{safe(manager['ClusterName'])}, config_version {manager['ConfigVersion']}"


@click.command()
@json_option
@pass_session
def generations(session: Session) -> None:
    """List what can be rolled back to, newest first."""

    async def work(bus: Bus) -> list[Any]:
        (rows,) = await bus.call(MANAGER, "ListGenerations", "a{sv}", {})
        return list(rows)

    rows = session.run(work)
    if session.json:
        emit_json({"generations": rows})
        return
    emit_table(
        ("GENERATION", "WHEN", "CONFIG", "WRITTEN", "REMOVED", "REASON", ""),
        [
            (
                str(row["number"]),
                local_time(row["when"]),
                str(row["config_version"]),
                str(row["written"]),
                str(row["removed"]),
                row["reason"],
                " ".join(flag for flag in ("current", "pinned") if row.get(flag)),
            )
            for row in rows
        ],
    )


@click.command()
@json_option
@pass_session
def jobs(session: Session) -> None:
    """List jobs that run or ended a moment ago.

    An ended job stays for a minute.
    """

    async def work(bus: Bus) -> list[Any]:
        (rows,) = await bus.call(MANAGER, "ListJobs", "a{sv}", {})
        return list(rows)

    rows = session.run(work)
    if session.json:
        keys = ("job", "kind", "state", "progress", "message")
        emit_json({"jobs": [dict(zip(keys, row, strict=True)) for row in rows]})
        return
    emit_table(
        ("JOB", "KIND", "STATE", "PROGRESS", "MESSAGE"),
        [
            (path.rpartition("/")[2], kind, state, f"{progress:.0%}", message)
            for path, kind, state, progress, message in rows
        ],
    )


@click.command()
@click.argument("job")
@json_option
@pass_session
def cancel(session: Session, job: str) -> None:
    """Cancel JOB while it still waits, one of a shared root also while it runs.

    JOB is a number or an object path.
    """
    number = job.removeprefix(f"{ROOT}/jobs/")
    if not (number.isascii() and number.isdigit()):
        raise click.BadParameter(f"{job!r} is no job", param_hint="JOB")
    path = f"{ROOT}/jobs/{number}"

    async def work(bus: Bus) -> None:
        await bus.call(JOB, "Cancel", "a{sv}", {}, path=path)

    session.run(work)
    if session.json:
        emit_json({"job": path, "cancelled": True})
    else:
        emit_lines([f"job {number} cancelled"])
