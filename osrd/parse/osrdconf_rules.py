# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that are right one by one and wrong together."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from osrd.model.finding import Finding, Place, Severity
from osrd.model.settings import (
    Architecture,
    DhcpBackend,
    Reload,
    ReloadMethod,
    RootSettings,
    Settings,
    SubnetSettings,
    UefiLoader,
)

#: a setting: kind of section, its name ("" for most), key ("" for the section's header)
Origin = tuple[str, str, str]
Places = dict[Origin, Place]


def contradictions(settings: Settings, places: Mapping[Origin, Place]) -> tuple[Finding, ...]:
    """Every contradiction, with the lines where both sides were set (defaults have none)."""
    findings: list[Finding] = []
    for rule in _RULES:
        findings += rule(settings, places)
    return tuple(findings)


def _conflict(
    code: str,
    places: Mapping[Origin, Place],
    origin: Origin,
    message: str,
    *,
    fix: str,
    value: str = "",
    other: Origin | None = None,
    severity: Severity = Severity.ERROR,
) -> Finding:
    """A finding at ``origin``, or at its section's header, or else at the ``other`` side of the conflict."""
    place = places.get(origin) or places.get((*origin[:2], ""))
    other_place = places.get(other) if other else None
    if place is None:
        place, other_place = other_place, None
    return Finding(
        code,
        severity,
        message,
        fix,
        place,
        attribute=origin[2],
        value=value,
        other=f"[{' '.join(part for part in other[:2] if part)}] {other[2]}".strip() if other else "",
        other_place=other_place,
    )


def _secure_boot(settings: Settings, places: Mapping[Origin, Place]) -> Iterator[Finding]:
    boot, tftp = settings.boot, settings.tftp
    if not boot.secure_boot or not {Architecture.X86_64, Architecture.ARM64} & set(boot.architectures):
        return
    origin, loader, prefix = ("boot", "", "secure-boot"), ("boot", "", "uefi-loader"), ("tftp", "", "prefix")
    if boot.uefi_loader is UefiLoader.IPXE:
        message = "secure-boot = yes with uefi-loader = ipxe: no distribution's iPXE is signed for Secure Boot"
        fix = "set uefi-loader = grub in [boot], or secure-boot = no"
        yield _conflict("secure-boot-ipxe", places, origin, message, fix=fix, value="yes", other=loader)
    elif tftp.prefix:
        # The configuration's place is compiled into the signed image, it cannot be told another one.
        message = (
            f"secure-boot = yes with prefix = {tftp.prefix}: signed GRUB reads only /grub/grub.cfg of the TFTP root"
        )
        fix = "set prefix = none in [tftp] and give osrd a TFTP root of its own, or secure-boot = no in [boot]"
        yield _conflict("secure-boot-prefix", places, origin, message, fix=fix, value="yes", other=prefix)


#: what each DHCP server understands: dhcpd ends at SIGHUP, only Kea has a control socket
_DHCP_RELOADS = {
    DhcpBackend.DNSMASQ: (ReloadMethod.SYSTEMD, ReloadMethod.PIDFILE, ReloadMethod.COMMAND, ReloadMethod.NONE),
    DhcpBackend.ISC: (ReloadMethod.SYSTEMD, ReloadMethod.COMMAND, ReloadMethod.NONE),
    DhcpBackend.KEA: tuple(ReloadMethod),
    DhcpBackend.NONE: tuple(ReloadMethod),
}
_NFS_RELOADS = (ReloadMethod.SYSTEMD, ReloadMethod.COMMAND, ReloadMethod.NONE)


def _reloads(settings: Settings, places: Mapping[Origin, Place]) -> Iterator[Finding]:
    backend = settings.dhcp.backend
    checks = (
        ("dhcp", settings.dhcp.reload, _DHCP_RELOADS[backend], f"backend = {backend}", ("dhcp", "", "backend")),
        ("nfs", settings.nfs.reload, _NFS_RELOADS, "the NFS server, which lives in the kernel", None),
    )
    for kind, reload, fitting, server, other in checks:
        if isinstance(reload, Reload) and reload.method not in fitting:
            message = f"reload = {reload.method}:... of [{kind}] does not work with {server}"
            fix = f"use one of {', '.join(fitting)}"
            yield _conflict(
                "reload-misfit", places, (kind, "", "reload"), message, fix=fix, value=reload.method, other=other
            )


def _subnets(settings: Settings, places: Mapping[Origin, Place]) -> Iterator[Finding]:
    for subnet in settings.subnets:
        yield from _inside(subnet, places)
    ordered = sorted(settings.subnets, key=lambda subnet: (subnet.network.network_address, subnet.network.prefixlen))
    widest: SubnetSettings | None = None
    for subnet in ordered:
        if widest is not None and subnet.network.overlaps(widest.network):
            message = f"the subnets {subnet.network} and {widest.network} overlap"
            fix = "remove one of the sections, or correct its mask"
            origin, other = ("subnet", str(subnet.network), ""), ("subnet", str(widest.network), "")
            yield _conflict(
                "overlapping-subnets", places, origin, message, fix=fix, value=str(subnet.network), other=other
            )
        if widest is None or subnet.network.broadcast_address > widest.network.broadcast_address:
            widest = subnet


