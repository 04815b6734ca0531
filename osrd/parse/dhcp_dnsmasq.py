# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading back the two files that osrd writes for dnsmasq(8): exactly that subset, and nothing else."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from osrd.model.alike import common_head, common_tail
from osrd.model.finding import Finding
from osrd.parse.dhcp_content import Hosts, Networks, Range, bad_mac, claimed_rows, cut_short, unexpected

# Spelled out, and addresses only by their characters (judge looks at them): half the time for 10,000 lines.
_MAC = ":".join(["[0-9a-f][0-9a-f]"] * 6)
_HOST = re.compile(rf"^({_MAC}(?:,{_MAC})*)(?:,([0-9.]{{7,15}}))?(?:,([a-z0-9_.-]+))?$", re.MULTILINE)
_COMMENTS = re.compile(r"(?:#.*\n)*")

#: hardware addresses, addresses, names
Columns = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
_NO_ROWS: Columns = ((), (), ())

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


class HostsReader:
    """Reads one hosts file after another. Of each only what is between the lines that it has in common with the last
    one, at its top and at its end, is parsed: after an edit among 10,000 nodes a line or two."""

    def __init__(self) -> None:
        self._body = ""
        #: the columns of its rows, each as one string: 30,000 small ones would take four times the memory
        self._columns = ("", "", "")

    def read(self, text: str, file: str) -> Hosts:
        """The hosts file ``file``: comments at its top, then one row per line."""
        lowered = text.lower()
        comments = _COMMENTS.match(lowered)
        body = lowered[comments.end() :] if comments else lowered
        above = lowered.count("\n") - body.count("\n")
        columns = self._read_rows(body) if lowered.endswith("\n") else None
        if columns is None:
            return _read_odd(lowered, file)
        self._body, self._columns = body, (_packed(columns[0]), _packed(columns[1]), _packed(columns[2]))
        lines = range(above + 1, above + 1 + len(columns[0]))
        return Hosts(*columns, (), lines, claimed_rows(lowered))

    def _read_rows(self, body: str) -> Columns | None:
        """The rows of ``body``, None when there is anything else in it."""
        known = self._body
        start = body.rfind("\n", 0, common_head(known, body)) + 1
        rest = body[start:]
        tail = common_tail(known[start:], rest)
        # What is common at the end begins with the end of a line that is not.
        end = rest.index("\n", len(rest) - tail) + 1 if tail else len(rest)
        middle = rest[:end]
        found = _HOST.findall(middle)
        if len(found) != middle.count("\n"):
            return None
        first = known.count("\n", 0, start)
        last = known.count("\n") - rest.count("\n", end)
        macs, addresses, names = map(_unpacked, self._columns)
        new_macs, new_addresses, new_names = zip(*found, strict=True) if found else _NO_ROWS
        return (
            (*macs[:first], *new_macs, *macs[last:]),
            (*addresses[:first], *new_addresses, *addresses[last:]),
            (*names[:first], *new_names, *names[last:]),
        )


def _packed(column: Sequence[str]) -> str:
    return "\n".join((*column, ""))


def _unpacked(column: str) -> list[str]:
    return column.split("\n")[:-1]


def read_hosts(text: str, file: str) -> Hosts:
    """The hosts file ``file``, by itself."""
    return HostsReader().read(text, file)


def _read_odd(lowered: str, file: str) -> Hosts:
    """The same line by line, for a file in which something is wrong or where it should not be."""
    numbered = list(enumerate(lowered.split("\n"), 1))
    found = [(number, match.groups("")) for number, line in numbered if (match := _HOST.fullmatch(line))]
    findings = cut_short(lowered, file)
    findings += [_odd(file, number, line) for number, line in numbered if line and not _known(line)]
    rows = [row for _, row in found]
    lines = [number for number, _ in found]
    macs, addresses, names = zip(*rows, strict=True) if rows else ((), (), ())
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
