# SPDX-License-Identifier: GPL-3.0-or-later
"""What osrd itself needs of the host: the kernel, inotify, space, memory, a clock, packages, roots."""

import re

from osrd.model.finding import Finding, Severity
from osrd.model.host import Checked, Host, RootOnHost, Space
from osrd.model.netboot import HostFacts
from osrd.model.rootcare import Family
from osrd.model.settings import BuildUse, Settings
from osrd.plan.doctor.needs import Needs, install
from osrd.plan.loaders import plan_loaders

_KERNEL = (5, 12)
#: instances that osrd makes, and as many for a restart
_INSTANCES = 6
#: MiB and inodes below which something is about to fail
_LOW, _LOW_INODES = 64, 1000
_MIB = 1 << 20


def kernel(host: Host) -> Checked:
    """Linux 5.12 has all that work in shared roots needs."""
    number = re.match(r"(\d+)\.(\d+)", host.kernel)
    if number is None or (int(number[1]), int(number[2])) >= _KERNEL:
        return Checked("kernel", host.kernel or "unknown", unknown=number is None)
    text = f"Linux {host.kernel} cannot mount by descriptor: shared roots cannot be changed, initrds not be built"
    finding = Finding("kernel-old", Severity.ERROR, text, f"run Linux {_KERNEL[0]}.{_KERNEL[1]} or newer")
    return Checked("kernel", host.kernel, (finding,))


def inotify(host: Host, watching: str) -> Checked:
    """Whether the limits leave osrd what it needs. ``watching``: how a running osrd watches, "" when none runs."""
    limits = host.inotify
    if watching == "inotify":
        return Checked("inotify", f"in use; limits: {limits.watches} watches, {limits.instances} instances")
    used_watches, used_instances = limits.used_watches or 0, limits.used_instances or 0
    findings = []
    if limits.watches - used_watches < host.directories:
        wanted = max(524288, 2 * (used_watches + host.directories))
        text = f"root uses {used_watches} of {limits.watches} watches, and osrd needs up to {host.directories}"
        findings.append(_raised("max_user_watches", wanted, text))
    if limits.instances - used_instances < _INSTANCES:
        text = f"root uses {used_instances} of {limits.instances} instances, and osrd needs {_INSTANCES}"
        findings.append(_raised("max_user_instances", max(1024, 2 * used_instances), text))
    seen = f"{limits.watches} watches, {limits.instances} instances"
    return Checked("inotify", seen, tuple(findings), limits.used_watches is None)


def _raised(name: str, wanted: int, text: str) -> Finding:
    return Finding(
        "inotify-limit",
        Severity.WARNING,
        f"{text}: changes would be found by regular comparison only",
        f"echo fs.inotify.{name} = {wanted} > /etc/sysctl.d/60-osrd-{name.removeprefix('max_user_')}.conf"
        " && sysctl --system",
        value=name,
    )


