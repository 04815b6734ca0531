# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of DHCP and TFTP servers that tell how far a machine is: dnsmasq, ISC dhcpd, Kea, tftpd-hpa.

What a line is about comes from the network: whoever can send a DHCP request can make such a line appear. It is
believed for what is shown, and for nothing else.
"""

import re

from osrd.model.bootevent import BootEvent, Leased, Refused, Sent

_MAC = r"(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})"
_IP = r"(?P<ip>\d{1,3}(?:\.\d{1,3}){3})"
_PATTERNS = tuple(
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        rf"DHCPACK\([^)]*\) {_IP} {_MAC}(?: |$)",  # dnsmasq
        rf"DHCPACK on {_IP} to {_MAC}(?: |$)",  # ISC dhcpd
        rf"DHCP4_LEASE_ALLOC \[hwtype=1 {_MAC}\].*: lease {_IP} has been allocated",  # Kea
        rf"(?:^|[ :])sent (?P<path>/.+) to {_IP}$",  # dnsmasq, at the end of a transfer
        rf"RRQ from (?:::ffff:)?{_IP} filename (?P<path>\S.*)$",  # tftpd-hpa --verbose, at its start
    )
)
_REFUSALS = tuple(
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        rf"DHCPDISCOVER\([^)]*\) (?:{_IP} )?{_MAC} (?:ignored|no address available)",  # dnsmasq
        rf"DHCPDISCOVER from {_MAC} .*no free leases",  # ISC dhcpd; Kea says nothing
    )
)
#: Longer lines are none of these.
_LONGEST = 1024


def boot_event(line: str) -> BootEvent | None:
    """What ``line`` tells of a machine that boots; None for all other lines."""
    if len(line) > _LONGEST:
        return None
    for pattern in _PATTERNS:
        if found := pattern.search(line):
            parts = found.groupdict()
            if parts.get("mac"):
                return Leased(parts["mac"].lower(), parts["ip"])
            return Sent(parts["ip"], parts["path"])
    refusal = next((found for pattern in _REFUSALS if (found := pattern.search(line))), None)
    return None if refusal is None else Refused(refusal["mac"].lower())
