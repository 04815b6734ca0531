# SPDX-License-Identifier: GPL-3.0-or-later
"""``osrctl check FILE``: judge a cluster.conf offline, like a compiler would."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from osrd.cli import findings
from osrd.cli.exits import Exit
from osrd.cli.output import emit_json, emit_lines
from osrd.cli.session import Session, json_option, pass_session
from osrd.cli.text import safe
from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding, Severity, worst

if TYPE_CHECKING:
    from osrd.model.cluster import Cluster


@dataclass(frozen=True, slots=True)
class _Judgement:
    file: str
    nodes: int
    findings: tuple[Finding, ...]
    quarantined: tuple[str, ...]  # names, in the order of the file

    @property
    def exit(self) -> Exit:
        """Notes do not count: they describe, they ask for nothing."""
        grades = {Severity.ERROR: Exit.USAGE, Severity.WARNING: Exit.NEGATIVE}
        return grades.get(worst(self.findings) or Severity.INFO, Exit.OK)


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--schema", is_flag=True, help="Validate against the RELAX NG schema cluster.rng too.")
@json_option
@pass_session
def check(session: Session, file: str, schema: bool) -> Exit:
    """Check a cluster.conf without osrd.

    FILE may be - for standard input. Exits with 0 when it is clean, 1 when there are only warnings, 2 when there
    are errors, 3 when FILE cannot be read or is no cluster.conf.
    """
    judgement = _judge(file, schema)
    if session.json:
        emit_json(
            {
                "file": judgement.file,
                "findings": [findings.as_mapping(finding) for finding in judgement.findings],
                "quarantined": judgement.quarantined,
                "nodes": judgement.nodes,
            }
        )
    else:
        emit_lines(_report(judgement))
    return judgement.exit


def _judge(file: str, schema: bool) -> _Judgement:
    from osrd.parse.clusterconf import parse_cluster
    from osrd.parse.elements import MAX_SIZE
    from osrd.parse.validation import Validator

    data = _read(file, MAX_SIZE)
    name = "<stdin>" if file == "-" else file
    cluster: Cluster = parse_cluster(data, name)
    verdict = Validator().judge(cluster)
    found = verdict.findings
    if schema:
        from osrd.cli.schema import schema_findings

        found = (*found, *schema_findings(data, name))
    quarantined = tuple(cluster.nodes[index].name for index in sorted(verdict.quarantined))
    return _Judgement(name, len(cluster.nodes), tuple(found), quarantined)


def _read(file: str, limit: int) -> bytes:
    """All of FILE, which may be a pipe or a device. Raises InvalidConfigError, for more than ``limit`` bytes too."""
    try:
        with click.open_file(file, "rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise InvalidConfigError(f"{file}: cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise InvalidConfigError(f"{file}: is longer than {limit} bytes", "check that this is a cluster.conf")
    assert isinstance(data, bytes)
    return data


def _report(judgement: _Judgement) -> Iterator[str]:
    mappings = [findings.as_mapping(finding) for finding in judgement.findings]
    yield from findings.lines(mappings)
    nodes = f"{judgement.nodes} node{'' if judgement.nodes == 1 else 's'}"
    held = f", {len(judgement.quarantined)} quarantined" if judgement.quarantined else ""
    yield f"{safe(judgement.file)}: {nodes}{held}: {findings.counted(mappings)}"