def space(settings: Settings, host: Host) -> Checked:
    """Free space where osrd writes."""
    builds = settings.build.enabled is not BuildUse.NO and any(root.takes_images for root in settings.roots)
    findings: list[Finding] = []
    for each in host.spaces:
        # Images are staged where they are stored, and copied to where they are served.
        wanted = settings.build.size if builds and not each.path.startswith("/run") else _LOW
        findings += _short(each, wanted)
    least = min((each.free // _MIB for each in host.spaces), default=0)
    return Checked("free space", f"{least} MiB at least", tuple(findings), not host.spaces)


def _short(each: Space, wanted: int) -> list[Finding]:
    free = each.free // _MIB
    fix = f"free some: du -xh --max-depth=2 {each.path} | sort -h"
    if each.read_only:
        text = f"{each.path} is on a file system that is mounted read-only"
        return [Finding("space-read-only", Severity.ERROR, text, f"mount -o remount,rw {each.path}", value=each.path)]
    findings = []
    if free < wanted:
        severity = Severity.ERROR if free < _LOW else Severity.WARNING
        text = f"{each.path} has {free} MiB left, and {wanted} may be needed"
        findings.append(Finding("space-low", severity, text, fix, value=each.path))
    if each.inodes is not None and each.inodes < _LOW_INODES:
        text = f"{each.path} has room for {each.inodes} more files only"
        findings.append(Finding("inodes-low", Severity.ERROR, text, fix, value=each.path))
    return findings


def memory(settings: Settings, host: Host) -> Checked:
    """A build may take what [build] memory allows."""
    seen = f"{host.memory} MiB"
    builds = settings.build.enabled is not BuildUse.NO and any(root.takes_images for root in settings.roots)
    if not builds or not host.memory or host.memory >= settings.build.memory:
        return Checked("memory", seen, unknown=not host.memory)
    text = f"this host has {host.memory} MiB of memory, and a build of an initrd may use {settings.build.memory}"
    fix = "set memory in [build] lower, or give the host more"
    return Checked("memory", seen, (Finding("memory-low", Severity.WARNING, text, fix),))


def clock(host: Host) -> Checked:
    """Nodes get their first time from nobody better, and files of a root are compared by their times."""
    if host.synchronised is None:
        return Checked("clock", "cannot be seen", unknown=True)
    if host.synchronised:
        return Checked("clock", "synchronised")
    package = install(host.family, "chrony", "chrony")
    unit = "chronyd" if host.family is Family.REDHAT else "chrony"
    text = "nobody keeps the clock of this host right; nodes whose clock differs write files that look old or too new"
    finding = Finding("clock-free", Severity.WARNING, text, f"{package} && systemctl enable --now {unit}")
    return Checked("clock", "not synchronised", (finding,))


def loaders(settings: Settings, facts: HostFacts) -> Checked:
    """The boot loaders for the architectures of [boot]."""
    plan = plan_loaders(settings, facts)
    missing = tuple(finding for finding in plan.findings)
    names = ", ".join(sorted(output.path.rpartition("/")[2] for output in plan.outputs)) or "none"
    return Checked("boot loaders", names, missing)


def polkit(host: Host) -> Checked:
    if "polkitd" in host.programs:
        return Checked("polkit", "installed")
    text = "polkit is not installed: everybody may look at osrd, and only root may steer it"
    fix = install(host.family, "polkitd", "polkit") + ", if operators who are not root shall"
    return Checked("polkit", "not installed", (Finding("polkit-missing", Severity.INFO, text, fix),))


def roots(settings: Settings, needs: Needs, host: Host) -> Checked:
    """The shared roots on this host, and what is in them to make initrds."""
    findings: list[Finding] = []
    building = {root.name for root in settings.roots if root.takes_images}
    for each in host.roots:
        if each.problem:
            text = f"[root {each.name}] {each.problem}"
            fix = f"mount it at {each.path}, or correct path in [root {each.name}]"
            findings.append(Finding("root-absent", Severity.ERROR, text, fix, value=each.path))
        elif each.name in building and settings.build.enabled is not BuildUse.NO:
            findings += _without(each, needs)
    count = len(host.roots)
    return Checked("shared roots", f"{count} on this host" if count else "none on this host", tuple(findings))


def _without(root: RootOnHost, needs: Needs) -> list[Finding]:
    inside = {Family.DEBIAN: "apt-get install dracut dracut-network", Family.REDHAT: "dnf install dracut-network"}
    fix = f"osrctl shell {root.path} --node NODE {inside.get(root.family, '')}".rstrip()
    if root.family not in inside:
        fix = f"install dracut and its network modules in {root.path}"
    if not root.dracut:
        text = f"[root {root.name}] {root.path} has no dracut, so that no initrd can be built"
        return [Finding("root-no-dracut", Severity.ERROR, text, fix, value=root.path)]
    if "nfs" not in root.modules and root.path in needs.exported:
        text = f"[root {root.name}] dracut in {root.path} has no module nfs, and nodes mount it by NFS"
        return [Finding("root-no-dracut-nfs", Severity.ERROR, text, fix, value=root.path)]
    return []
