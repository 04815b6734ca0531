# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting results on the screen: JSON for scripts, aligned columns for pipes, rich tables for terminals.

Colours follow the usual rules, decided once per run into click's context: on a terminal only, unless ``--no-color``,
NO_COLOR or TERM=dumb forbid them or FORCE_COLOR asks for them.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence

import click

from osrd.cli.text import jsonable, safe

#: Above this many rows a terminal gets plain columns too: rich lays out 10,000 rows in six seconds.
RICH_ROWS = 300

#: Words that deserve a colour wherever they stand alone in a cell.
COLOURS = {
    "error": "red",
    "warning": "yellow",
    "info": "cyan",
    "ready": "green",
    "running": "green",
    "ok": "green",
    "unknown": "yellow",
    "done": "green",
    "up": "green",
    "degraded": "yellow",
    "pinned": "yellow",
    "not-running": "yellow",
    "cancelled": "yellow",
    "config-invalid": "red",
    "failed": "red",
    "quarantined": "red",
}


def colour_rule(no_color: bool) -> bool | None:
    """What to tell click: True for always, False for never, None for on a terminal only."""
    if no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def is_terminal() -> bool:
    return sys.stdout.isatty()


def can_ask() -> bool:
    """Whether there is somebody to answer a question."""
    return sys.stdin.isatty()


def paint(word: str) -> str:
    """``word``, made safe, in its colour."""
    colour = COLOURS.get(word)
    return click.style(word, fg=colour) if colour else safe(word)


def emit_json(value: object) -> None:
    """One JSON value, in ASCII; indented for people, on one line for pipes."""
    click.echo(json.dumps(jsonable(value), indent=2 if is_terminal() else None))


def emit_lines(lines: Iterable[str]) -> None:
    """Lines that are safe already, in one write (a write per line costs a system call per node)."""
    text = "\n".join(lines)
    if text:
        click.echo(text)


def emit_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of foreign text. Pipes get columns that are never cut or folded; terminals may fold long cells."""
    if is_terminal() and len(rows) <= RICH_ROWS:
        _emit_rich(headers, rows)
        return
    cells = [list(headers), *([safe(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    emit_lines("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


def _emit_rich(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    context = click.get_current_context(silent=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(safe(cell), style=COLOURS.get(cell, "")) for cell in row))
    Console(no_color=True if context and context.color is False else None, highlight=False).print(table)
