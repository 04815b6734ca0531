# SPDX-License-Identifier: GPL-3.0-or-later
"""Which subnets are served: those of the nodes' addresses, merged with the [subnet] sections of osrd.conf."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from osrd.model.finding import Finding, Severity
from osrd.model.settings import SubnetSettings
from osrd.plan.dhcp.values import Part, Reservation, Subnet, Trouble

Places = Mapping[tuple[tuple[str, str], ...], int]


def arrange(
    places: Places, sections: Sequence[SubnetSettings]
) -> tuple[tuple[Subnet, ...], frozenset[str], list[Finding]]:
    """The subnets in the order of their addresses, the networks that lost to an overlapping one, and findings.

    ``places`` counts the ``Part.places`` of all nodes. Servers refuse overlapping subnets, or answer from the wrong
    one; one node with a mistyped mask must not do that to the others, so sections win, then the larger number of
    addresses.
    """
    findings: list[Finding] = []
    sizes: Counter[str] = Counter()
    gateways: dict[str, Counter[str]] = {}
    for pairs, count in places.items():
        for text, gateway in pairs:
            sizes[text] += count
            if gateway:
                gateways.setdefault(text, Counter())[gateway] += count

    accepted: dict[IPv4Network, Subnet] = {}
    for section in sections:
        if not _overlaps(section.network, accepted):
            accepted[section.network] = _from_section(section, findings)
        else:
            findings.append(_overlapping_section(section))
    lost = set()
    for text in sorted(sizes, key=lambda text: (-sizes[text], text)):
        network = IPv4Network(text)
        if network in accepted:
            continue
        if _overlaps(network, accepted):
            lost.add(text)
        else:
            accepted[network] = Subnet(network)

    ordered = sorted(accepted.values(), key=lambda subnet: subnet.network)
    complete = [_with_router(subnet, gateways.get(str(subnet.network), Counter()), findings) for subnet in ordered]
    return tuple(complete), frozenset(lost), findings


def rehomed(part: Part, lost: frozenset[str], subnets: Sequence[Subnet]) -> tuple[Part, bool]:
    """``part`` with every reservation of a lost network moved to the served subnet that holds its address, or left
    out where none does; and whether anything changed."""
    if not any(reservation.network in lost for reservation in part.reservations):
        return part, False
    kept: list[tuple[Reservation, str]] = []
    troubles = list(part.troubles)
    for reservation, text in zip(part.reservations, part.texts, strict=True):
        address = reservation.address
        if address is None or reservation.network not in lost:
            kept.append((reservation, text))
            continue
        home = next((subnet for subnet in subnets if address in subnet.network), None)
        troubles.append(_wrong_mask(part.node, reservation, home))
        if home is not None:
            kept.append((replace(reservation, network=str(home.network)), text))
    texts = tuple(text for _, text in kept)
    return replace(
        part,
        reservations=tuple(reservation for reservation, _ in kept),
        texts=texts,
        text="".join(texts),
        troubles=tuple(troubles),
    ), True


def _overlaps(network: IPv4Network, others: Iterable[IPv4Network]) -> bool:
    return any(network.overlaps(other) for other in others)


def _from_section(section: SubnetSettings, findings: list[Finding]) -> Subnet:
    span = section.range
    if span and not (span[0] in section.network and span[1] in section.network and span[0] <= span[1]):
        findings.append(
            Finding(
                "dhcp-range",
                Severity.ERROR,
                f"the range {span[0]}-{span[1]} is not inside its [subnet {section.network}]; it is not used",
                "correct range in osrd.conf",
                attribute="range",
            )
        )
        span = None
    return Subnet(
        section.network, section.router, section.dns, section.domain, span, section.next_server, section.interface
    )


def _with_router(subnet: Subnet, gateways: Counter[str], findings: list[Finding]) -> Subnet:
    """The subnet with the gateway most of its nodes have, unless its section names one."""
    if subnet.router or not gateways:
        return subnet
    usable: dict[IPv4Address, int] = {}
    for text, count in gateways.items():
        try:
            router = IPv4Address(text)
        except AddressValueError:
            continue
        if router in subnet.network:
            usable[router] = count
    if not usable:
        return subnet
    best = min(usable, key=lambda router: (-usable[router], router))
    if len(usable) > 1:
        findings.append(
            Finding(
                "dhcp-several-gateways",
                Severity.WARNING,
                f"nodes in {subnet.network} have {len(usable)} different gateways; while booting all use {best}",
                f"set router in a [subnet {subnet.network}] section of osrd.conf",
                attribute="gateway",
                value=str(best),
                other=", ".join(str(router) for router in sorted(usable) if router != best),
            )
        )
    return replace(subnet, router=best)


def _overlapping_section(section: SubnetSettings) -> Finding:
    return Finding(
        "dhcp-subnet-overlap",
        Severity.ERROR,
        f"[subnet {section.network}] overlaps another [subnet] section and is not used",
        "make the sections disjoint",
    )


def _wrong_mask(node: str, reservation: Reservation, home: Subnet | None) -> Trouble:
    where = f"it is served in {home.network}" if home else "it is left out of DHCP"
    finding = Finding(
        "dhcp-subnet-overlap",
        Severity.WARNING if home else Severity.ERROR,
        f"{node}: the subnet {reservation.network} of {reservation.address} overlaps one with more nodes, so {where}",
        "give all NICs of one network the same mask, or add a [subnet] section",
        node=node,
        attribute="mask",
        value=reservation.network,
    )
    return Trouble(finding, reservation.line)
