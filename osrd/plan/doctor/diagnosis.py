# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks of a host, in the order in which a boot needs what they are about."""

from collections.abc import Iterable

from osrd.model.cluster import Cluster
from osrd.model.finding import Finding, Severity
from osrd.model.host import Checked, Daemon, Host
from osrd.model.netboot import HostFacts
from osrd.model.settings import Settings
from osrd.plan.doctor import protection, resources, servers
from osrd.plan.doctor.needs import needs_of


def diagnose(
    settings: Settings,
    cluster: Cluster | None,
    host: Host,
    facts: HostFacts,
    *,
    daemon: Daemon,
    inputs: Iterable[Finding] = (),
) -> tuple[Checked, ...]:
    """``inputs`` are what is wrong with osrd.conf, cluster.conf and the state directory."""
    needs = needs_of(settings, cluster, host)
    return (
        service(daemon),
        configuration(cluster, tuple(inputs)),
        resources.kernel(host),
        resources.loaders(settings, facts),
        servers.networks(needs),
        servers.dhcp(settings, needs, host),
        servers.dhcp_elsewhere(needs, host),
        servers.tftp(settings, host),
        servers.nfs(needs, host),
        protection.firewall(needs, host),
        protection.selinux(settings, needs, host),
        protection.apparmor(settings, host),
        protection.permissions(host),
        resources.roots(settings, needs, host),
        resources.space(settings, host),
        resources.memory(settings, host),
        resources.inotify(host, daemon.watch),
        resources.clock(host),
        resources.polkit(host),
    )


def service(daemon: Daemon) -> Checked:
    """osrd on the bus."""
    if daemon.problem:
        finding = Finding("osrd-not-running", Severity.WARNING, daemon.problem, daemon.fix)
        return Checked("osrd", "not running", (finding,))
    seen = f"{daemon.state}, {'in sync' if daemon.in_sync else 'not in sync'}"
    if not daemon.findings:
        return Checked("osrd", seen)
    text = f"osrd itself has {daemon.findings} findings"
    return Checked("osrd", seen, (Finding("osrd-findings", Severity.INFO, text, "osrctl status"),))


def configuration(cluster: Cluster | None, inputs: tuple[Finding, ...]) -> Checked:
    seen = f"{len(cluster.nodes)} nodes of {cluster.name}" if cluster else "no usable cluster.conf"
    return Checked("configuration", seen, inputs)
