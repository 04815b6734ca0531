# SPDX-License-Identifier: GPL-3.0-or-later
"""ISC dhcpd 4.4 (dhcpd.conf(5)): one complete configuration, one line per host.

dhcpd has no way to name interfaces in its configuration; it serves those whose subnet is declared. It cannot read
its configuration again either: every change is a restart.
"""

from collections.abc import Iterator

from osrd.plan.dhcp.firmware import HTTP_CLASS, matches
from osrd.plan.dhcp.values import Content, DhcpFile, Reservation, Subnet, config_place

_IPXE = 'exists osr-ipxe or suffix(option user-class, 4) = "iPXE"'


def host(reservation: Reservation) -> str:
    """One declaration per hardware address, for a declaration can hold only one. Its name must be an identifier and
    unique among all declarations (the server refuses its whole configuration otherwise), hence the address in it; the
    node is behind it, where anything may stand."""
    fixed = f" fixed-address {reservation.address};" if reservation.address else ""
    name = f" option host-name {quoted(reservation.name)};" if reservation.name else ""
    return "".join(
        f"host osr-{mac.replace(':', '')} {{ hardware ethernet {mac};{fixed}{name} }} # {reservation.owner}\n"
        for mac in reservation.macs
    )


def files(content: Content) -> tuple[DhcpFile, ...]:
    """The one configuration."""
    head = "".join(f"{line}\n" for line in _config(content))
    hosts = "".join([part.text for part in content.parts])
    return (DhcpFile(config_place(content.settings), (head + hosts).encode()),)


def _config(content: Content) -> Iterator[str]:
    settings = content.settings
    yield f"# Made by osrd from {content.source}; changes are overwritten."
    yield f"# {sum(len(r.macs) for part in content.parts for r in part.reservations)} reservations"
    # An authoritative dhcpd refuses the addresses of machines it does not know (seen on the wire), although another
    # server on the same network may be there for them. Nodes boot with a DISCOVER and need no refusal.
    yield "not authoritative;"
    yield "ddns-update-style none;"
    # Firmware, loader and system call themselves differently but are one machine with one address.
    yield "ignore-client-uids true;"
    yield f"default-lease-time {settings.dhcp.lease_time};"
    yield f"max-lease-time {settings.dhcp.lease_time};"
    yield f"next-server {content.boot.server};"
    yield "option osr-arch code 93 = unsigned integer 16;"
    yield "option osr-ipxe code 175 = string;"
    yield from _boot(content)
    for subnet in content.subnets:
        yield from _subnet(subnet)


def _boot(content: Content) -> Iterator[str]:
    known = matches(content.settings, content.boot)
    branches = []
    if content.boot.ipxe_script:
        branches.append((_IPXE, content.boot.ipxe_script))
    branches += [(_codes(match.codes), match.file) for match in known if not match.http]
    yield 'class "osr-pxe" {'
    yield '  match if substring(option vendor-class-identifier, 0, 9) = "PXEClient" or'
    yield f"    {_IPXE};"
    yield from _branches(branches)
    yield "}"
    http = [(_codes(match.codes), match.file) for match in known if match.http]
    if http:
        yield 'class "osr-http" {'
        yield f'  match if substring(option vendor-class-identifier, 0, {len(HTTP_CLASS)}) = "{HTTP_CLASS}";'
        yield f'  option vendor-class-identifier "{HTTP_CLASS}";'
        yield from _branches(http)
        yield "}"


def _codes(codes: tuple[int, ...]) -> str:
    return " or ".join(f"option osr-arch = {code >> 8:02x}:{code & 255:02x}" for code in codes)


def _branches(branches: list[tuple[str, str]]) -> Iterator[str]:
    word = "if"
    for condition, file in branches:
        yield f"  {word} {condition} {{ filename {quoted(file)}; }}"
        word = "elsif"


def _subnet(subnet: Subnet) -> Iterator[str]:
    yield f"subnet {subnet.network.network_address} netmask {subnet.network.netmask} {{"
    if subnet.router:
        yield f"  option routers {subnet.router};"
    if subnet.dns:
        yield f"  option domain-name-servers {', '.join(map(str, subnet.dns))};"
    if subnet.domain:
        yield f"  option domain-name {quoted(subnet.domain)};"
    if subnet.next_server:
        yield f"  next-server {subnet.next_server};"
    if subnet.range:
        yield "  pool {"
        yield "    deny unknown-clients;"
        yield f"    range {subnet.range[0]} {subnet.range[1]};"
        yield "  }"
    yield "}"


def quoted(text: str) -> str:
    """``text`` as a string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
