# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardware addresses as cluster.conf, boot loaders and DHCP servers write them."""

import re

_SEPARATORS = re.compile(r"[:.\-]")
_OCTETS = {12: 6, 16: 8, 40: 20}


def normalised_mac(text: str) -> str | None:
    """``text`` as lower-case octets joined by colons, or None when it is no hardware address.

    Accepts ``:``, ``-`` and ``.`` separated groups or none at all, in any case; 6 octets (Ethernet), 8 (EUI-64,
    FireWire) or 20 (InfiniBand, RFC 4391).
    """
    digits = _SEPARATORS.sub("", text.strip()).lower()
    if len(digits) not in _OCTETS or not digits.isascii() or any(c not in "0123456789abcdef" for c in digits):
        return None
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))


def is_unicast(mac: str) -> bool:
    """Whether a normalised MAC can belong to one NIC: not all zeros and, on Ethernet, the group bit is clear."""
    if set(mac) <= {"0", ":"}:
        return False
    return len(mac) != 17 or not int(mac[:2], 16) & 1


def dashed(mac: str) -> str:
    """``01-`` and the octets joined by dashes: the file name that PXELINUX, GRUB and BOOTIF use (RFC 1700 type 1)."""
    return "01-" + mac.replace(":", "-")
