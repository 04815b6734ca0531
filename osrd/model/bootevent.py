# SPDX-License-Identifier: GPL-3.0-or-later
"""What servers do for a machine that boots, as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Leased:
    """A DHCP server gave ``address`` to ``mac`` (normalised)."""

    mac: str
    address: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A TFTP server sent the file ``path`` (as the server calls it) to ``address``."""

    address: str
    path: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A DHCP server that knows the nodes left ``mac`` (normalised) without an address."""

    mac: str


BootEvent = Leased | Sent | Refused
