# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl: the command, its global options, and the border where errors become text and exit statuses."""

import io
import json
import sys
from typing import Any

import click

from osrd import __version__
from osrd.cli.commands_cdsl import cdsl
from osrd.cli.commands_check import check
from osrd.cli.commands_doctor import doctor
from osrd.cli.commands_edit import node
from osrd.cli.commands_initrd import initrd
from osrd.cli.commands_monitor import monitor
from osrd.cli.commands_nodes import nodes, show
from osrd.cli.commands_plan import apply, plan, reconcile, reload, rollback, verify
from osrd.cli.commands_root import root
from osrd.cli.commands_shell import shell
from osrd.cli.commands_status import cancel, generations, jobs, status
from osrd.cli.completion import PROGRAM, completion
from osrd.cli.exits import Exit, status_of
from osrd.cli.output import colour_rule
from osrd.cli.session import Session, json_option
from osrd.cli.streams import discard_output, flush_or_discard, open_standard_streams, reason
from osrd.cli.text import jsonable, safe
from osrd.model.errors import FailedError, OsrdError

#: The last part of the polkit action of commands that do more than read (data/dbus/*.xml).
_ACTIONS = {
    "apply": "reconcile",
    "cancel": "reconcile",
    "node": "manage-nodes",
    "reconcile": "reconcile",
    "reload": "reconcile",
    "rollback": "rollback",
    "verify": "verify",
}


class Border(click.Group):
    """The one place where errors are caught. Commands return their exit status and raise everything else."""

    def invoke(self, ctx: click.Context) -> None:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except OsrdError as error:
            result = _report(ctx, error)
        except BrokenPipeError:
            discard_output()
            result = Exit.BROKEN_PIPE
        except OSError as error:
            flush_or_discard()
            result = _report(ctx, FailedError(reason(error)))
        except (KeyboardInterrupt, EOFError, click.Abort):
            result = Exit.INTERRUPTED
        except UnicodeEncodeError as error:
            # Strings of the bus are UTF-8; a shell can pass any bytes.
            raise click.UsageError(f"{safe(error.object)!r} is not UTF-8") from error
        ctx.exit(int(result or Exit.OK))


def _report(ctx: click.Context, error: OsrdError) -> Exit:
    """Print ``error`` on standard error, as JSON when JSON was asked for."""
    name, status = status_of(error)
    fix = error.fix
    if status is Exit.NOT_AUTHORIZED:
        action = f"org.opensharedroot.osrd.{_ACTIONS.get(ctx.invoked_subcommand or '', 'read')}"
        fix = fix or f"become root, or have polkit allow you {action} (osrctl(8), AUTHORIZATION)"
    if ctx.ensure_object(Session).json:
        answer: dict[str, Any] = {"name": name, "message": error.message, "fix": fix, "exit": int(status)}
        click.echo(json.dumps({"error": jsonable(answer)}), err=True)
        return status
    click.echo(f"{PROGRAM}: {click.style('error', fg='red')}: {safe(error.message)}", err=True)
    if fix:
        click.echo(f"    {click.style('fix', bold=True)}: {safe(fix)}", err=True)
    return status


@click.group(cls=Border, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--bus", metavar="ADDRESS", help="The bus that osrd is on, when it is not the system bus.")
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Another osrd.conf, for the names of roots and for what is done without the daemon.",
)
@click.option("--no-color", is_flag=True, help="No colours, on a terminal either (like NO_COLOR in the environment).")
@json_option
@click.version_option(__version__, prog_name=PROGRAM)
@click.pass_context
def osrctl(ctx: click.Context, bus: str | None, config: str | None, no_color: bool) -> None:
    """See and steer osrd, the Open Sharedroot daemon."""
    ctx.color = colour_rule(no_color)
    session = ctx.ensure_object(Session)
    session.address = bus
    session.configuration = config or session.configuration
    # A name in another encoding than the terminal's must not end in UnicodeEncodeError.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


for _command in (
    status,
    nodes,
    show,
    node,
    plan,
    apply,
    reconcile,
    verify,
    generations,
    rollback,
    reload,
    jobs,
    cancel,
    monitor,
    check,
    doctor,
    cdsl,
    initrd,
    root,
    shell,
    completion,
):
    osrctl.add_command(_command)


def main() -> None:
    """The console script."""
    open_standard_streams()
    osrctl(prog_name=PROGRAM, complete_var="_OSRCTL_COMPLETE")


if __name__ == "__main__":
    main()
