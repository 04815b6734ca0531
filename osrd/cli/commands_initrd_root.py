# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl initrd data, install``: what initrds are told, and osrd's files in a root in which they are built by hand
or by its package manager."""

import os
from typing import TYPE_CHECKING

import click

from osrd.cli import findings
from osrd.cli.exits import Exit
from osrd.cli.output import emit_json, emit_lines
from osrd.cli.root_option import on_root
from osrd.cli.session import Session, json_option, pass_session
from osrd.cli.shared_root import Where, read_configuration
from osrd.cli.text import safe
from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Severity
from osrd.model.settings import BootWay

if TYPE_CHECKING:
    from osrd.engine.initrdinstall import Prepared
    from osrd.plan.initrd.data import InitrdData

_DOES = {"create": "write", "replace": "update", "permit": "set the mode of", "remove": "remove"}

dry_run_option = click.option("-n", "--dry-run", is_flag=True, help="Show the changes, make none.")


@click.command()
@click.option(
    "-c", "--clusterconf", "--cluster-conf", metavar="FILE", default="", help="Take the nodes from this cluster.conf."
)
@click.option(
    "--root",
    metavar="DIR",
    default="/",
    type=click.Path(file_okay=False),
    help="The shared root that the initrds are for (/, inside of one).",
)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Write the files to this directory, not to /etc/osr/initrd of the root.",
)
@dry_run_option
@json_option
@pass_session
def data(session: Session, clusterconf: str, root: str, *, output: str | None, dry_run: bool) -> Exit:
    """Write what initrds are told of the cluster, for a dracut that is called by hand.

    Only what differs is written. The nodes are those of this host's cluster.conf that have no errors. Exits with 1
    when some node cannot be in an initrd.
    """
    from osrd.engine.initrdinstall import Elsewhere, InitrdInstall

    with InitrdInstall(os.path.abspath(root), read_configuration(session.configuration), clusterconf) as here:
        told = here.data(BootWay.FULL)
        _tell(session, told)
        if output is None:
            prepared = here.plan_data(told)
            if not dry_run:
                here.perform(prepared)
            _report(session, root, prepared, told, done=not dry_run)
            return _grade(told, prepared)
    with Elsewhere(os.path.abspath(output)) as there:
        prepared = there.plan(told)
        if not dry_run:
            there.perform(prepared)
        _report(session, output, prepared, told, done=not dry_run)
    return _grade(told, prepared)


@click.command()
@on_root
@click.option("--remove", is_flag=True, help="Take back what was installed, and nothing else.")
@dry_run_option
def install(session: Session, where: Where, *, remove: bool, dry_run: bool) -> Exit:
    """Put osrd's dracut modules into ROOT, so that dracut builds initrds for nodes in there.

    With them the data of the cluster and hooks for ROOT's kernel packages. osrd itself needs none of this: it is for
    building by hand, and for package managers that build initrds themselves. Only what differs is written; files of
    others are never replaced, and what somebody changed is kept.
    """
    from osrd.engine.initrdinstall import InitrdInstall
    from osrd.plan.initrd.data import InitrdData

    with InitrdInstall(where.path, where.settings, where.clusterconf) as here:
        if remove:
            told = InitrdData({})
            prepared = here.plan_removal()
        else:
            told = here.data(BootWay.FULL)
            _tell(session, told)
            prepared = here.plan(here.way, told)
        if not dry_run:
            here.perform(prepared)
    _report(session, where.path, prepared, told, done=not dry_run)
    return _grade(told, prepared)


def _tell(session: Session, told: "InitrdData") -> None:
    """What is left out, on standard error. Raises InvalidConfigError when that is everything."""
    if not told.files:
        found = told.findings[0]
        raise InvalidConfigError(found.message, found.fix)
    if not session.json:
        for line in findings.lines([findings.as_mapping(finding) for finding in told.findings]):
            click.echo(line, err=True)


def _grade(told: "InitrdData", prepared: "Prepared") -> Exit:
    """Warnings do not count: they describe what initrds do without."""
    left_out = any(finding.severity is Severity.ERROR for finding in told.findings)
    return Exit.NEGATIVE if left_out or prepared.steps.edited else Exit.OK


def _report(session: Session, path: str, prepared: "Prepared", told: "InitrdData", *, done: bool) -> None:
    from osrd.model.rootcare import Write
    from osrd.plan.rootcare.shown import difference

    steps = prepared.steps
    if session.json:
        emit_json(
            {
                "root": path,
                "changes": [{"action": step.verb.value, "path": step.path} for step in steps.steps],
                "done": done,
                "kept": steps.edited,
                "findings": [findings.as_mapping(finding) for finding in told.findings],
            }
        )
        return
    name = path.rstrip("/")
    lines = []
    for step in steps.steps:
        lines.append(f"{_DOES[step.verb]} {safe(f'{name}/{step.path}')}")
        if step.verb == "replace" and not done:
            lines += [f"    {safe(line)}" for line in difference(Write(step.path, step.was, step.data)).splitlines()]
    lines += [f"kept, since somebody changed it: {safe(f'{name}/{kept}')}" for kept in steps.edited]
    emit_lines(lines or ["nothing to do"])