def _inside(subnet: SubnetSettings, places: Mapping[Origin, Place]) -> Iterator[Finding]:
    """Addresses of hosts in ``subnet`` must be ones that hosts in it can have."""
    network, name = subnet.network, str(subnet.network)
    given = [("range", address) for address in subnet.range or ()]
    if subnet.router is not None:
        given.append(("router", subnet.router))
    for key, address in given:
        if address in network and address not in (network.network_address, network.broadcast_address):
            continue
        code = "range-outside-subnet" if key == "range" else "router-outside-subnet"
        what = "is not inside" if address not in network else "is no host's address of"
        fix = f"write addresses from {network.network_address + 1} to {network.broadcast_address - 1}"
        message = f"{key} of [subnet {name}]: {address} {what} {name}"
        yield _conflict(
            code, places, ("subnet", name, key), message, fix=fix, value=str(address), other=("subnet", name, "")
        )
    if subnet.range and subnet.router and subnet.range[0] <= subnet.router <= subnet.range[1]:
        message = f"[subnet {name}]: the router {subnet.router} is inside the range that nodes get addresses from"
        fix = "move the range, or correct the router"
        other = ("subnet", name, "router")
        yield _conflict("router-in-range", places, ("subnet", name, "range"), message, fix=fix, other=other)


def _roots(settings: Settings, places: Mapping[Origin, Place]) -> Iterator[Finding]:
    by_volume: dict[str, RootSettings] = {}
    for root in settings.roots:
        first = by_volume.setdefault(root.volume, root)
        if first is not root:
            what = f"volume = {root.volume}" if root.volume else "no volume, which means all that no other claims"
            message = f"[root {root.name}] and [root {first.name}] both have {what}"
            fix = "give each [root] its own volume, as the <rootvolume> name of cluster.conf has it"
            origin, other = ("root", root.name, "volume"), ("root", first.name, "volume" if root.volume else "")
            yield _conflict("duplicate-volume", places, origin, message, fix=fix, value=root.volume, other=other)
        for key, kernel, initrd in (
            ("", root.kernel, root.initrd),
            ("previous-", root.previous_kernel, root.previous_initrd),
        ):
            if bool(kernel) is bool(initrd):
                continue
            has, lacks = ("kernel", "initrd") if kernel else ("initrd", "kernel")
            message = f"[root {root.name}] has {key}{has} but no {key}{lacks}"
            fix = f"set {key}{lacks} in [root {root.name}]" + (
                ", unless this kernel mounts its root without an initrd" if kernel else f", or remove {key}initrd"
            )
            origin = ("root", root.name, key + has)
            code = f"{has}-without-{lacks}"
            yield _conflict(code, places, origin, message, fix=fix, value=kernel or initrd, severity=Severity.WARNING)


def _images(settings: Settings, places: Mapping[Origin, Place]) -> Iterator[Finding]:
    """Keys that speak about images of osrd's own, where there are none."""
    for root in settings.roots:
        for key in ("kernels", "previous-after"):
            origin = ("root", root.name, key)
            if origin not in places or root.takes_images:
                continue
            why = f"with kernel = {root.kernel}" if root.kernel else "without path"
            message = f"{key} of [root {root.name}] has no effect {why}: osrd builds no initrds for this root"
            fix = f"remove {key}, or {'remove kernel and initrd' if root.kernel else 'set path'}"
            other = ("root", root.name, "kernel") if root.kernel else None
            yield _conflict("no-images", places, origin, message, fix=fix, other=other, severity=Severity.WARNING)


def _quiet_and_limit(settings: Settings, places: Mapping[Origin, Place]) -> Iterator[Finding]:
    watch = settings.watch
    if watch.quiet > watch.limit:
        message = f"quiet = {watch.quiet:g}s is longer than limit = {watch.limit:g}s of [watch]"
        fix = "set quiet to at most limit"
        yield _conflict(
            "quiet-over-limit", places, ("watch", "", "quiet"), message, fix=fix, other=("watch", "", "limit")
        )


def _files(settings: Settings, places: Mapping[Origin, Place]) -> Iterator[Finding]:
    """Two outputs in one file, or an output over an input, would each undo the other for ever."""
    files = sorted(
        (path, origin)
        for path, origin in (
            (settings.cluster_conf, ("cluster", "", "config")),
            (settings.dhcp.config, ("dhcp", "", "config")),
            (settings.dhcp.hosts, ("dhcp", "", "hosts")),
            (settings.nfs.exports, ("nfs", "", "exports")),
            (settings.hosts.file, ("hosts", "", "file")),
        )
        if path
    )
    for (first, first_origin), (second, origin) in pairwise(files):
        if first == second:
            message = f"[{origin[0]}] {origin[2]} and [{first_origin[0]}] {first_origin[2]} are the same file, {first}"
            yield _conflict(
                "same-file", places, origin, message, fix="give each its own file", value=second, other=first_origin
            )


_RULES: tuple[Callable[[Settings, Mapping[Origin, Place]], Iterator[Finding]], ...] = (
    _secure_boot,
    _reloads,
    _subnets,
    _roots,
    _images,
    _quiet_and_limit,
    _files,
)
