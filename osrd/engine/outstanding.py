# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known to be wrong with the outputs, from one run to the next.

A run with hints sees a part of the outputs only. So that its silence about the others is not taken for health, every
run looks at all paths that are outstanding, whatever woke it; then what it says about them is the truth.
"""

from collections.abc import Collection

from osrd.apply.publish import PublishResult
from osrd.model.errors import OsrdError
from osrd.model.finding import Finding, Severity
from osrd.model.plan import Plan, Remove, Write


class Outstanding:
    """Paths that are not as they should be, and the findings that say why."""

    def __init__(self) -> None:
        self._planning: tuple[Finding, ...] = ()
        self._publishing: tuple[Finding, ...] = ()
        self._recovery: tuple[Finding, ...] = ()
        self._kept_back: frozenset[str] = frozenset()

    @property
    def paths(self) -> frozenset[str]:
        """What the next run has to look at again."""
        blocked = {finding.value for finding in self._planning if finding.severity is Severity.ERROR}
        return self._kept_back | (blocked - {""})

    @property
    def findings(self) -> tuple[Finding, ...]:
        return (*self._recovery, *self._publishing, *self._planning)

    def recovered(self, findings: tuple[Finding, ...]) -> None:
        """An interrupted run was settled."""
        self._recovery = findings or self._recovery

    def planned(self, plan: Plan, looked_at: Collection[str], *, full: bool) -> None:
        """``plan`` was made from what is at the paths ``looked_at``, in a ``full`` run from all there are."""
        kept = () if full else tuple(finding for finding in self._planning if finding.value not in looked_at)
        self._planning = (*kept, *plan.findings)

    def published(self, result: PublishResult) -> None:
        self._publishing = result.findings
        self._kept_back = frozenset(result.kept_back)

    def nothing_to_do(self, looked_at: Collection[str], *, full: bool) -> None:
        """The outputs that were looked at are as they should be."""
        self._kept_back = frozenset()
        if full:
            self._publishing = self._recovery = ()
        else:
            self._publishing = tuple(finding for finding in self._publishing if finding.value not in looked_at)

    def failed(self, plan: Plan, error: OsrdError) -> None:
        """The host was in trouble while ``plan`` was carried out, or before."""
        fix = error.fix or "osrd tries again; nothing published was harmed"
        self._publishing = (Finding("publish-failed", Severity.ERROR, error.message, fix),)
        self._kept_back |= frozenset(paths_of(plan))


def paths_of(plan: Plan) -> list[str]:
    """The files that ``plan`` writes or removes."""
    return [
        action.output.path if isinstance(action, Write) else action.published.path
        for action in plan.actions
        if isinstance(action, Write | Remove)
    ]
