# SPDX-License-Identifier: GPL-3.0-or-later
"""What a packet filter does with packets to this host, whichever program set it up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    ACCEPT = "accept"
    DROP = "drop"
    JUMP = "jump"
    GOTO = "goto"
    RETURN = "return"


class Key(StrEnum):
    """What of a packet is compared. UNKNOWN: something that cannot be told beforehand (a rate, a mark, ...)."""

    PROTOCOL = "protocol"
    PORT = "port"
    SOURCE_PORT = "source port"
    INTERFACE = "interface"
    SOURCE = "source"
    STATE = "state"
    FAMILY = "family"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Match:
    """``values`` are what it is compared with: words, ``eth*``, ``67``, ``2000-3000``, ``10.0.0.0/8``."""

    key: Key
    values: tuple[str, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """All of ``matches`` must hold. ``verdict`` of None: it only counts or logs. ``target`` is the chain of a jump."""

    matches: tuple[Match, ...]
    verdict: Verdict | None
    target: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """``priority`` is None for a chain that is only jumped to, else the order among those that every packet to this
    host passes; ``name`` is unique and for people (``inet filter input``)."""

    name: str
    rules: tuple[Rule, ...] = ()
    priority: int | None = None
    policy: Verdict = Verdict.ACCEPT


@dataclass(frozen=True, slots=True)
class Ruleset:
    chains: Mapping[str, Chain] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of something that a node wants. ``interface`` and ``source`` are "" when unknown."""

    protocol: str
    port: int
    interface: str = ""
    source: str = ""
