# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl doctor: look at the host, then say what is wrong. Changes nothing; needs no daemon."""

import os
from dataclasses import replace

from osrd.apply.hostprobe import packet_filter
from osrd.apply.runner import Runner
from osrd.engine.load import ClusterLoader
from osrd.model.errors import OsrdError
from osrd.model.finding import Finding, Place, Severity
from osrd.model.host import Checked, Daemon
from osrd.model.settings import Settings
from osrd.observe.configuration import read_settings
from osrd.observe.facts import FactFinder
from osrd.observe.host import look
from osrd.observe.manifest import file_name, open_read_only
from osrd.plan.doctor.diagnosis import diagnose


def examine(configuration: str, daemon: Daemon, runner: Runner, *, required: bool) -> tuple[Checked, ...]:
    """All checks. Raises InvalidConfigError when osrd.conf was named (``required``) and is not there."""
    settings, inputs = read_settings(configuration, required=required)
    loaded = ClusterLoader().load(settings.cluster_conf, fresh=True)
    host = look(settings)
    host = replace(host, filter=packet_filter(runner, privileged=host.privileged))
    facts = FactFinder().find(settings, {})
    found = loaded.verdict.findings
    told = _of_cluster(found, settings) if loaded.cluster is not None else found
    wrong = (*inputs, *loaded.rejected, *told, *_state(settings))
    return diagnose(settings, loaded.cluster, host, facts, daemon=daemon, inputs=wrong)


def _of_cluster(findings: tuple[Finding, ...], settings: Settings) -> tuple[Finding, ...]:
    """The mistakes of cluster.conf as one: osrctl check shows them."""
    errors = sum(each.severity is Severity.ERROR for each in findings)
    if not errors:
        return ()
    text = f"{errors} errors, the nodes concerned keep what was last published for them"
    fix = f"osrctl check {settings.cluster_conf}"
    return (Finding("cluster-conf-errors", Severity.ERROR, text, fix, Place(settings.cluster_conf)),)


def _state(settings: Settings) -> tuple[Finding, ...]:
    """Why the state database cannot be used. One that is not there is a new installation; one that only root may read,
    or whose writer was killed (osrd settles that when it starts), is not looked into."""
    file = file_name(settings.paths.state)
    if not os.access(file, os.R_OK) or os.path.exists(f"{file}-journal"):
        return ()
    try:
        open_read_only(settings.paths.state).close()
    except OsrdError as error:
        return (Finding("state-unusable", Severity.ERROR, error.message, error.fix or "mend it", Place(file)),)
    return ()
