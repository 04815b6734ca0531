# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a job, watching it to its end, and saying how it ended."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from osrd.bus.names import MANAGER
from osrd.cli.exits import Exit, error_named
from osrd.cli.output import emit_json, emit_lines, paint
from osrd.cli.session import Bus, Session
from osrd.cli.text import safe, shown
from osrd.model.errors import FailedError
from osrd.model.job import JobState

Report = Callable[[float, str], None]


def run_job(session: Session, member: str, signature: str, *arguments: object) -> dict[str, Any]:
    """Call a Manager method that makes a job, wait for the job, and return its properties with ``Path`` added.

    Raises the error that the job failed with.
    """

    async def work(bus: Bus) -> dict[str, Any]:
        (path,) = await bus.call(MANAGER, member, signature, *arguments)
        with reporting(session) as report:
            return {"Path": path, **await bus.wait_job(path, report)}

    return ended_well(session.run(work))


def ended_well(job: dict[str, Any]) -> dict[str, Any]:
    """A job that ended. Raises the error that it failed with."""
    if job["State"] == JobState.FAILED:
        raise error_named(job.get("Error", ""), job["Message"] or f"{job['Kind']} failed")
    if job["State"] == JobState.CANCELLED:
        raise FailedError(f"{job['Kind']} was cancelled: {job['Message']}".removesuffix(": "))
    return job


@contextmanager
def reporting(session: Session) -> Iterator[Report]:
    """What to do with progress: a bar on a terminal, a line per message elsewhere, nothing with --json.

    All of it goes to standard error, so that standard output holds the result only.
    """
    if session.json:
        yield lambda fraction, message: None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield _line_per_message()


@contextmanager
def _bar() -> Iterator[Report]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    context = click.get_current_context(silent=True)
    no_color = True if context and context.color is False else None
    with Progress(console=Console(stderr=True, no_color=no_color), transient=True) as progress:
        task = progress.add_task("waiting", total=1.0)
        yield lambda fraction, message: progress.update(
            task, completed=fraction, description=escape(safe(message)) or "running"
        )


def _line_per_message() -> Report:
    last = ""

    def report(fraction: float, message: str) -> None:
        nonlocal last
        if message and message != last:
            last = message
            click.echo(f"{fraction:4.0%} {safe(message)}", err=True)

    return report


def job_object(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job as ``--json`` shows it."""
    return {
        "job": job["Path"],
        "kind": job["Kind"],
        "state": job["State"],
        "message": job["Message"],
        "target": job.get("Target", ""),
        "owner": job.get("Owner", 0),
        "result": job.get("Result", {}),
    }


def show_job(session: Session, job: Mapping[str, Any]) -> Exit:
    """Print how a job that did not fail ended."""
    if session.json:
        emit_json(job_object(job))
        return Exit.OK
    result = job.get("Result", {})
    facts = ", ".join(f"{key} {shown(result[key])}" for key in ("generation", "written", "removed") if key in result)
    head = f"{safe(job['Kind'])} {paint(job['State'])}"
    emit_lines(
        [
            f"{head}: {facts or safe(job['Message'])}".removesuffix(": "),
            *(f"    repaired: {shown(path)}" for path in result.get("drift", [])),
        ]
    )
    return Exit.OK
