# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nodes of cluster.conf will ask this host for, and how its distribution calls things."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from osrd.model.cluster import Cluster, RootVolume
from osrd.model.firewall import Packet
from osrd.model.host import Host, Network
from osrd.model.rootcare import Family
from osrd.model.settings import DhcpBackend, Settings
from osrd.plan.bootroot import boot_root
from osrd.plan.doctor.ports import DHCP, MOUNTD, MOUNTD_PROGRAM, NFS, RPCBIND, TFTP
from osrd.plan.exports import export_of
from osrd.plan.loaders import boot_server
from osrd.plan.roots import root_of_volume


@dataclass(frozen=True, slots=True)
class Client:
    """A network of nodes. ``interface`` is "" when this host has no address in it."""

    interface: str
    address: str


@dataclass(frozen=True, slots=True)
class Needs:
    """``dhcp`` of NONE: somebody else answers. ``nfs`` are the versions of NFS by which nodes mount roots of this
    host, ``exported`` their paths, ``mountd`` the TCP port of the program that version 3 needs beside it.
    ``far`` are nodes in networks that this host has no address in."""

    dhcp: DhcpBackend
    nfs: frozenset[int]
    exported: tuple[str, ...]
    clients: tuple[Client, ...]
    far: tuple[str, ...]
    mountd: int = MOUNTD

    def packets(self) -> tuple[tuple[str, Packet], ...]:
        """The first packets of everything that nodes want, with a word for it."""
        wanted: list[tuple[str, str, int]] = []
        if self.dhcp is not DhcpBackend.NONE:
            wanted.append(("DHCP", "udp", DHCP))
        wanted.append(("TFTP", "udp", TFTP))
        if self.nfs:
            wanted.append(("NFS", "tcp", NFS))
        if 3 in self.nfs:
            wanted += [("rpcbind", "tcp", RPCBIND), ("mountd", "tcp", self.mountd)]
        clients = [client for client in self.clients if client.interface] or [Client("", "")]
        # Who has no address yet asks from 0.0.0.0.
        return tuple(
            (word, Packet(protocol, port, client.interface, "0.0.0.0" if port == DHCP else client.address))
            for client in clients
            for word, protocol, port in wanted
        )


def needs_of(settings: Settings, cluster: Cluster | None, host: Host) -> Needs:
    """Without a usable cluster.conf: what any cluster needs."""
    nodes = cluster.nodes if cluster else ()
    volumes = tuple(dict.fromkeys(node.root for node in nodes if node.root is not None))
    server = boot_server(settings, volumes)
    versions: set[int] = set()
    exported: dict[str, None] = {}
    for volume in volumes:
        export = export_of(settings, volume, root_of_volume(settings, volume), server)
        if export is not None and settings.nfs.exports:
            exported[export.path] = None
            versions.add(_version(volume))
    clients: dict[str, Client] = {}
    far = []
    for node in nodes:
        for nic in node.nics:
            address = _address(nic.address)
            if address is None or not nic.mac:
                continue
            interface = next((each.interface for each in host.networks if address in each.network), "")
            if interface:
                clients.setdefault(interface, Client(interface, str(address)))
            else:
                far.append(node.name)
    return Needs(
        settings.dhcp.backend,
        frozenset(versions),
        tuple(exported),
        tuple(clients.values()),
        tuple(dict.fromkeys(far)),
        _mountd(host),
    )


def _mountd(host: Host) -> int:
    """Where nodes find mountd, which takes any port where neither /etc/services (Debian's) nor nfs.conf names one."""
    found = [each for each in host.sockets if each.program == MOUNTD_PROGRAM and each.protocol == "tcp"]
    return next((each.port for each in found if ":" not in each.address), MOUNTD)


def _version(volume: RootVolume) -> int:
    options = boot_root(volume).text.rpartition(":")[2].split(",") if volume.path else []
    return 3 if any(option in ("vers=3", "nfsvers=3") for option in options) else 4


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def install(family: Family, debian: str, fedora: str) -> str:
    """The command that installs a package, in the words of the host's distribution."""
    commands = {Family.DEBIAN: f"apt-get install {debian}", Family.REDHAT: f"dnf install {fedora}"}
    return commands.get(family, f"install {debian} (as Debian calls it; Fedora: {fedora})")


def in_network(server: str, networks: Iterable[Network], interface: str) -> IPv4Network | None:
    """The network of ``interface`` that ``server`` is in."""
    address = _address(server)
    return next((each.network for each in networks if each.interface == interface and address in each.network), None)
