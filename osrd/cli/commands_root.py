# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl root check, prepare, create``: from an installed system to a root that many nodes boot from."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from osrd.cli import findings
from osrd.cli.exits import Exit
from osrd.cli.output import can_ask, emit_json, emit_lines
from osrd.cli.progress import Report, reporting
from osrd.cli.root_option import on_root
from osrd.cli.session import Session, json_option, pass_session
from osrd.cli.shared_root import Where, Work, read_configuration
from osrd.cli.text import safe
from osrd.model.finding import Finding, Severity, worst

if TYPE_CHECKING:
    from osrd.engine.rootcare import Prepared, RootCare
    from osrd.engine.rootcreate import Created
    from osrd.plan.rootcare.preparation import Preparation

maxnodeidnum_option = click.option(
    "--maxnodeidnum",
    type=click.IntRange(0, 99999),
    default=0,
    metavar="N",
    help="The nodes are 1 to N, where neither cluster.conf nor an inventory says which.",
)


@click.group()
def root() -> None:
    """Judge, prepare and create root file systems that many nodes share."""


@root.command()
@on_root
@maxnodeidnum_option
def check(session: Session, where: Where, maxnodeidnum: int) -> Exit:
    """Say what keeps nodes from sharing ROOT, each with the repair. Nothing is written.

    Exits with 0 when there is nothing to do, 1 when there are only warnings, 2 when there are errors.
    """
    with _care(session, where, maxnodeidnum, lambda fraction, message: None) as care:
        found = care.check()
    if session.json:
        emit_json({"root": where.path, "findings": [findings.as_mapping(finding) for finding in found]})
    else:
        emit_lines(_judgement(where.path, found))
    return _grade(found)


@root.command()
@on_root
@maxnodeidnum_option
@click.option(
    "--only", "only", multiple=True, metavar="CODE", help="Only what findings with CODE are about; repeatable."
)
@click.option("--keep-networkmanager", is_flag=True, help="Let NetworkManager run, without the NIC of the root.")
@click.option("-n", "--dry-run", is_flag=True, help="Show the changes, make none.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def prepare(
    session: Session,
    where: Where,
    *,
    maxnodeidnum: int,
    only: Sequence[str],
    keep_networkmanager: bool,
    dry_run: bool,
    yes: bool,
) -> Exit:
    """Repair what `osrctl root check` finds, as far as that can be known.

    Shows each change and asks before the first. What was there before is kept in ROOT/.osrd/backup, and
    ROOT/.osrd/prepared.json lists what was changed. Exits like `osrctl root check` does afterwards.
    """
    with reporting(session) as report, _care(session, where, maxnodeidnum, report) as care:
        preparation = care.plan(only, keep_networkmanager=keep_networkmanager)
        if not session.json:
            emit_lines(_shown(preparation))
            about = {code for change in preparation.changes for code in change.codes}
            emit_lines(f"nothing to do about {safe(code)}" for code in only if code not in about)
        if dry_run:
            done = None
        elif preparation.changes and not _agreed(session, where, yes, len(preparation.changes)):
            return Exit.NEGATIVE
        else:
            done = care.perform(preparation)
        left = care.check()
    _report_prepared(session, where, preparation, done, left)
    return Exit.FAILED if done and done.failed else _grade(left)


@root.command()
@click.argument("source", type=click.Path())
@click.argument("root", metavar="ROOT", type=click.Path())
@click.option("-c", "--clusterconf", metavar="FILE", default="", help="Take the nodes from this cluster.conf.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATH",
    help="Leave PATH of SOURCE out, or with PATH/* what is in that directory; repeatable.",
)
@click.option("--continue", "go_on", is_flag=True, help="Go on with a copy that was interrupted.")
@json_option
@pass_session
def create(session: Session, source: str, root: str, *, clusterconf: str, exclude: Sequence[str], go_on: bool) -> Exit:
    """Copy the running system (SOURCE is /) or another root into the empty directory ROOT.

    One file system, and /boot, /usr and /var where they are others. Left out is what belongs to a running system
    (/proc, /sys, /dev, /run, /tmp), swap files, boot loaders, ROOT itself and the other roots of osrd.conf. Ends with
    `osrctl root check ROOT`.
    """
    from osrd.engine.rootcreate import create_root

    settings = read_configuration(session.configuration)
    others = [each.path for each in settings.roots if each.path]
    with reporting(session) as report:
        try:
            created = create_root(source, root, exclude, roots=others, go_on=go_on, progress=report)
        except KeyboardInterrupt:
            click.echo("interrupted; add --continue to the same command to go on", err=True)
            raise
    where = Where(os.path.abspath(root), settings=settings, clusterconf=clusterconf)
    with _care(session, where, 0, lambda fraction, message: None) as care:
        found = care.check()
    _report_created(session, where, created, found)
    return _grade(found)


