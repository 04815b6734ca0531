# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers that nodes boot from: do they run, is it the right ones, can they be told of changes."""

from osrd.model.finding import Finding, Severity
from osrd.model.host import Checked, Host, Socket
from osrd.model.rootcare import Family
from osrd.model.settings import DhcpBackend, Settings
from osrd.plan.doctor.needs import Needs, install
from osrd.plan.doctor.ports import DHCP, LIBVIRT, NFS, RPCBIND, TFTP

_BACKENDS = {
    DhcpBackend.DNSMASQ: ("dnsmasq", "dnsmasq", "dnsmasq", "dnsmasq", "dnsmasq"),
    DhcpBackend.ISC: ("dhcpd", "isc-dhcp-server", "dhcp-server", "isc-dhcp-server", "dhcpd"),
    DhcpBackend.KEA: ("kea-dhcp4", "kea-dhcp4-server", "kea", "kea-dhcp4-server", "kea-dhcp4"),
}


def listening(host: Host, protocol: str, port: int) -> tuple[Socket, ...]:
    """Who can be reached at a port."""
    return tuple(each for each in host.sockets if (each.protocol, each.port) == (protocol, port) and not each.is_local)


def _names(sockets: tuple[Socket, ...]) -> str:
    names = sorted({each.program for each in sockets if each.program})
    return ", ".join(names) or "somebody"


def nfs(needs: Needs, host: Host) -> Checked:
    """The kernel's NFS server, with the versions that nodes mount."""
    title = "NFS server"
    if not needs.nfs:
        return Checked(title, "not needed: no node's root is exported by this host")
    packages = install(host.family, "nfs-kernel-server", "nfs-utils")
    others = listening(host, "tcp", NFS)
    findings = []
    if not host.nfs_threads and others and any(each.program for each in others):
        findings.append(
            Finding(
                "nfs-other-server",
                Severity.WARNING,
                f"{_names(others)} serves NFS, not the kernel, and knows nothing of exports(5)",
                "export the roots in its own configuration, or use the kernel's: systemctl enable --now nfs-server",
            )
        )
        return Checked(title, f"{_names(others)} at TCP port {NFS}", tuple(findings))
    # What /proc/fs/nfsd says is for root's eyes.
    unseen = host.nfs_threads is None and not host.privileged and bool(others)
    if "exportfs" not in host.programs:
        fix = packages
        findings.append(Finding("nfs-no-exportfs", Severity.ERROR, "exportfs is not installed", fix, value="exportfs"))
    elif unseen:
        pass
    elif not host.nfs_threads:
        fix = "systemctl enable --now nfs-server"
        findings.append(Finding("nfs-not-running", Severity.ERROR, "the kernel's NFS server does not run", fix))
    else:
        findings += [_version(version) for version in sorted(needs.nfs) if str(version) not in host.nfs_versions]
    if 3 in needs.nfs and not listening(host, "tcp", RPCBIND):
        fix = install(host.family, "rpcbind", "rpcbind") + " && systemctl enable --now rpcbind"
        text = "nodes mount by NFS version 3, and no rpcbind tells them where mountd is"
        findings.append(Finding("nfs-no-rpcbind", Severity.ERROR, text, fix))
    if unseen:
        return Checked(title, f"at TCP port {NFS}; only root may see more", tuple(findings), unknown=True)
    versions = " ".join(sorted(host.nfs_versions)) or "none"
    return Checked(title, f"{host.nfs_threads or 0} threads, versions {versions}", tuple(findings))


def _version(version: int) -> Finding:
    return Finding(
        "nfs-version-off",
        Severity.ERROR,
        f"nodes mount by NFS version {version}, which the server has switched off",
        f"nfsconf --set nfsd vers{version} y && systemctl restart nfs-server",
        value=str(version),
    )


def tftp(settings: Settings, host: Host) -> Checked:
    """Who answers at UDP port 69."""
    title = "TFTP server"
    found = listening(host, "udp", TFTP)
    by_dnsmasq = settings.dhcp.backend is DhcpBackend.DNSMASQ and settings.dhcp.serve_tftp
    if not found:
        if by_dnsmasq:
            fix = "systemctl enable --now dnsmasq (its TFTP server is part of what osrd configures)"
        else:
            package = install(host.family, "tftpd-hpa", "tftp-server")
            unit = "tftp.socket" if host.family is Family.REDHAT else "tftpd-hpa"
            fix = f"{package} && systemctl enable --now {unit}; its directory must be {settings.tftp.root}"
        text = f"nothing listens at UDP port {TFTP}: nodes get no boot loader (PXE-E32)"
        return Checked(title, "none", (Finding("tftp-not-running", Severity.ERROR, text, fix),))
    names = {each.program for each in found if each.program}
    if by_dnsmasq and names and "dnsmasq" not in names:
        finding = Finding(
            "tftp-other-server",
            Severity.WARNING,
            f"UDP port {TFTP} is {_names(found)}'s, so that dnsmasq cannot serve TFTP as osrd configures it to",
            "stop that server, or set serve-tftp = no in [dhcp]",
            value=_names(found),
        )
        return Checked(title, _names(found), (finding,))
    return Checked(title, f"{_names(found)} at UDP port {TFTP}")


