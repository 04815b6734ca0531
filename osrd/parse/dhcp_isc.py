# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading back the configuration that osrd writes for ISC dhcpd: exactly that subset, and nothing else."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from osrd.model.finding import Finding
from osrd.parse.dhcp_content import Hosts, Networks, Range, bad_mac, claimed_rows, cut_short, unexpected

_IP = r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+"
_STRING = r'"(?:[^"\\\n]|\\["\\])*"'
_MAC = ":".join(["[0-9a-f][0-9a-f]"] * 6)
_HOST = re.compile(
    rf"^host osr-[0-9a-f]+ {{ hardware ethernet ({_MAC});"
    rf'(?: fixed-address ([0-9.]{{7,15}});)?(?: option host-name "([^"\\\n]*)";)? }} # (.*)$',
    re.MULTILINE,
)
_SUBNET = re.compile(rf"subnet ({_IP}) netmask ({_IP}) {{")
_RANGE = re.compile(rf"    range ({_IP}) ({_IP});")
_CODES = r"option osr-arch = [0-9a-f]{2}:[0-9a-f]{2}"
_IPXE = r'exists osr-ipxe or suffix\(option user-class, 4\) = "iPXE"'
_STATEMENT = re.compile(
    "|".join(
        (
            r"not authoritative;|ddns-update-style none;|ignore-client-uids true;|(?:default|max)-lease-time [0-9]+;",
            rf" *next-server {_IP};",
            r"option osr-arch code 93 = unsigned integer 16;|option osr-ipxe code 175 = string;",
            r'class "osr-(?:pxe|http)" {| *}|  pool {|    deny unknown-clients;',
            r'  match if substring\(option vendor-class-identifier, 0, 9\) = "PXEClient" or|    ' + _IPXE + ";",
            r'  match if substring\(option vendor-class-identifier, 0, 10\) = "HTTPClient";',
            r'  option vendor-class-identifier "HTTPClient";',
            rf"  (?:els)?if (?:{_IPXE}|{_CODES}(?: or {_CODES})*) {{ filename {_STRING}; }}",
            rf"  option routers {_IP};|  option domain-name-servers {_IP}(?:, {_IP})*;",
            rf"  option domain-name {_STRING};",
        )
    )
)


def read(text: str, file: str) -> tuple[Hosts, Networks]:
    """The configuration ``file``: statements, then one host per line."""
    start = text.find("\nhost ") + 1 or len(text)
    above = text.count("\n", 0, start)
    networks = _networks(text[:start], file)
    body = text[start:]
    found = _HOST.findall(body)
    lines: Sequence[int] = range(above + 1, above + 1 + len(found))
    findings = cut_short(text, file)
    if findings or len(found) != body.count("\n"):
        numbered = list(enumerate(body.split("\n"), above + 1))
        lines = [number for number, line in numbered if _HOST.fullmatch(line)]
        findings += [_odd(file, number, line) for number, line in numbered if line and not _HOST.fullmatch(line)]
    macs, addresses, names, owners = zip(*found, strict=True) if found else ((), (), (), ())
    hosts = Hosts(
        macs, addresses, [name.lower() for name in names], owners, lines, claimed_rows(text[:start]), tuple(findings)
    )
    return hosts, networks


def _networks(text: str, file: str) -> Networks:
    subnets: list[IPv4Network] = []
    ranges: list[Range] = []
    findings: list[Finding] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#") or _STATEMENT.fullmatch(line):
            continue
        try:
            if subnet := _SUBNET.fullmatch(line):
                subnets.append(IPv4Network((subnet[1], subnet[2])))
            elif span := _RANGE.fullmatch(line):
                ranges.append((IPv4Address(span[1]), IPv4Address(span[2])))
            else:
                findings.append(unexpected(file, number, line))
        except ValueError:
            findings.append(unexpected(file, number, line))
    return Networks(tuple(subnets), tuple(ranges), tuple(findings))


def _odd(file: str, number: int, line: str) -> Finding:
    hardware = re.search(r"hardware ethernet ([^;]*);", line)
    if hardware and not re.fullmatch(_MAC, hardware[1]):
        return bad_mac(file, number, hardware[1])
    return unexpected(file, number, line)
