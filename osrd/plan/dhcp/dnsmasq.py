# SPDX-License-Identifier: GPL-3.0-or-later
"""dnsmasq(8): a configuration that changes rarely, and a hosts file that it reads again on SIGHUP.

Reservations never go into the configuration: there a duplicate address keeps dnsmasq from starting at all, and a
change needs a restart (measured with 2.90).
"""

from collections.abc import Iterator
from operator import attrgetter

from osrd.plan.dhcp.firmware import HTTP_CLASS, matches
from osrd.plan.dhcp.values import Content, DhcpFile, Reservation, Subnet, config_place, hosts_place


def host(reservation: Reservation) -> str:
    """One line: all hardware addresses that may have the address, the address, the name."""
    fields = [*reservation.macs]
    if reservation.address:
        fields.append(str(reservation.address))
    if reservation.name:
        fields.append(reservation.name)
    return ",".join(fields) + "\n"


def files(content: Content) -> tuple[DhcpFile, ...]:
    """The configuration and the hosts file."""
    hosts = [f"# Made by osrd from {content.source}; changes are overwritten.\n# {content.count} reservations\n"]
    hosts += map(attrgetter("text"), content.parts)
    return (
        DhcpFile(config_place(content.settings), "".join(f"{line}\n" for line in _config(content)).encode()),
        DhcpFile(hosts_place(content.settings), "".join(hosts).encode()),
    )


def _config(content: Content) -> Iterator[str]:
    settings = content.settings
    yield f"# Made by osrd from {content.source}; changes are overwritten."
    yield "# DHCP and TFTP only: no DNS."
    yield "port=0"
    yield "bind-dynamic"
    if not content.interfaces:
        yield "# No interfaces are configured: every one is listened on, only known machines in the subnets below"
        yield "# are answered."
    for name in content.interfaces:
        yield f"interface={quoted(name)}"
    yield "dhcp-authoritative"
    yield "# Machines that are not in the hosts file get no answer at all, not even a refusal."
    yield "dhcp-ignore=tag:!known"
    yield "# Firmware, loader and system call themselves differently but are one machine with one address."
    yield "dhcp-ignore-clid"
    yield f"dhcp-hostsfile={quoted(hosts_place(settings))}"
    if settings.dhcp.serve_tftp:
        yield "enable-tftp"
        yield f"tftp-root={quoted(settings.tftp.root)}"
    for subnet in content.subnets:
        yield from _subnet(subnet, settings.dhcp.lease_time)
    yield from _boot(content)


def _subnet(subnet: Subnet, lease_time: int) -> Iterator[str]:
    tag = _tag(subnet)
    span = f"{subnet.range[0]},{subnet.range[1]}" if subnet.range else f"{subnet.network.network_address},static"
    yield f"dhcp-range=set:{tag},{span},{subnet.network.netmask},{lease_time}"
    # Without a value the option is not sent: dnsmasq would otherwise name itself as the router.
    yield f"dhcp-option=tag:{tag},option:router" + (f",{subnet.router}" if subnet.router else "")
    if subnet.dns:
        yield f"dhcp-option=tag:{tag},option:dns-server,{','.join(map(str, subnet.dns))}"
    if subnet.domain:
        yield f"dhcp-option=tag:{tag},option:domain-name,{quoted(subnet.domain)}"


def _boot(content: Content) -> Iterator[str]:
    """The last dhcp-boot line that matches wins: firmware families before iPXE, everybody before subnets."""
    boot = content.boot
    known = matches(content.settings, boot)
    subnets = [(str(subnet.next_server), _tag(subnet)) for subnet in content.subnets if subnet.next_server]
    for match in known:
        for code in match.codes:
            yield f"dhcp-match=set:{match.tag},option:client-arch,{code}"
    yield from (_file(match.tag, match.file, boot.server) for match in known)
    for subnet in subnets:
        yield from (_file(match.tag, match.file, *subnet) for match in known if not match.http)
    if any(match.http for match in known):
        yield f"dhcp-vendorclass=set:osr-http,{HTTP_CLASS}"
        yield f"dhcp-option-force=tag:osr-http,option:vendor-class,{HTTP_CLASS}"
    if boot.ipxe_script:
        yield "dhcp-match=set:osr-ipxe,175"
        yield "dhcp-userclass=set:osr-ipxe,iPXE"
        yield _file("osr-ipxe", boot.ipxe_script, boot.server)
        yield from (_file("osr-ipxe", boot.ipxe_script, *subnet) for subnet in subnets)


def _file(tag: str, file: str, server: str, subnet: str = "") -> str:
    where = f"tag:{subnet}," if subnet else ""
    return f"dhcp-boot={where}tag:{tag},{quoted(file)},,{server}"


def _tag(subnet: Subnet) -> str:
    return f"osr-net-{subnet.network.network_address}-{subnet.network.prefixlen}"


def quoted(text: str) -> str:
    """``text`` so that commas, ``#`` and quotes in it are only characters (dnsmasq(8), CONFIG FILE)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