def dhcp(settings: Settings, needs: Needs, host: Host) -> Checked:
    """The back end: installed, running, and alone at its port."""
    title = "DHCP server"
    if needs.dhcp is DhcpBackend.NONE:
        return Checked(title, "not osrd's: backend = none")
    program, debian, fedora, debian_unit, fedora_unit = _BACKENDS[needs.dhcp]
    unit = fedora_unit if host.family is Family.REDHAT else debian_unit
    every = listening(host, "udp", DHCP)
    # libvirt's own is bound to its own bridge, and serves nobody else's files.
    found = tuple(each for each in every if each.program != LIBVIRT)
    names = {each.program for each in found if each.program}
    findings = []
    bridges = [client.interface for client in needs.clients if client.interface.startswith("virbr")]
    if len(found) < len(every) and bridges:
        findings.append(_libvirt(bridges))
    if program not in host.programs and not settings.dhcp.program:
        fix = install(host.family, debian, fedora)
        text = f"{program} is not installed, and [dhcp] backend = {needs.dhcp}"
        findings.append(Finding("dhcp-not-installed", Severity.ERROR, text, fix, value=program))
    elif not found:
        text = f"nothing listens at UDP port {DHCP}: nodes get no address"
        fix = f"systemctl enable --now {unit}, and read its journal: journalctl -u {unit}"
        findings.append(Finding("dhcp-not-running", Severity.ERROR, text, fix))
    if names - {program}:
        others = ", ".join(sorted(names - {program}))
        findings.append(
            Finding(
                "dhcp-other-server",
                Severity.ERROR,
                f"{others} has UDP port {DHCP} too; nodes take the first answer, whoever's it is",
                f"stop {others}, or name it as backend in [dhcp]",
                value=others,
            )
        )
    seen = f"{_names(every)} at UDP port {DHCP}" if every else "none"
    return Checked(title, seen, tuple(findings))


def _libvirt(bridges: list[str]) -> Finding:
    where = ", ".join(bridges)
    return Finding(
        "dhcp-other-server",
        Severity.WARNING,
        f"libvirt has a DHCP server of its own, and nodes are on {where}; they take the first answer, whoever's it is",
        f"take <dhcp> out of the network of {where} (virsh net-edit NAME), and start that anew while no machine is on"
        " it: virsh net-destroy NAME, virsh net-start NAME",
        value=LIBVIRT,
    )


def dhcp_elsewhere(needs: Needs, host: Host) -> Checked:
    """Other DHCP servers in the nodes' networks, by what can be seen without asking the network."""
    title = "other DHCP servers"
    if needs.dhcp is DhcpBackend.NONE:
        return Checked(title, "not looked for: backend = none")
    interfaces = {client.interface for client in needs.clients}
    findings = [
        Finding(
            "dhcp-elsewhere",
            Severity.WARNING,
            f"this host got its own address on {lease.interface}, where nodes are, from the DHCP server"
            f" {lease.server}: it may answer nodes as well",
            f"give {lease.interface} a fixed address, and have {lease.server} ignore the nodes' MACs or that network",
            value=lease.server,
            other=lease.file,
        )
        for lease in host.leases
        if lease.interface in interfaces
    ]
    return Checked(title, f"{len(findings)} seen" if findings else "none seen (no packet was sent)", tuple(findings))


def networks(needs: Needs) -> Checked:
    """Nodes must be in a network of this host, or behind a relay."""
    title = "networks of nodes"
    here = ", ".join(client.interface for client in needs.clients) or "none"
    if not needs.far:
        return Checked(title, here)
    names = ", ".join(needs.far[:5]) + (f" and {len(needs.far) - 5} more" if len(needs.far) > 5 else "")
    finding = Finding(
        "node-network-far",
        Severity.WARNING,
        f"this host has no address in the network of {names}: DHCP does not reach them",
        "give this host an address there, or set up a DHCP relay in that network",
        value=names,
    )
    return Checked(title, here, (finding,))
