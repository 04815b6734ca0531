# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl doctor``: what is wrong with this host, and how to mend it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from osrd.bus.names import MANAGER, ROOT
from osrd.cli import findings
from osrd.cli.exits import Exit, UnreachableError
from osrd.cli.output import emit_json, emit_lines, emit_table
from osrd.cli.session import Bus, Session, json_option, pass_session
from osrd.model.errors import OsrdError
from osrd.model.finding import Severity, worst

if TYPE_CHECKING:
    from osrd.model.host import Checked, Daemon


@click.command()
@json_option
@pass_session
@click.pass_context
def doctor(context: click.Context, session: Session) -> Exit:
    """Check this host: servers, firewall, SELinux, limits, packages, space.

    Works with and without the daemon, best as root, and changes nothing. Exits with 0 when all is well (notes do not
    count), 1 when there are only warnings, 2 when there are errors.
    """
    checks = _examined(context, session)
    found = [finding for check in checks for finding in check.findings]
    if session.json:
        emit_json(
            {
                "checks": [{"name": each.name, "result": each.result, "summary": each.summary} for each in checks],
                "findings": [findings.as_mapping(finding) for finding in found],
            }
        )
    else:
        _show(checks)
    grades = {Severity.ERROR: Exit.USAGE, Severity.WARNING: Exit.NEGATIVE}
    return grades.get(worst(found) or Severity.INFO, Exit.OK)


def _examined(context: click.Context, session: Session) -> "Sequence[Checked]":
    from osrd.apply.runner import SubprocessRunner
    from osrd.engine.doctor import examine

    source = context.find_root().get_parameter_source("config")
    required = source is not None and source is not click.core.ParameterSource.DEFAULT
    return examine(session.configuration, _daemon(session), SubprocessRunner(8 << 20), required=required)


def _daemon(session: Session) -> "Daemon":
    """What osrd says of itself, if it runs."""
    from osrd.model.host import Daemon

    async def work(bus: Bus) -> dict[str, Any]:
        return await bus.properties(ROOT, MANAGER)

    try:
        manager = session.run(work)
    except UnreachableError as error:
        return Daemon(error.message, "systemctl enable --now osrd")
    except OsrdError as error:
        return Daemon(f"osrd does not answer: {error.message}", error.fix or "systemctl status osrd")
    return Daemon("", "", manager["State"], manager["InSync"], manager["FindingsTotal"], manager["WatchMode"])


def _show(checks: "Sequence[Checked]") -> None:
    emit_table(("CHECK", "RESULT", "SEEN"), [(each.name, each.result, each.summary) for each in checks])
    mappings = [findings.as_mapping(finding) for check in checks for finding in check.findings]
    if mappings:
        emit_lines(("", *findings.lines(mappings)))
    emit_lines(("", findings.counted(mappings)))
