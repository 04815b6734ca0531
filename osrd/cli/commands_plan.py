# SPDX-License-Identifier: GPL-3.0-or-later
"""What would be published, and publishing it: plan, apply, reconcile, verify, rollback, reload."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from osrd.bus.names import MANAGER, ROOT
from osrd.cli.exits import Exit
from osrd.cli.output import can_ask, emit_json, emit_lines, paint
from osrd.cli.progress import job_object, run_job, show_job
from osrd.cli.session import Bus, Session, json_option, pass_session
from osrd.cli.text import safe, shown
from osrd.model.view import State

Actions = Sequence[Mapping[str, Any]]


@click.command()
@click.option("--diff", is_flag=True, help="Show what changes in each text file as a unified diff.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when there is something to do.")
@json_option
@pass_session
def plan(session: Session, diff: bool, exit_code: bool) -> Exit:
    """Show what a run would do now; nothing is written."""

    async def work(bus: Bus) -> tuple[str, Actions]:
        return await _plan(bus, diff)

    digest, actions = session.run(work)
    if session.json:
        emit_json({"digest": digest, "actions": actions})
    else:
        emit_lines(_plan_lines(digest, actions))
    return Exit.NEGATIVE if exit_code and actions else Exit.OK


async def _plan(bus: Bus, diff: bool) -> tuple[str, Actions]:
    digest, actions = await bus.call(MANAGER, "Plan", "a{sv}", {"diff": True} if diff else {})
    return digest, actions


def _plan_lines(digest: str, actions: Actions) -> Iterator[str]:
    for action in actions:
        about = f" for {safe(action['node'])}" if action.get("node") else ""
        yield f"{safe(action['action'])} {shown(action['target'])}{about} ({safe(action['reason'])})"
        for line in action.get("diff", "").splitlines():
            yield _diff_line(line)
    count = len(actions)
    if actions:
        yield f"{count} action{'' if count == 1 else 's'}: osrctl apply --plan {safe(digest)}"
    else:
        yield "nothing to do"


def _diff_line(line: str) -> str:
    for start, style in _DIFF_STYLES:
        if line.startswith(start):
            return "    " + click.style(safe(line), **style)
    return "    " + safe(line)


_DIFF_STYLES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("+++", {"bold": True}),
    ("---", {"bold": True}),
    ("@@", {"fg": "cyan"}),
    ("+", {"fg": "green"}),
    ("-", {"fg": "red"}),
)


#: While a generation is held, the plan only restores that generation; what the inputs say comes with the apply.
_END_OF_HOLD = "a rollback is held: applying ends that and publishes what the inputs say now"


@click.command()
@click.option("--plan", "digest", metavar="DIGEST", help="Apply the plan with this digest, or fail with a conflict.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def apply(session: Session, digest: str | None, yes: bool) -> Exit:
    """Show the plan, ask, and apply exactly that.

    Ends the hold of a rollback. When the inputs moved since the plan was shown, nothing is done and the exit status
    is 7. With --plan nothing is shown or asked: whoever has the digest has seen the plan.
    """
    if digest is not None:
        return show_job(session, run_job(session, "Apply", "sa{sv}", digest, {}))
    asks = not yes
    if asks and (session.json or not can_ask()):
        raise click.UsageError("cannot ask without a terminal: add --yes, or --plan DIGEST as `osrctl plan` shows it")

    async def work(bus: Bus) -> tuple[bool, str, Actions]:
        held = (await bus.properties(ROOT, MANAGER))["State"] == State.PINNED
        return held, *await _plan(bus, diff=False)

    held, digest, actions = session.run(work)
    if not session.json:
        emit_lines([_END_OF_HOLD] if held else [])
        emit_lines(_plan_lines(digest, actions) if actions or not held else [])
    if not actions and not held:
        if session.json:
            emit_json(job_object({"Path": None, "Kind": "apply", "State": "done", "Message": "nothing to do"}))
        return Exit.OK
    # Asked between two connections: asyncio would keep the first Ctrl-C from ending the question.
    if asks and not click.confirm("Apply it?", default=False):
        return Exit.NEGATIVE
    return show_job(session, run_job(session, "Apply", "sa{sv}", digest, {}))


@click.command()
@json_option
@pass_session
def reconcile(session: Session) -> Exit:
    """Compare what should be with what is; repair."""
    return show_job(session, run_job(session, "Reconcile", "a{sv}", {}))


@click.command()
@json_option
@pass_session
def verify(session: Session) -> Exit:
    """Read and hash all inputs and outputs; write nothing.

    Exits with 1 when something is stale.
    """
    job = run_job(session, "Verify", "a{sv}", {})
    stale = [path for key in ("stale", "drift") for path in job.get("Result", {}).get(key, [])]
    if session.json:
        emit_json({**job_object(job), "stale": stale})
    elif stale:
        emit_lines([*(f"{paint('warning')}: {shown(path)} is stale" for path in stale), "repair: osrctl reconcile"])
    else:
        emit_lines(["everything published is what the inputs say"])
    return Exit.NEGATIVE if stale else Exit.OK


@click.command()
@click.argument("generation", type=click.IntRange(1, 2**64 - 1))
@json_option
@pass_session
def rollback(session: Session, generation: int) -> Exit:
    """Publish GENERATION again and hold it.

    The hold ends when the inputs change or somebody applies.
    """
    return show_job(session, run_job(session, "Rollback", "ta{sv}", generation, {}))


@click.command()
@json_option
@pass_session
def reload(session: Session) -> Exit:
    """Read osrd.conf and the templates again.

    Its drop-ins too; then reconcile.
    """
    return show_job(session, run_job(session, "Reload", "a{sv}", {}))
