# SPDX-License-Identifier: GPL-3.0-or-later
"""The DHCP planner: nodes and settings to files, keeping what each node adds between runs."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter

from osrd.model.alike import between
from osrd.model.cluster import Cluster, Node
from osrd.model.finding import Finding, Severity
from osrd.model.netboot import BootFiles
from osrd.model.settings import DhcpBackend, Settings, SubnetSettings
from osrd.plan.dhcp.dnsmasq import files as dnsmasq_files
from osrd.plan.dhcp.dnsmasq import host as dnsmasq_host
from osrd.plan.dhcp.isc import files as isc_files
from osrd.plan.dhcp.isc import host as isc_host
from osrd.plan.dhcp.kea import files as kea_files
from osrd.plan.dhcp.kea import host as kea_host
from osrd.plan.dhcp.reservation import reservations
from osrd.plan.dhcp.subnet import arrange, rehomed
from osrd.plan.dhcp.values import Content, DhcpFile, DhcpResult, Part, Reservation, config_place, hosts_place

_TEXT: dict[DhcpBackend, Callable[[Reservation], str]] = {
    DhcpBackend.DNSMASQ: dnsmasq_host,
    DhcpBackend.ISC: isc_host,
    DhcpBackend.KEA: kea_host,
}
_FILES: dict[DhcpBackend, Callable[[Content], tuple[DhcpFile, ...]]] = {
    DhcpBackend.DNSMASQ: dnsmasq_files,
    DhcpBackend.ISC: isc_files,
    DhcpBackend.KEA: kea_files,
}


class DhcpPlanner:
    """Plans all DHCP files. What a node adds is kept for as long as the node is planned for, so that one edit among
    10,000 nodes costs one node and the joining of strings."""

    def __init__(self) -> None:
        self._nodes: Sequence[Node] = ()
        self._parts: list[Part] = []
        self._made_for: tuple[DhcpBackend, tuple[SubnetSettings, ...]] | None = None

    def plan(self, nodes: Sequence[Node], settings: Settings, boot: BootFiles, cluster: Cluster) -> DhcpResult:
        """The files for exactly these ``nodes``, in their order; ``cluster`` only gives findings their lines."""
        if settings.dhcp.backend is DhcpBackend.NONE:
            return DhcpResult((), ())
        refused = _unusable_settings(settings, boot)
        if refused:
            return DhcpResult((), refused)

        parts = self._collect(nodes, settings)
        places = Counter(map(attrgetter("places"), parts))
        subnets, lost, findings = arrange(places, settings.subnets)
        if lost:
            moved = [rehomed(part, lost, subnets) for part in parts]
            parts = [part for part, _ in moved]
        findings += _placed_findings(parts, nodes, cluster)
        count = sum(map(len, map(attrgetter("reservations"), parts)))
        if nodes and not count:
            findings.append(_nothing_to_serve(len(nodes)))
        source = cluster.file if cluster.file.isprintable() else "cluster.conf"
        content = Content(settings, boot, source, subnets, parts, count)
        return DhcpResult(_FILES[settings.dhcp.backend](content), tuple(findings))

    def _collect(self, nodes: Sequence[Node], settings: Settings) -> list[Part]:
        made_for = (settings.dhcp.backend, settings.subnets)
        if made_for != self._made_for:
            self._made_for, self._nodes, self._parts = made_for, (), []
        was, now = between(self._nodes, nodes)
        known = {node.source: part for node, part in zip(self._nodes[was], self._parts[was], strict=True)}
        known.pop(b"", None)  # a node made by hand has no text to be known by
        fresh = [known.get(node.source) or _part(node, settings) for node in nodes[now]]
        self._nodes, self._parts = nodes, [*self._parts[: was.start], *fresh, *self._parts[was.stop :]]
        return self._parts


def _part(node: Node, settings: Settings) -> Part:
    made, troubles = reservations(node, settings.subnets)
    write = _TEXT[settings.dhcp.backend]
    texts = tuple(write(reservation) for reservation in made)
    places = tuple((reservation.network, reservation.gateway) for reservation in made if reservation.address)
    return Part(node.name, made, texts, "".join(texts), _shared(places), troubles)


# Ten thousand nodes are in a few places, and equal ones are counted at every plan: quickest when they are identical.
@lru_cache(maxsize=4096)
def _shared(places: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return places


def _placed_findings(parts: Sequence[Part], nodes: Sequence[Node], cluster: Cluster) -> list[Finding]:
    """The nodes' findings with lines of the file instead of lines of the node."""
    troubled = [(part, node) for part, node in zip(parts, nodes, strict=True) if part.troubles]
    if not troubled:
        return []
    index = {node.source: number for number, node in enumerate(cluster.nodes)}
    findings = []
    for part, node in troubled:
        number = index.get(node.source)
        for trouble in part.troubles:
            place = None if number is None else cluster.place(number, trouble.line)
            findings.append(replace(trouble.finding, place=place))
    return findings


def _unusable_settings(settings: Settings, boot: BootFiles) -> tuple[Finding, ...]:
    """Errors in what all nodes share. No configuration syntax is offered a control character, however well quoted:
    a line end in a domain name would be a second statement."""
    findings = []
    if not boot.server:
        findings.append(
            Finding(
                "dhcp-no-server",
                Severity.ERROR,
                "nobody said which address nodes reach this host by, so DHCP cannot name the boot server",
                "set server in the [boot] section of osrd.conf",
                attribute="server",
            )
        )
    texts = {
        "config": config_place(settings),
        "hosts": hosts_place(settings),
        "root": settings.tftp.root,
        "server": boot.server,
        "http": settings.boot.http,
        "ipxe script": boot.ipxe_script,
        "reload": " ".join(settings.dhcp.reload.argument) if settings.dhcp.reload else "",
        **{f"loader {family}": name for family, name in boot.loaders.items()},
        **{f"interface {name!r}": name for name in settings.dhcp.interfaces},
        **{f"domain of {subnet.network}": subnet.domain for subnet in settings.subnets},
        **{f"interface of {subnet.network}": subnet.interface for subnet in settings.subnets},
    }
    for key, value in texts.items():
        if not value.isprintable():
            findings.append(
                Finding(
                    "dhcp-text",
                    Severity.ERROR,
                    f"{key} is {value!r}: DHCP configurations cannot hold control characters",
                    "correct it in osrd.conf",
                    attribute=key,
                    value=value,
                )
            )
    return tuple(findings)


def _nothing_to_serve(nodes: int) -> Finding:
    return Finding(
        "dhcp-no-reservations",
        Severity.WARNING,
        f"none of the {nodes} nodes has a NIC with a hardware address that DHCP could serve",
        "give the nodes' eth elements mac and ip",
    )
