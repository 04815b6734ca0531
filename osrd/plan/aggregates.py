# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that all nodes share: NFS exports, the hosts fragment, DHCP."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from operator import attrgetter, itemgetter

from osrd.model.cluster import Cluster, Node
from osrd.model.finding import Finding
from osrd.model.netboot import HostFacts
from osrd.model.output import Content, Kind, Output, Stage, text_recipe
from osrd.model.settings import DhcpBackend, Settings
from osrd.plan.dhcp import DhcpPlanner
from osrd.plan.exports import (
    Export,
    bad_options,
    dynamic_clients,
    export_of,
    exports_file,
    no_subnet,
    pools,
    unsafe_options,
)
from osrd.plan.hosts import Addresses, Sorted, hosts_file
from osrd.plan.loaders import boot_files, boot_server, no_server, plan_loaders
from osrd.plan.menus import shown
from osrd.plan.offers import Offer


@dataclass(slots=True)
class Aggregates:
    """Files with their content, and the kinds that must stay as published since they could not be made."""

    source: str
    files: list[tuple[Output, Content]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    frozen: set[Kind] = field(default_factory=set)

    def add(self, kind: Kind, stage: Stage, path: str, content: bytes, *, mode: int = 0o644) -> None:
        output = Output(path, kind, stage, text_recipe(content), made_from=(self.source,), mode=mode)
        self.files.append((output, content))


@dataclass(frozen=True, slots=True)
class _Access:
    """Everything that the hosts fragment and the exports follow from when there is nothing to complain about, and
    these files. Most edits change none of it."""

    settings: Settings
    source: str
    known: Sequence[Addresses]
    offered: Sequence[Offer]
    files: tuple[tuple[Output, Content], ...] = field(compare=False, default=())


class Aggregator:
    """Makes the aggregated files; the DHCP planner in it keeps what each node adds."""

    def __init__(self) -> None:
        self._dhcp = DhcpPlanner()
        self._access: _Access | None = None

    def make(
        self,
        settings: Settings,
        cluster: Cluster,
        facts: HostFacts,
        nodes: Sequence[Node],
        *,
        known: Sequence[Addresses],
        offered: Sequence[Offer],
    ) -> Aggregates:
        """All aggregated files; ``known[i]`` are the addresses of ``nodes[i]``, ``offered[i]`` is its offer."""
        made = Aggregates(shown(cluster.file))
        volumes = [offer.volume for offer in set(offered) if offer.volume is not None]
        server = boot_server(settings, volumes)
        access = _Access(settings, made.source, known, offered)
        if self._access is not None and access == self._access:
            made.files += self._access.files
        else:
            if settings.hosts.file:
                lines = chain.from_iterable(map(attrgetter("hosts"), known))
                made.add(Kind.HOSTS, Stage.HOSTS, settings.hosts.file, hosts_file(lines, made.source))
            if settings.nfs.exports:
                _exports(made, settings, server, zip(offered, nodes, known, strict=True))
            quiet = not made.findings and not made.frozen
            self._access = replace(access, files=tuple(made.files)) if quiet else None
        wants_dhcp = settings.dhcp.backend is not DhcpBackend.NONE
        if server and wants_dhcp:
            boot = boot_files(settings, server, plan_loaders(settings, facts).usable)
            result = self._dhcp.plan(nodes, settings, boot, cluster)
            made.findings += result.findings
            for file in result.files:
                made.add(Kind.DHCP, Stage.DHCP, file.path, file.content, mode=file.mode)
            made.frozen |= set() if result.files else {Kind.DHCP}
        elif wants_dhcp or Kind.EXPORTS in made.frozen:
            made.frozen.add(Kind.DHCP)
            made.findings += [no_server()] if nodes and not server else []
        return made


def _exports(
    made: Aggregates, settings: Settings, server: str, nodes: Iterable[tuple[Offer, Node, Addresses]]
) -> None:
    """The exports file, unless something about it is unknown: then nodes that run keep the access they have."""
    clients: dict[Export, list[Sorted]] = {}
    lines: dict[Offer, list[Sorted] | None] = {}
    subnets = pools(settings)
    for offer, group in groupby(nodes, itemgetter(0)):
        if offer not in lines:
            export = _export(made, settings, offer, server)
            lines[offer] = None if export is None else clients.setdefault(export, [])
        line = lines[offer]
        if line is None:
            continue
        for _, node, each in group:
            line += each.fixed
            if each.dynamic:
                found = dynamic_clients(each.dynamic, subnets)
                line += found
                if not found and not each.fixed:
                    made.findings.append(no_subnet(node.name))
    if Kind.EXPORTS not in made.frozen and any(clients.values()):
        made.add(Kind.EXPORTS, Stage.EXPORTS, settings.nfs.exports, exports_file(clients, made.source))


def _export(made: Aggregates, settings: Settings, offer: Offer, server: str) -> Export | None:
    """How this host exports the volume; EXPORTS is frozen when that cannot be said."""
    if offer.volume is None:
        return None
    told = offer.root is not None and (offer.root.path or offer.root.left_to_its_server)
    if not server and offer.volume.is_nfs and not told:
        made.frozen.add(Kind.EXPORTS)
        return None
    export = export_of(settings, offer.volume, offer.root, server)
    if export is not None and unsafe_options(export):
        made.findings.append(bad_options(export))
        made.frozen.add(Kind.EXPORTS)
        return None
    return export
