# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the cluster as a whole: its header, failover domains and fence devices."""

from collections import Counter
from collections.abc import Sequence

from osrd.model.cluster import Cluster
from osrd.model.finding import Finding, Severity
from osrd.parse.validation_draft import at, shown, title
from osrd.parse.validation_node import Facts


def judge_cluster(cluster: Cluster, facts: Sequence[Facts]) -> list[Finding]:
    """Findings that name no node, so that they quarantine none."""
    return [
        *_header(cluster),
        *_oddities(cluster),
        *_servers(cluster, facts),
        *_fencing(cluster, facts),
        *_domains(cluster),
    ]


def _header(cluster: Cluster) -> list[Finding]:
    place = at(cluster, cluster.line)
    findings = []
    if cluster.leading_space:
        message = "there is white space before the XML declaration, which XML forbids; it was skipped"
        fix = "delete it, so that other programs can read the file"
        findings.append(Finding("leading-whitespace", Severity.INFO, message, fix, at(cluster, 1)))
    if not cluster.name:
        message, fix = "the cluster has no name", 'add name="..." to <cluster>'
        findings.append(Finding("missing-cluster-name", Severity.ERROR, message, fix, place, attribute="name"))
    if cluster.config_version is None:
        text = cluster.config_version_text
        code = "invalid-config-version" if text else "missing-config-version"
        message = f"the config_version {shown(text)} is no number" if text else "the cluster has no config_version"
        fix = "set config_version to a decimal number from 1 and raise it with every change"
        found = Finding(code, Severity.ERROR, message, fix, place, attribute="config_version", value=text)
        findings.append(found)
    if not cluster.nodes:
        message, fix = "the cluster has no nodes", "add a <clusternode> to <clusternodes>"
        findings.append(Finding("no-nodes", Severity.WARNING, message, fix, place))
    return findings


def _oddities(cluster: Cluster) -> list[Finding]:
    findings = []
    for odd in cluster.oddities:
        what = (
            f"<{odd.element}> has the attribute {odd.attribute}" if odd.attribute else f"<{odd.element}> stands here"
        )
        hint = f'write "{odd.hint}" if that is meant' if odd.hint else "remove it if it is a mistake"
        place = at(cluster, odd.line)
        attribute = odd.attribute or odd.element
        message = f"{what}, which nothing uses"
        findings.append(Finding(odd.kind.value, Severity.INFO, message, hint, place, attribute=attribute))
    return findings


def _servers(cluster: Cluster, facts: Sequence[Facts]) -> list[Finding]:
    """One finding per server that fewer nodes than the most use: often a typing error, sometimes meant."""
    if len({fact.server for fact in facts}) < 2:
        return []
    servers = [fact.server for fact in facts]
    ranking = [(server, count) for server, count in Counter(servers).most_common() if server]
    findings = []
    for server, count in ranking[1:]:
        index = servers.index(server)
        root = cluster.nodes[index].root
        more, verb = (f" and {count - 1} more", "have") if count > 1 else ("", "has")
        message = (
            f"{title(cluster, index)}{more} {verb} a root on {shown(server)}, "
            f"{ranking[0][1]} nodes on {shown(ranking[0][0])}"
        )
        finding = Finding(
            "different-root-server",
            Severity.INFO,
            message,
            "correct the rootvolume if that is not meant",
            cluster.place(index, root.line if root else 0),
            attribute="rootvolume",
            value=server,
            other=ranking[0][0],
            other_place=cluster.place(servers.index(ranking[0][0])),
        )
        findings.append(finding)
    return findings


def _fencing(cluster: Cluster, facts: Sequence[Facts]) -> list[Finding]:
    """Names of devices only: their other attributes hold passwords."""
    findings = []
    names: dict[str, int] = {}
    for device in cluster.fencedevices:
        if device.name in names:
            message = f"there are two fence devices with the name {shown(device.name)}"
            place, other = at(cluster, device.line), at(cluster, names[device.name])
            finding = Finding(
                "duplicate-fence-device",
                Severity.WARNING,
                message,
                "rename one of them",
                place,
                attribute="name",
                value=device.name,
                other=device.name,
                other_place=other,
            )
            findings.append(finding)
        names.setdefault(device.name, device.line)
    unfenced = [index for index, fact in enumerate(facts) if not fact.devices]
    if unfenced:
        first = title(cluster, unfenced[0])
        if len(unfenced) == len(facts):
            message = "no node has fencing"
        else:
            message = f"{first} has no fencing" + (f", nor have {len(unfenced) - 1} others" * (len(unfenced) > 1))
        fix = "add <fence> with a <method> and <device> to each <clusternode> if the root is a cluster file system"
        place = cluster.place(unfenced[0])
        findings.append(Finding("missing-fencing", Severity.INFO, message, fix, place, attribute="fence"))
    return findings


def _domains(cluster: Cluster) -> list[Finding]:
    if not cluster.failoverdomains:
        return []
    known = {node.name for node in cluster.nodes}
    findings = []
    for domain in cluster.failoverdomains:
        lines = domain.member_lines or (domain.line,) * len(domain.members)
        for (member, _), line in zip(domain.members, lines, strict=True):
            if member not in known:
                message = f"the failover domain {shown(domain.name)} lists {shown(member)}, which is no node"
                place = at(cluster, line)
                code, fix = "unknown-failover-node", "correct the name or remove the failoverdomainnode"
                found = Finding(code, Severity.WARNING, message, fix, place, attribute="name", value=member)
                findings.append(found)
    return findings
