# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers in a publication: files are judged before they are put in place and taken back when they are refused."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from osrd.apply.publish_batch import Batch, Item
from osrd.apply.server import Reloaded, Server
from osrd.model.errors import OsrdError
from osrd.model.finding import Finding, Severity
from osrd.model.output import Service
from osrd.model.plan import ReloadService, Write
from osrd.model.view import ServiceState
from osrd.plan.difference import SERVICE_OF

Fingerprint = frozenset[tuple[str, str]]


@dataclass(slots=True)
class Told:
    """What the servers said: states, findings, who took its files (``settled``), and who ``refused`` them with what
    words."""

    states: dict[Service, ServiceState] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    settled: set[Service] = field(default_factory=set)
    refused: dict[Service, tuple[Finding, ...]] = field(default_factory=dict)


class Services:
    """The servers, and what each refused last."""

    def __init__(self, servers: Mapping[Service, Server]) -> None:
        self._servers = servers
        self._refused: dict[Service, tuple[Fingerprint, tuple[Finding, ...]]] = {}

    def skip(self, writes: Collection[Write], *, retry: bool) -> tuple[set[str], list[Finding]]:
        """Paths not to be tried: exactly the files that a server refused to load before, with what it said then.
        Without this, every full pass would break and mend a running server again; and the pass that is woken by
        putting the former files back would hide the server's reason. ``retry`` forgets the refusals."""
        if retry:
            self._refused.clear()
        skipped: set[str] = set()
        findings: list[Finding] = []
        for service, (refused, words) in self._refused.items():
            wanted = frozenset(
                (write.output.path, write.output.recipe)
                for write in writes
                if SERVICE_OF.get(write.output.kind) is service
            )
            if wanted and wanted <= refused:
                skipped |= {path for path, _ in wanted}
                findings += (*words, _refused_before(service, wanted))
        return skipped, findings

    def check(self, batch: Batch) -> None:
        """Let each server judge the temporary files of its outputs; an error finding keeps all of them back."""
        for service, server in self._servers.items():
            items = [item for item in batch.alive if item.service is service]
            if not items:
                continue
            candidates = {item.row.path: f"{item.parent}/{item.temp}" for item in items}
            try:
                findings = server.check(candidates)
            except OsrdError as error:
                findings = (_check_failed(service, error),)
            batch.findings.extend(findings)
            if any(finding.severity is Severity.ERROR for finding in findings):
                batch.fail(items, _kept_back(service, items))

    def reload(
        self, reloads: Collection[ReloadService], changed: Collection[str], touched: Collection[Service]
    ) -> Told:
        """Tell the servers of ``reloads``; ``changed`` are the paths that changed, ``touched`` whose they are."""
        told = Told()
        for action in reloads:
            service = action.service
            server = self._servers.get(service)
            if server is None:
                told.states[service] = ServiceState.UNMANAGED
                told.settled.add(service)
                continue
            answer = _reload(server, service, frozenset(changed) if service in touched else frozenset())
            told.states[service] = answer.state
            told.findings.extend(answer.findings)
            if answer.ok:
                told.settled.add(service)
            else:
                told.refused[service] = answer.findings
        return told

    def remember_refusal(self, service: Service, items: Collection[Item], words: tuple[Finding, ...]) -> None:
        """``service`` did not take ``items``, and said ``words``."""
        self._refused[service] = frozenset((item.row.path, item.row.recipe) for item in items), words


def _reload(server: Server, service: Service, changed: frozenset[str]) -> Reloaded:
    try:
        return server.reload(changed)
    except OsrdError as error:
        return Reloaded(ServiceState.FAILED, ok=False, findings=(_reload_failed(service, error),))


def _service_finding(code: str, message: str, fix: str) -> Finding:
    return Finding(code, Severity.ERROR, message, fix)


def _names(paths: Collection[str]) -> str:
    return ", ".join(sorted(paths))


def _check_failed(service: Service, error: OsrdError) -> Finding:
    return _service_finding(
        "check-failed", f"the {service} files could not be checked: {error.message}", error.fix or "see the journal"
    )


def _reload_failed(service: Service, error: OsrdError) -> Finding:
    return _service_finding(
        "reload-failed",
        f"the {service} server was not told of its new files: {error.message}",
        error.fix or "reload it",
    )


def _kept_back(service: Service, items: Collection[Item]) -> Finding:
    return _service_finding(
        "kept-back",
        f"the new {service} files ({_names([item.row.path for item in items])}) did not pass the check and were not "
        "published; the server keeps the former ones",
        "solve what the check found",
    )


def _refused_before(service: Service, wanted: Fingerprint) -> Finding:
    return _service_finding(
        "refused",
        f"the {service} server refused exactly these files before; {_names([path for path, _ in wanted])} stay as "
        "they were while the server worked",
        "solve what the server said (its journal), then change the input or run 'osrctl apply'",
    )


def put_back_finding(service: Service, restored: Collection[str]) -> Finding:
    """The last good files of a server are in place again."""
    what = (
        f"the former {_names(restored)} are in place again" if restored else "there are no former ones to go back to"
    )
    return _service_finding(
        "refused",
        f"the {service} server did not take its new files; {what}",
        "solve what the server said (its journal), then change the input or run 'osrctl apply'",
    )
