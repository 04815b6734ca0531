# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading back the two files that osrd writes for dnsmasq(8): exactly that subset, and nothing else."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from osrd.model.finding import Finding
from osrd.parse.dhcp_content import Hosts, Networks, Range, bad_mac, claimed_rows, cut_short, unexpected

# Spelled out, and addresses only by their characters (judge looks at them): half the time for 10,000 lines.
_MAC = ":".join(["[0-9a-f][0-9a-f]"] * 6)
_HOST = re.compile(rf"^({_MAC}(?:,{_MAC})*)(?:,([0-9.]{{7,15}}))?(?:,([a-z0-9_.-]+))?$", re.MULTILINE)
_COMMENTS = re.compile(r"(?:#.*\n)*")

_STRING = r'"(?:[^"\\]|\\["\\])*"'
_TAG = r"osr-[a-z0-9_.-]+"
_IP = r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+"
_RANGE = re.compile(rf"dhcp-range=set:{_TAG},({_IP}),({_IP}|static),({_IP}),[0-9]+")
_STATEMENT = re.compile(
    "|".join(
        (
            r"port=0|bind-dynamic|dhcp-authoritative|dhcp-ignore=tag:!known|dhcp-ignore-clid|enable-tftp",
            rf"(?:interface|dhcp-hostsfile|tftp-root)={_STRING}",
            rf"dhcp-option=tag:{_TAG},option:(?:router(?:,{_IP})?|dns-server(?:,{_IP})+|domain-name,{_STRING})",
            rf"dhcp-match=set:{_TAG},(?:option:client-arch,[0-9]+|175)",
            rf"dhcp-boot=(?:tag:{_TAG},)+{_STRING},,{_IP}",
            rf"dhcp-userclass=set:{_TAG},iPXE",
            rf"dhcp-vendorclass=set:{_TAG},HTTPClient",
            rf"dhcp-option-force=tag:{_TAG},option:vendor-class,HTTPClient",
        )
    )
)


def read_hosts(text: str, file: str) -> Hosts:
    """The hosts file ``file``: comments at its top, then one row per line."""
    lowered = text.lower()
    found = _HOST.findall(lowered)
    comments = _COMMENTS.match(lowered)
    above = comments[0].count("\n") if comments else 0
    lines: Sequence[int] = range(above + 1, above + 1 + len(found))
    findings = cut_short(lowered, file)
    if findings or above + len(found) != lowered.count("\n"):
        numbered = list(enumerate(lowered.split("\n"), 1))
        lines = [number for number, line in numbered if _HOST.fullmatch(line)]
        findings += [_odd(file, number, line) for number, line in numbered if line and not _known(line)]
    macs, addresses, names = zip(*found, strict=True) if found else ((), (), ())
    return Hosts(macs, addresses, names, (), lines, claimed_rows(lowered), tuple(findings))


def read_config(text: str, file: str) -> Networks:
    """The configuration ``file``."""
    subnets: list[IPv4Network] = []
    ranges: list[Range] = []
    findings: list[Finding] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#") or _STATEMENT.fullmatch(line):
            continue
        span = _RANGE.fullmatch(line)
        if span is None:
            findings.append(unexpected(file, number, line))
            continue
        try:
            subnets.append(IPv4Network((span[1], span[3]), strict=False))
            if span[2] != "static":
                ranges.append((IPv4Address(span[1]), IPv4Address(span[2])))
        except ValueError:
            findings.append(unexpected(file, number, line))
    return Networks(tuple(subnets), tuple(ranges), tuple(findings))


def _known(line: str) -> bool:
    return line.startswith("#") or _HOST.fullmatch(line) is not None


def _odd(file: str, number: int, line: str) -> Finding:
    first = line.split(",", maxsplit=1)[0]
    return unexpected(file, number, line) if re.fullmatch(_MAC, first) else bad_mac(file, number, first)
