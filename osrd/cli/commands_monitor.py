# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl monitor``: what happens, as it happens."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from osrd.bus.names import MANAGER, ROOT
from osrd.cli import story
from osrd.cli.exits import Exit
from osrd.cli.session import Bus, Session, json_option, pass_session
from osrd.cli.text import jsonable

if TYPE_CHECKING:
    from osrd.bus.client import Signal


@click.command()
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N signals.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="End after S seconds.")
@json_option
@pass_session
def monitor(session: Session, count: int | None, timeout: float | None) -> Exit:
    """Print what happens, as it happens.

    Runs until Ctrl-C. With --count, ending by --timeout before N signals came exits with 1. With --json every
    signal is one object on one line.
    """

    async def work(bus: Bus) -> Exit:
        import asyncio

        try:
            async with asyncio.timeout(timeout):
                await _follow(bus, session, count)
        except TimeoutError:
            return Exit.OK if count is None else Exit.NEGATIVE
        return Exit.OK

    return session.run(work)


async def _follow(bus: Bus, session: Session, count: int | None) -> None:
    known = [] if session.json else await _findings(bus)
    seen = 0
    async for signal in bus.signals():
        now = datetime.now(UTC).astimezone()
        if session.json:
            click.echo(json.dumps(signal_object(signal, now)))
        else:
            told = list(story.lines(signal))
            if story.findings_change(signal):
                before, known = known, await _findings(bus)
                told += story.findings_told(before, known)
            for line in told:
                click.echo(f"{now:%H:%M:%S} {line}")
        seen += 1
        if seen == count:
            return


async def _findings(bus: Bus) -> list[Mapping[str, Any]]:
    return list((await bus.properties(ROOT, MANAGER))["Findings"])


def signal_object(signal: "Signal", now: datetime) -> dict[str, Any]:
    """A signal as ``--json`` shows it."""
    return {
        "time": now.isoformat(timespec="milliseconds"),
        "path": signal.path,
        "interface": signal.interface,
        "signal": signal.member,
        "arguments": jsonable(signal.arguments),
    }
