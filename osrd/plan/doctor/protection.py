# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps servers from doing their work: packet filters, SELinux, AppArmor, permissions of directories."""

import shlex
from dataclasses import replace

from osrd.model.finding import Finding, Severity
from osrd.model.firewall import Packet
from osrd.model.host import Checked, Host
from osrd.model.settings import DhcpBackend, Settings
from osrd.plan.dhcp import config_place, hosts_place
from osrd.plan.doctor.needs import Needs
from osrd.plan.doctor.packet import Fate, fate
from osrd.plan.doctor.ports import DHCP, MOUNTD, NFS, PORTS, RPCBIND, TFTP

_FIREWALLD = {DHCP: "dhcp", TFTP: "tftp", NFS: "nfs", RPCBIND: "rpc-bind", MOUNTD: "mountd"}
#: SELinux types that TFTP servers may read
_TFTP_TYPES = frozenset(("tftpdir_t", "tftpdir_rw_t", "public_content_t", "public_content_rw_t"))
#: and dnsmasq; not var_lib_t, which the state directory has
_DNSMASQ_TYPES = _TFTP_TYPES | {"dnsmasq_etc_t", "dnsmasq_lease_t", "dnsmasq_var_run_t", "dnsmasq_runtime_t", "etc_t"}
#: where dnsmasq's own package on Fedora keeps its leases: what osrd makes in there gets that label
_DNSMASQ_PLACE = "/var/lib/dnsmasq/osrd.hosts"
#: Directories that the distributions' AppArmor profiles let these programs read
_ALLOWED = {
    "dnsmasq": ("/etc/dnsmasq.d", "/var/lib/misc", "/srv/tftp", "/srv/tftpboot", "/var/tftp", "/usr/share/dnsmasq"),
    "dhcpd": ("/etc/dhcp", "/etc/dhcpd.conf"),
    "kea-dhcp4": ("/etc/kea",),
}


def firewall(needs: Needs, host: Host) -> Checked:
    """Whether the first packet of everything that nodes want gets in."""
    title = "firewall"
    known = host.filter
    if not any(chain.priority is not None for ruleset in known.rulesets for chain in ruleset.chains.values()):
        return Checked(title, known.problem or "no rules", unknown=bool(known.problem))
    blocked: dict[str, list[Packet]] = {}
    unclear: dict[str, list[Packet]] = {}
    for _, packet in needs.packets():
        result = fate(packet, known.rulesets)
        if result.blocked:
            blocked.setdefault(_by(result), []).append(packet)
        elif result.unclear:
            unclear.setdefault(_by(result), []).append(packet)
    findings = [_blocked(packets, by, needs, host) for by, packets in blocked.items()]
    findings += [_unclear(packets, by) for by, packets in unclear.items()]
    manager = "firewalld" if known.firewalld else "ufw" if known.ufw else "rules of its own"
    count = len({(packet.protocol, packet.port) for packets in blocked.values() for packet in packets})
    seen = f"{manager}, {count} ports blocked" if count else manager
    return Checked(title, f"{seen}; {known.problem}" if known.problem else seen, tuple(findings), bool(known.problem))


def _by(result: Fate) -> str:
    return ", ".join(result.dropped_by)


def _words(packets: list[Packet]) -> str:
    words = dict.fromkeys(f"{packet.protocol.upper()} port {packet.port}" for packet in packets)
    interfaces = ", ".join(dict.fromkeys(packet.interface for packet in packets if packet.interface))
    return ", ".join(words) + (f" on {interfaces}" if interfaces else "")


def _blocked(packets: list[Packet], by: str, needs: Needs, host: Host) -> Finding:
    # These two read the wire before the packet filter does; only what is sent to this host alone is lost.
    raw = needs.dhcp in (DhcpBackend.ISC, DhcpBackend.KEA) and all(packet.port == DHCP for packet in packets)
    return Finding(
        "firewall-blocks",
        Severity.WARNING if raw else Severity.ERROR,
        f"{by} drops {_words(packets)}" + (": nodes cannot renew their leases" if raw else ""),
        _way_in(packets, host),
        value=by,
    )


def _way_in(packets: list[Packet], host: Host) -> str:
    """What opens the ports. mountd's is opened where it is once it stays there."""
    moving = any(packet.port not in PORTS for packet in packets)
    fixed = [packet if packet.port in PORTS else replace(packet, port=MOUNTD) for packet in packets]
    opened = _opened(fixed, host)
    if not moving:
        return opened
    return (
        f"have mountd keep to one port: nfsconf --set mountd port {MOUNTD} && systemctl restart nfs-server; {opened}"
    )


