# SPDX-License-Identifier: GPL-3.0-or-later
"""What a DHCP file says, read back from its text, and what is wrong with it that the servers' own tests let pass.

Measured: ``dnsmasq --test`` does not read the hosts file and accepts a MAC twice, ``dhcpd -t`` accepts a MAC and an
address twice. Any of them takes a file cut short at a line end. So every candidate is judged here first.
"""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from osrd.model.finding import Finding, Place, Severity

_CLAIM = re.compile(r"^# ([0-9]+) reservations$", re.MULTILINE)

#: what may follow the last dot of an address; "" for rows without one
_OCTETS = frozenset(("", *map(str, range(256))))

Range = tuple[IPv4Address, IPv4Address]


@dataclass(frozen=True, slots=True)
class Hosts:
    """Reservations as columns, since 10,000 objects take longer to make than to judge. Row ``i`` is ``macs[i]`` (lower
    case, joined by commas where they share the row), ``addresses[i]`` and ``names[i]`` ("" for none); ``owners[i]`` is
    the node it is for, ``lines[i]`` its line; both columns are empty for a syntax that does not have them.
    ``claimed`` is how many rows the file says it has, None when it does not say."""

    macs: Sequence[str] = ()
    addresses: Sequence[str] = ()
    names: Sequence[str] = ()
    owners: Sequence[str] = ()
    lines: Sequence[int] = ()
    claimed: int | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Networks:
    """The subnets a configuration declares, the pools in them, and what could not be read."""

    subnets: tuple[IPv4Network, ...] = ()
    ranges: tuple[Range, ...] = ()
    findings: tuple[Finding, ...] = ()


def claimed_rows(text: str) -> int | None:
    """How many reservations the file says it has, for text with ``#`` comments."""
    claim = _CLAIM.search(text)
    return int(claim[1]) if claim else None


def _unclaimed(file: str) -> Finding:
    """The file does not say how many reservations it has, so nobody can tell whether it was cut short."""
    return Finding(
        "dhcp-count",
        Severity.ERROR,
        f"{file} does not say how many reservations it has",
        "delete the file and let osrd write it again",
        place=Place(file),
    )


def cut_short(text: str, file: str) -> list[Finding]:
    """A finding when the last line of ``text`` has no end: a name cut in the middle looks like a name."""
    if text.endswith("\n"):
        return []
    return [
        Finding(
            "dhcp-cut-short",
            Severity.ERROR,
            f"{file} ends in the middle of a line",
            "look for a full file system, then let osrd write it again",
            place=Place(file, text.count("\n") + 1),
        )
    ]


def bad_mac(file: str, line: int, text: str) -> Finding:
    """``text`` stands where a hardware address should."""
    return Finding(
        "dhcp-bad-mac",
        Severity.ERROR,
        f"{text[:80]!r} is no hardware address",
        "correct mac in cluster.conf",
        place=Place(file, line),
        attribute="mac",
        value=text[:200],
    )


def unexpected(file: str, line: int, text: str) -> Finding:
    """``text`` is nothing that osrd writes there."""
    return Finding(
        "dhcp-unexpected",
        Severity.ERROR,
        f"{text[:80]!r} is nothing that osrd writes",
        "delete the file and let osrd write it again",
        place=Place(file, line),
        value=text[:200],
    )


class Judge:
    """Judges one candidate after another. Addresses that were in order in the last good one are still, as long as the
    networks are the same; whether anything is reserved twice is looked at in all rows each time."""

    def __init__(self) -> None:
        self._networks: Networks | None = None
        #: these addresses, one a line: a set of 10,000 strings would take a MiB
        self._in_order = ""

    def judge(self, hosts: Hosts, networks: Networks | None, file: str) -> tuple[Finding, ...]:
        """Everything wrong with ``hosts``, read from ``file``. Without ``networks`` nobody knows where addresses
        belong, and they are only compared with each other."""
        findings = [*hosts.findings, *_miscounted(hosts, file), *_repeated(hosts, file)]
        if networks is not None:
            findings += networks.findings
        known = self._in_order.split("\n") if networks == self._networks else ()
        misplaced = _misplaced(hosts, set(hosts.addresses).difference(known), networks, file)
        if not misplaced:
            self._networks, self._in_order = networks, "\n".join(hosts.addresses)
        return (*findings, *misplaced)


def judge(hosts: Hosts, networks: Networks | None, file: str) -> tuple[Finding, ...]:
    """The same for one candidate by itself."""
    return Judge().judge(hosts, networks, file)


def _miscounted(hosts: Hosts, file: str) -> list[Finding]:
    if hosts.claimed is None:
        return [_unclaimed(file)]
    return [] if hosts.claimed == len(hosts.macs) else [_wrong_count(hosts, file)]


