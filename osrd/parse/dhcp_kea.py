# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading back a Kea DHCPv4 configuration: the file that osrd writes, or what a running server says it uses."""

import json
import re
from ipaddress import IPv4Address, IPv4Network

from osrd.model.finding import Finding, Place, Severity
from osrd.parse.dhcp_content import Hosts, Networks, Range, bad_mac, unexpected

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_GLOBAL_KEYS = frozenset(
    (
        *("user-context", "interfaces-config", "authoritative", "valid-lifetime", "lease-database", "match-client-id"),
        *("host-reservation-identifiers", "reservations-global", "reservations-in-subnet", "reservations-out-of-pool"),
        *("ip-reservations-unique", "next-server", "client-classes", "control-socket", "reservations", "subnet4"),
    )
)
_SUBNET_KEYS = frozenset(["id", "subnet", "option-data", "next-server", "interface", "pools", "reservations"])
_HOST_KEYS = frozenset(("hw-address", "ip-address", "hostname", "option-data", "user-context"))


def read(text: str, file: str) -> tuple[Hosts, Networks]:
    """The configuration ``file``. Only what osrd writes is accepted: a key too many is a finding."""
    try:
        document = json.loads(text)
    except ValueError as error:
        return Hosts(claimed=0, findings=(_not_json(file, error),)), Networks()
    dhcp4 = document.get("Dhcp4") if isinstance(document, dict) else None
    if not isinstance(dhcp4, dict) or len(document) != 1:
        return Hosts(claimed=0, findings=(unexpected(file, 0, text.lstrip()[:80]),)), Networks()
    findings = _strange_keys(dhcp4, _GLOBAL_KEYS, file, "Dhcp4")
    rows: list[dict[str, object]] = [*_objects(dhcp4.get("reservations", []), file, findings)]
    subnets: list[IPv4Network] = []
    ranges: list[Range] = []
    ids: set[object] = set()
    for subnet in _objects(dhcp4.get("subnet4", []), file, findings):
        findings += _strange_keys(subnet, _SUBNET_KEYS, file, "subnet4")
        if subnet.get("id") in ids:
            findings.append(unexpected(file, 0, f"subnet id {subnet.get('id')} a second time"))
        ids.add(subnet.get("id"))
        _networks(subnet, file, subnets, ranges, findings)
        rows += _objects(subnet.get("reservations", []), file, findings)
    return _hosts(rows, _claimed(dhcp4), file, findings), Networks(tuple(subnets), tuple(ranges))


def reservations(dhcp4: object) -> frozenset[tuple[str, str, str]]:
    """(hardware address, address, host name) of every reservation in the value of ``Dhcp4``, as a running server
    returns it for config-get; its defaults and further keys are passed over."""
    if not isinstance(dhcp4, dict):
        return frozenset()
    ignored: list[Finding] = []
    rows = [*_objects(dhcp4.get("reservations", []), "", ignored)]
    for subnet in _objects(dhcp4.get("subnet4", []), "", ignored):
        rows += _objects(subnet.get("reservations", []), "", ignored)
    return frozenset(
        (str(row.get("hw-address", "")).lower(), str(row.get("ip-address", "")), str(row.get("hostname", "")).lower())
        for row in rows
    )


def _hosts(rows: list[dict[str, object]], claimed: int | None, file: str, findings: list[Finding]) -> Hosts:
    macs, addresses, names, owners = [], [], [], []
    for row in rows:
        mac = row.get("hw-address")
        if not isinstance(mac, str) or not _MAC.fullmatch(mac.lower()):
            findings.append(bad_mac(file, 0, str(mac)))
            continue
        if not row.keys() <= _HOST_KEYS:
            findings += _strange_keys(row, _HOST_KEYS, file, "reservations")
        context = row.get("user-context")
        macs.append(mac.lower())
        addresses.append(str(row.get("ip-address", "")))
        names.append(str(row.get("hostname", "")).lower())
        owners.append(str(context.get("node", "")) if isinstance(context, dict) else "")
    return Hosts(macs, addresses, names, owners, (), claimed, tuple(findings))


def _claimed(dhcp4: dict[str, object]) -> int | None:
    context = dhcp4.get("user-context")
    osrd = context.get("osrd") if isinstance(context, dict) else None
    count = osrd.get("reservations") if isinstance(osrd, dict) else None
    return count if isinstance(count, int) else None


def _networks(
    subnet: dict[str, object], file: str, subnets: list[IPv4Network], ranges: list[Range], findings: list[Finding]
) -> None:
    try:
        subnets.append(IPv4Network(str(subnet.get("subnet"))))
        for pool in _objects(subnet.get("pools", []), file, findings):
            low, _, high = str(pool.get("pool")).partition(" - ")
            ranges.append((IPv4Address(low), IPv4Address(high)))
    except ValueError as error:
        findings.append(unexpected(file, 0, str(error)))


def _objects(value: object, file: str, findings: list[Finding]) -> list[dict[str, object]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        findings.append(unexpected(file, 0, json.dumps(value)))
        return []
    return value


def _strange_keys(value: dict[str, object], known: frozenset[str], file: str, where: str) -> list[Finding]:
    return [unexpected(file, 0, f"{key} in {where}") for key in value if key not in known]


def _not_json(file: str, error: ValueError) -> Finding:
    line = error.lineno if isinstance(error, json.JSONDecodeError) else 0
    return Finding(
        "dhcp-unexpected",
        Severity.ERROR,
        f"{file} is no JSON: {error}",
        "delete the file and let osrd write it again",
        place=Place(file, line),
    )