def _opened(packets: list[Packet], host: Host) -> str:
    ports = sorted({(packet.protocol, packet.port) for packet in packets})
    if host.filter.firewalld:
        zones: dict[str, dict[str, None]] = {}
        for packet in sorted(packets, key=lambda packet: (packet.protocol, packet.port)):
            zones.setdefault(packet.interface, {})[f"--add-service={_FIREWALLD[packet.port]}"] = None
        commands = [
            f"firewall-cmd --permanent{_zone(interface)} {' '.join(services)}"
            for interface, services in sorted(zones.items())
        ]
        return " && ".join([*commands, "firewall-cmd --reload"])
    if host.filter.ufw:
        return " && ".join(f"ufw allow {port}/{protocol}" for protocol, port in ports)
    lists: dict[str, list[str]] = {}
    for protocol, port in ports:
        lists.setdefault(protocol, []).append(str(port))
    wanted = " and ".join(f"{protocol} dport {{ {', '.join(each)} }} accept" for protocol, each in lists.items())
    return f"put this before the rule that drops it, where your rules are kept: {wanted}"


def _zone(interface: str) -> str:
    return f' --zone="$(firewall-cmd --get-zone-of-interface={interface})"' if interface else ""


def _unclear(packets: list[Packet], by: str) -> Finding:
    return Finding(
        "firewall-unclear",
        Severity.INFO,
        f"{by} may drop {_words(packets)}: that depends on what cannot be told beforehand",
        "look at its rules: nft list ruleset",
        value=by,
    )


def selinux(settings: Settings, needs: Needs, host: Host) -> Checked:
    """Labels of what is served, where they are enforced."""
    title = "SELinux"
    if not host.selinux:
        return Checked(title, "not in use")
    findings = []
    place = next((path for path in (settings.tftp.directory, settings.tftp.root) if path in host.labels), "")
    if place and host.labels[place] not in _TFTP_TYPES:
        path = shlex.quote(settings.tftp.root)
        pattern = shlex.quote(f"{settings.tftp.root}(/.*)?")
        findings.append(
            Finding(
                "selinux-tftp-label",
                Severity.ERROR if host.selinux == "enforcing" else Severity.WARNING,
                f"{place} has the SELinux type {host.labels[place]}, which TFTP servers may not read",
                f"semanage fcontext -a -t tftpdir_t {pattern} && restorecon -R {path}",
                value=place,
            )
        )
    hosts = hosts_place(settings)
    place = next((path for path in (hosts, hosts.rpartition("/")[0]) if path and path in host.labels), "")
    if place and host.labels[place] not in _DNSMASQ_TYPES:
        findings.append(
            Finding(
                "selinux-dnsmasq-label",
                Severity.ERROR if host.selinux == "enforcing" else Severity.WARNING,
                f"{place} has the SELinux type {host.labels[place]}, which dnsmasq may not read: it knows no node",
                f"set hosts = {_DNSMASQ_PLACE} in [dhcp] of osrd.conf, and systemctl reload osrd",
                value=place,
            )
        )
    if needs.nfs and not host.nfs_may_export_all:
        findings.append(
            Finding(
                "selinux-nfs-export",
                Severity.ERROR if host.selinux == "enforcing" else Severity.WARNING,
                "SELinux forbids the NFS server to export what is not labelled for it (nfs_export_all_rw is off)",
                "setsebool -P nfs_export_all_rw on",
            )
        )
    return Checked(title, host.selinux, tuple(findings))


def apparmor(settings: Settings, host: Host) -> Checked:
    """Whether the DHCP server may read what osrd writes for it."""
    title = "AppArmor"
    if host.confined is None:
        return Checked(title, "only root may see its profiles", unknown=True)
    program = {DhcpBackend.DNSMASQ: "dnsmasq", DhcpBackend.ISC: "dhcpd", DhcpBackend.KEA: "kea-dhcp4"}.get(
        settings.dhcp.backend, ""
    )
    if program not in host.confined:
        return Checked(title, "confines no server of nodes")
    paths = [path for path in (config_place(settings), hosts_place(settings)) if path]
    if program == "dnsmasq" and settings.dhcp.serve_tftp:
        paths.append(settings.tftp.root)
    outside = [path for path in paths if not any(_below(path, place) for place in _ALLOWED[program])]
    rules = "; ".join(
        f"echo '{path if path != settings.tftp.root else f'{path}/**'} r,' >> /etc/apparmor.d/local/usr.sbin.{program}"
        for path in outside
    )
    findings = tuple(
        [
            Finding(
                "apparmor-forbids",
                Severity.WARNING,
                f"the AppArmor profile of {program} is enforced and may not let it read {', '.join(outside)}",
                f"{rules}; apparmor_parser -r /etc/apparmor.d/usr.sbin.{program}",
                value=program,
            )
        ]
        if outside
        else []
    )
    return Checked(title, f"confines {program}", findings)


def _below(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def permissions(host: Host) -> Checked:
    """TFTP servers and dnsmasq read as users of their own."""
    title = "permissions"
    findings = tuple(
        Finding(
            "directory-closed",
            Severity.ERROR,
            f"only some may enter {path}: servers, which read as users of their own, do not find what is below",
            f"chmod o+x {shlex.quote(path)}",
            value=path,
        )
        for path in host.closed
    )
    return Checked(title, "servers can read what is published" if not findings else "too tight", findings)