def _repeated(hosts: Hosts, file: str) -> list[Finding]:
    rows = range(len(hosts.macs))
    macs: Sequence[str] = hosts.macs
    mac_rows: Sequence[int] = rows
    if max(map(len, macs), default=0) > len("00:00:00:00:00:00"):
        split = [(mac, row) for row, joined in enumerate(macs) for mac in joined.split(",")]
        macs, mac_rows = [mac for mac, _ in split], [row for _, row in split]
    return [
        *_twice(hosts, macs, mac_rows, "mac", file),
        *_twice(hosts, hosts.addresses, rows, "ip", file),
        *_twice(hosts, hosts.names, rows, "name", file),
    ]


def _wrong_count(hosts: Hosts, file: str) -> Finding:
    return Finding(
        "dhcp-count",
        Severity.ERROR,
        f"{file} should have {hosts.claimed} reservations and has {len(hosts.macs)}",
        "look for a full file system, then let osrd write it again",
        place=Place(file),
        value=str(len(hosts.macs)),
    )


def _twice(hosts: Hosts, values: Sequence[str], rows: Sequence[int], attribute: str, file: str) -> list[Finding]:
    """Values that occur in more than one row. Rows of one node may share an address and a name, never a MAC: the
    slaves of a bond are written as one row each where the syntax wants that."""
    if len(set(values)) == len(values):
        return []
    findings = []
    first: dict[str, int] = {}
    for row, value in zip(rows, values, strict=True):
        if not value or value not in first:
            first[value] = row
            continue
        other = first[value]
        same_owner = bool(hosts.owners) and hosts.owners[row] == hosts.owners[other]
        if same_owner and attribute != "mac":
            continue
        findings.append(
            Finding(
                f"dhcp-duplicate-{attribute}",
                Severity.ERROR,
                f"{attribute} {value} is reserved for {_who(hosts, other)} and for {_who(hosts, row)}",
                "give each its own in cluster.conf",
                place=_where(hosts, row, file),
                node=hosts.owners[row] if hosts.owners else hosts.names[row],
                attribute=attribute,
                value=value,
                other=_who(hosts, other),
                other_place=_where(hosts, other, file),
            )
        )
    return findings


def _who(hosts: Hosts, row: int) -> str:
    return (hosts.owners[row] if hosts.owners else "") or hosts.names[row] or hosts.macs[row]


def _where(hosts: Hosts, row: int, file: str) -> Place:
    return Place(file, hosts.lines[row] if hosts.lines else 0)


def _misplaced(hosts: Hosts, addresses: AbstractSet[str], networks: Networks | None, file: str) -> list[Finding]:
    """Those of ``addresses`` that are none, in no subnet, or inside a pool. Whole /24s are judged at once: a cluster
    has few."""
    split = [address.rpartition(".") for address in addresses]
    if all(_served(block, networks) for block in {block for block, _, _ in split}) and _OCTETS.issuperset(
        {octet for _, _, octet in split}
    ):
        return []
    findings = []
    for row, text in enumerate(hosts.addresses):
        if text and text in addresses and (problem := _problem(text, networks)):
            findings.append(_bad_address(hosts, row, file, *problem))
    return findings


def _served(block: str, networks: Networks | None) -> bool:
    """Whether every address of ``block`` (three octets, "" for rows without an address) is in order."""
    if not block:
        return True
    try:
        whole = IPv4Network(f"{block}.0/24")
    except ValueError:
        return False
    if networks is None:
        return True
    if not any(whole.subnet_of(subnet) for subnet in networks.subnets):
        return False
    return not any(low <= whole.broadcast_address and whole.network_address <= high for low, high in networks.ranges)


def _problem(text: str, networks: Networks | None) -> tuple[str, str] | None:
    """The code of what is wrong with an address, and the end of a sentence that begins with it."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return "dhcp-bad-ip", "is no IPv4 address"
    if networks is None:
        return None
    if not any(address in subnet for subnet in networks.subnets):
        return "dhcp-outside-subnets", "is outside every subnet served"
    for low, high in networks.ranges:
        if low <= address <= high:
            return "dhcp-inside-range", f"is inside the range {low}-{high}, which is handed out to others"
    return None


def _bad_address(hosts: Hosts, row: int, file: str, code: str, why: str) -> Finding:
    return Finding(
        code,
        Severity.ERROR,
        f"{hosts.addresses[row]}, reserved for {_who(hosts, row)}, {why}",
        "correct ip and mask in cluster.conf, or the [subnet] section in osrd.conf",
        place=_where(hosts, row, file),
        node=hosts.owners[row] if hosts.owners else hosts.names[row],
        attribute="ip",
        value=hosts.addresses[row],
    )