@contextmanager
def _care(session: Session, where: Where, maxnodeidnum: int, report: Report) -> "Iterator[RootCare]":
    from osrd.engine.rootcare import RootCare, find_nodes

    nodes = find_nodes(where.path, where.settings, where.clusterconf, maxnodeidnum)
    work = Work(report)
    with RootCare(
        where.path, nodes, lambda: session.open_root(where.path, nodes.members, work), progress=report
    ) as care:
        yield care


def _grade(found: Sequence[Finding]) -> Exit:
    """Notes do not count, as for cluster.conf."""
    grades = {Severity.ERROR: Exit.USAGE, Severity.WARNING: Exit.NEGATIVE}
    return grades.get(worst(list(found)) or Severity.INFO, Exit.OK)


def _judgement(path: str, found: Sequence[Finding]) -> Iterator[str]:
    mappings = [findings.as_mapping(finding) for finding in found]
    yield from findings.lines(mappings)
    yield f"{safe(path)}: {findings.counted(mappings)}"


def _shown(preparation: "Preparation") -> Iterator[str]:
    """Every change, edits with their diffs."""
    from osrd.plan.rootcare.shown import difference, headline

    for change in preparation.changes:
        yield f"{safe(headline(change.repair))} [{', '.join(change.codes)}]"
        for line in difference(change.repair).splitlines():
            yield f"    {_coloured(line)}"


def _coloured(line: str) -> str:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    text = safe(line.replace("\t", "    "))
    colour = colours.get(line[:1])
    return click.style(text, fg=colour) if colour and not line.startswith(("+++", "---")) else text


def _agreed(session: Session, where: Where, yes: bool, number: int) -> bool:
    if yes:
        return True
    if session.json or not can_ask():
        raise click.UsageError("cannot ask without a terminal: add --yes, or --dry-run")
    changes = "this change" if number == 1 else f"these {number} changes"
    return click.confirm(f"Make {changes} in {where.path!r}?", default=False)


def _report_prepared(
    session: Session, where: Where, preparation: "Preparation", done: "Prepared | None", left: Sequence[Finding]
) -> None:
    from osrd.plan.rootcare.shown import as_mapping

    failed = done.failed if done else []
    if session.json:
        answer: dict[str, object] = {
            "root": where.path,
            "changes": [as_mapping(change) for change in preparation.changes],
            "done": done is not None,
            "failed": [{"text": entry.text, "path": entry.path, "error": entry.error} for entry in failed],
            "backup": done.backup if done else "",
            "record": done.record if done else "",
            "findings": [findings.as_mapping(finding) for finding in left],
        }
        emit_json(answer)
        return
    lines = [] if preparation.changes else ["nothing to do"]
    for entry in failed:
        lines.append(f"failed: {safe(entry.text)}: {safe(entry.error)}")
    if done and done.entries:
        lines.append(f"{len(done.entries) - len(failed)} of {len(done.entries)} changes made")
        lines.append(f"listed in {safe(os.path.join(where.path, done.record))}; to restore a file, move it back from")
        lines.append(f"    {safe(os.path.join(where.path, done.backup or '.osrd/backup'))}")
    emit_lines([*lines, *_judgement(where.path, left)])


def _report_created(session: Session, where: Where, created: "Created", found: Sequence[Finding]) -> None:
    if session.json:
        answer: dict[str, object] = {
            "root": where.path,
            "copied": created.copied,
            "left": created.left,
            "warnings": created.warnings,
            "findings": [findings.as_mapping(finding) for finding in found],
        }
        emit_json(answer)
        return
    lines = [f"copied {safe(place)}" for place in created.copied]
    lines += [f"not copied, a file system of its own: {safe(os.path.join(created.source, n))}" for n in created.left]
    lines += [f"warning: {safe(warning)}" for warning in created.warnings]
    emit_lines([*lines, *_judgement(where.path, found), f"next: osrctl root prepare {safe(where.path)}"])
