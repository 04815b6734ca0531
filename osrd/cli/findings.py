# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings for people and for scripts, in the one shape that the bus uses too (Manager.xml, Findings)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click

from osrd.cli.output import paint
from osrd.cli.text import safe
from osrd.model.finding import Finding, Severity

_ORDER = {severity.value: rank for rank, severity in enumerate(Severity)}


def as_mapping(finding: Finding) -> dict[str, Any]:
    """A finding with the keys it has on the bus; lines are 0 where the whole file is meant."""
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "fix": finding.fix,
        "node": finding.node,
        "attribute": finding.attribute,
        "value": finding.value,
        "file": finding.place.file if finding.place else "",
        "line": finding.place.line if finding.place else 0,
        "other": finding.other,
        "other_file": finding.other_place.file if finding.other_place else "",
        "other_line": finding.other_place.line if finding.other_place else 0,
    }


def in_order(findings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Errors first, then warnings; inside a severity in the order of the file."""
    return sorted(
        findings,
        key=lambda finding: (
            _ORDER.get(finding["severity"], len(_ORDER)),
            finding.get("file", ""),
            finding.get("line", 0),
        ),
    )


def lines(findings: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Each as ``file:line: severity: message [code]``, which editors and CI know how to jump to, then the way out."""
    for finding in in_order(findings):
        where = _place(finding.get("file", ""), finding.get("line", 0))
        prefix = f"{where}: " if where else ""
        yield f"{prefix}{paint(finding['severity'])}: {safe(finding['message'])} [{safe(finding['code'])}]"
        other = _place(finding.get("other_file", ""), finding.get("other_line", 0))
        if other:
            about = f": {safe(finding['other'])}" if finding.get("other") else ""
            yield f"    see also {other}{about}"
        if finding.get("fix"):
            yield f"    {click.style('fix', bold=True)}: {safe(finding['fix'])}"


def _place(file: str, line: int) -> str:
    return f"{safe(file)}:{line}" if file and line else safe(file)


def counted(findings: Iterable[Mapping[str, Any]]) -> str:
    """``2 errors, 1 warning``, or ``no findings``."""
    severities = [finding["severity"] for finding in findings]
    parts = []
    for severity in Severity:
        if number := severities.count(severity.value):
            word = severity.value if severity is not Severity.INFO else "note"
            parts.append(f"{number} {word}{'' if number == 1 else 's'}")
    return ", ".join(parts) or "no findings"
