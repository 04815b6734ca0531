# SPDX-License-Identifier: GPL-3.0-or-later
"""Kea 2.2 and later (Kea ARM, "DHCPv4 server"): one JSON document, read again by config-reload or SIGHUP."""

import json
from collections.abc import Iterable
from hashlib import sha256
from ipaddress import IPv4Network

from osrd.model.settings import ReloadMethod
from osrd.plan.dhcp.firmware import HTTP_CLASS, Match, matches
from osrd.plan.dhcp.values import Content, DhcpFile, Reservation, Subnet, config_place

# iPXE sends its name bare, RFC 3004 would put a length before it: the end is the same.
_IPXE = "option[175].exists or substring(option[77].hex,-4,4) == 'iPXE'"
# Kea refuses a reservation that reserves nothing, but being known is all that a NIC with neither address nor name
# needs. A site-specific option (RFC 3942) is only sent to clients that ask for it.
_NOTHING = {"code": 224, "csv-format": False, "data": "00"}
_SEPARATOR = ",\n      "


def host(reservation: Reservation) -> str:
    """The reservations as JSON objects, one per hardware address, for an object can hold only one."""
    shared: dict[str, object] = {}
    if reservation.address:
        shared["ip-address"] = str(reservation.address)
    if reservation.name:
        shared["hostname"] = reservation.name
    if not shared:
        shared["option-data"] = [_NOTHING]
    shared["user-context"] = {"node": reservation.owner}
    return _SEPARATOR.join(json.dumps({"hw-address": mac, **shared}) for mac in reservation.macs)


def files(content: Content) -> tuple[DhcpFile, ...]:
    """The one configuration. Reservations were written when their node was planned; they are spliced in, since
    10,000 of them take json.dumps a fifth of a second."""
    by_network: dict[str, list[str]] = {}
    for part in content.parts:
        for reservation, text in zip(part.reservations, part.texts, strict=True):
            by_network.setdefault(reservation.network, []).append(text)
    ids = subnet_ids(subnet.network for subnet in content.subnets)
    subnets = [
        _spliced(_subnet(subnet, ids[subnet.network]), "reservations", by_network.get(str(subnet.network), []))
        for subnet in content.subnets
    ]
    shared = _spliced(_global(content), "reservations", by_network.get("", []))
    whole = shared.removesuffix("}") + ',\n"subnet4": [\n' + ",\n".join(subnets) + "\n]}"
    return (DhcpFile(config_place(content.settings), f'{{"Dhcp4": {whole}}}\n'.encode()),)


def subnet_ids(networks: Iterable[IPv4Network]) -> dict[IPv4Network, int]:
    """A number from 1 to 2**31 for each network, made from the network alone: leases are stored under it, and must
    not change hands when another subnet comes or goes. Of two with the same number the later network moves on."""
    ids: dict[IPv4Network, int] = {}
    for network in sorted(networks):
        attempt = 0
        while True:
            seed = f"{network}/{attempt}" if attempt else str(network)
            number = int.from_bytes(sha256(seed.encode()).digest()[:4]) % 2**31 + 1
            if number not in ids.values():
                break
            attempt += 1
        ids[network] = number
    return ids


def _spliced(value: dict[str, object], key: str, items: list[str]) -> str:
    body = json.dumps(value, indent=2).removesuffix("\n}")
    return f'{body},\n  "{key}": [\n      {_SEPARATOR.join(items)}\n  ]}}' if items else f"{body}\n}}"


def _global(content: Content) -> dict[str, object]:
    settings = content.settings
    everything = [reservation for part in content.parts for reservation in part.reservations]
    value: dict[str, object] = {
        "user-context": {
            "osrd": {
                "made-from": content.source,
                "reservations": sum(len(reservation.macs) for reservation in everything),
            }
        },
        "interfaces-config": {"interfaces": list(content.interfaces) or ["*"]},
        "authoritative": True,
        "valid-lifetime": settings.dhcp.lease_time,
        "lease-database": {"type": "memfile", "persist": True},
        # Firmware, loader and system call themselves differently but are one machine with one address.
        "match-client-id": False,
        "host-reservation-identifiers": ["hw-address"],
        "reservations-global": True,
        "reservations-in-subnet": True,
        "reservations-out-of-pool": True,
        "next-server": content.boot.server,
        "client-classes": _classes(content),
    }
    if any(len(reservation.macs) > 1 for reservation in everything):
        # The slaves of a bond share an address. That nobody else does is for osrd to see.
        value["ip-reservations-unique"] = False
    reload = settings.dhcp.reload
    if reload and reload.method is ReloadMethod.SOCKET:
        value["control-socket"] = {"socket-type": "unix", "socket-name": reload.argument[0]}
    return value


def _classes(content: Content) -> list[dict[str, object]]:
    """The first class with a boot file wins, so iPXE comes first."""
    classes: list[dict[str, object]] = [
        # Authoritative means to refuse addresses to unknown machines; another server may be there for them.
        {"name": "DROP", "test": "member('UNKNOWN')"},
    ]
    if content.boot.ipxe_script:
        classes.append({"name": "osr-ipxe", "test": _IPXE, "boot-file-name": content.boot.ipxe_script})
    classes += [_class(match) for match in matches(content.settings, content.boot)]
    return classes


def _class(match: Match) -> dict[str, object]:
    test = " or ".join(f"substring(option[93].hex,0,2) == 0x{code:04x}" for code in match.codes)
    value: dict[str, object] = {"name": match.tag, "test": test, "boot-file-name": match.file}
    if match.http:
        value["option-data"] = [{"name": "vendor-class-identifier", "data": HTTP_CLASS, "always-send": True}]
    return value


def _subnet(subnet: Subnet, number: int) -> dict[str, object]:
    value: dict[str, object] = {"id": number, "subnet": str(subnet.network)}
    options = []
    if subnet.router:
        options.append({"name": "routers", "data": str(subnet.router)})
    if subnet.dns:
        options.append({"name": "domain-name-servers", "data": ", ".join(map(str, subnet.dns))})
    if subnet.domain:
        options.append({"name": "domain-name", "data": subnet.domain})
    if options:
        value["option-data"] = options
    if subnet.next_server:
        value["next-server"] = str(subnet.next_server)
    if subnet.interface:
        value["interface"] = subnet.interface
    if subnet.range:
        value["pools"] = [{"pool": f"{subnet.range[0]} - {subnet.range[1]}", "client-class": "KNOWN"}]
    return value
