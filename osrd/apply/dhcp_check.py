# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging DHCP candidates before they are published: our own reading of them first, then the server's checker."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from osrd.apply.runner import NOT_FOUND, Completed, Runner
from osrd.model.finding import Finding, Place, Severity
from osrd.model.settings import DhcpBackend, Settings
from osrd.parse import dhcp_dnsmasq, dhcp_isc, dhcp_kea
from osrd.parse.dhcp_content import Hosts, Judge, Networks
from osrd.plan.dhcp import config_place, hosts_place

_DENIED = re.compile(r"Permission denied|Unable to open file", re.IGNORECASE)
_LINE = re.compile(r"\bline (\d+)|:(\d+)[.:]\d+\b")
# What the checkers say around what is wrong: banners, log lines (Kea repeats its error as one), advice on bug reports.
_NOISE = re.compile(
    r"Internet Systems Consortium|Copyright|All rights reserved|For info|Config file:|\^|exiting"
    r"|Configuration file err|If you think you have|than a configuration|bugs on either|before submitting"
    r"|process and the|\S+ \S+ (?:INFO|ERROR) "
)


@dataclass(frozen=True, slots=True)
class Checker:
    """A server's own checker: the program, the packages that have it, and its arguments before the candidate."""

    program: str
    packages: str
    arguments: tuple[str, ...]


CHECKERS = {
    DhcpBackend.DNSMASQ: Checker("dnsmasq", "dnsmasq-base (Debian) or dnsmasq (Fedora)", ("--test", "-C")),
    DhcpBackend.ISC: Checker("dhcpd", "isc-dhcp-server (Debian) or dhcp-server (Fedora)", ("-t", "-cf")),
    DhcpBackend.KEA: Checker("kea-dhcp4", "kea-dhcp4-server (Debian) or kea (Fedora)", ("-t",)),
}


class CandidateChecker:
    """Checks candidates, each time for the same settings, and keeps what spares the next time work."""

    def __init__(self, settings: Settings, runner: Runner) -> None:
        self._settings = settings
        self._runner = runner
        self._config = config_place(settings)
        self._hosts = hosts_place(settings)
        self._reader = dhcp_dnsmasq.HostsReader()
        self._judge = Judge()

    def check(self, candidates: Mapping[str, str]) -> tuple[Finding, ...]:
        """Everything wrong with ``candidates`` (final path to file with the new content). The server's checker only
        runs on what osrd itself found nothing wrong with: its complaint would say the same in other words."""
        config = self._config
        texts: dict[str, str] = {}
        for path in (config, self._hosts):
            if path not in candidates:
                continue
            try:
                with open(candidates[path], encoding="utf-8") as file:
                    texts[path] = file.read()
            except (OSError, UnicodeDecodeError) as error:
                return (_unreadable(path, error),)
        findings = self._own(texts)
        if findings or config not in texts or not self._settings.dhcp.check:
            return findings
        return _native(self._settings, self._runner, config, candidates[config])

    def _own(self, texts: Mapping[str, str]) -> tuple[Finding, ...]:
        config = self._config
        if self._settings.dhcp.backend is DhcpBackend.DNSMASQ:
            return self._own_dnsmasq(texts)
        if config not in texts:
            return ()
        read: Callable[[str, str], tuple[Hosts, Networks]]
        read = dhcp_isc.read if self._settings.dhcp.backend is DhcpBackend.ISC else dhcp_kea.read
        found, networks = read(texts[config], config)
        return self._judge.judge(found, networks, config)

    def _own_dnsmasq(self, texts: Mapping[str, str]) -> tuple[Finding, ...]:
        config, hosts = self._config, self._hosts
        networks: Networks | None = None
        if config in texts:
            networks = dhcp_dnsmasq.read_config(texts[config], config)
        elif hosts in texts:
            networks = _published_networks(config)
        if hosts in texts:
            return self._judge.judge(self._reader.read(texts[hosts], hosts), networks, hosts)
        return networks.findings if networks else ()


def _published_networks(config: str) -> Networks | None:
    """The subnets that dnsmasq serves now. What else is in that file was judged when it was published."""
    try:
        with open(config, encoding="utf-8", errors="replace") as file:
            return replace(dhcp_dnsmasq.read_config(file.read(), config), findings=())
    except OSError:
        return None


def _native(settings: Settings, runner: Runner, config: str, candidate: str) -> tuple[Finding, ...]:
    checker = CHECKERS[settings.dhcp.backend]
    program = settings.dhcp.program or checker.program
    done = runner.run([program, *checker.arguments, candidate], timeout=60)
    if done.ok:
        return ()
    if done.returncode == NOT_FOUND:
        return (_no_checker(program, checker),)
    said = (done.stderr + done.stdout).replace(candidate, config)
    if _DENIED.search(said):
        return (_denied(program, candidate),)
    return (_refused(program, config, said, done),)


def telling(said: str) -> list[str]:
    """The lines of a server's output that say something about its configuration."""
    lines = (line.strip() for line in said.splitlines())
    return [line for line in lines if line and not _NOISE.match(line)]


def _refused(program: str, config: str, said: str, done: Completed) -> Finding:
    words = " | ".join(telling(said)[:4])[:500] or f"exit status {done.returncode}"
    where = _LINE.search(words)
    number = int(where[1] or where[2]) if where else 0
    return Finding(
        "dhcp-refused",
        Severity.ERROR,
        f"{os.path.basename(program)} refuses the new configuration: {words}",
        "correct the setting it names; the configuration in use stays until then",
        place=Place(config, number),
        value=str(done.returncode),
    )


def _no_checker(program: str, checker: Checker) -> Finding:
    return Finding(
        "dhcp-no-checker",
        Severity.INFO,
        f"{program} is not installed here, so only osrd itself checked the DHCP configuration",
        f"install {checker.packages}, or set check = no in the [dhcp] section of osrd.conf",
        value=program,
    )


def _denied(program: str, candidate: str) -> Finding:
    """Debian confines dhcpd and kea-dhcp4 with AppArmor to their own directories."""
    directory = os.path.dirname(candidate)
    profile = f"/etc/apparmor.d/local/usr.sbin.{os.path.basename(program)}"
    return Finding(
        "dhcp-check-denied",
        Severity.WARNING,
        f"{program} may not read {directory}, so only osrd itself checked the DHCP configuration",
        f"allow it in {profile} ({directory}/** r,), or set check = no in the [dhcp] section of osrd.conf",
        value=program,
    )


def _unreadable(path: str, error: OSError | UnicodeDecodeError) -> Finding:
    return Finding(
        "dhcp-unreadable",
        Severity.ERROR,
        f"the candidate for {path} cannot be read: {error}",
        "look for a full file system, then let osrd write it again",
        place=Place(path),
    )
