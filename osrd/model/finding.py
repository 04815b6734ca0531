# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the inputs, as data: every finding says what, where, who else, and the way out (law 9)."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """ERROR quarantines the node (or freezes the output) it names; WARNING and INFO change nothing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file. Lines count from 1; 0 means that the whole file is meant."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, complete enough to act on without looking at anything else.

    ``code`` is stable and meant for scripts (``duplicate-mac``); ``node`` is the name of the node concerned
    or "" when the whole cluster, a file or a service is; ``other`` and ``other_place`` name the second party
    of a conflict; ``fix`` is an instruction in the imperative.
    """

    code: str
    severity: Severity
    message: str
    fix: str
    place: Place | None = None
    node: str = ""
    attribute: str = ""
    value: str = ""
    other: str = ""
    other_place: Place | None = None

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        also = f" (see also {self.other_place})" if self.other_place else ""
        return f"{where}{self.severity}: {self.message}{also}; {self.fix} [{self.code}]"


def worst(findings: "tuple[Finding, ...] | list[Finding]") -> Severity | None:
    """The highest severity among the findings, or None when there are none."""
    for severity in Severity:
        if any(finding.severity is severity for finding in findings):
            return severity
    return None
